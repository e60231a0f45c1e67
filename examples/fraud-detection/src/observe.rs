//! Looks at judged transactions as they come out: how late each one's score was, and how good it was.

use fraud_detection::input::FED;
use fraud_detection::metrics::{Outcome, Outcomes};
use sabot::ChannelReceiver;
use sabot::arrow::array::{Array, AsArray, RecordBatch};
use sabot::arrow::datatypes::{Float64Type, Int8Type, Int64Type, TimestampMicrosecondType};
use sabot::prelude::*;
use std::time::Instant;

use crate::paced::Pace;

/// Histories are short at first, and so is what can be seen: 30 days of a window, and 7 until labels are known.
const WARM_UP_MICROS: i64 = 37 * 86_400_000_000;

/// Columns that are looked at.
const COLUMNS: [&str; 5] = ["event_time", "score", "alert", "is_fraud", "fraud_scenario"];

/// What is looked at of judged transactions.
pub(crate) fn observed(judged: &Stream) -> sabot::Result<Stream> {
    let fed = judged.schema().index_of(FED).is_ok().then_some(FED);
    judged.clone().select(COLUMNS.into_iter().chain(fed).map(col).collect::<Vec<_>>())
}

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// Of transactions after the warm-up.
    pub(crate) outcomes: Outcomes,
    pub(crate) latency: Option<Latency>,
}

/// How long scores took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

/// Takes batches until there are no more. The warm-up counts from `earliest`, or from the first row where nobody says,
/// because there rows are in order. `paced` says when each row was due.
pub(crate) fn observe(
    mut rows: ChannelReceiver,
    earliest: Option<i64>,
    paced: Option<(Pace, Instant)>,
) -> Result<Observed, String> {
    // Counting what was seen, or moving it to a larger place, would take a while, and would count as latency.
    let expected = paced.map_or(0, |(pace, _)| usize::try_from(pace.rows()).unwrap_or(0));
    let counted = Outcomes::with_capacity(expected);
    let (mut outcomes, mut latencies) = (WarmingUp { earliest, counted }, Vec::with_capacity(expected));
    while let Some(batch) = rows.recv_blocking().map_err(|error| error.to_string())? {
        if let Some((pace, start)) = paced {
            let now = start.elapsed();
            let fed = batch.column_by_name(FED).ok_or("paced rows have no numbers")?;
            let due = fed.as_primitive::<Int64Type>().values().iter().filter_map(|row| pace.counted(*row));
            latencies
                .extend(due.map(|due| now.saturating_sub(due).as_micros().min(u128::from(u32::MAX)) as u32));
        }
        outcomes.take(&batch)?;
    }
    Ok(Observed { outcomes: outcomes.counted, latency: Latency::of(latencies) })
}

impl Latency {
    /// Of microseconds; none of none.
    fn of(mut micros: Vec<u32>) -> Option<Self> {
        micros.sort_unstable();
        // The smallest that so many are not above.
        let rank = |share: f64| {
            let rank = (share * micros.len() as f64).ceil() as usize;
            micros.get(rank.saturating_sub(1)).map(|micros| f64::from(*micros) / 1e3)
        };
        Some(Self { p50_ms: rank(0.5)?, p99_ms: rank(0.99)?, max_ms: rank(1.0)? })
    }
}

/// Outcomes of which those of the first days are left out.
#[derive(Debug, Default)]
struct WarmingUp {
    earliest: Option<i64>,
    counted: Outcomes,
}

impl WarmingUp {
    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let frauds = column("is_fraud")?.as_boolean();
        let scores = column("score")?.as_primitive::<Float64Type>();
        let alerts = column("alert")?.as_boolean();
        let scenarios = column("fraud_scenario")?.as_primitive::<Int8Type>();
        let times = column("event_time")?.as_primitive::<TimestampMicrosecondType>();
        for (row, time) in times.values().iter().enumerate() {
            let earliest = *self.earliest.get_or_insert(*time);
            // Nobody knows whether a row without a label was a fraud.
            if *time < earliest.saturating_add(WARM_UP_MICROS) || frauds.is_null(row) {
                continue;
            }
            let scenario = if scenarios.is_valid(row) { scenarios.value(row) } else { 0 };
            self.counted.push(Outcome {
                score: scores.is_valid(row).then(|| scores.value(row)),
                alert: alerts.is_valid(row) && alerts.value(row),
                fraud: frauds.value(row),
                scenario: u8::try_from(scenario).unwrap_or(0),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use sabot::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int8Array, TimestampMicrosecondArray};
    use std::sync::Arc;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(Latency::of(Vec::new()), None);
        let latency = Latency::of((1..=200).rev().map(|n| n * 1_000).collect());
        assert_eq!(latency, Some(Latency { p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 }));
        assert_eq!(Latency::of(vec![5_000]), Some(Latency { p50_ms: 5.0, p99_ms: 5.0, max_ms: 5.0 }));
    }

    #[test]
    fn the_warm_up_counts_from_what_is_known_or_from_the_first_row() {
        let batch = |times: &[i64]| {
            let rows = times.len();
            let columns: [(&str, ArrayRef); 5] = [
                ("event_time", Arc::new(TimestampMicrosecondArray::from(times.to_vec()))),
                ("score", Arc::new(Float64Array::from(vec![0.5; rows]))),
                ("alert", Arc::new(BooleanArray::from(vec![false; rows]))),
                ("is_fraud", Arc::new(BooleanArray::from(vec![false; rows]))),
                ("fraud_scenario", Arc::new(Int8Array::from(vec![0; rows]))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        for (earliest, counted) in [(None, 2), (Some(4), 3), (Some(6), 1)] {
            let mut all = WarmingUp { earliest, counted: Outcomes::default() };
            all.take(&batch(&[5, 90, WARM_UP_MICROS + 3, WARM_UP_MICROS + 4])).unwrap();
            all.take(&batch(&[WARM_UP_MICROS + 5, WARM_UP_MICROS + 6])).unwrap();
            assert_eq!(all.counted.len(), counted, "{earliest:?}");
        }
    }
}
