//! The order of the build side: where its rows would stand at an ordered sink.

use arrow::array::{BinaryArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use sabot_batch::hidden;
use std::cmp::Ordering;

use super::JoinError;

/// The places of a batch's rows, by its hidden columns.
pub(super) struct Places {
    times: Option<Int64Array>,
    lateness: Option<Int64Array>,
    partitions: Option<UInt32Array>,
    numbers: Option<UInt64Array>,
    keys: Option<BinaryArray>,
}

impl Places {
    pub(super) fn of(batch: &RecordBatch) -> Self {
        Self {
            times: hidden::times(batch).cloned(),
            lateness: hidden::lateness(batch).cloned(),
            partitions: hidden::partitions(batch).cloned(),
            numbers: hidden::row_numbers(batch).cloned(),
            keys: hidden::keys(batch).cloned(),
        }
    }

    fn place(&self, row: usize) -> (i64, u32, u64) {
        let time = self.times.as_ref().map_or(0, |t| t.value(row));
        let late = self.lateness.as_ref().map_or(0, |l| l.value(row));
        let partition = self.partitions.as_ref().map_or(0, |p| p.value(row));
        (time.saturating_add(late), partition, self.numbers.as_ref().map_or(0, |n| n.value(row)))
    }

    fn key(&self, row: usize) -> &[u8] {
        self.keys.as_ref().map_or(&[], |k| k.value(row))
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        self.place(a).cmp(&self.place(b)).then_with(|| self.key(a).cmp(self.key(b)))
    }

    /// The time of a row's place as bytes that are ordered like it.
    pub(super) fn time_bytes(&self, row: usize, out: &mut Vec<u8>) {
        // Signed numbers are ordered by their bytes once their sign is turned.
        out.extend((self.place(row).0.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    }

    /// The place of a row as bytes that are ordered like the places.
    pub(super) fn bytes(&self, row: usize, out: &mut Vec<u8>) {
        let (_, partition, number) = self.place(row);
        out.clear();
        self.time_bytes(row, out);
        out.extend(partition.to_be_bytes());
        out.extend(number.to_be_bytes());
        out.extend(self.key(row));
    }
}

/// The rows in the order of the build side, by their hidden columns; those of equal place stay as they are.
///
/// # Errors
/// [`JoinError`] for more rows than row numbers, or when rows cannot be moved.
pub fn in_build_order(rows: RecordBatch) -> Result<RecordBatch, JoinError> {
    let count =
        u32::try_from(rows.num_rows()).map_err(|_| JoinError::TooManyRows { rows: rows.num_rows() })?;
    let places = Places::of(&rows);
    // One partition that was read from its beginning, as tables mostly are, is in order.
    if (1..rows.num_rows()).all(|row| places.compare(row - 1, row).is_le()) {
        return Ok(rows);
    }
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|a, b| places.compare(*a as usize, *b as usize));
    Ok(take_record_batch(&rows, &UInt32Array::from(order))?)
}
