//! The keyed table, its snapshots, and what an operator's state must be able to do for them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt16Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type, UInt64Type};
use sabot_batch::hidden;
use sabot_batch::key_index::{KeyBatch, KeyIndex, KeyIndexError};
use sabot_common::{KeyGroupRange, KeyGroups};
use std::error::Error;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// The column of a snapshot that holds each row's key group: uint16, not null, ascending.
pub const GROUP: &str = "__sabot.group";

/// The key of a snapshot's schema metadata that says which of an operator's kinds of rows these are.
pub const PART: &str = "sabot.part";

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
    /// A row of a snapshot stands under a key group that its hash does not belong to.
    #[error(
        "row {row} of the snapshot is in key group {got}, its hash belongs to {expected} of {groups}; \
         a pipeline's key groups and hash seed cannot change"
    )]
    Group {
        /// The row.
        row: usize,
        /// The group it stands under.
        got: u16,
        /// The group of its hash.
        expected: u16,
        /// Key groups of this pipeline.
        groups: u16,
    },
}

impl StateError {
    fn columns(error: impl Display) -> Self {
        StateError::Columns { message: error.to_string() }
    }
}

/// Keys with state, in memory.
///
/// A table without key columns holds at most one key; its key group is 0, wherever its hash would put
/// it, because the first task owns it.
#[derive(Debug)]
pub struct KeyedTable<S> {
    keys: KeyIndex,
    state: S,
    key_groups: KeyGroups,
    schema: SchemaRef,
}

impl<S: StateColumns> KeyedTable<S> {
    /// An empty table. Key fields have plain types, never dictionaries.
    ///
    /// # Errors
    /// [`StateError::Keys`] for a type that cannot be a key.
    pub fn new(key_fields: &[Field], key_groups: KeyGroups, state: S) -> Result<Self, StateError> {
        let types: Vec<DataType> = key_fields.iter().map(|f| f.data_type().clone()).collect();
        let mut fields = vec![
            Field::new(GROUP, DataType::UInt16, false),
            Field::new(hidden::HASH, DataType::UInt64, false),
        ];
        fields.extend_from_slice(key_fields);
        fields.extend(state.fields());
        Ok(Self { keys: KeyIndex::new(&types)?, state, key_groups, schema: Arc::new(Schema::new(fields)) })
    }

    /// Replaces the contents of `ids` by the ids of some rows' keys; new keys get the next ids and state
    /// without knowledge. `hashes` are the key hashes of the whole batch.
    ///
    /// # Errors
    /// [`StateError::Keys`] when the batch does not fit or the table is full.
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

    /// Schema of snapshots: [`GROUP`], [`hidden::HASH`], keys, state.
    pub fn snapshot_schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows of these key groups, contiguous and ascending by group.
    ///
    /// # Errors
    /// [`StateError`] when a column cannot be built, such as more than 2 GiB of utf8.
    pub fn snapshot(&self, range: KeyGroupRange) -> Result<RecordBatch, StateError> {
        let (ids, groups) = self.ids_by_group(range);
        let hashes = self.keys.hashes();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt16Array::from(groups)),
            Arc::new(UInt64Array::from_iter_values(ids.iter().map(|id| hashes[*id as usize]))),
        ];
        columns.extend(self.keys.take(&ids)?);
        columns.extend(self.state.snapshot(&ids).map_err(StateError::columns)?);
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(StateError::columns)
    }

    /// Takes in the rows of a snapshot, whichever groups they are of; keys that are there already merge.
    ///
    /// # Errors
    /// [`StateError::Schema`] for a snapshot of something else, [`StateError::Group`] for one of another
    /// number of key groups.
    pub fn restore(&mut self, snapshot: &RecordBatch) -> Result<(), StateError> {
        self.check_schema(snapshot)?;
        let columns = snapshot.columns();
        let (groups, hashes) =
            (columns[0].as_primitive::<UInt16Type>(), columns[1].as_primitive::<UInt64Type>());
        for (row, (group, hash)) in groups.values().iter().zip(hashes.values()).enumerate() {
            let expected = self.group_of(*hash);
            if *group != expected {
                let groups = self.key_groups.count();
                return Err(StateError::Group { row, got: *group, expected, groups });
            }
        }
        let (keys, state) = columns[2..].split_at(self.keys.types().len());
        let batch = KeyBatch::new(self.keys.types(), keys, snapshot.num_rows())?;
        let mut ids = Vec::new();
        self.upsert(&batch, 0..snapshot.num_rows(), hashes.values(), &mut ids)?;
        self.state.merge(&ids, state).map_err(StateError::columns)
    }

    /// Forgets all keys and keeps the allocations.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.state.clear();
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        self.keys.bytes() + self.state.bytes()
    }

    fn group_of(&self, hash: u64) -> u16 {
        if self.keys.types().is_empty() { 0 } else { self.key_groups.group_of(hash) }
    }

    /// A counting sort of the ids in a range by group; ids of one group stay in order.
    fn ids_by_group(&self, range: KeyGroupRange) -> (Vec<u32>, Vec<u16>) {
        let place = |hash: &u64| {
            let group = self.group_of(*hash);
            range.contains(group).then(|| usize::from(group - range.start))
        };
        let mut next = vec![0usize; range.len() + 1];
        let hashes = self.keys.hashes();
        for group in hashes.iter().filter_map(place) {
            next[group + 1] += 1;
        }
        for group in 1..next.len() {
            next[group] += next[group - 1];
        }
        let rows = next.last().copied().unwrap_or(0);
        let (mut ids, mut groups) = (vec![0; rows], vec![0; rows]);
        for (id, hash) in (0u32..).zip(hashes) {
            if let Some(group) = place(hash) {
                let row = next[group];
                next[group] += 1;
                (ids[row], groups[row]) = (id, self.group_of(*hash));
            }
        }
        (ids, groups)
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
