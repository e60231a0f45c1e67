//! Sabot: a streaming engine in which every record batch is an Arrow morsel.
//!
//! A pipeline is a [`Stream`], built from a source by methods that read like the sentence that describes
//! it. Everything is checked when it is built. A [`Job`] writes one or more streams to sinks; an
//! [`Engine`] runs jobs on threads of its own.
//!
//! ```
//! use sabot::prelude::*;
//! # use std::sync::Arc;
//! # use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
//! # let hour = 3_600_000_000;
//! # let flights = RecordBatch::try_from_iter([
//! #     ("date", Arc::new(TimestampMicrosecondArray::from(vec![0, 60, hour, hour + 1])) as ArrayRef),
//! #     ("delay", Arc::new(Int64Array::from(vec![5, 20, 40, 10]))),
//! #     ("origin", Arc::new(StringArray::from(vec!["SFO", "SFO", "SFO", "JFK"]))),
//! # ])?;
//! let delays = Stream::from_batches([flights])?
//!     .event_time("date", out_of_orderness(minutes(5)))?
//!     .filter(col("delay").gt(5))?
//!     .window(tumbling(hours(1)))?
//!     .group_by(["origin"])?
//!     .aggregate([count().alias("flights"), avg(col("delay")).alias("average_delay")])?;
//! assert_eq!(delays.collect()?.iter().map(|b| b.num_rows()).sum::<usize>(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Examples of single methods read `data/flights.csv`, four rows:
//!
//! ```text
#![doc = include_str!("../data/flights.csv")]
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(doctest, doc = include_str!("../../../README.md"))]
#![cfg_attr(doctest, doc = include_str!("../../../docs/aggregates.md"))]
#![cfg_attr(all(doctest, feature = "object-store"), doc = include_str!("../../../docs/files.md"))]

mod calibration;
mod checkpoints;
mod columns;
mod connectors;
mod devices;
mod engine;
mod error;
mod execute;
mod job;
mod join;
mod order;
mod predict;
mod read;
mod stream;
mod table;
mod time;
mod unnest;
mod window;

pub use arrow;
pub use calibration::calibrate_cpu;
pub use checkpoints::Checkpoints;
pub use devices::{FoundDevice, list_devices};
pub use engine::{Devices, Engine, EngineBuilder};
pub use error::{Error, Result};
pub use execute::BatchStream;
pub use job::Job;
pub use join::{On, on};
pub use predict::read_model;
pub use read::{
    Connect, FileOptions, ReadFrom, ToChannel, ToMemory, WriteTo, arrow_ipc, connector, csv, file, generator,
    ndjson, parquet, to_channel, to_memory,
};
pub use sabot_checkpoint::RestartStrategy;
pub use sabot_connect::{
    ChannelPartitions, ChannelReceiver, ChannelSender, ChannelSource, Collected, ConnectError, Sink, Source,
    growing_channel, input_channel, input_channels,
};
pub use sabot_exec::{BarrierPauses, JobError, JobHandle, JobMetrics, SourceMetrics, StageMetrics, Stop};
pub use sabot_expr::{
    CastMode, ClosureFunction, DatePart, DeviceBody, Expr, ExprError, FunctionError, FunctionRegistry,
    IntoExpr, Scalar, ScalarFunction, TruncUnit, UserAggregate, UserState, call, coalesce, col, concat,
    concat_ws, function, greatest, hash, least, lit, null, pi, when,
};
#[cfg(feature = "object-store")]
pub use sabot_object_store::ObjectStores;
pub use sabot_ops::{ModelError, TreeModel};
pub use sabot_placement::{Basis, Calibration, DeviceClass, Link};
pub use sabot_plan::{
    AggregateExpr, ColumnExpr, Emit, IntoColumn, IntoKey, IntoSort, Keep, OverExpr, OverFunctionExpr, Plan,
    PlanError, PredictExpr, SortExpr, UnnestRequest, approx_count_distinct, approx_quantile, array_agg, asc,
    avg, bool_and, bool_or, call_aggregate, corr, count, count_distinct, count_of, covar_pop, covar_samp,
    dense_rank, desc, elements, first, first_value, lag, last, last_value, lead, margin, max, min,
    prediction, range, range_between, rank, reasons, row_number, rows, rows_between, running, stddev_pop,
    stddev_samp, string_agg, sum, var_pop, var_samp, whole,
};
pub use sabot_time::CalendarUnit;
pub use stream::Stream;
pub use table::Table;
pub use time::{
    EventTimeOptions, Span, days, hours, in_order, micros, millis, minutes, out_of_orderness, seconds,
};
pub use window::{Grouped, Window, Windowed, calendar, count_window, cumulate, hopping, session, tumbling};

/// What most programs import.
pub mod prelude {
    pub use crate::{
        Checkpoints, Devices, Emit, Engine, Expr, Job, JobHandle, Keep, RestartStrategy, Stop, Stream, Table,
        approx_count_distinct, approx_quantile, array_agg, arrow_ipc, asc, avg, bool_and, bool_or, calendar,
        coalesce, col, concat, corr, count, count_distinct, count_of, count_window, covar_pop, covar_samp,
        csv, cumulate, days, dense_rank, desc, elements, file, first, first_value, greatest, hopping, hours,
        in_order, input_channel, lag, last, last_value, lead, least, lit, margin, max, micros, millis, min,
        minutes, ndjson, on, out_of_orderness, parquet, prediction, range, range_between, rank, read_model,
        reasons, row_number, rows, rows_between, running, seconds, session, stddev_pop, stddev_samp,
        string_agg, sum, to_channel, to_memory, tumbling, var_pop, var_samp, when, whole,
    };
    pub use arrow::datatypes::DataType;
    pub use arrow::record_batch::RecordBatch;
}
