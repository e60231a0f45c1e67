//! The operators suite: one row a query, and everything an engine needs to run it.
//!
//! A [`Query`] says the same thing four times: as a Sabot pipeline, as SQL, as a Polars expression, and
//! naively, row by row. The naive one decides: no engine is timed before its result had the [`Digest`] of
//! that. A further operator is a further function in [`mod@queries`] and nothing else.

pub mod digest;
pub mod queries;
pub mod tables;

use arrow::array::RecordBatch;
use sabot::{Engine, Job, Stream, to_channel};
use std::collections::BTreeMap;

pub use digest::{Digest, Facts};
pub use queries::queries;

/// The tables that a query reads, by name, as batches in memory.
pub type Tables = BTreeMap<String, Vec<RecordBatch>>;

/// The same tables as Sabot's streams.
pub type Streams = BTreeMap<String, Stream>;

/// A query as a pipeline over the tables' streams.
pub type Pipeline = Box<dyn Fn(&Streams) -> sabot::Result<Stream>>;

/// A query row by row: tells the facts of its result.
pub type Naive = Box<dyn Fn(&Tables, &mut Facts)>;

/// A query, and how each engine says it.
pub struct Query {
    /// The operator and the variant: `group-by/int-1k`.
    pub name: String,
    /// The columns that it has to read, as `table.column`: what its share of memory bandwidth counts.
    pub reads: Vec<&'static str>,
    /// Whether the order of the result's rows is part of the result.
    pub ordered: bool,
    /// As a Sabot pipeline.
    pub sabot: Pipeline,
    /// As SQL, for DuckDB and DataFusion alike.
    pub sql: String,
    /// As an expression of Python over the tables' lazy frames and `pl`.
    pub polars: String,
    /// Row by row.
    pub naive: Naive,
}

impl Query {
    /// The names of the tables that it reads, each once.
    pub fn tables(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.reads.iter().filter_map(|read| read.split('.').next()).collect();
        names.dedup();
        names
    }

    /// The digest that every engine's result must have.
    pub fn expected(&self, tables: &Tables) -> Digest {
        let mut facts = Facts::new(self.ordered);
        (self.naive)(tables, &mut facts);
        facts.finish()
    }

    /// The bytes of the columns that it has to read.
    pub fn bytes(&self, tables: &Tables) -> u64 {
        let columns = self.reads.iter().filter_map(|read| read.split_once('.'));
        let of_column = |(table, column): (&str, &str)| -> u64 {
            let batches = tables.get(table).map_or(&[][..], Vec::as_slice);
            let one =
                |batch: &RecordBatch| batch.schema().index_of(column).and_then(|i| batch.project(&[i])).ok();
            crate::data::bytes(&batches.iter().filter_map(one).collect::<Vec<_>>())
        };
        columns.map(of_column).sum()
    }
}

/// The tables as streams of `partitions` partitions each. Sharing them copies nothing.
///
/// # Errors
/// When batches of a table differ in schema.
pub fn streams(tables: &Tables, partitions: usize) -> sabot::Result<Streams> {
    let stream = |batches: &[RecordBatch]| {
        let schema = batches.first().map_or_else(|| arrow::datatypes::Schema::empty().into(), |b| b.schema());
        let each = batches.len().div_ceil(partitions.max(1)).max(1);
        Stream::from_partitions(schema, batches.chunks(each).map(<[_]>::to_vec).collect())
    };
    tables.iter().map(|(name, batches)| Ok((name.clone(), stream(batches)?))).collect()
}

/// Runs a query: from the building of the pipeline to the last batch of the result.
///
/// # Errors
/// Whatever keeps the pipeline from being built or run.
pub fn run(query: &Query, streams: &Streams, engine: &Engine) -> sabot::Result<Vec<RecordBatch>> {
    let stream = (query.sabot)(streams)?;
    if query.ordered {
        return stream.collect_on(engine);
    }
    let (sink, mut results) = to_channel(64);
    let job = engine.start(Job::new(&*query.name).write(&stream, sink)?)?;
    let mut batches = Vec::new();
    while let Ok(Some(batch)) = results.recv_blocking() {
        batches.push(batch);
    }
    job.wait()?; // an early end of the rows is the job's error
    Ok(batches)
}
