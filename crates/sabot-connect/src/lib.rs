//! Source and sink life cycles, positions, in-memory connectors and the seeded generator.
//!
//! A [`Source`] has partitions; a [`PartitionReader`] delivers one of them in order, from any
//! [`Position`], and never blocks the worker that polls it. A [`Sink`] has one [`SinkWriter`] per task;
//! rows become visible when their epoch is committed. The traits know nothing of files or brokers: those
//! live in crates of their own and meet the runtime through this one.
#![forbid(unsafe_code)]

mod channel;
mod collect;
mod cut;
mod dead_letters;
mod error;
pub mod generator;
mod memory;
pub mod prune;
mod pull;
mod reader;
pub mod registry;
mod shape;
mod sink;
mod source;
mod spawner;
mod store;
#[cfg(test)]
mod testing;

pub use channel::{
    ChannelPartitions, ChannelReceiver, ChannelSender, ChannelSink, ChannelSource, Receiving, Sending,
    growing_channel, input_channel, input_channels, output_channel,
};
pub use collect::{CollectSink, Collected};
pub use cut::Cutter;
pub use dead_letters::{DeadLetter, DeadLetters};
pub use error::ConnectError;
pub use generator::{GeneratorColumn, GeneratorSource, GeneratorSpec};
pub use memory::MemorySource;
pub use prune::PruneFilter;
pub use reader::ReaderSource;
pub use registry::{ConnectorRegistry, SinkFactory, SourceFactory};
pub use shape::{PauseGate, Shaper, batch_bytes};
pub use sink::{Committable, Sink, SinkOrder, SinkWriter, check_schema, dense_rows, refuse_changes};
pub use source::{
    Boundedness, PartitionId, PartitionReader, Position, ReadCounters, ReadRequest, Source, SourceItem,
    unknown_partition,
};
pub use spawner::{InlineSpawner, Job, Spawner, ThreadSpawner};
pub use store::{Blob, ByteStream, Entry, Found, Store, Stores};
