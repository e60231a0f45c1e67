//! Transactions let in at a rate, as if they happened now.
//!
//! Row i is due i / rate seconds after the start, whatever became of the rows before it. When the pipeline stalls, rows
//! pile up in front of it and their latency grows, as it would for whoever waits; a source that waited with them
//! would hide that.

use sabot::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sabot::arrow::datatypes::{DataType, Field, Schema};
use sabot::arrow::error::ArrowError;
use sabot::{ChannelSender, ConnectError};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fraud_detection::input::FED;

/// Between two looks at the clock: what is due in between goes in together.
const TICK: Duration = Duration::from_millis(2);
/// Latencies of the first rows are those of code and memory that are used for the first time.
const WARM_UP: Duration = Duration::from_secs(10);

/// When rows are due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rate: u64,
    rows: u64,
    /// The first row whose latency counts.
    counts_from: u64,
}

impl Pace {
    /// So many rows a second. Of the first ten seconds nothing counts, where all rows last for twenty.
    pub(crate) fn new(rate: u64, rows: u64) -> Self {
        let warm_up = rate.saturating_mul(WARM_UP.as_secs());
        Self { rate, rows, counts_from: if rows >= warm_up.saturating_mul(2) { warm_up } else { 0 } }
    }

    /// How many rows there are.
    pub(crate) fn rows(self) -> u64 {
        self.rows
    }

    fn due(self, row: u64) -> Duration {
        Duration::from_nanos((u128::from(row) * 1_000_000_000 / u128::from(self.rate)) as u64)
    }

    /// Rows that are due after some time.
    fn rows_due(self, elapsed: Duration) -> u64 {
        u64::try_from(elapsed.as_nanos() * u128::from(self.rate) / 1_000_000_000).unwrap_or(u64::MAX) + 1
    }

    /// When a row was due, if its latency counts.
    pub(crate) fn counted(self, row: i64) -> Option<Duration> {
        u64::try_from(row).ok().filter(|row| *row >= self.counts_from).map(|row| self.due(row))
    }
}

/// The batches with a column that numbers their rows.
pub(crate) fn numbered(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut next = 0i64;
    let with_numbers = |batch: RecordBatch| {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((next..).take(batch.num_rows())));
        next += batch.num_rows() as i64;
        let fields = batch.schema_ref().fields().iter().cloned();
        let fields: Vec<_> = fields.chain([Arc::new(Field::new(FED, DataType::Int64, false))]).collect();
        let columns = batch.columns().iter().cloned().chain([numbers]).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    };
    batches.into_iter().map(with_numbers).collect()
}

/// Sends rows when they are due. Nobody may want them any more; then the job says why.
pub(crate) fn feed(batches: &[RecordBatch], sender: &ChannelSender, pace: Pace, start: Instant) {
    let mut sent = 0u64;
    for batch in batches {
        let mut offset = 0;
        while offset < batch.num_rows() {
            let now = start.elapsed();
            let due = pace.rows_due(now).saturating_sub(sent);
            if due == 0 {
                std::thread::sleep(pace.due(sent).saturating_sub(now).max(TICK));
                continue;
            }
            let rows = usize::try_from(due).unwrap_or(usize::MAX).min(batch.num_rows() - offset);
            let send: Result<(), ConnectError> = sender.send_blocking(batch.slice(offset, rows));
            if send.is_err() {
                return;
            }
            offset += rows;
            sent += rows as u64;
            // At most one lot a tick, unless more are due: many small ones would only make work.
            if rows as u64 == due {
                std::thread::sleep(TICK.saturating_sub(start.elapsed() - now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_due_at_their_rate_whatever_happens() {
        let pace = Pace::new(100_000, 7_000_000);
        assert_eq!(pace.due(250_000), Duration::from_millis(2_500));
        assert_eq!(pace.rows_due(Duration::ZERO), 1);
        assert_eq!(pace.rows_due(Duration::from_millis(1)), 101);
        assert_eq!(pace.counted(999_999), None);
        assert_eq!(pace.counted(1_000_000), Some(Duration::from_secs(10)));
        // Too short to wait for anything.
        assert_eq!(Pace::new(100_000, 1_999_999).counted(0), Some(Duration::ZERO));
        for row in [0, 1, 7, 1_000_003] {
            assert!(pace.rows_due(pace.due(row) + Duration::from_nanos(1)) > row);
        }
    }
}
