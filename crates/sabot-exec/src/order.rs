//! One total order for what several tasks produce.
//!
//! Rows are held until the watermark says that nothing before them can come, then leave sorted by
//! (event time, source partition, row number, key). A row that was late at its source stands where its
//! partition's watermark stood when it came: that place depends on the partition alone, so the order is
//! the same for any number of workers and any cut into morsels. Streams without event time are ordered
//! once, at their end.

use arrow::array::{BinaryArray, Int64Array, UInt32Array, UInt64Array};
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_batch::hidden;
use sabot_common::EventTime;
use std::cmp::Ordering;

/// Rows that wait for their turn.
#[derive(Default)]
pub(crate) struct OrderBuffer {
    batches: Vec<Held>,
    rows: usize,
    bytes: usize,
    /// Rows that were looked at in vain last time: looking again pays only when as many have come.
    examined: usize,
    watermark: Option<EventTime>,
}

struct Held {
    input: usize,
    batch: RecordBatch,
    times: Option<Int64Array>,
    lateness: Option<Int64Array>,
    partitions: Option<UInt32Array>,
    numbers: Option<UInt64Array>,
    keys: Option<BinaryArray>,
    /// Rows before this one have left.
    left: Vec<bool>,
}

#[derive(Clone, Copy)]
struct Entry {
    time: i64,
    partition: u32,
    number: u64,
    batch: u32,
    row: u32,
}

impl OrderBuffer {
    /// Takes rows from an input.
    pub(crate) fn push(&mut self, input: usize, batch: RecordBatch, bytes: usize) {
        if batch.num_rows() == 0 {
            return;
        }
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.batches.push(Held {
            input,
            times: hidden::times(&batch).cloned(),
            lateness: hidden::lateness(&batch).cloned(),
            partitions: hidden::partitions(&batch).cloned(),
            numbers: hidden::row_numbers(&batch).cloned(),
            keys: hidden::keys(&batch).cloned(),
            left: vec![false; batch.num_rows()],
            batch,
        });
    }

    /// Bytes of the rows that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes a watermark and gives the rows that may leave, in order, in batches of at most `rows`.
    /// Unless `all`, it may wait for more rows first, so that each row is looked at a bounded number
    /// of times on average.
    pub(crate) fn release(
        &mut self,
        watermark: EventTime,
        rows: usize,
        all: bool,
    ) -> Result<Vec<RecordBatch>, ArrowError> {
        self.watermark = self.watermark.max(Some(watermark));
        if self.rows == 0 || (!all && self.rows < self.examined * 2 + rows) {
            return Ok(Vec::new());
        }
        let mut due = self.due(if all { EventTime::MAX } else { watermark });
        due.sort_by(|a, b| self.compare(a, b));
        let batches = self.gather(&due, rows.max(1))?;
        self.forget(&due);
        self.examined = self.rows;
        Ok(batches)
    }

    fn due(&self, watermark: EventTime) -> Vec<Entry> {
        let mut due = Vec::with_capacity(self.rows);
        for (index, held) in self.batches.iter().enumerate() {
            for row in (0..held.batch.num_rows()).filter(|row| !held.left[*row]) {
                let time = held.times.as_ref().map_or(0, |t| t.value(row));
                let place = time.saturating_add(held.lateness.as_ref().map_or(0, |l| l.value(row)));
                if place <= watermark.micros() {
                    due.push(Entry {
                        time: place,
                        partition: held.partitions.as_ref().map_or(0, |p| p.value(row)),
                        number: held.numbers.as_ref().map_or(0, |n| n.value(row)),
                        batch: index as u32,
                        row: row as u32,
                    });
                }
            }
        }
        due
    }

    /// The order; rows equal in all of it keep the order of their input.
    fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        let place = (a.time, a.partition, a.number).cmp(&(b.time, b.partition, b.number));
        place.then_with(|| {
            let (x, y) = (&self.batches[a.batch as usize], &self.batches[b.batch as usize]);
            let keys = match (&x.keys, &y.keys) {
                (Some(k), Some(l)) => k.value(a.row as usize).cmp(l.value(b.row as usize)),
                _ => Ordering::Equal,
            };
            keys.then(x.input.cmp(&y.input))
        })
    }

    fn gather(&self, due: &[Entry], rows: usize) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut out = Vec::with_capacity(due.len().div_ceil(rows));
        let visible: Vec<RecordBatch> = self.batches.iter().map(|h| hidden::visible_batch(&h.batch)).collect();
        for part in due.chunks(rows) {
            let (first, last) = (part[0], part[part.len() - 1]);
            let span = last.row.wrapping_sub(first.row) as usize + 1;
            let one_run = first.batch == last.batch
                && span == part.len()
                && part.windows(2).all(|w| w[0].batch == w[1].batch && w[0].row + 1 == w[1].row);
            if one_run {
                // Rows of one task that are in order already: nothing needs to be moved.
                out.push(visible[first.batch as usize].slice(first.row as usize, part.len()));
                continue;
            }
            let indices: Vec<(usize, usize)> = part.iter().map(|e| (e.batch as usize, e.row as usize)).collect();
            let sources: Vec<&RecordBatch> = visible.iter().collect();
            out.push(interleave_record_batch(&sources, &indices)?);
        }
        Ok(out)
    }

    fn forget(&mut self, due: &[Entry]) {
        for entry in due {
            self.batches[entry.batch as usize].left[entry.row as usize] = true;
        }
        self.rows -= due.len();
        let mut freed = 0;
        self.batches.retain(|held| {
            let keep = held.left.iter().any(|left| !left);
            if !keep {
                freed += 1;
            }
            keep
        });
        if self.batches.is_empty() {
            self.bytes = 0;
        } else if freed > 0 {
            self.bytes =
                self.batches.iter().map(|h| sabot_batch::Morsel::new(h.batch.clone()).bytes()).sum();
        }
    }

    /// The latest watermark.
    pub(crate) fn watermark(&self) -> EventTime {
        self.watermark.unwrap_or(EventTime::MIN)
    }
}
