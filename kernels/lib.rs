//! The hand-written CUDA of kernels, as text.
//!
//! A kernel is the text of [`PRIMITIVES`], of a generated body, and of one skeleton. It includes nothing: the compiler at
//! run time has no headers, and those of the toolkit would make it twenty times slower. The same text compiles as
//! C++ behind the emulator's header. Names that begin with `SABOT_` and are not defined here are constants that whoever
//! joins these texts writes in front.
#![forbid(unsafe_code)]

/// Types, and how values are read and compared.
pub const PRIMITIVES: &str = include_str!("sabot.cuh");

/// The skeleton of filter-project.
pub const FILTER_PROJECT: &str = include_str!("filter_project.cu");

/// What skeletons of groups and their bodies do to words.
pub const GROUPS: &str = include_str!("groups.cuh");

/// The skeleton of group-by.
pub const GROUP_BY: &str = include_str!("group_by.cu");
