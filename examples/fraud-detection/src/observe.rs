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

/// Takes batches until there are no more. `pace` and `start` say when each row was due.
pub(crate) fn observe(mut rows: ChannelReceiver, paced: Option<(Pace, Instant)>) -> Result<Observed, String> {
    // Moving what was seen to a larger place would take a tenth of a second, and would count as latency.
    let expected = paced.map_or(0, |(pace, _)| usize::try_from(pace.rows()).unwrap_or(0));
    let (mut outcomes, mut latencies) = (WarmingUp::with_capacity(expected), Vec::with_capacity(expected));
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
    Ok(Observed { outcomes: outcomes.finish(), latency: Latency::of(latencies) })
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

/// Outcomes of which those of the first days are left out, where the first day is known only in the end: rows come as
/// the engine's tasks are done with them.
#[derive(Debug, Default)]
struct WarmingUp {
    earliest: Option<i64>,
    /// Certainly after the warm-up, whatever comes.
    counted: Outcomes,
    undecided: Vec<(i64, Outcome)>,
}

impl WarmingUp {
    fn with_capacity(rows: usize) -> Self {
        let (counted, undecided) = (Outcomes::with_capacity(rows), Vec::with_capacity(rows));
        Self { earliest: None, counted, undecided }
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column {name}"));
        let frauds = column("is_fraud")?.as_boolean();
        let scores = column("score")?.as_primitive::<Float64Type>();
        let alerts = column("alert")?.as_boolean();
        let scenarios = column("fraud_scenario")?.as_primitive::<Int8Type>();
        let times = column("event_time")?.as_primitive::<TimestampMicrosecondType>();
        for (row, time) in times.values().iter().enumerate() {
            self.earliest = Some(self.earliest.map_or(*time, |earliest| earliest.min(*time)));
            // Nobody knows whether a row without a label was a fraud.
            if frauds.is_null(row) {
                continue;
            }
            let scenario = if scenarios.is_valid(row) { scenarios.value(row) } else { 0 };
            self.push(
                *time,
                Outcome {
                    score: scores.is_valid(row).then(|| scores.value(row)),
                    alert: alerts.is_valid(row) && alerts.value(row),
                    fraud: frauds.value(row),
                    scenario: u8::try_from(scenario).unwrap_or(0),
                },
            );
        }
        Ok(())
    }

    fn push(&mut self, time: i64, outcome: Outcome) {
        // The earliest time can only become earlier.
        match self.is_warm(time) {
            true => self.counted.push(outcome),
            false => self.undecided.push((time, outcome)),
        }
    }

    fn is_warm(&self, time: i64) -> bool {
        self.earliest.is_some_and(|earliest| time >= earliest.saturating_add(WARM_UP_MICROS))
    }

    fn finish(mut self) -> Outcomes {
        let undecided = std::mem::take(&mut self.undecided);
        for (time, outcome) in undecided {
            if self.is_warm(time) {
                self.counted.push(outcome);
            }
        }
        self.counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        assert_eq!(Latency::of(Vec::new()), None);
        let latency = Latency::of((1..=200).rev().map(|n| n * 1_000).collect());
        assert_eq!(latency, Some(Latency { p50_ms: 100.0, p99_ms: 198.0, max_ms: 200.0 }));
        assert_eq!(Latency::of(vec![5_000]), Some(Latency { p50_ms: 5.0, p99_ms: 5.0, max_ms: 5.0 }));
    }

    #[test]
    fn the_warm_up_counts_from_the_earliest_whenever_it_comes() {
        let outcome = Outcome { score: None, alert: false, fraud: false, scenario: 0 };
        let mut all = WarmingUp::default();
        for time in [5, WARM_UP_MICROS + 4, WARM_UP_MICROS + 5, 4, WARM_UP_MICROS + 3, 90] {
            all.earliest = Some(all.earliest.map_or(time, |earliest| earliest.min(time)));
            all.push(time, outcome);
        }
        assert_eq!(all.finish().len(), 2);
    }
}
