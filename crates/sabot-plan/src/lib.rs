//! The plan as data: builder with every check, cutting into stages, explain.
//!
//! A [`PlanBuilder`] turns what a user asks for into nodes and refuses what cannot run, with a message
//! that says what would be right. [`Plan::from_sinks`] joins the nodes above some sinks into one
//! [`Plan`]: data with a format version, in which equal sub-plans are one node. [`cut`] turns that into a
//! [`PhysicalPlan`], the stages that the runtime runs, and [`explain`] prints both.
//!
//! ```
//! use arrow::datatypes::{DataType, Field, Schema};
//! use sabot_expr::col;
//! use sabot_plan::{Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, cut};
//!
//! let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false), Field::new("origin", DataType::Utf8, true)]);
//! let builder = PlanBuilder::new();
//! let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
//! let late = builder.filter(&flights, &col("delay").gt(15))?;
//! let plan = Plan::from_sinks(&[builder.sink(&late, SinkRequest::new(Connector::slot("out")))?])?;
//! assert_eq!(plan.nodes().len(), 3);
//! assert_eq!(cut(&plan, &CutOptions::default())?.stages.len(), 3);
//!
//! let typo = builder.filter(&flights, &col("orgin").eq("SFO")).unwrap_err();
//! assert_eq!(typo.to_string(), "unknown column \"orgin\" in filter; did you mean \"origin\"? columns: delay, origin");
//! # Ok::<(), sabot_plan::PlanError>(())
//! ```
#![forbid(unsafe_code)]

mod aggregate;
mod builder;
mod cut;
mod derive;
mod dictionaries;
mod digest;
mod error;
mod explain;
mod forks;
mod join;
mod node;
mod order;
mod over;
mod physical;
mod placed;
mod plan;
mod predict;
mod rank;
mod unnest;

pub use aggregate::{
    AggregateExpr, AggregateRequest, IntoKey, approx_count_distinct, approx_quantile, array_agg, avg,
    bool_and, bool_or, call_aggregate, corr, count, count_distinct, count_of, covar_pop, covar_samp, first,
    last, max, min, stddev_pop, stddev_samp, string_agg, sum, var_pop, var_samp,
};
pub use builder::{PlanBuilder, SinkRequest, SourceRequest};
pub use cut::{CutOptions, cut};
pub use derive::{WINDOW_END, WINDOW_START};
pub use dictionaries::encode_keys;
pub use error::PlanError;
pub use explain::{DeviceVerdict, explain, explain_measured};
pub use join::{Join, JoinKey, JoinNearest, JoinOutput, JoinOutputSource, JoinRequest, JoinStrategy};
pub use node::{
    Aggregation, Boundedness, ChangeMode, Connector, EmitMode, NodeKind, NodeRef, Properties, TimeAttribute,
};
pub use order::{IntoSort, OrderBy, SortExpr, asc, desc};
pub use over::{
    ColumnExpr, Emit, IntoColumn, Over, OverAggregate, OverColumn, OverExpr, OverFunctionExpr, OverValue,
    dense_rank, first_value, lag, last_value, lead, range, range_between, rank, row_number, rows,
    rows_between, running, whole,
};
pub use physical::{
    AggregateStage, EventTimeSpec, FragmentStage, JoinStage, KeyedInput, KeyedStage, KeyedWindow,
    LookupStage, MapBatchesStage, OverStage, PhysicalPlan, Port, RankResult, RankStage, RollingStage, Route,
    SinkStage, SourceStage, Stage, StageInput, StageKind,
};
pub use placed::Price;
pub use plan::{FORMAT_VERSION, Keying, Plan, PlanNode};
pub use predict::{PredictExpr, margin, prediction, reasons};
pub use rank::{Keep, RankCall, Ranking, TopNRequest};
pub use unnest::{Unnest, UnnestRequest, elements};
