//! Over: columns computed from sorted rows, partition by partition, column at a time.
//!
//! Ranks come from where partitions and groups of peers begin, values of other rows from one gather, and
//! aggregates from a tree of partial state over all rows: each level merges pairs of the level below, and a
//! frame is made of at most two nodes a level. So every aggregate that can be merged can be had over every
//! frame, in n · log n merges of whole columns, and nothing is ever taken away from a sum. (The same tree
//! is in Leis et al., "Efficient Processing of Window Functions in Analytical SQL Queries", 2015.)

mod frames;
mod rolling;
#[cfg(test)]
mod tests;
mod tree;

pub use rolling::{Batch, Piece, Rolling, Turn};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array, new_empty_array};
use arrow::compute::partition;
use arrow::datatypes::SchemaRef;
use sabot_batch::{gather, hidden};
use sabot_ops::{Failure, OverCall, OverFunction, OverSpec};
use std::ops::Range;
use std::sync::Arc;

use crate::group_by::AccumulateError;
use crate::rank::one_zero_one_nan;
use frames::{Frames, SortValues};

/// Computes what a spec adds to rows of one schema.
#[derive(Debug)]
pub struct OverStep {
    spec: OverSpec,
}

/// Sorted rows, and what is known of their neighbours.
struct Sorted<'a> {
    rows: &'a RecordBatch,
    /// The partition of each row.
    partitions: &'a [Range<usize>],
    /// Where the peers of each row begin and end.
    peers: Vec<Range<usize>>,
}

impl OverStep {
    /// A step for rows of this schema.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the spec does not fit the schema.
    pub fn new(spec: &OverSpec, input: &SchemaRef) -> Result<Self, Failure> {
        spec.result_fields(input).map_err(internal)?;
        Ok(Self { spec: spec.clone() })
    }

    /// The columns for rows that stand in their order, with each partition in one run; `partitions` are
    /// these runs, and cover all rows.
    ///
    /// # Errors
    /// [`AccumulateError`] for a sum beyond the range of its type, with the row's position, or for rows
    /// that do not fit.
    pub fn run(
        &self,
        rows: &RecordBatch,
        partitions: &[Range<usize>],
    ) -> Result<Vec<ArrayRef>, AccumulateError> {
        if rows.num_rows() == 0 {
            let fields = self.spec.result_fields(rows.schema_ref()).map_err(bad)?;
            return Ok(fields.iter().map(|field| new_empty_array(field.data_type())).collect());
        }
        let sorted = Sorted { rows, partitions, peers: self.peers(rows, partitions)? };
        self.spec.calls.iter().map(|call| self.call(call, &sorted)).collect()
    }

    fn call(&self, call: &OverCall, sorted: &Sorted<'_>) -> Result<ArrayRef, AccumulateError> {
        Ok(match &call.function {
            OverFunction::RowNumber => numbers(sorted, |row, partition| row - partition.start),
            OverFunction::Rank => numbers(sorted, |row, partition| sorted.peers[row].start - partition.start),
            OverFunction::DenseRank => dense_ranks(sorted),
            OverFunction::Lag(column, n) => {
                let n = usize::try_from(*n).unwrap_or(usize::MAX);
                values(sorted, *column, |row, partition| {
                    row.checked_sub(n).filter(|at| *at >= partition.start)
                })?
            }
            OverFunction::Lead(column, n) => {
                let n = usize::try_from(*n).unwrap_or(usize::MAX);
                values(sorted, *column, |row, partition| row.checked_add(n).filter(|at| *at < partition.end))?
            }
            OverFunction::FirstValue(column) => {
                let frames = self.frames(call, sorted)?;
                values(sorted, *column, |row, _| (!frames[row].is_empty()).then(|| frames[row].start))?
            }
            OverFunction::LastValue(column) => {
                let frames = self.frames(call, sorted)?;
                values(sorted, *column, |row, _| (!frames[row].is_empty()).then(|| frames[row].end - 1))?
            }
            OverFunction::Aggregate(spec) => tree::aggregate(spec, sorted.rows, &self.frames(call, sorted)?)?,
        })
    }

