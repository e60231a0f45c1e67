//! Cuts of rows that are kept as they came: what has come since the one before.
//!
//! Such rows never change, they only come and go, so a cut takes no marks and no copies: it holds on to the batches that it
//! has still to give. What has gone is not said; a restore knows it by the watermark.
//!
//! Each row is in one of the cuts that are needed. That these stay few, a cut gives rows of others again: cuts are of the
//! size of powers of [`FANOUT`], and where as many of one size or less follow each other, the next one takes all of them.
//! So a row is given once more for each power that the rows after it come to, four times among a million cuts of one size,
//! and there are fewer than [`FANOUT`] cuts of each size.

use arrow::array::RecordBatch;
use sabot_common::Epoch;
use sabot_state::Needed;
use std::collections::{BTreeMap, VecDeque};

use crate::{CutPart, OperatorError};

const FANOUT: usize = 8;

/// Which cut has the rows of a batch, where one has; it goes where the rows go.
#[derive(Clone, Copy, Debug, Default)]
pub struct InCut(Option<Epoch>);

/// Rows of a cut that are still to be given: which kind they are of, the time that they wait for, and they themselves.
pub(crate) type Due = (usize, i64, RecordBatch);

/// The cuts of an operator's rows.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_common::Epoch;
/// # use sabot_stream::{CutPart, InCut, RowCuts};
/// # use std::sync::Arc;
/// # let rows = |numbers: Vec<i64>| {
/// #     RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(numbers)) as ArrayRef)])
/// # };
/// let mut held = vec![(InCut::default(), rows(vec![1, 2])?)];
/// let mut cuts = RowCuts::default();
/// for (epoch, new) in [(1, 2), (2, 1)] {
///     let batches = held.iter_mut().map(|(cut, batch)| (cut, 0, 0, &*batch));
///     cuts.begin(Epoch(epoch), (epoch > 1).then(|| Epoch(epoch - 1)), vec![rows(vec![])?], batches);
///     let mut given = 0;
///     while let CutPart::Rows(rows) = cuts.next(100, |_, _, rows| Ok(rows.clone()))? {
///         given += rows[0].num_rows();
///     }
///     assert_eq!(given, new);
///     held.push((InCut::default(), rows(vec![3])?)); // comes behind the cut
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct RowCuts {
    last: Option<Epoch>,
    /// Those that are needed and how many rows each has that are still here, oldest first.
    cuts: Vec<(Epoch, usize)>,
    due: VecDeque<Due>,
    /// Of the last one, until it has ended.
    head: Vec<RecordBatch>,
}

