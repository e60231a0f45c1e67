//! What the runtime runs: stages, cut from a plan.
//!
//! A stage becomes one or more tasks. Stages meet where rows must change hands: behind a source, at a
//! fork, at an exchange, around a keyed operator, in front of a sink. Everything between two such
//! places is one [`Fragment`]. A union is no stage of its own: a stage may have several inputs, and the
//! common schema is the first step of its fragment.
//!
//! Schemas here are physical: the user's columns that something downstream needs, then the hidden
//! columns ([`sabot_batch::hidden`]) that something downstream needs.

use arrow::datatypes::SchemaRef;
use sabot_common::{KeyGroups, OperatorId, Span};
use sabot_expr::TypedExpr;
use sabot_ops::{Fragment, GroupBySpec, JoinSpec, OverSpec, RankSpec};
use sabot_time::Windows;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

use crate::{Connector, Emit};

/// A plan cut into stages, in topological order: inputs come before their consumers.
#[derive(Clone, Debug)]
pub struct PhysicalPlan {
    /// The stages.
    pub stages: Vec<Stage>,
    /// Seed of the key hash.
    pub hash_seed: u64,
    /// The pipeline's key groups.
    pub key_groups: KeyGroups,
    /// Tasks of every keyed stage.
    pub keyed_parallelism: u32,
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The operators of the plan that the stage carries out, upstream first. The last one names the
    /// stage in errors and metrics.
    pub operators: Vec<OperatorId>,
    /// Where its rows come from; empty for sources.
    pub inputs: Vec<StageInput>,
    /// What it does.
    pub kind: StageKind,
    /// Schema of the main output (of a sink: what it is given).
    pub output: SchemaRef,
}

/// One input of a stage.
#[derive(Clone, Debug)]
pub struct StageInput {
    /// Index of the stage that the rows come from.
    pub stage: usize,
    /// Which of its outputs.
    pub port: Port,
    /// How its tasks are wired to this stage's tasks.
    pub route: Route,
}

/// An output of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// The result.
    Main,
    /// Rows that came too late for their window, as they went into the window step.
    Late,
}

/// How the tasks of two stages are wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One task of its own for each task of the input: order is kept, nothing is mixed.
    Forward,
    /// Every task of the input to every task here; the target of each morsel says which.
    KeyGroups,
    /// Every task of the input to the one task here.
    Gather,
}

/// What a stage does.
#[derive(Clone, Debug)]
pub enum StageKind {
    /// Reads a source; one task a partition.
    Source(SourceStage),
    /// Runs a fragment.
    Fragment(FragmentStage),
    /// Calls the user's function on each batch.
    MapBatches(MapBatchesStage),
    /// Makes a table of its input, for [`StageKind::Lookup`] stages. One task; no rows leave it.
    Table(JoinStage),
    /// Joins rows with a table.
    Lookup(LookupStage),
    /// Keeps state by key.
    Keyed(KeyedStage),
    /// Hands rows to a sink.
    Sink(SinkStage),
}

/// A source with everything that was pushed down into it.
#[derive(Clone, Debug)]
pub struct SourceStage {
    /// What to read.
    pub connector: Connector,
    /// The connector's whole schema.
    pub schema: SchemaRef,
    /// Which of its columns are read, ascending.
    pub projection: Vec<usize>,
    /// A predicate over the whole schema that every row must pass further down; a hint for pruning.
    pub pruning: Option<TypedExpr>,
    /// Event time, where it is declared.
    pub event_time: Option<EventTimeSpec>,
    /// Hidden columns to append, in this order.
    pub hidden: Vec<&'static str>,
    /// This source's number within the plan; with the partition's index it makes the hidden partition
    /// ordinal (`ordinal << 20 | index`).
    pub ordinal: u32,
    /// Source stages that must have ended before this one is read: they feed the right side of a join
    /// whose left side this source feeds.
    pub after: Vec<usize>,
}

