//! Source and sink life cycles, positions, in-memory connectors and the seeded generator.
//!
//! A [`Source`] has partitions; a [`PartitionReader`] delivers one of them in order, from any
//! [`Position`], and never blocks the worker that polls it. A [`Sink`] has one [`SinkWriter`] per task;
//! rows become visible when their epoch is committed. The traits know nothing of files or brokers: those
//! live in crates of their own and meet the runtime through this one.
#![forbid(unsafe_code)]

mod error;
pub mod prune;
mod sink;
mod source;
mod spawner;

pub use error::ConnectError;
pub use prune::PruneFilter;
pub use sink::{Committable, Sink, SinkOrder, SinkWriter, refuse_changes};
pub use source::{
    Boundedness, PartitionId, PartitionReader, Position, ReadCounters, ReadRequest, Source, SourceItem,
    unknown_partition,
};
pub use spawner::{InlineSpawner, Job, Spawner, ThreadSpawner};
