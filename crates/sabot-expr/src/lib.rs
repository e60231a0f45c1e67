//! Typed expression IR, type rules, the interpreter that is the oracle, and the function registry.
//!
//! A user writes an [`Expr`] with [`col`], [`lit`] and the methods of [`Expr`]. [`resolve`] checks it
//! against a schema and gives a [`TypedExpr`], in which nothing is open: backends compile that, and
//! [`interpret`] runs it row by row, slowly and obviously. Where a backend and the interpreter differ,
//! the backend is wrong.
//!
//! ```
//! use arrow::datatypes::{DataType, Field, Schema};
//! use sabot_expr::{FunctionRegistry, col, resolve};
//!
//! let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false), Field::new("origin", DataType::Utf8, true)]);
//! let registry = FunctionRegistry::new();
//! let late = resolve(&col("delay").gt(15), &schema, &registry)?;
//! assert_eq!(late.data_type(), &DataType::Boolean);
//! assert!(!late.can_fail());
//!
//! let typo = resolve(&col("orgin").eq("SFO"), &schema, &registry).unwrap_err();
//! assert_eq!(typo.to_string(), "unknown column \"orgin\"; did you mean \"origin\"? columns: delay, origin");
//! # Ok::<(), sabot_expr::ExprError>(())
//! ```
//!
//! Two rules hold everywhere. *Errors exist only for rows that reach the expression in the order
//! written*: `x <> 0 AND 10 / x > 1` never fails. *Comparison is a total order*: −0.0 equals 0.0, all
//! NaNs are equal and greater than every number; a value that is only passed through keeps its bits.

#![forbid(unsafe_code)]

mod aggregate;
mod builder;
pub mod cast;
pub mod decimal;
mod error;
mod expr;
pub mod functions;
mod interpret;
mod like;
mod registry;
mod resolve;
mod scalar;
pub mod temporal;
mod typed;
pub mod types;

pub use aggregate::{BoundAggregate, UserAggregate, UserState};
pub use builder::{
    Case, IntoExpr, When, call, coalesce, col, concat, concat_ws, function, greatest, hash, least, lit, null,
    pi, when,
};
pub use error::{ExprError, RowError, RowErrorKind};
pub use expr::{BinaryOp, CastMode, DatePart, Expr, TruncUnit};
pub use functions::{Function, RegexPattern, Replacement};
pub use interpret::{compare, interpret, interpret_batch};
pub use like::LikePattern;
pub use registry::{ClosureFunction, DeviceBody, FunctionError, FunctionRegistry, ScalarFunction};
pub use resolve::{DEPTH_MAX, resolve};
pub use scalar::{Float16, Scalar};
pub use typed::{BoundFunction, TypedExpr, TypedKind};
pub use types::{check_type, type_name};