impl RowCuts {
    /// Begins a cut, as [`KeyedOperator::begin_cut`](crate::KeyedOperator::begin_cut) has it, of all batches that are held:
    /// each with the cut that has it, two numbers that come back with its rows, such as which kind they are of and what they
    /// wait for, and itself. `head` is that of the cut's end.
    pub fn begin<'a>(
        &mut self,
        epoch: Epoch,
        stored: Option<Epoch>,
        head: Vec<RecordBatch>,
        held: impl Iterator<Item = (&'a mut InCut, usize, i64, &'a RecordBatch)>,
    ) {
        let is_next = self.last.is_some() && self.last == stored;
        let mut held: Vec<_> = held.filter(|(_, _, _, batch)| batch.num_rows() > 0).collect();
        let (mut rows, mut kept) = (0, BTreeMap::new());
        for (cut, _, _, batch) in &mut held {
            match cut.0.filter(|_| is_next) {
                Some(of) => *kept.entry(of).or_default() += batch.num_rows(),
                None => {
                    cut.0 = None;
                    rows += batch.num_rows();
                }
            }
        }
        self.cuts = kept.into_iter().collect();
        let first = self.take_small(&mut rows).unwrap_or(epoch);
        self.due.clear();
        for (cut, kind, time, batch) in held {
            if cut.0.is_none_or(|of| of >= first) {
                cut.0 = Some(epoch);
                self.due.push_back((kind, time, batch.clone()));
            }
        }
        if rows > 0 {
            self.cuts.push((epoch, rows));
        }
        (self.last, self.head) = (Some(epoch), head);
    }

    /// Adds the rows of the newest cuts to `rows` new ones, as long as there are too many that are no larger; the oldest of
    /// them.
    fn take_small(&mut self, rows: &mut usize) -> Option<Epoch> {
        let mut first = None;
        while *rows > 0 {
            let size = *rows;
            let small = self.cuts.iter().rev().take_while(|(_, of)| power(*of) <= power(size)).count();
            if small < FANOUT {
                break;
            }
            for (epoch, more) in self.cuts.drain(self.cuts.len() - small..).rev() {
                (first, *rows) = (Some(epoch), *rows + more);
            }
        }
        first
    }

    /// The next rows of a cut that has begun, at most so many; `write` makes those of a snapshot.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn next_rows(
        &mut self,
        rows: usize,
        write: impl FnOnce(usize, i64, &RecordBatch) -> Result<RecordBatch, OperatorError>,
    ) -> Result<Option<RecordBatch>, OperatorError> {
        let Some((kind, time, batch)) = self.due.pop_front() else { return Ok(None) };
        let rows = rows.clamp(1, batch.num_rows());
        if rows < batch.num_rows() {
            self.due.push_front((kind, time, batch.slice(rows, batch.num_rows() - rows)));
        }
        write(kind, time, &batch.slice(0, rows)).map(Some)
    }

    /// The cuts that are needed beside the last one.
    pub fn needed(&self) -> Needed {
        Needed::These(self.cuts.iter().map(|(epoch, _)| *epoch).collect())
    }

    /// The next part of a cut that has begun, where its rows are all that the operator has.
    ///
    /// # Errors
    /// [`OperatorError::Order`] when none has begun, and those of `write`.
    pub fn next(
        &mut self,
        rows: usize,
        write: impl FnOnce(usize, i64, &RecordBatch) -> Result<RecordBatch, OperatorError>,
    ) -> Result<CutPart, OperatorError> {
        if let Some(rows) = self.next_rows(rows, write)? {
            return Ok(CutPart::Rows(vec![rows]));
        }
        if self.head.is_empty() {
            return Err(OperatorError::no_cut());
        }
        Ok(CutPart::End { head: std::mem::take(&mut self.head), needed: self.needed() })
    }

    /// Rows were put together anew: the next cut gives all of them.
    pub fn begin_anew(&mut self) {
        self.last = None;
    }
}

/// The power of [`FANOUT`] of a number.
fn power(rows: usize) -> u32 {
    rows.max(1).ilog(FANOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    /// Rows of one cut after the other, the oldest of which go after `stay` cuts: the cuts that are needed at most, and how
    /// often a row is given.
    fn costs(cuts: u64, stay: u64) -> (usize, f64) {
        let (mut all, mut given, mut most) = (RowCuts::default(), 0, 0);
        let mut held: Vec<(InCut, RecordBatch)> = Vec::new();
        for epoch in 1..=cuts {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![0; 10]));
            held.extend(RecordBatch::try_from_iter([("n", column)]).map(|batch| (InCut::default(), batch)));
            if held.len() as u64 > stay {
                held.remove(0);
            }
            let stored = (epoch > 1).then(|| Epoch(epoch - 1));
            let batches = held.iter_mut().map(|(cut, batch)| (cut, 0, 0, &*batch));
            all.begin(Epoch(epoch), stored, Vec::new(), batches);
            given += all.due.iter().map(|(_, _, batch)| batch.num_rows()).sum::<usize>();
            most = most.max(all.cuts.len());
            assert_eq!(all.cuts.iter().map(|(_, rows)| rows).sum::<usize>(), 10 * held.len());
        }
        (most, given as f64 / (10 * cuts) as f64)
    }

    #[test]
    fn cuts_are_few_and_rows_are_seldom_given_again() {
        let (most, given) = costs(5000, u64::MAX);
        assert!(most <= 4 * FANOUT && given < 5.0, "{most}, {given}");
        let (most, given) = costs(5000, 20);
        assert!(most <= 20 && given < 3.0, "{most}, {given}");
    }
}
