//! Rows that will be ranked together, fewer of them than have come.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use sabot_batch::Morsel;
use sabot_cpu::rank::{RankKeys, RankOrder, Ranked};

use crate::OperatorError;
use crate::gather::gather;
use crate::row_cuts::InCut;

/// Rows that are held before it is worth looking which of them can go: ranking a few rows again and again
/// would cost more than they take.
pub(super) const ROWS_MIN: usize = 4096;

/// The rows of one window, or all of them.
#[derive(Debug, Default)]
pub(super) struct Pane {
    held: Vec<Held>,
    rows: usize,
    bytes: usize,
    /// Rows that were left when it was last looked which can go.
    left: usize,
    /// Of one group from which some rows are wanted, and so many are there: the place of the last of them.
    /// What stands behind it is not wanted.
    threshold: Option<Box<[u8]>>,
}

/// Rows with their places in the order.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) batch: RecordBatch,
    keys: RankKeys,
    cut: InCut,
}

impl Pane {
    /// Takes rows in; whether those that are held were put together anew.
    pub(super) fn push(&mut self, batch: RecordBatch, order: &RankOrder) -> Result<bool, OperatorError> {
        let keys = order.encode(&batch)?;
        match self.wanted(&keys) {
            None => self.hold(batch, keys),
            Some(rows) if rows.is_empty() => {}
            Some(rows) => {
                let some =
                    take_record_batch(&batch, &UInt32Array::from(rows)).map_err(OperatorError::input)?;
                let keys = order.encode(&some)?;
                self.hold(some, keys);
            }
        }
        let doubled = self.rows >= (self.left * 2).max(ROWS_MIN);
        let shrinks = doubled && order.spec().fetch.is_some();
        if shrinks { self.shrink(order).map(|()| true) } else { Ok(false) }
    }

    /// The rows that may be wanted; `None` when all may.
    fn wanted(&self, keys: &RankKeys) -> Option<Vec<u32>> {
        let threshold = self.threshold.as_deref()?;
        let before = |row: &u32| keys.order(*row as usize) < threshold;
        let rows: Vec<u32> = (0u32..).take(keys.len()).filter(before).collect();
        (rows.len() < keys.len()).then_some(rows)
    }

    fn hold(&mut self, batch: RecordBatch, keys: RankKeys) {
        self.rows += batch.num_rows();
        self.bytes += Morsel::new(batch.clone()).bytes() + keys.bytes();
        self.held.push(Held { batch, keys, cut: InCut::default() });
    }

    /// Lets rows go that can no longer be among the wanted.
    fn shrink(&mut self, order: &RankOrder) -> Result<(), OperatorError> {
        let ranked = self.ranked(order, true);
        let held = std::mem::take(&mut self.held);
        (self.rows, self.bytes) = (0, 0);
        if !ranked.is_empty() {
            let batches: Vec<&RecordBatch> = held.iter().map(|h| &h.batch).collect();
            let places: Vec<(usize, usize)> =
                ranked.iter().map(|r| (r.batch as usize, r.row as usize)).collect();
            let batch = gather(&batches, &places).map_err(OperatorError::input)?;
            let keys = order.encode(&batch)?;
            let full = order.spec().needed() == Some(ranked.len() as u64);
            if order.is_one_group() && full {
                self.threshold = Some(keys.order(keys.len() - 1).into());
            }
            self.hold(batch, keys);
        }
        self.left = self.rows;
        Ok(())
    }

    /// The rows in order: those that are kept, or with `needed` those that may still be.
    pub(super) fn ranked(&self, order: &RankOrder, needed: bool) -> Vec<Ranked> {
        let keys: Vec<&RankKeys> = self.held.iter().map(|held| &held.keys).collect();
        order.rank(&keys, needed)
    }

    /// The rows, with the cuts that have them.
    pub(super) fn in_cuts(&mut self) -> impl Iterator<Item = (&mut InCut, &RecordBatch)> {
        self.held.iter_mut().map(|held| (&mut held.cut, &held.batch))
    }

    pub(super) fn batches(&self) -> Vec<&RecordBatch> {
        self.held.iter().map(|held| &held.batch).collect()
    }

    /// The rows alone, once their order is known.
    pub(super) fn into_batches(self) -> Vec<RecordBatch> {
        self.held.into_iter().map(|held| held.batch).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.threshold.as_ref().map_or(0, |t| t.len())
    }
}
