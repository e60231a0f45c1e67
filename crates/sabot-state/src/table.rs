//! The keyed table, its snapshots, and what an operator's state must be able to do for them.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt16Array, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_batch::key_index::{KeyBatch, KeyIndex, KeyIndexError};
use sabot_common::KeyGroupRange;
use std::error::Error;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use crate::changes::Changes;
use crate::keying::Keying;
use crate::sweep::Stretch;

/// The key of a snapshot's schema metadata that says how many rows a key group has on average where they are many: a list
/// of unit and number, as `0:3906,86400000000:12`. It need not be true; restores make room by it.
pub const ROWS: &str = "sabot.rows";

/// The column of a snapshot that holds each row's key group: uint16, not null, ascending.
pub const GROUP: &str = "__sabot.group";

/// The key of a snapshot's schema metadata that says which of an operator's kinds of rows these are.
pub const PART: &str = "sabot.part";

/// The key of a snapshot's schema metadata that says which columns rows of cuts are told apart by: as many of the first, or
/// those of a range such as `2..5`. What a cut has of a key takes the place of all that older ones have.
pub const KEY_COLUMNS: &str = "sabot.key_columns";

/// The key of a snapshot's schema metadata, where the first column is the start of a window, that says which is the first
/// one that is there: rows of cuts of those before are gone. Of another column its number stands before, as in `1:60000`.
pub const FIRST: &str = "sabot.first";

/// What an operator knows of its keys, as columns indexed by dense id.
///
/// The contract: [`StateColumns::merge`] of what [`StateColumns::snapshot`] gave, into ids that are as
/// new, makes state equal to the one that was snapshot.
pub trait StateColumns {
    /// Why its columns could not be built or read.
    type Error: Error + Send + Sync + 'static;

    /// The fields of its snapshot columns.
    fn fields(&self) -> Vec<Field>;

    /// Adds ids without knowledge until there are `len`.
    fn resize(&mut self, len: usize);

    /// There will be about so many ids.
    fn reserve(&mut self, _len: usize) {}

    /// The columns of these ids, in this order.
    ///
    /// # Errors
    /// When a column cannot be built.
    fn snapshot(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, Self::Error>;

    /// Takes in snapshot columns: row `i` belongs to `ids[i]`.
    ///
    /// # Errors
    /// When the columns are not those of [`StateColumns::fields`].
    fn merge(&mut self, ids: &[u32], columns: &[ArrayRef]) -> Result<(), Self::Error>;

    /// Forgets all ids and keeps the allocations.
    fn clear(&mut self);

    /// Allocated bytes.
    fn bytes(&self) -> usize;
}

/// Why keyed state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Keys do not fit the table.
    #[error(transparent)]
    Keys(#[from] KeyIndexError),
    /// The operator's own columns.
    #[error("state columns: {message}")]
    Columns {
        /// What it said.
        message: String,
    },
    /// A snapshot was made by another operator, or by another form of this one.
    #[error("the snapshot has the columns [{got}]; this operator keeps [{expected}]")]
    Schema {
        /// Columns of the snapshot.
        got: String,
        /// Columns of the table.
        expected: String,
    },
    /// A row of a snapshot stands under a key group that its key does not belong to.
    #[error(
        "row {row} of the snapshot is in key group {got}, its key belongs to {expected} of {groups}; \
         a pipeline's key groups and hash seed cannot change"
    )]
    Group {
        /// The row.
        row: usize,
        /// The group it stands under.
        got: u16,
        /// The group of its key.
        expected: u16,
        /// Key groups of this pipeline.
        groups: u16,
    },
}

impl StateError {
    pub(crate) fn columns(error: impl Display) -> Self {
        StateError::Columns { message: error.to_string() }
    }
}

/// Keys with state, in memory.
///
/// A table without key columns holds at most one key; its key group is 0, wherever its hash would put
/// it, because the first task owns it.
///
/// State goes out of it all at once ([`KeyedTable::snapshot`]), or as *cuts*: what has changed since the last one, in
/// pieces, while rows go on coming in. Whatever changes state asks [`KeyedTable::upsert`] for the ids first, and so a row
/// that a cut has still to give is set aside as it was when the cut began.
#[derive(Debug)]
pub struct KeyedTable<S> {
    keys: KeyIndex,
    state: S,
    keying: Keying,
    schema: SchemaRef,
    /// From the first cut on.
    changes: Option<Box<Changes>>,
    /// Rows of the cut that is under way that have changed since it began.
    aside: Vec<RecordBatch>,
    /// Scratch.
    due: Vec<u32>,
}

