//! From pairs of row numbers to the columns of a result.

use arrow::array::{
    ArrayRef, AsArray, BinaryBuilder, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use sabot_batch::{gather, hidden};
use sabot_ops::JoinSource;
use std::sync::Arc;

use super::order::Places;
use super::{JoinError, JoinTable, Joiner};

/// Rows of a result: a row of the probe side each, and a row of the build side where there is one.
pub(super) struct Pairs {
    left: Vec<u32>,
    right: Vec<u32>,
    /// Which of them have a build row; as long as the rows once one has none, else empty.
    paired: Vec<bool>,
    /// The number of each match among those of its probe row.
    numbers: Vec<u64>,
}

impl Pairs {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            left: Vec::with_capacity(rows),
            right: Vec::with_capacity(rows),
            paired: Vec::new(),
            numbers: Vec::with_capacity(rows),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(super) fn push(&mut self, left: u32, right: u32, number: u64) {
        self.left.push(left);
        self.right.push(right);
        self.numbers.push(number);
        if !self.paired.is_empty() {
            self.paired.push(true);
        }
    }

    /// A row of the probe side without one of the build side.
    pub(super) fn push_single(&mut self, left: u32) {
        if self.paired.is_empty() {
            self.paired.resize(self.left.len(), true);
        }
        self.left.push(left);
        self.right.push(0);
        self.numbers.push(0);
        self.paired.push(false);
    }
}

/// Rows of the probe side, in the order of pairs.
enum Picked {
    /// A run of rows, each once: nothing needs to be moved.
    Run(usize, usize),
    Rows(UInt32Array),
}

impl Picked {
    fn new(rows: &[u32]) -> Self {
        let first = rows.first().copied().unwrap_or(0);
        if rows.iter().enumerate().all(|(i, row)| *row as usize == first as usize + i) {
            return Picked::Run(first as usize, rows.len());
        }
        Picked::Rows(UInt32Array::from(rows.to_vec()))
    }

    fn of(&self, column: &ArrayRef) -> Result<ArrayRef, JoinError> {
        Ok(match self {
            Picked::Run(first, rows) => column.slice(*first, *rows),
            Picked::Rows(rows) => take(column, rows, None)?,
        })
    }
}

/// The result rows of pairs.
pub(super) fn pairs(
    joiner: &Joiner,
    table: &JoinTable,
    probe: &RecordBatch,
    pairs: &Pairs,
) -> Result<RecordBatch, JoinError> {
    let left = Picked::new(&pairs.left);
    let nulls = (!pairs.paired.is_empty()).then(|| NullBuffer::from(pairs.paired.clone()));
    let right = UInt32Array::new(pairs.right.clone().into(), nulls);
    let build = table.rows();
    let mut columns = Vec::with_capacity(joiner.spec.columns.len());
    for (out, field) in joiner.spec.columns.iter().zip(joiner.output.fields()) {
        columns.push(match out.source {
            JoinSource::Probe(i) | JoinSource::Either { probe: i, .. } => left.of(probe.column(i))?,
            // The index of an unpaired row is null and not looked at, but it must exist.
            JoinSource::Build(_) if build.num_rows() == 0 => {
                new_null_array(field.data_type(), pairs.left.len())
            }
            JoinSource::Build(i) => gather(build.column(i), &right)?,
            JoinSource::Order { probe: given, time } => order(probe, given, time.is_some(), pairs),
        });
    }
    batch(joiner, columns, pairs.left.len())
}

/// The result rows of build rows that match nothing.
pub(super) fn build_rows(
    joiner: &Joiner,
    table: &JoinTable,
    rows: Vec<u32>,
) -> Result<RecordBatch, JoinError> {
    let count = rows.len();
    let picked = Picked::new(&rows);
    let build = table.rows();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(joiner.spec.columns.len());
    for (out, field) in joiner.spec.columns.iter().zip(joiner.output.fields()) {
        columns.push(match out.source {
            JoinSource::Probe(_) if out.name == hidden::PARTITION => {
                Arc::new(UInt32Array::from(vec![joiner.spec.ordinal << 20; count]))
            }
            JoinSource::Probe(_) if out.name == hidden::ROW => Arc::new(UInt64Array::from(vec![0; count])),
            JoinSource::Probe(_) => new_null_array(field.data_type(), count),
            JoinSource::Build(i) | JoinSource::Either { build: i, .. } => picked.of(build.column(i))?,
            JoinSource::Order { .. } => {
                let places = Places::of(build);
                let mut bytes = Vec::new();
                let mut order = BinaryBuilder::with_capacity(count, count * 24);
                for row in &rows {
                    places.bytes(*row as usize, &mut bytes);
                    order.append_value(&bytes);
                }
                Arc::new(order.finish())
            }
        });
    }
    batch(joiner, columns, count)
}

fn order(probe: &RecordBatch, given: Option<usize>, timed: bool, pairs: &Pairs) -> ArrayRef {
    let places = Places::of(probe);
    let keys = given.map(|i| probe.column(i).as_binary::<i32>());
    let mut order = BinaryBuilder::with_capacity(pairs.left.len(), pairs.left.len() * 8);
    let mut bytes = Vec::new();
    for (row, number) in pairs.left.iter().zip(&pairs.numbers) {
        bytes.clear();
        if timed {
            places.time_bytes(*row as usize, &mut bytes);
        }
        bytes.extend_from_slice(keys.map_or(&[], |k| k.value(*row as usize)));
        bytes.extend(number.to_be_bytes());
        order.append_value(&bytes);
    }
    Arc::new(order.finish())
}

fn batch(joiner: &Joiner, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, JoinError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(joiner.output.clone(), columns, &options)?)
}
