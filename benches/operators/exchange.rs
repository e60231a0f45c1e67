//! The exchange: rows to the tasks that own their keys, beside copying the same rows once.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use criterion::Criterion;
use sabot_batch::key_hash::{KeyValue, reference_hash};
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_common::KeyGroups;
use sabot_ops::PartitionSpec;
use std::sync::Arc;

const SEED: u64 = 42;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    for distinct in [10, 1_000, 1_000_000] {
        contest(criterion, distinct, 4);
    }
    contest(criterion, 1_000_000, 16);
}

fn contest(criterion: &mut Criterion, distinct: i64, parallelism: u32) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let (keys, amounts) = (data::ints(10, rows, 0..distinct), data::floats(11, rows));
    let airports = data::texts(12, rows, 300, 3);
    let batch = data::batch([
        ("key", Arc::new(Int64Array::from(keys.clone())) as ArrayRef),
        ("amount", Arc::new(Float64Array::from(amounts.clone()))),
        ("airport", Arc::new(StringArray::from_iter_values(&airports))),
    ]);
    let morsels = data::morsels(&batch, morsel_rows);
    let spec = PartitionSpec { keys: vec![0], seed: SEED, key_groups: KeyGroups::default(), parallelism };
    let groups = u64::from(spec.key_groups.count());
    // Group and task as architecture and key-hash.md define them, not by the engine's own functions.
    let target = |key: i64| {
        let group = ((reference_hash(SEED, &[KeyValue::Signed(key)]) >> 32) * groups) >> 32;
        group * u64::from(parallelism) / groups
    };
    let row = |i: usize| start(target(keys[i])).int(keys[i]).float(amounts[i]).text(&airports[i]);
    let bytes = data::bytes(&morsels);
    let contest = Contest {
        group: "exchange",
        name: format!("{distinct} keys to {parallelism} tasks"),
        rows: rows as u64,
        bytes,
        expected: checksum::of_rows((0..rows).map(row)),
    };
    let mut runner = Runner::new(&batch.schema(), spec, morsel_rows);
    let sum = |parts: &Vec<(u32, RecordBatch)>| {
        checksum::of_batches(parts.iter().map(|(target, batch)| (start(u64::from(*target)), batch)))
    };
    contest.with_ceiling(criterion, (|| runner.run(&morsels), sum), "copying the rows", data::copier(bytes));
}

/// A row that was sent to a target: where it went is part of the result.
fn start(target: u64) -> Row {
    Row::new().int(target.cast_signed())
}