impl<S: StateColumns> KeyedTable<S> {
    /// An empty table. Key fields have plain types, never dictionaries.
    ///
    /// # Errors
    /// [`StateError::Keys`] for a type that cannot be a key.
    pub fn new(key_fields: &[Field], keying: Keying, state: S) -> Result<Self, StateError> {
        let types: Vec<DataType> = key_fields.iter().map(|f| f.data_type().clone()).collect();
        let mut fields = vec![Field::new(GROUP, DataType::UInt16, false)];
        fields.extend_from_slice(key_fields);
        fields.extend(state.fields());
        let (keys, schema) = (KeyIndex::new(&types)?, Arc::new(Schema::new(fields)));
        Ok(Self { keys, state, keying, schema, changes: None, aside: Vec::new(), due: Vec::new() })
    }

    /// Replaces the contents of `ids` by the ids of some rows' keys, whose state is about to change; new keys get the
    /// next ids and state without knowledge. `hashes` are the key hashes of the whole batch.
    ///
    /// # Errors
    /// [`StateError::Keys`] when the batch does not fit or the table is full, [`StateError::Columns`] when a row that a cut
    /// has still to give cannot be set aside.
    pub fn upsert(
        &mut self,
        batch: &KeyBatch<'_>,
        rows: Range<usize>,
        hashes: &[u64],
        ids: &mut Vec<u32>,
    ) -> Result<(), StateError> {
        let before = self.keys.len();
        self.keys.upsert_rows(batch, rows, hashes, ids)?;
        if self.keys.len() > before {
            self.state.resize(self.keys.len());
        }
        let Some(changes) = &mut self.changes else { return Ok(()) };
        self.due.clear();
        changes.touch(ids, self.keys.len(), &mut self.due);
        if !self.due.is_empty() {
            let rows = self.rows(&self.due)?;
            self.aside.push(rows);
        }
        Ok(())
    }

    /// Begins a cut, as one unit of what it cuts: it gives the rows that have changed since the one before and the stale ones
    /// that it has room for, as they are now; all rows where it is whole, or there was none before. What the one before has
    /// not given is forgotten.
    pub fn begin_cut(&mut self, unit: i64, stretch: &mut Stretch) {
        self.aside.clear();
        self.changes.get_or_insert_default().begin(unit, self.keys.len(), stretch);
    }

    /// Rows that have changed since the last cut began; all, where there was none.
    pub fn changed(&mut self) -> usize {
        self.changes.as_mut().map_or(self.keys.len(), |changes| changes.changed())
    }

    /// Whether the cut that is under way has given all its rows.
    pub fn cut_is_given(&self) -> bool {
        self.aside.is_empty() && self.changes.as_ref().is_none_or(|changes| changes.pending() == 0)
    }

