//! From expressions to kernels: typed expressions become small [`Program`]s over registers, and these are printed as
//! CUDA and as WGSL.
//!
//! An expression is lowered once, with its nulls and its errors written out, so that a printer meets nothing but numbers:
//! what null does to AND, when an addition overflows, how NaN compares are questions of the lowering, and the same
//! answer reaches every device. [`evaluate`] runs a program by hand and is what printers are held to; the interpreter of
//! `sabot-expr` is what the lowering is held to. What no kernel can compute is [`Refused`] with a reason, and the CPU
//! does it.
//!
//! No GPU library is known here.
#![forbid(unsafe_code)]

mod approximate;
mod eval;
mod group;
mod ir;
mod lower;
mod print;
mod sweep;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use eval::{Evaluated, evaluate, evaluate_with, load};
pub use group::{Accumulator, Fold, Grouping, Recorded, Sums};
pub use ir::{Binary, Input, Inst, Kind, Math, Output, Program, Reg, Storage, Unary, UserFunction};
pub use lower::{
    ColumnSource, Derived, Groups, Late, Lowered, LoweredFragment, Refused, StateColumn, Tail,
    lower_filter_projects, lower_fragment, storage_of,
};
pub use print::{
    BITMAPS_MAX, Bitmap, Body, ChunkLayout, NOWHERE, Parameters, Unprintable, WgslFeatures, print_cuda,
    print_cuda_groups, print_wgsl, print_wgsl_groups,
};
