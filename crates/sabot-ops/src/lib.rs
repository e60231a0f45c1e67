//! What an operator is, and what a backend must do with it.
//!
//! An operator is *data*: an [`OperatorSpec`] with semantics written once, in its documentation and in
//! a slow [`mod@reference`] implementation. A [`Fragment`] is a chain of specs without a pipeline breaker
//! in it: the unit of compilation and of placement. A [`Backend`] says which fragments it can run, and
//! turns them into [`Kernel`]s that the runtime drives with morsels. The conformance suite (feature
//! `conformance`) drives every backend through the same cases, and only through [`Kernel`]; the module
//! `testing` (same feature) has the backends that tests of the runtime need.
#![forbid(unsafe_code)]

mod backend;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod filter_project;
mod fragment;
mod group_by;
mod join;
mod over;
mod partition;
mod predict;
mod rank;
pub mod reference;
mod schema_data;
pub mod sketch;
mod sort_key;
mod spec;
#[cfg(any(test, feature = "conformance"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod union;
mod unnest;
mod window_assign;
mod work;

pub use backend::{
    Backend, CompileError, CompileJob, Compiled, Failure, Kernel, Output, Program, Progress, Retry, Support,
    TaskContext, Ticket,
};
pub use filter_project::{FilterProjectSpec, Projection};
pub use fragment::Fragment;
pub use group_by::{
    AggregateFunction, AggregateInfo, AggregateSpec, ArgumentSpec, CATALOG, GroupByMode, GroupBySpec,
    ORDER_COLUMNS, Place, Places, Quantile, UserFunction, WideSum, central_product, nearest_double,
};
pub use join::{Direction, JoinColumn, JoinKind, JoinSource, JoinSpec, Nearest, in_units};
pub use over::{Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction, OverSpec};
pub use partition::PartitionSpec;
pub use predict::{
    Forest, MISSING_RIGHT, ModelError, Nodes, Number, Objective, PredictColumn, PredictSpec, PredictValue,
    TreeModel, ZERO, ZERO_IS_MISSING, reason_fields,
};
pub use rank::RankSpec;
pub use schema_data::schema_serde;
pub use sort_key::{SortKey, is_sortable};
pub use spec::{OperatorSpec, SpecError};
pub use union::UnionSpec;
pub use unnest::{UnnestColumn, UnnestSource, UnnestSpec};
pub use window_assign::WindowAssignSpec;
pub use work::row_bytes;
