//! Tiny events, and waiting for something without a fixed sleep.

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use sabot::Engine;
use sabot_expr::Scalar;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events: time in µs, key, number.
pub(crate) fn events(rows: &[(i64, &str, i64)]) -> RecordBatch {
    let t: TimestampMicrosecondArray = rows.iter().map(|r| r.0).collect::<Vec<_>>().into();
    let k: StringArray = rows.iter().map(|r| r.1).collect::<Vec<_>>().into();
    let n: Int64Array = rows.iter().map(|r| r.2).collect::<Vec<_>>().into();
    RecordBatch::try_from_iter([("t", Arc::new(t) as ArrayRef), ("k", Arc::new(k)), ("n", Arc::new(n))])
        .unwrap()
}

/// The rows as text, one line each.
pub(crate) fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let line = |batch: &RecordBatch, row| {
        let value = |column: &ArrayRef| match Scalar::from_array(column, row).unwrap() {
            Scalar::Timestamp { value, .. } => value.to_string(),
            other => other.to_string(),
        };
        batch.columns().iter().map(value).collect::<Vec<_>>().join(" ")
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| line(batch, row))).collect()
}

/// Waits until something is so.
///
/// # Panics
/// After half a minute, with what is there instead.
pub(crate) fn wait_for<T: Debug>(what: &str, mut look: impl FnMut() -> T, so: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let found = look();
        if so(&found) {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not happen; there is {found:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A small engine.
pub(crate) fn engine() -> Engine {
    Engine::builder().workers(2).keyed_parallelism(2).build().unwrap()
}
