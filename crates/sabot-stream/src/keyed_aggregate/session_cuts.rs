//! Cuts of sessions: what a cut has of a key are all its open sessions, and it is the keys that have changed.

use arrow::array::RecordBatch;
use sabot_common::{Epoch, EventTime};
use sabot_state::{FIRST, KEY_COLUMNS, Needed, PART};
use std::collections::HashMap;
use std::sync::Arc;

use super::sessions::{Fired, Session, Sessions};
use super::snapshot::WATERMARK;
use super::store::SESSIONS;
use crate::key_cuts::KeyCuts;
use crate::{CutPart, OperatorError};

/// Keys of a batch of what is set aside.
const ASIDE_KEYS: usize = 1 << 14;

/// The column of the time of a session's last row.
const LAST_COLUMN: usize = 1;

/// The cuts of the sessions of a task.
#[derive(Debug, Default)]
pub(super) struct SessionCuts {
    keys: KeyCuts,
    /// What had to be given and has changed since.
    aside: Vec<RecordBatch>,
    /// Sessions that are about to be set aside.
    leaving: Vec<Fired>,
    /// Of the last one, until it has ended.
    head: Option<RecordBatch>,
    /// Scratch.
    due: Vec<u32>,
}

impl Sessions {
    pub(super) fn begin_cut(
        &mut self,
        epoch: Epoch,
        stored: Option<Epoch>,
        watermark: EventTime,
    ) -> Result<(), OperatorError> {
        let schema = self.cut_schema(Some(watermark));
        self.cuts.keys.begin(epoch, stored, self.keys.len());
        self.cuts.aside.clear();
        self.cuts.head = Some(RecordBatch::new_empty(schema));
        Ok(())
    }

    pub(super) fn next_of_cut(&mut self, max: usize) -> Result<CutPart, OperatorError> {
        if let Some(rows) = self.cuts.aside.pop() {
            return Ok(CutPart::Rows(vec![rows]));
        }
        if let Some(rows) = self.take_due(max)? {
            return Ok(CutPart::Rows(vec![rows]));
        }
        let head = vec![self.cuts.head.take().ok_or_else(OperatorError::no_cut)?];
        Ok(CutPart::End { head, needed: Needed::Since(self.cuts.keys.since()) })
    }

    /// The sessions of the next keys that are to be given. Most of those that have changed may have none any more.
    fn take_due(&mut self, max: usize) -> Result<Option<RecordBatch>, OperatorError> {
        loop {
            let cuts = &mut self.cuts;
            cuts.keys.take(max, &mut cuts.due);
            if cuts.due.is_empty() {
                return Ok(None);
            }
            let sessions: Vec<Fired> = self.cuts.due.iter().flat_map(|key| self.of_key(*key)).collect();
            if !sessions.is_empty() {
                return self.cut_rows(sessions).map(Some);
            }
        }
    }

    /// The keys `ids` are about to change: sets aside what a cut has still to give of them.
    pub(super) fn cut_before_change(&mut self) -> Result<(), OperatorError> {
        let cuts = &mut self.cuts;
        cuts.keys.touch(&self.ids, self.keys.len(), &mut cuts.due);
        let due: Vec<Fired> = self.cuts.due.iter().flat_map(|key| self.of_key(*key)).collect();
        self.set_aside(due)
    }

    /// Sets aside what was noted of sessions that have left. Their state is where it was.
    pub(super) fn cut_leaving(&mut self) -> Result<(), OperatorError> {
        let leaving = std::mem::take(&mut self.cuts.leaving);
        self.set_aside(leaving)
    }

    /// Keys are about to get other ids: sets aside all that a cut has still to give, and the next one begins anew.
    pub(super) fn cut_before_moving(&mut self) -> Result<(), OperatorError> {
        while let Some(rows) = self.take_due(ASIDE_KEYS)? {
            self.cuts.aside.push(rows);
        }
        self.cuts.keys.begin_anew();
        Ok(())
    }

    fn set_aside(&mut self, sessions: Vec<Fired>) -> Result<(), OperatorError> {
        if !sessions.is_empty() {
            let rows = self.cut_rows(sessions)?;
            self.cuts.aside.push(rows);
        }
        Ok(())
    }

    fn cut_rows(&self, sessions: Vec<Fired>) -> Result<RecordBatch, OperatorError> {
        self.rows(sessions)?.with_schema(self.cut_schema(None)).map_err(OperatorError::input)
    }

    /// The columns of rows of cuts; with what changes from epoch to epoch, those of the head.
    fn cut_schema(&self, watermark: Option<EventTime>) -> arrow::datatypes::SchemaRef {
        // The group and the keys.
        let keys = LAST_COLUMN + 1..LAST_COLUMN + 2 + self.keys.types().len();
        let mut metadata = HashMap::from([
            (PART.to_owned(), SESSIONS.to_owned()),
            (KEY_COLUMNS.to_owned(), format!("{}..{}", keys.start, keys.end)),
        ]);
        if let Some(watermark) = watermark {
            metadata.insert(WATERMARK.to_owned(), watermark.micros().to_string());
            metadata.insert(FIRST.to_owned(), format!("{LAST_COLUMN}:{}", self.first_open(watermark)));
        }
        Arc::new(self.snapshot_schema().as_ref().clone().with_metadata(metadata))
    }
}

impl SessionCuts {
    /// A session of a key is about to leave: notes what a cut has still to give of the key.
    pub(super) fn leaves(&mut self, key: u32, sessions: &[Session], keys: usize) {
        self.keys.touch(&[key], keys, &mut self.due);
        if !self.due.is_empty() {
            self.leaving.extend(sessions.iter().map(|session| Fired::new(key, *session)));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let aside: usize = self.aside.iter().map(RecordBatch::get_array_memory_size).sum();
        aside + self.keys.bytes()
    }
}
