//! Sort, top-k, limit, top-N, unique and distinct: rows held until all of their group have come, then those
//! with certain numbers.
//!
//! The invariants:
//! - Rows leave when no other can come before them: those of a window when the watermark reaches its last
//!   instant, all others when a drained input ends. Until then the watermark of what has no windows is
//!   held back, because rows in front of it are still here.
//! - Of groups from which a few rows are wanted, not many more are held: what can no longer be among the
//!   wanted is let go whenever the rows have doubled.
//! - The order is total: what keys leave open is decided by the place in the stream. So nothing depends on
//!   how rows arrive, were cut, or were snapshot and restored in between.

mod first;
mod output;
mod pane;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use sabot_batch::{Morsel, hidden};
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::rank::RankOrder;
use sabot_plan::RankStage;
use sabot_state::FIRST;
use std::collections::BTreeMap;

use crate::keyed_aggregate::check_inserts;
use crate::progress::Progress;
use crate::row_cuts::RowCuts;
use crate::row_state::{RowState, agree, runs};
use crate::{CutPart, KeptRows, KeyedOperator, OperatorError};
pub use first::KeyedFirst;
use output::Output;
use pane::Pane;

/// The time of rows that wait for the end of the input.
const AT_THE_END: i64 = i64::MAX;

/// One task's share of a ranking.
#[derive(Debug)]
pub struct KeyedRank {
    order: RankOrder,
    state: RowState,
    windowed: bool,
    progress: Progress,
    panes: BTreeMap<i64, Pane>,
    cuts: RowCuts,
    output: Output,
    late_rows: u64,
}

impl KeyedRank {
    /// An operator without state, for one task of the stage: the owner of `owned`. `output` is the stage's
    /// output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other.
    pub fn new(
        stage: &RankStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let order = RankOrder::new(&stage.spec, &stage.rows).map_err(OperatorError::plan)?;
        if stage.windowed && stage.rows.index_of(hidden::TIME).is_err() {
            return Err(OperatorError::plan("rows of windows without event time"));
        }
        let keys = stage.spec.groups.clone();
        Ok(Self {
            order,
            state: RowState::new("waiting", stage.rows.clone(), keys, stage.hash_seed, (key_groups, owned)),
            windowed: stage.windowed,
            progress: Progress::new(),
            panes: BTreeMap::new(),
            cuts: RowCuts::default(),
            output: Output::new(stage, output)?,
            late_rows: 0,
        })
    }

    fn take(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        if !self.windowed {
            return self.hold(AT_THE_END, batch);
        }
        let times = hidden::times(&batch).ok_or_else(|| OperatorError::input("rows without event time"))?;
        for (time, rows) in runs(times.values()) {
            if EventTime(time) <= self.progress.watermark() {
                // Where an input was idle and returns, the window may have left without it.
                self.late_rows += rows.len() as u64;
            } else {
                let rows = batch.slice(rows.start, rows.len());
                self.hold(time, rows)?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, time: i64, rows: RecordBatch) -> Result<(), OperatorError> {
        if self.panes.entry(time).or_default().push(rows, &self.order)? {
            self.cuts.begin_anew();
        }
        Ok(())
    }

    fn check_taken(&self) -> Result<(), OperatorError> {
        OperatorError::check_taken(self.output.is_empty())
    }

    fn fire(&mut self, up_to: i64) {
        while let Some(entry) = self.panes.first_entry().filter(|pane| *pane.key() <= up_to) {
            let pane = entry.remove();
            let (rows, bytes) = (pane.ranked(&self.order, false), pane.bytes());
            self.output.push(pane.into_batches(), bytes, rows);
        }
    }
}

impl KeyedOperator for KeyedRank {
    fn on_morsel(&mut self, _input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        self.progress.check_open("a morsel")?;
        check_inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        self.state.check(&batch)?;
        if batch.num_rows() == 0 { Ok(()) } else { self.take(batch) }
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        let watermark = self.progress.reach(watermark)?;
        if self.windowed {
            self.fire(watermark.micros());
        }
        // Without windows rows are here until the end, and none of them has left before.
        let passes = self.windowed || watermark == EventTime::MAX;
        Ok(if passes { watermark } else { EventTime::MIN })
    }

    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        self.progress.end()?;
        if drain {
            self.fire(AT_THE_END);
        }
        Ok(())
    }

    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        self.output.next(max_rows).transpose()
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }

    fn state_bytes(&self) -> usize {
        self.panes.values().map(Pane::bytes).sum::<usize>() + self.output.bytes()
    }

    fn kept(&self) -> Vec<KeptRows> {
        vec![self.state.kept()]
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let mut batches = Vec::with_capacity(self.panes.len());
        for (time, pane) in &self.panes {
            batches.push(self.state.write(*time, &pane.batches(), range, self.progress.watermark())?);
        }
        if batches.is_empty() {
            // The watermark is part of the state.
            batches.push(self.state.write(AT_THE_END, &[], range, self.progress.watermark())?);
        }
        Ok(batches)
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        let mut head = self.state.head(self.progress.watermark());
        if self.windowed {
            let first = self.progress.watermark().micros().saturating_add(1);
            head.schema_metadata_mut().insert(FIRST.to_owned(), first.to_string());
        }
        let held = self
            .panes
            .iter_mut()
            .flat_map(|(time, pane)| pane.in_cuts().map(move |(cut, batch)| (cut, 0, *time, batch)));
        self.cuts.begin(epoch, stored, vec![head], held);
        Ok(())
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        self.cuts.next(rows, |_, time, rows| self.state.write_cut(time, rows))
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let fresh = self.progress.is_fresh() && self.panes.is_empty();
        let mut known = (!fresh).then_some(self.progress.watermark());
        for snapshot in snapshots {
            let (watermark, rows) = self.state.read(snapshot)?;
            agree(&mut known, watermark)?;
            // What had left before the newest of several cuts was made.
            let has_left = |time: i64| self.windowed && EventTime(time) <= watermark;
            for (time, rows) in rows.into_iter().filter(|(time, _)| !has_left(*time)).collect::<Vec<_>>() {
                self.hold(time, rows)?;
            }
        }
        known.into_iter().for_each(|watermark| self.progress.resume(watermark));
        Ok(())
    }
}
