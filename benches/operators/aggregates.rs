//! Families of aggregate functions beside a hash map: different values, variance, and the first value by place.
//!
//! All three halves run, as in a job. The values are small integers, so that the expected variance is exact.

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use criterion::Criterion;
use sabot_batch::hidden;
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_ops::{AggregateFunction, AggregateSpec, GroupByMode, GroupBySpec};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, .. } = Size::of_this_run();
    let keys = data::ints(7, rows, 0..1_000);
    let values = data::ints(8, rows, -1_000..1_000);
    contest(criterion, "count_distinct", AggregateFunction::CountDistinct, &keys, &values, distinct);
    contest(criterion, "var_pop", AggregateFunction::VarPop, &keys, &values, variance);
    contest(criterion, "first", AggregateFunction::First, &keys, &values, first);
}

/// What a function gives over a group's values, in order.
type OfValues = fn(&[i64], Row) -> Row;

fn distinct(values: &[i64], row: Row) -> Row {
    row.int(values.iter().collect::<HashSet<_>>().len() as i64)
}

fn variance(values: &[i64], row: Row) -> Row {
    let (n, sum) = (values.len() as i64, values.iter().sum::<i64>());
    let squares: i64 = values.iter().map(|x| x * x).sum();
    row.float((n * squares - sum * sum) as f64 / (n * n) as f64)
}

fn first(values: &[i64], row: Row) -> Row {
    row.int(values[0])
}

fn contest(
    criterion: &mut Criterion,
    name: &str,
    function: AggregateFunction,
    keys: &[i64],
    values: &[i64],
    of_values: OfValues,
) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        Arc::new(Int64Array::from(values.to_vec())),
        Arc::new(UInt32Array::from(vec![0; rows])),
        Arc::new(UInt64Array::from_iter_values(0..rows as u64)),
    ];
    let names = ["key", "value", hidden::PARTITION, hidden::ROW];
    let fields: Vec<Field> =
        names.iter().zip(&columns).map(|(name, c)| Field::new(*name, c.data_type().clone(), false)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length");
    let morsels = data::morsels(&batch, morsel_rows);
    let mut sorted: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    keys.iter().zip(values).for_each(|(key, value)| sorted.entry(*key).or_default().push(*value));
    let row = move |(key, values): (&i64, &Vec<i64>)| of_values(values, Row::new().int(*key));
    let contest = Contest {
        group: "aggregates",
        name: format!("{name} of int64, 1000 keys"),
        rows: rows as u64,
        bytes: data::bytes(&morsels),
        expected: checksum::of_rows(sorted.iter().map(row)),
    };
    let mut steps = Steps::new(&batch, function, morsel_rows);
    let ours = (|| steps.run(&morsels), |batch: &RecordBatch| checksum::of_batches([(Row::new(), batch)]));
    let theirs = (
        || by_hash_map(keys, values),
        move |groups: &HashMap<i64, Vec<i64>>| checksum::of_rows(groups.iter().map(row)),
    );
    contest.with_peer(criterion, ours, "std HashMap of Vec", theirs);
}

/// Gathers values only; what is made of them is not even timed.
fn by_hash_map(keys: &[i64], values: &[i64]) -> HashMap<i64, Vec<i64>> {
    let mut groups: HashMap<i64, Vec<i64>> = HashMap::new();
    keys.iter().zip(values).for_each(|(key, value)| groups.entry(*key).or_default().push(*value));
    groups
}

/// Partial, merge, final.
struct Steps {
    partial: Runner,
    merge: Runner,
    last: Runner,
}

impl Steps {
    fn new(batch: &RecordBatch, function: AggregateFunction, morsel_rows: usize) -> Self {
        let partial = GroupBySpec {
            keys: vec![0],
            hashed: vec![0],
            seed: 42,
            aggregates: vec![AggregateSpec::new(function, [(1, DataType::Int64)], "result")],
            mode: GroupByMode::Partial,
        };
        let (merge, last) = (partial.to_merge(), partial.to_final());
        let partial = Runner::new(&batch.schema(), partial, morsel_rows);
        let merge = Runner::new(partial.output(), merge, usize::MAX);
        let last = Runner::new(merge.output(), last, usize::MAX);
        Self { partial, merge, last }
    }

    fn run(&mut self, morsels: &[RecordBatch]) -> RecordBatch {
        let states = self.partial.rows(morsels);
        let states = concat_batches(self.partial.output(), &states).expect("batches of one schema");
        let merged = self.merge.rows(&[states]);
        let results = self.last.rows(&merged);
        concat_batches(self.last.output(), &results).expect("batches of one schema")
    }
}
