//! Cuts of windows by count: the windows of keys that have changed, and rows that wait as they come.
//!
//! What a cut has of a key is its open window, or that it has none any more: the restore of an older cut would open one
//! again that has fired.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use sabot_common::{Epoch, EventTime, KeyGroupRange};
use sabot_state::{KEY_COLUMNS, Needed, PART};
use std::collections::HashMap;
use std::sync::Arc;

use super::counts::{Counts, Window, waiting_schema};
use super::snapshot::WATERMARK;
use super::store::{WAITING, WINDOWS};
use crate::key_cuts::KeyCuts;
use crate::row_cuts::RowCuts;
use crate::{CutPart, OperatorError};

/// Keys of a batch of what is set aside.
const ASIDE_KEYS: usize = 1 << 14;

/// The column of the key group in a snapshot, in front of the key's.
const GROUP_AT: usize = 3;

/// The cuts of a task.
#[derive(Debug, Default)]
pub(super) struct CountCuts {
    waiting: RowCuts,
    keys: KeyCuts,
    /// The last one gives everything, so that nothing need be said of what is not there.
    is_whole: bool,
    /// The slot of a window that is never opened.
    empty: Option<u32>,
    /// What had to be given and has changed since.
    aside: Vec<RecordBatch>,
    /// Of the last one, until it has ended.
    head: Vec<RecordBatch>,
    /// Scratch.
    due: Vec<u32>,
}

impl Counts {
    pub(super) fn begin_cut(
        &mut self,
        epoch: Epoch,
        stored: Option<Epoch>,
        watermark: EventTime,
    ) -> Result<(), OperatorError> {
        let watermark = (WATERMARK.to_owned(), watermark.micros().to_string());
        let mut head = vec![(self.snapshot_schema().clone(), self.windows_metadata())];
        // What rows have that wait is known when there are some.
        let waiting = self.waiting.batches().first().map(|rows| waiting_schema(rows.schema_ref()));
        head.extend(waiting.map(|schema| (schema, waiting_metadata())));
        let stamped = |(schema, mut metadata): (SchemaRef, HashMap<_, _>)| {
            metadata.extend([watermark.clone()]);
            RecordBatch::new_empty(Arc::new(schema.as_ref().clone().with_metadata(metadata)))
        };
        let cuts = &mut self.cuts;
        cuts.head = head.into_iter().map(stamped).collect();

        let held = self.waiting.in_cuts().map(|(cut, batch)| (cut, 0, 0, batch));
        cuts.waiting.begin(epoch, stored, Vec::new(), held);
        cuts.is_whole = cuts.keys.begin(epoch, stored, self.keys.len());
        cuts.aside.clear();
        if cuts.empty.is_none() {
            cuts.empty = Some(u32::try_from(self.state.groups()).map_err(OperatorError::input)?);
            self.state.resize(self.state.groups() + 1);
        }
        Ok(())
    }

    pub(super) fn next_of_cut(&mut self, max: usize, owned: KeyGroupRange) -> Result<CutPart, OperatorError> {
        let mut waiting = std::mem::take(&mut self.cuts.waiting);
        let given = waiting.next_rows(max, |_, _, rows| self.waiting_rows(rows, owned));
        self.cuts.waiting = waiting;
        if let Some(rows) = given? {
            return with(&rows, waiting_metadata()).map(|rows| CutPart::Rows(vec![rows]));
        }
        if let Some(rows) = self.cuts.aside.pop() {
            return Ok(CutPart::Rows(vec![rows]));
        }
        if let Some(rows) = self.take_due(max)? {
            return Ok(CutPart::Rows(vec![rows]));
        }
        let head = std::mem::take(&mut self.cuts.head);
        if head.is_empty() {
            return Err(OperatorError::no_cut());
        }
        let windows = Needed::Since(self.cuts.keys.since());
        let needed = vec![(WAITING, self.cuts.waiting.needed()), (WINDOWS, windows)];
        Ok(CutPart::End { head, needed: Needed::Kinds(needed) })
    }

    /// What is to be given of the next keys.
    fn take_due(&mut self, max: usize) -> Result<Option<RecordBatch>, OperatorError> {
        loop {
            let cuts = &mut self.cuts;
            cuts.keys.take(max, &mut cuts.due);
            if cuts.due.is_empty() {
                return Ok(None);
            }
            let rows = self.due_rows()?;
            if rows.is_some() {
                return Ok(rows);
            }
        }
    }

    /// The keys `ids` are about to change: sets aside what a cut has still to give of them.
    pub(super) fn cut_before_change(&mut self) -> Result<(), OperatorError> {
        let cuts = &mut self.cuts;
        cuts.keys.touch(&self.ids, self.keys.len(), &mut cuts.due);
        let rows = self.due_rows()?;
        self.cuts.aside.extend(rows);
        Ok(())
    }

    /// Keys are about to get other ids: sets aside all that a cut has still to give, and the next one begins anew.
    pub(super) fn cut_before_moving(&mut self) -> Result<(), OperatorError> {
        while let Some(rows) = self.take_due(ASIDE_KEYS)? {
            self.cuts.aside.push(rows);
        }
        self.cuts.keys.begin_anew();
        self.cuts.empty = None;
        Ok(())
    }

    /// The rows of the keys that are due.
    fn due_rows(&self) -> Result<Option<RecordBatch>, OperatorError> {
        let empty = self.cuts.empty.filter(|_| !self.cuts.is_whole).map(Window::none);
        let window = |key: &u32| Some((*key, self.open[*key as usize].or(empty)?));
        let windows: Vec<(u32, Window)> = self.cuts.due.iter().filter_map(window).collect();
        match windows.is_empty() {
            true => Ok(None),
            false => with(&self.rows(windows)?, self.windows_metadata()).map(Some),
        }
    }

    fn windows_metadata(&self) -> HashMap<String, String> {
        let keys = format!("{GROUP_AT}..{}", GROUP_AT + 1 + self.keys.types().len());
        HashMap::from([(PART.to_owned(), WINDOWS.to_owned()), (KEY_COLUMNS.to_owned(), keys)])
    }
}

impl CountCuts {
    pub(super) fn bytes(&self) -> usize {
        let aside: usize = self.aside.iter().map(RecordBatch::get_array_memory_size).sum();
        aside + self.keys.bytes()
    }
}

fn waiting_metadata() -> HashMap<String, String> {
    HashMap::from([(PART.to_owned(), WAITING.to_owned())])
}

fn with(rows: &RecordBatch, metadata: HashMap<String, String>) -> Result<RecordBatch, OperatorError> {
    let schema = rows.schema_ref().as_ref().clone().with_metadata(metadata);
    rows.clone().with_schema(Arc::new(schema)).map_err(OperatorError::input)
}
