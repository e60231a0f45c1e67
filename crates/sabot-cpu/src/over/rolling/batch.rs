//! A batch as it comes in: keys found, columns encoded, flags as bits.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::Int64Type;
use sabot_batch::key_index::{KeyBatch, KeyIndex};

use super::super::bad;
use super::better::Best;
use super::folds::FoldKind;
use super::layout::{Flag, Layout};
use super::{Rolling, flag_place};
use crate::group_by::AccumulateError;

/// Rows, ready to be appended.
#[derive(Debug)]
pub struct Batch {
    /// The key of each row.
    pub(super) ids: Vec<u32>,
    /// Where each row stands in time.
    pub(super) times: Vec<i64>,
    /// The words of each input.
    values: Vec<Vec<u64>>,
    /// The bits of each lane of flags.
    flags: Vec<Vec<u64>>,
    /// The number of each row that was appended.
    pub(super) numbers: Vec<u64>,
}

impl Batch {
    /// The key of each row.
    pub fn keys(&self) -> &[u32] {
        &self.ids
    }

    /// The words of a row; those of flags are its bits, those of links and sums empty.
    pub(super) fn row(&self, layout: &Layout, i: usize, row: &mut [u64]) {
        row[0] = self.times[i] as u64;
        for (input, values) in layout.inputs.iter().zip(&self.values) {
            row[input.lane] = values[i * input.form.width()];
            if input.form.width() == 2 {
                row[input.lane + 1] = values[2 * i + 1];
            }
        }
        for (lane, flags) in self.flags.iter().enumerate() {
            row[layout.flag_lane + lane] = flags[i];
        }
        for (_, lane) in layout.distinct.iter().chain(&layout.totals).chain(&layout.better) {
            row[*lane] = 0;
        }
    }
}

impl Rolling {
    /// Finds or makes the keys of rows, and encodes their columns: the first half of [`Rolling::run`], behind which it is
    /// known which keys are about to change.
    ///
    /// # Errors
    /// [`AccumulateError`] for rows that do not fit.
    pub fn take_in(&mut self, rows: &RecordBatch) -> Result<Batch, AccumulateError> {
        let times = rows.columns().get(self.time).and_then(|times| times.as_primitive_opt::<Int64Type>());
        let times = times.ok_or_else(|| bad("rows without event time"))?.values().to_vec();
        let keys: Vec<ArrayRef> = self.partition.iter().map(|column| rows.column(*column).clone()).collect();
        let ids = self.find_keys(&keys, rows.num_rows())?;
        let flags = self.layout.flags.iter().map(|flag| flag_bits(flag, rows));
        let flags: Vec<Option<BooleanBuffer>> = flags.collect::<Result<_, _>>()?;
        let mut values = Vec::with_capacity(self.layout.inputs.len());
        for (i, input) in self.layout.inputs.iter().enumerate() {
            let nulls = input.valid.and_then(|flag| flags[flag].clone()).map(NullBuffer::new);
            let interned = self.interned[i].as_mut();
            values.push(input.form.encode(rows.column(input.column), nulls.as_ref(), interned)?);
        }
        let flags = flag_lanes(&self.layout, &flags, rows.num_rows());
        self.widen(&values);
        Ok(Batch { ids, times, values, flags, numbers: Vec::with_capacity(rows.num_rows()) })
    }

    /// From values and flags as they stand in a snapshot.
    pub(super) fn restored(
        &mut self,
        ids: Vec<u32>,
        times: Vec<i64>,
        values: Vec<Vec<u64>>,
        flags: &[Option<BooleanBuffer>],
    ) -> Batch {
        self.widen(&values);
        let flags = flag_lanes(&self.layout, flags, ids.len());
        Batch { ids, times, values, flags, numbers: Vec::new() }
    }

    /// Finds keys or makes them, without rows.
    pub(super) fn find_keys(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>, AccumulateError> {
        let mut ids = Vec::new();
        find_keys(&mut self.index, keys, rows, self.seed, &mut ids)?;
        let made = self.index.len() - self.histories.len();
        self.dead += made;
        self.histories.resize_with(self.index.len(), Default::default);
        self.marks.resize(self.index.len() * self.marks_per_key, 0);
        self.bests.resize(self.index.len() * self.layout.bests, Best::default());
        self.links.iter_mut().for_each(|links| links.resize(self.index.len()));
        self.latest.resize(self.index.len(), (0, 0));
        Ok(ids)
    }

    /// Raises the bounds on values that are added up.
    fn widen(&mut self, values: &[Vec<u64>]) {
        for fold in self.layout.folds.iter().filter(|fold| fold.kind == FoldKind::Sum) {
            let (largest, words) = (&mut self.largest[fold.input], &values[fold.input]);
            let bits = words.iter().fold(0, |bits, w| bits | (w ^ ((*w as i64 >> 63) as u64)));
            *largest = (*largest).max(bits.saturating_add(1));
        }
    }
}

/// The ids of keys; without columns there is one.
pub(super) fn find_keys(
    index: &mut KeyIndex,
    keys: &[ArrayRef],
    rows: usize,
    seed: u64,
    ids: &mut Vec<u32>,
) -> Result<(), AccumulateError> {
    let batch = KeyBatch::new(index.types(), keys, rows)?;
    let mut hashes = Vec::new();
    batch.quick_hashes(seed, &mut hashes);
    index.upsert_rows(&batch, 0..rows, &hashes, ids)?;
    Ok(())
}

/// The rows that have a flag; `None` for all.
fn flag_bits(flag: &Flag, rows: &RecordBatch) -> Result<Option<BooleanBuffer>, AccumulateError> {
    let truths = |column: usize| {
        let booleans =
            rows.column(column).as_boolean_opt().ok_or_else(|| bad("a flag that is no boolean"))?;
        Ok::<_, AccumulateError>(match booleans.nulls() {
            Some(nulls) => booleans.values() & nulls.inner(),
            None => booleans.values().clone(),
        })
    };
    let own = match flag.column {
        Some(column) if flag.truth => Some(truths(column)?),
        Some(column) => rows.column(column).logical_nulls().map(|nulls| nulls.inner().clone()),
        None => None,
    };
    let filter = flag.filter.map(truths).transpose()?;
    Ok(match (own, filter) {
        (Some(own), Some(filter)) => Some(&own & &filter),
        (own, filter) => own.or(filter),
    })
}

/// The bits of flags, two to a word.
fn flag_lanes(layout: &Layout, flags: &[Option<BooleanBuffer>], rows: usize) -> Vec<Vec<u64>> {
    let mut lanes = vec![vec![0; rows]; flags.len().div_ceil(2)];
    for (flag, bits) in flags.iter().enumerate() {
        let (lane, shift) = flag_place(layout, flag);
        let lane = &mut lanes[lane - layout.flag_lane];
        match bits {
            None => lane.iter_mut().for_each(|word| *word |= 1 << shift),
            Some(bits) => lane.iter_mut().zip(bits).for_each(|(word, bit)| *word |= u64::from(bit) << shift),
        }
    }
    lanes
}