    /// Rows of the cut that is under way that have changed since it began, as they were then; each batch is ascending by
    /// key group.
    pub fn take_aside(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.aside)
    }

    /// The next rows of the cut that is under way that have not changed since it began, about `max` of them, ascending by
    /// key group; `None` when there are no more. With those that were set aside each row is given once.
    ///
    /// # Errors
    /// [`StateError`] when a column cannot be built.
    pub fn next_of_cut(&mut self, max: usize) -> Result<Option<RecordBatch>, StateError> {
        let Some(changes) = &mut self.changes else { return Ok(None) };
        self.due.clear();
        changes.take(max.max(1), &mut self.due);
        if self.due.is_empty() {
            return Ok(None);
        }
        self.rows(&self.due).map(Some)
    }

    /// Makes room for so many keys in a table that has none yet.
    ///
    /// # Errors
    /// [`StateError::Keys`] for more keys than a table can have.
    pub fn reserve(&mut self, keys: usize) -> Result<(), StateError> {
        if self.is_empty() {
            self.keys.reserve(keys)?;
            self.state.reserve(keys);
        }
        Ok(())
    }

    /// The keys.
    pub fn keys(&self) -> &KeyIndex {
        &self.keys
    }

    /// The state, by the keys' ids.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The state, to be changed; it has as many ids as there are keys.
    pub fn state_mut(&mut self) -> &mut S {
        &mut self.state
    }

    /// Keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Schema of snapshots: [`GROUP`], keys, state.
    pub fn snapshot_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of these key groups, contiguous and ascending by group.
    ///
    /// # Errors
    /// [`StateError`] when a column cannot be built, such as more than 2 GiB of utf8.
    pub fn snapshot(&self, range: KeyGroupRange) -> Result<RecordBatch, StateError> {
        let is_in = |(_, hash): &(u32, &u64)| range.contains(self.keying.group_of(&self.keys, **hash));
        let ids: Vec<u32> = (0..).zip(self.keys.hashes()).filter(is_in).map(|(id, _)| id).collect();
        self.rows(&ids)
    }

    /// The rows of some ids, by group and else in the order of the ids.
    ///
    /// Columns are gathered in the order of the ids and put into that of the groups afterwards: ids come ascending and dense,
    /// so that the first pass is one from front to back, and what the second one asks for at random fits a cache.
    fn rows(&self, ids: &[u32]) -> Result<RecordBatch, StateError> {
        let all = self.keys.hashes();
        let mut groups: Vec<u16> =
            ids.iter().map(|id| self.keying.group_of(&self.keys, all[*id as usize])).collect();
        let mut columns = self.keys.take(ids)?;
        columns.extend(self.state.snapshot(ids).map_err(StateError::columns)?);
        if !groups.is_sorted() {
            let order;
            (order, groups) = by_group(&groups);
            columns = take_arrays(&columns, &UInt32Array::from(order), None).map_err(StateError::columns)?;
        }
        columns.insert(0, Arc::new(UInt16Array::from(groups)));
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(StateError::columns)
    }

    /// Takes in the rows of a snapshot, whichever groups they are of. Rows whose keys were there already are passed over:
    /// of a checkpoint that consists of several cuts the newest comes first.
    ///
    /// # Errors
    /// [`StateError::Schema`] for a snapshot of something else, [`StateError::Group`] for one of another
    /// number of key groups.
    pub fn restore(&mut self, snapshot: &RecordBatch) -> Result<(), StateError> {
        self.check_schema(snapshot)?;
        let hashes = self.keying.hashes_of(&self.keys, snapshot, 0)?;
        let (keys, state) = snapshot.columns()[1..].split_at(self.keys.types().len());
        let batch = KeyBatch::new(self.keys.types(), keys, snapshot.num_rows())?;
        let (mut ids, before) = (Vec::new(), self.keys.len());
        self.upsert(&batch, 0..snapshot.num_rows(), &hashes, &mut ids)?;
        if before == 0 || self.keys.len() - before == ids.len() {
            return self.state.merge(&ids, state).map_err(StateError::columns);
        }
        let is_new = |row: &u32| ids[*row as usize] as usize >= before;
        let rows: Vec<u32> = (0..ids.len() as u32).filter(is_new).collect();
        ids.retain(|id| *id as usize >= before);
        let state = take_arrays(state, &UInt32Array::from(rows), None).map_err(StateError::columns)?;
        self.state.merge(&ids, &state).map_err(StateError::columns)
    }

    /// Forgets all keys and keeps the allocations.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.state.clear();
        self.changes = None;
        self.aside.clear();
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        let aside: usize = self.aside.iter().map(RecordBatch::get_array_memory_size).sum();
        let changes = self.changes.as_ref().map_or(0, |changes| changes.bytes());
        self.keys.bytes() + self.state.bytes() + aside + changes
    }

    fn check_schema(&self, snapshot: &RecordBatch) -> Result<(), StateError> {
        let same = |a: &Field, b: &Field| a.name() == b.name() && a.data_type() == b.data_type();
        let (got, expected) = (snapshot.schema_ref().fields(), self.schema.fields());
        let nulls_fit =
            expected.iter().zip(snapshot.columns()).all(|(f, c)| f.is_nullable() || c.null_count() == 0);
        if got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| same(a, b)) && nulls_fit {
            return Ok(());
        }
        let list = |schema: &Schema| {
            let name = |f: &Arc<Field>| format!("{} {}", f.name(), f.data_type());
            schema.fields().iter().map(name).collect::<Vec<_>>().join(", ")
        };
        Err(StateError::Schema { got: list(snapshot.schema_ref()), expected: list(&self.schema) })
    }
}

/// A counting sort by group: rows in their order, those of one group as they came, and their groups.
fn by_group(groups: &[u16]) -> (Vec<u32>, Vec<u16>) {
    let (min, max) =
        groups.iter().fold((u16::MAX, 0), |(min, max), group| (min.min(*group), max.max(*group)));
    let mut next = vec![0usize; usize::from(max - min) + 2];
    groups.iter().for_each(|group| next[usize::from(group - min) + 1] += 1);
    let mut sorted = Vec::with_capacity(groups.len());
    for (group, place) in (min..=max).zip(1..) {
        sorted.resize(sorted.len() + next[place], group);
        next[place] = sorted.len();
    }
    let mut order = vec![0; groups.len()];
    for (row, group) in (0..).zip(groups) {
        let place = &mut next[usize::from(group - min)];
        order[*place] = row;
        *place += 1;
    }
    (order, sorted)
}