/// How event time is read from a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventTimeSpec {
    /// The timestamp or date column, in the source's whole schema.
    pub column: usize,
    /// How far a row may be behind the running maximum of its partition.
    pub out_of_orderness: Span,
    /// After how long without rows a partition counts as idle.
    pub idle_timeout: Option<Duration>,
}

/// A fragment and how its rows are to be understood.
#[derive(Clone, Debug)]
pub struct FragmentStage {
    /// The steps.
    pub fragment: Fragment,
    /// Schema of [`Port::Late`], when something reads it.
    pub late: Option<SchemaRef>,
}

/// A user function over batches.
#[derive(Clone, Debug)]
pub struct MapBatchesStage {
    /// The slot in which the function is bound.
    pub slot: String,
    /// The user's columns that go in.
    pub input: SchemaRef,
    /// The user's columns that must come out.
    pub returned: SchemaRef,
}

/// What a keyed stage keeps state for. The stage's inputs are the operator's inputs, in their order; with
/// [`Route::KeyGroups`] it has [`PhysicalPlan::keyed_parallelism`] tasks, each the owner of a range of key
/// groups, and with [`Route::Gather`] alone it has one.
#[derive(Clone, Debug)]
pub enum KeyedStage {
    /// Aggregation by key and window.
    Aggregate(AggregateStage),
    /// A join, whose build side is complete first.
    Join(JoinStage),
    /// Rows numbered in an order, and some of them kept.
    Rank(RankStage),
    /// Values over the rows around each row.
    Over(OverStage),
}

impl KeyedStage {
    /// Schema of [`Port::Late`], when something reads it and the stage itself tells late rows apart.
    pub fn late(&self) -> Option<&SchemaRef> {
        match self {
            KeyedStage::Aggregate(stage) => stage.late.as_ref(),
            KeyedStage::Over(stage) => stage.rolling.as_ref().and_then(|rolling| rolling.late.as_ref()),
            KeyedStage::Join(_) | KeyedStage::Rank(_) => None,
        }
    }
}

/// A join: rows of the probe side (input 0) and of the build side (input 1, complete first). Of a
/// [`StageKind::Table`] the build side is the only input.
#[derive(Clone, Debug)]
pub struct JoinStage {
    /// What is joined how.
    pub spec: JoinSpec,
    /// Schema of the probe side.
    pub probe: SchemaRef,
    /// Schema of the build side.
    pub build: SchemaRef,
    /// Whether the sources of the probe side wait until those of the build side have ended. Otherwise
    /// rows of the probe side come early, and the stage must keep them.
    pub gated: bool,
}

/// A look-up of rows in a table.
#[derive(Clone, Copy, Debug)]
pub struct LookupStage {
    /// The [`StageKind::Table`] stage.
    pub table: usize,
}

/// A keyed aggregation: prepared rows in, results out.
#[derive(Clone, Debug)]
pub struct AggregateStage {
    /// The windows, or none for one result at the end of bounded input.
    pub window: Option<KeyedWindow>,
    /// Rows to partial state: applied here when the input is raw rows, else already upstream.
    pub partial: GroupBySpec,
    /// Whether rows arrive raw (a row's lateness is decided here) or as partial state.
    pub input: KeyedInput,
    /// Schema of the partial state.
    pub partial_schema: SchemaRef,
    /// This operator's number within the plan, for the hidden partition ordinal (`ordinal << 20`).
    pub ordinal: u32,
    /// Schema of [`Port::Late`], when something reads it and the input is raw.
    pub late: Option<SchemaRef>,
    /// The columns of the raw input that make up a row of [`Port::Late`], in the order of its schema;
    /// empty when nothing reads it.
    pub late_columns: Vec<usize>,
    /// The result column that holds the start of the window, when something reads it: a timestamp in µs
    /// in `time_zone`. The output is made of the window columns, the keys, the aggregates and the hidden
    /// columns, in this order.
    pub window_start: Option<String>,
    /// The result column that holds the first instant after the window, in the same form.
    pub window_end: Option<String>,
    /// Zone of the event-time column, and so of the window columns.
    pub time_zone: Option<Arc<str>>,
}