    /// The rows of each row's frame.
    fn frames(&self, call: &OverCall, sorted: &Sorted<'_>) -> Result<Vec<Range<usize>>, AccumulateError> {
        let by = match (self.spec.order.as_slice(), call.frame.measures()) {
            ([key], true) => {
                let column = sorted.rows.columns().get(key.column).ok_or_else(|| bad("no sort key"))?;
                let field = sorted.rows.schema_ref().field(key.column);
                Some(SortValues::new(column, field.name() == hidden::TIME, key.descending)?)
            }
            _ => None,
        };
        let frames = Frames { frame: call.frame, by: by.as_ref() };
        let mut all = Vec::with_capacity(sorted.rows.num_rows());
        for partition in sorted.partitions {
            frames.of(partition.clone(), &sorted.peers, &mut all)?;
        }
        Ok(all)
    }

    fn peers(
        &self,
        rows: &RecordBatch,
        partitions: &[Range<usize>],
    ) -> Result<Vec<Range<usize>>, AccumulateError> {
        let mut columns = Vec::with_capacity(self.spec.order.len());
        for key in &self.spec.order {
            let column = rows.columns().get(key.column).ok_or_else(|| bad("a sort key is missing"))?;
            columns.push(one_zero_one_nan(column).map_err(bad)?);
        }
        let mut peers = Vec::with_capacity(rows.num_rows());
        for range in partitions {
            if columns.is_empty() {
                peers.extend(std::iter::repeat_n(range.clone(), range.len()));
                continue;
            }
            let part: Vec<ArrayRef> = columns.iter().map(|c| c.slice(range.start, range.len())).collect();
            for equal in partition(&part).map_err(bad)?.ranges() {
                let equal = range.start + equal.start..range.start + equal.end;
                peers.extend(std::iter::repeat_n(equal.clone(), equal.len()));
            }
        }
        if peers.len() == rows.num_rows() { Ok(peers) } else { Err(bad("rows of no partition")) }
    }
}

/// One number a row, counted from 0 here and from 1 for the user.
fn numbers(sorted: &Sorted<'_>, number: impl Fn(usize, &Range<usize>) -> usize) -> ArrayRef {
    let of = |partition: &Range<usize>| {
        let partition = partition.clone();
        let number = &number;
        partition.clone().map(move |row| number(row, &partition) as i64 + 1).collect::<Vec<_>>()
    };
    Arc::new(Int64Array::from_iter_values(sorted.partitions.iter().flat_map(of)))
}

fn dense_ranks(sorted: &Sorted<'_>) -> ArrayRef {
    let mut ranks = Vec::with_capacity(sorted.peers.len());
    for partition in sorted.partitions {
        let mut rank = 0;
        for row in partition.clone() {
            rank += i64::from(sorted.peers[row].start == row);
            ranks.push(rank);
        }
    }
    Arc::new(Int64Array::from(ranks))
}

/// The value of a column in another row for each row, or null.
fn values(
    sorted: &Sorted<'_>,
    column: usize,
    place: impl Fn(usize, &Range<usize>) -> Option<usize>,
) -> Result<ArrayRef, AccumulateError> {
    let mut places = Vec::with_capacity(sorted.peers.len());
    for partition in sorted.partitions {
        places.extend(partition.clone().map(|row| place(row, partition).map(|p| p as u64)));
    }
    let column = sorted.rows.columns().get(column).ok_or_else(|| bad("an argument is missing"))?;
    gather(column, &UInt64Array::from(places)).map_err(bad)
}

fn internal(problem: impl ToString) -> Failure {
    Failure::Internal(problem.to_string())
}

fn bad(problem: impl ToString) -> AccumulateError {
    AccumulateError::Input { message: problem.to_string() }
}
