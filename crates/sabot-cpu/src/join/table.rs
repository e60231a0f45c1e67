//! The build side as a table: keys to lists of rows.

use arrow::array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use sabot_batch::Morsel;
use sabot_batch::key_index::{KeyIndex, NOT_FOUND};
use sabot_ops::{Direction, JoinSpec, Nearest};
use std::ops::Range;

use super::{JoinError, check_columns, hashes, instants, key_batch, order};

/// The whole build side of a join, or one task's share of it.
#[derive(Debug)]
pub struct JoinTable {
    /// In the order of the build side.
    rows: RecordBatch,
    types: Vec<DataType>,
    index: KeyIndex,
    /// Where the list of each id begins; and the end of the last.
    offsets: Vec<u32>,
    /// Rows by key. Within one key by time for an as-of join, and in the order of the rows.
    matches: Vec<u32>,
    /// For an as-of join the time of each of `matches`.
    times: Vec<i64>,
}

impl JoinTable {
    pub(super) fn new(
        spec: &JoinSpec,
        schema: &SchemaRef,
        batches: &[RecordBatch],
    ) -> Result<Self, JoinError> {
        for batch in batches {
            check_columns(schema, batch)?;
        }
        let rows = order::in_build_order(concat_batches(schema, batches)?)?;
        if u32::try_from(rows.num_rows()).is_err() {
            return Err(JoinError::TooManyRows { rows: rows.num_rows() });
        }
        let keys: Vec<usize> = spec.keys.iter().map(|(_, right)| *right).collect();
        let times = match &spec.nearest {
            Some(nearest) => Some(instants(rows.column(nearest.build).as_ref())?),
            None => None,
        };
        let types = spec.key_types(schema);
        let mut index = KeyIndex::new(&types)?;
        let candidates = with_key(&rows, &keys, times.as_ref());
        let (ids, candidates) = match candidates {
            None => (upsert(&mut index, spec, &types, &rows, &keys)?, None),
            Some(kept) => {
                let keyed = take_record_batch(&rows, &UInt32Array::from(kept.clone()))?;
                (upsert(&mut index, spec, &types, &keyed, &keys)?, Some(kept))
            }
        };
        let row_of = |i: usize| candidates.as_ref().map_or(i as u32, |kept| kept[i]);
        if spec.unique && index.len() < ids.len() {
            return Err(duplicate(&ids, index.len(), &rows, &keys, row_of));
        }

        let mut sequence: Vec<u32> = Vec::new();
        if let Some(times) = &times {
            // Stable: rows of one time stay in order.
            sequence = (0..ids.len() as u32).collect();
            sequence.sort_by_key(|i| times.value(row_of(*i as usize) as usize));
        }
        let (offsets, places) = lists(&ids, index.len(), &sequence);
        let matches: Vec<u32> = places.into_iter().map(|i| row_of(i as usize)).collect();
        let times = times.map_or(Vec::new(), |t| matches.iter().map(|row| t.value(*row as usize)).collect());
        Ok(Self { rows, types, index, offsets, matches, times })
    }

    /// The rows, in the order of the build side.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        let lists = (self.offsets.capacity() + self.matches.capacity()) * size_of::<u32>();
        let times = self.times.capacity() * size_of::<i64>();
        Morsel::new(self.rows.clone()).bytes() + self.index.bytes() + lists + times
    }

    /// The id of each row's key; rows with a null in their key have none.
    pub(super) fn find(
        &self,
        spec: &JoinSpec,
        batch: &RecordBatch,
        columns: &[usize],
        ids: &mut Vec<u32>,
    ) -> Result<(), JoinError> {
        let hashes = hashes(spec, batch, columns)?;
        self.index.find(&key_batch(&self.types, batch, columns)?, &hashes, ids)?;
        // No key of the table has a null, but the rest of a key may be that of a row here.
        if let Some(nulls) = nulls(batch, columns) {
            for (row, id) in ids.iter_mut().enumerate() {
                if nulls.is_null(row) {
                    *id = NOT_FOUND;
                }
            }
        }
        Ok(())
    }

    /// Where the rows of a key stand among the matches.
    pub(super) fn list(&self, id: u32) -> Range<u32> {
        let id = id as usize;
        self.offsets[id]..self.offsets[id + 1]
    }

    pub(super) fn matches(&self, range: Range<u32>) -> &[u32] {
        &self.matches[range.start as usize..range.end as usize]
    }

    /// Of a list the one that is nearest to a time.
    pub(super) fn nearest(&self, list: Range<u32>, at: i64, nearest: &Nearest) -> Range<u32> {
        let times = &self.times[list.start as usize..list.end as usize];
        let place = match nearest.direction {
            Direction::Backward => times.partition_point(|t| *t <= at).checked_sub(1),
            Direction::Forward => Some(times.partition_point(|t| *t < at)).filter(|i| *i < times.len()),
        };
        let near = |i: &usize| {
            let apart = (i128::from(times[*i]) - i128::from(at)).abs();
            nearest.tolerance.is_none_or(|limit| apart <= i128::from(limit))
        };
        match place.filter(near) {
            Some(i) => list.start + i as u32..list.start + i as u32 + 1,
            None => 0..0,
        }
    }
}