/// A ranking: rows in, some of them out.
#[derive(Clone, Debug)]
pub struct RankStage {
    /// Schema of the rows that come in: those that go out, what is computed to group and sort by, hidden
    /// columns.
    pub rows: SchemaRef,
    /// The ranking over these columns.
    pub spec: RankSpec,
    /// Whether rows of one event time are those of one window: they are ranked apart from others, and leave
    /// when the watermark reaches it. Otherwise everything is ranked at the end of the input.
    pub windowed: bool,
    /// Whether rows leave in the order of the stream as the watermark passes them, rather than when the
    /// input ends: they have event time, and no other order is asked for.
    pub as_it_goes: bool,
    /// Of a limit the source stages that never end and feed nobody else: when all rows that are wanted have
    /// left, nothing is read of them any more.
    pub feeders: Vec<usize>,
    /// How many of the first columns go out.
    pub kept: usize,
    /// Whether the number of a row, from 1, stands behind them as int64.
    pub numbered: bool,
    /// What stands in the hidden columns of the result.
    pub result: RankResult,
    /// Seed of the key hash, by which rows are owned and state is snapshot.
    pub hash_seed: u64,
    /// This operator's number within the plan, for the hidden partition ordinal (`ordinal << 20`).
    pub ordinal: u32,
}

/// Values over the rows around a row: rows in, the same rows with more columns out.
#[derive(Clone, Debug)]
pub struct OverStage {
    /// Schema of the rows that come in: those that go out, what is computed to partition and sort by and
    /// to read, hidden columns.
    pub rows: SchemaRef,
    /// The values over these columns. They stand behind those that go out.
    pub spec: OverSpec,
    /// How many of the first columns go out.
    pub kept: usize,
    /// How rows have their values while others still come; `None` where they wait for the end of the input.
    pub rolling: Option<RollingStage>,
    /// Seed of the key hash, by which rows are owned and state is snapshot.
    pub hash_seed: u64,
}

/// Values over the rows before a row, which do not wait for the end of the input.
#[derive(Clone, Debug)]
pub struct RollingStage {
    /// When a row has them.
    pub emit: Emit,
    /// Schema of [`Port::Late`], when something reads it.
    pub late: Option<SchemaRef>,
    /// The columns of the rows that make up a row of [`Port::Late`], in the order of its schema; empty when
    /// nothing reads it.
    pub late_columns: Vec<usize>,
    /// Its number among what gives rows an order, where rows of one time leave in that of the spec's ties; without
    /// it they keep the order that they had.
    pub ordinal: Option<u32>,
}

/// What the hidden columns of ranked rows say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankResult {
    /// What they said before: rows are left out and nothing else.
    AsBefore,
    /// The new order: the operator is the partition, and rows are numbered as they leave. There is one task.
    Sorted,
    /// Results by group: the operator is the partition, and the key is that of the group with the row's
    /// number in it. The event time of a window stays.
    Ranked,
}

/// The windows of an aggregation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyedWindow {
    /// The windows.
    pub window: Windows,
    /// How long a window waits for late rows behind the watermark.
    pub allowed_lateness: Span,
}

impl KeyedWindow {
    /// Whether the order of a key's rows decides which window each is in.
    pub(crate) fn counts_rows(&self) -> bool {
        matches!(self.window, Windows::Count(_))
    }
}

/// What goes into a keyed stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyedInput {
    /// Partial state, made upstream.
    Partial,
    /// Rows after the window step; used where an upstream partition may go idle, because only the
    /// owner of the state knows which windows are closed when it returns.
    Raw,
}

/// A sink.
#[derive(Clone, Debug)]
pub struct SinkStage {
    /// Where to.
    pub connector: Connector,
    /// Whether rows are merged into one total order first. Where they carry no hidden event time the
    /// order is that of partitions and row numbers, and is known only when all rows are there.
    pub ordered: bool,
    /// The user's columns, as the sink sees them.
    pub visible: SchemaRef,
}
