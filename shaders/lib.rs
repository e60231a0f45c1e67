//! The hand-written WGSL of kernels, as text.
//!
//! A kernel is the text of [`SLABS`], of the numbers that it computes with, of a generated body, and of one skeleton.
//! Names that begin with `SABOT_` are constants that whoever joins these texts writes in front.
#![forbid(unsafe_code)]

/// What every kernel is given.
pub const SLABS: &str = include_str!("slabs.wgsl");

/// How values of up to 32 bits are read, and what WGSL lacks for them.
pub const NUMBERS: &str = include_str!("numbers.wgsl");

/// The same for integers of 64 bits; needs `SHADER_INT64`.
pub const NUMBERS_64: &str = include_str!("numbers64.wgsl");

/// The same for floats of 64 bits; needs `SHADER_F64` and [`NUMBERS_64`].
pub const FLOATS_64: &str = include_str!("floats64.wgsl");

/// Functions of floats of 64 bits: powers, logarithms, hyperbolic ones, remainders; needs [`FLOATS_64`].
pub const MATH_64: &str = include_str!("math64.wgsl");

/// Functions of angles of 64 bits; needs [`MATH_64`].
pub const ANGLES_64: &str = include_str!("angles64.wgsl");

/// The skeleton of filter-project.
pub const FILTER_PROJECT: &str = include_str!("filter_project.wgsl");

/// The skeleton of group-by.
pub const GROUP_BY: &str = include_str!("group_by.wgsl");

/// The wide words of a group-by; needs `SHADER_INT64_ATOMIC_ALL_OPS`.
pub const GROUP_WIDE: &str = include_str!("group_wide.wgsl");

/// What a group-by with sums of floats needs besides.
pub const GROUP_FLOATS: &str = include_str!("group_floats.wgsl");
