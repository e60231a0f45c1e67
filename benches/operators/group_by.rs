//! Group-by beside a hash map: count, sum, min, max and average, from ten keys to a hundred thousand.
//!
//! All three halves run, as in a job: partial state of each morsel, merged, finished. The peer is what a
//! programmer writes in an afternoon: the standard map, one entry a key, rows one by one.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_ops::{AggregateFunction, AggregateSpec, GroupByMode, GroupBySpec};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

const SEED: u64 = 42;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, .. } = Size::of_this_run();
    for distinct in [10, 1_000, 100_000] {
        let keys = data::ints(4, rows, 0..distinct);
        let column = Arc::new(Int64Array::from(keys.clone()));
        contest(criterion, format!("int64 {distinct} keys"), &keys, column, |key| Row::new().int(*key));
    }
    // As many airports as there are: three letters.
    let keys = data::texts(5, rows, 300, 3);
    let column = Arc::new(StringArray::from_iter_values(&keys));
    contest(criterion, "utf8 300 keys".to_owned(), &keys, column, |key| Row::new().text(key));
}

fn contest<K: Ord + Hash>(
    criterion: &mut Criterion,
    name: String,
    keys: &[K],
    column: ArrayRef,
    row_of: impl Fn(&K) -> Row + Copy,
) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let values = data::ints(6, rows, -1000..1000);
    let batch =
        data::batch([("key", column), ("value", Arc::new(Int64Array::from(values.clone())) as ArrayRef)]);
    let morsels = data::morsels(&batch, morsel_rows);
    let row = move |(key, group): &(&K, Group)| group.add_to(row_of(key));
    let contest = Contest {
        group: "group_by",
        name,
        rows: rows as u64,
        bytes: data::bytes(&morsels),
        expected: checksum::of_rows(by_sorting(keys, &values).iter().map(row)),
    };
    let mut steps = Steps::new(&batch, morsel_rows);
    let ours = (|| steps.run(&morsels), |batch: &RecordBatch| checksum::of_batches([(Row::new(), batch)]));
    let theirs = (
        || by_hash_map(keys, &values),
        move |groups: &Vec<(&K, Group)>| checksum::of_rows(groups.iter().map(row)),
    );
    contest.with_peer(criterion, ours, "std HashMap", theirs);
}

/// Partial, merge, final.
struct Steps {
    partial: Runner,
    merge: Runner,
    last: Runner,
}

impl Steps {
    fn new(batch: &RecordBatch, morsel_rows: usize) -> Self {
        let aggregate = |function: AggregateFunction| {
            let name = function.name().to_owned();
            AggregateSpec::new(function, [(1, DataType::Int64)], name)
        };
        use AggregateFunction::{Avg, Max, Min, Sum};
        let partial = GroupBySpec {
            keys: vec![0],
            hashed: vec![0],
            seed: SEED,
            aggregates: vec![
                AggregateSpec::count("count"),
                aggregate(Sum),
                aggregate(Min),
                aggregate(Max),
                aggregate(Avg),
            ],
            mode: GroupByMode::Partial,
        };
        let (merge, last) = (partial.to_merge(), partial.to_final());
        let partial = Runner::new(&batch.schema(), partial, morsel_rows);
        // What is merged must stay one morsel: its keys would be in several otherwise.
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

/// What is known of a key.
#[derive(Clone, Copy)]
struct Group {
    count: i64,
    sum: i64,
    min: i64,
    max: i64,
}

impl Group {
    const EMPTY: Group = Group { count: 0, sum: 0, min: i64::MAX, max: i64::MIN };

    fn add(&mut self, value: i64) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn average(&self) -> f64 {
        self.sum as f64 / self.count as f64
    }

    fn add_to(&self, row: Row) -> Row {
        row.int(self.count).int(self.sum).int(self.min).int(self.max).float(self.average())
    }
}

fn by_hash_map<'a, K: Hash + Eq>(keys: &'a [K], values: &[i64]) -> Vec<(&'a K, Group)> {
    let mut groups: HashMap<&K, Group> = HashMap::new();
    for (key, value) in keys.iter().zip(values) {
        groups.entry(key).or_insert(Group::EMPTY).add(*value);
    }
    groups.into_iter().collect()
}

/// The expected result, by a way that shares nothing with either side: sort, then read off the runs.
fn by_sorting<'a, K: Ord>(keys: &'a [K], values: &[i64]) -> Vec<(&'a K, Group)> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| keys[*a].cmp(&keys[*b]));
    let run = |rows: &[usize]| {
        let mut group = Group::EMPTY;
        rows.iter().for_each(|row| group.add(values[*row]));
        (&keys[rows[0]], group)
    };
    order.chunk_by(|a, b| keys[*a] == keys[*b]).map(run).collect()
}