/// Which rows of a table have matched.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    rows: Vec<u64>,
    /// Those that have since they were taken last, where somebody takes them.
    fresh: Option<Vec<u32>>,
}

impl Matched {
    /// None of so many rows.
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![0; rows.div_ceil(64)], fresh: None }
    }

    /// Notes that a row has.
    pub fn insert(&mut self, row: usize) {
        let Some(word) = self.rows.get_mut(row / 64) else { return };
        let before = std::mem::replace(word, *word | 1 << (row % 64));
        if let Some(fresh) = &mut self.fresh
            && *word != before
        {
            fresh.push(row as u32);
        }
    }

    /// Whether a row has.
    pub fn contains(&self, row: usize) -> bool {
        self.rows.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The rows that have since the last call, each once; from the first call on, which gives none.
    pub fn take_fresh(&mut self) -> Vec<u32> {
        std::mem::take(self.fresh.get_or_insert_default())
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        let fresh = self.fresh.as_ref().map_or(0, Vec::capacity);
        self.rows.capacity() * size_of::<u64>() + fresh * size_of::<u32>()
    }
}

/// The nulls of a key: null where any of its columns is.
fn nulls(batch: &RecordBatch, columns: &[usize]) -> Option<NullBuffer> {
    let nulls = columns.iter().map(|c| batch.column(*c).logical_nulls());
    nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref())).filter(|n| n.null_count() > 0)
}

/// The rows that can match something; `None` when all can.
fn with_key(rows: &RecordBatch, keys: &[usize], times: Option<&Int64Array>) -> Option<Vec<u32>> {
    let timeless = times.and_then(|t| t.nulls().cloned());
    let nulls = NullBuffer::union(nulls(rows, keys).as_ref(), timeless.as_ref());
    let nulls = nulls.filter(|n| n.null_count() > 0)?;
    Some(nulls.valid_indices().map(|row| row as u32).collect())
}

fn upsert(
    index: &mut KeyIndex,
    spec: &JoinSpec,
    types: &[DataType],
    rows: &RecordBatch,
    keys: &[usize],
) -> Result<Vec<u32>, JoinError> {
    let mut ids = Vec::new();
    let hashes = hashes(spec, rows, keys)?;
    index.upsert_rows(&key_batch(types, rows, keys)?, 0..rows.num_rows(), &hashes, &mut ids)?;
    Ok(ids)
}

/// Places by id: a counting sort that keeps the given sequence within an id (0, 1, 2, … if it is empty).
fn lists(ids: &[u32], keys: usize, sequence: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut offsets = vec![0u32; keys + 1];
    for id in ids {
        offsets[*id as usize + 1] += 1;
    }
    for i in 0..keys {
        offsets[i + 1] += offsets[i];
    }
    let mut next = offsets.clone();
    let mut places = vec![0u32; ids.len()];
    let mut put = |place: u32| {
        let slot = &mut next[ids[place as usize] as usize];
        places[*slot as usize] = place;
        *slot += 1;
    };
    if sequence.is_empty() {
        (0..ids.len() as u32).for_each(&mut put);
    } else {
        sequence.iter().copied().for_each(&mut put);
    }
    (offsets, places)
}

fn duplicate(
    ids: &[u32],
    keys: usize,
    rows: &RecordBatch,
    columns: &[usize],
    row_of: impl Fn(usize) -> u32,
) -> JoinError {
    let mut seen = vec![false; keys];
    let second = ids.iter().position(|id| std::mem::replace(&mut seen[*id as usize], true));
    let row = second.map_or(0, |i| row_of(i) as usize);
    let options = FormatOptions::default();
    let value = |column: &usize| {
        let formatter = ArrayFormatter::try_new(rows.column(*column).as_ref(), &options);
        formatter.map_or_else(|e| e.to_string(), |f| f.value(row).to_string())
    };
    JoinError::Duplicate { key: columns.iter().map(value).collect::<Vec<_>>().join(", ") }
}
