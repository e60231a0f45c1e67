//! Which rows of the build side have matched, as state.
//!
//! A row has matched or not for ever, so a mark is a row of state that comes once. A row is known by its key group and by
//! which of the rows of that group it is, in the order of the build side: that stays as it is when groups move to other
//! tasks.

use arrow::array::{ArrayRef, RecordBatch, UInt16Array, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_common::Epoch;
use sabot_cpu::join::Matched;
use sabot_state::{GROUP, KEY_COLUMNS, PART};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::OperatorError;
use crate::key_cuts::KeyCuts;

/// The kind of these rows.
pub(super) const MATCHED: &str = "matched";

/// The column that says which of the rows of its group it is: uint32, not null, from 0.
const NUMBER: &str = "__sabot.number";

/// The marks of a table's rows.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) matched: Matched,
    rows: usize,
    /// From the first cut on.
    cuts: Option<MarkCuts>,
}

/// The cuts of marks.
#[derive(Debug, Default)]
struct MarkCuts {
    /// Of the table's rows.
    rows: KeyCuts,
    /// As far as marks have been given.
    places: Places,
    /// Scratch.
    due: Vec<u32>,
}

impl Marks {
    pub(super) fn new(rows: usize) -> Self {
        Self { matched: Matched::new(rows), rows, cuts: None }
    }

    /// Takes note of the rows that have matched just now. They were none before, so that a cut that is under way has
    /// nothing to give of them.
    pub(super) fn note(&mut self) {
        let Some(cuts) = &mut self.cuts else { return };
        cuts.rows.touch(&self.matched.take_fresh(), self.rows, &mut cuts.due);
    }

    /// Begins a cut.
    pub(super) fn begin(&mut self, epoch: Epoch, stored: Option<Epoch>) {
        self.matched.take_fresh();
        self.cuts.get_or_insert_default().rows.begin(epoch, stored, self.rows);
    }

    /// The next marks of a cut that has begun, none if there were none among many rows; `None` when there are no more.
    /// `groups` are the key groups of some of the table's rows.
    pub(super) fn next(
        &mut self,
        max: usize,
        groups: impl FnOnce(Range<usize>) -> Result<Vec<u16>, OperatorError>,
    ) -> Result<Option<Vec<RecordBatch>>, OperatorError> {
        let Some(cuts) = &mut self.cuts else { return Ok(None) };
        cuts.rows.take(max, &mut cuts.due);
        if cuts.due.is_empty() {
            return Ok(None);
        }
        cuts.due.retain(|row| self.matched.contains(*row as usize));
        let Some(last) = cuts.due.last() else { return Ok(Some(Vec::new())) };
        let known = cuts.places.groups.len();
        if *last as usize >= known {
            // As far as the cut has come: all rows at once would be a long time for many.
            cuts.places.extend(groups(known..*last as usize + 1)?);
        }
        Ok(Some(vec![cuts.places.write(schema(HashMap::new()), &cuts.due)?]))
    }

    /// The oldest cut that is needed.
    pub(super) fn since(&self) -> Epoch {
        self.cuts.as_ref().map_or(Epoch(0), |cuts| cuts.rows.since())
    }

    pub(super) fn bytes(&self) -> usize {
        let cuts = self.cuts.as_ref();
        self.matched.bytes() + cuts.map_or(0, |cuts| cuts.rows.bytes() + cuts.places.bytes())
    }
}

/// What the first rows of a table are known by.
#[derive(Debug, Default)]
pub(super) struct Places {
    groups: Vec<u16>,
    numbers: Vec<u32>,
    /// How many rows of each group there were.
    counts: Vec<u32>,
}

impl Places {
    /// Those of rows with these key groups, in the order of the build side.
    pub(super) fn new(groups: Vec<u16>) -> Self {
        let mut places = Self::default();
        places.extend(groups);
        places
    }

    /// Adds the next rows.
    fn extend(&mut self, groups: Vec<u16>) {
        for group in &groups {
            let group = usize::from(*group);
            self.counts.resize(self.counts.len().max(group + 1), 0);
            self.numbers.push(self.counts[group]);
            self.counts[group] += 1;
        }
        self.groups.extend(groups);
    }

    /// The rows `rows` as those of a snapshot, ascending by key group.
    pub(super) fn write(&self, schema: SchemaRef, rows: &[u32]) -> Result<RecordBatch, OperatorError> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| self.groups[*row as usize]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| self.groups[*row as usize]))),
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| self.numbers[*row as usize]))),
        ];
        RecordBatch::try_new(schema, columns).map_err(OperatorError::input)
    }

    /// The rows of each group, in their order.
    pub(super) fn by_group(&self) -> Vec<Vec<u32>> {
        let mut rows: Vec<Vec<u32>> =
            self.counts.iter().map(|count| Vec::with_capacity(*count as usize)).collect();
        (0..).zip(&self.groups).for_each(|(row, group)| rows[usize::from(*group)].push(row));
        rows
    }

    fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<u16>() + self.numbers.capacity() * size_of::<u32>()
    }
}

/// The columns of marks.
pub(super) fn schema(mut metadata: HashMap<String, String>) -> SchemaRef {
    metadata.insert(PART.to_owned(), MATCHED.to_owned());
    metadata.insert(KEY_COLUMNS.to_owned(), "2".to_owned());
    let fields =
        vec![Field::new(GROUP, DataType::UInt16, false), Field::new(NUMBER, DataType::UInt32, false)];
    Arc::new(Schema::new(fields).with_metadata(metadata))
}
