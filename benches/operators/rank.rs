//! Ranking beside what a programmer writes: a full sort, the first ten of all, the first three of each key.
//!
//! Rows come as morsels; the result is the rows in their order, each with its number, so a wrong order is
//! a wrong checksum.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{Field, Int64Type, Schema};
use criterion::Criterion;
use sabot_batch::hidden;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use sabot_cpu::rank::{RankKeys, RankOrder};
use sabot_ops::{RankSpec, SortKey};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let by_value = RankSpec { order: vec![SortKey::descending(1)], ..RankSpec::default() };
    contest(criterion, "sort int64", by_value.clone());
    contest(criterion, "top 10", RankSpec { fetch: Some(10), ..by_value.clone() });
    contest(criterion, "top 3 of 1000 keys", RankSpec { groups: vec![0], fetch: Some(3), ..by_value });
}

fn contest(criterion: &mut Criterion, name: &str, spec: RankSpec) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let (keys, values) = (data::ints(11, rows, 0..1_000), data::ints(12, rows, 0..1_000_000));
    let batch = table(&keys, &values);
    let morsels = data::morsels(&batch, morsel_rows);
    let result = expected(&spec, &keys, &values);
    let contest = Contest {
        group: "rank",
        name: name.to_owned(),
        rows: rows as u64,
        bytes: data::bytes(&morsels),
        expected: checksum::of_rows(result.iter().map(row)),
    };
    let order = RankOrder::new(&spec, batch.schema_ref()).expect("a ranking of these columns");
    let ours =
        (|| ranked(&order, &morsels), |rows: &Vec<(u64, i64, i64)>| checksum::of_rows(rows.iter().map(row)));
    let theirs = (
        || by_hand(&spec, &keys, &values),
        |rows: &Vec<(u64, i64, i64)>| checksum::of_rows(rows.iter().map(row)),
    );
    contest.with_peer(criterion, ours, "Vec::sort", theirs);
}

fn table(keys: &[i64], values: &[i64]) -> RecordBatch {
    let mut fields = vec![
        Field::new("key", arrow::datatypes::DataType::Int64, false),
        Field::new("value", arrow::datatypes::DataType::Int64, false),
    ];
    fields.extend(hidden::field(hidden::ROW));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        Arc::new(Int64Array::from(values.to_vec())),
        Arc::new(UInt64Array::from_iter_values(0..keys.len() as u64)),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns of one length")
}

fn row((number, key, value): &(u64, i64, i64)) -> Row {
    Row::new().int(number.cast_signed()).int(*key).int(*value)
}

fn ranked(order: &RankOrder, morsels: &[RecordBatch]) -> Vec<(u64, i64, i64)> {
    let keys: Vec<RankKeys> = morsels.iter().map(|m| order.encode(m).expect("planned rows")).collect();
    let ranked = order.rank(&keys.iter().collect::<Vec<_>>(), false);
    let places: Vec<(usize, usize)> = ranked.iter().map(|r| (r.batch as usize, r.row as usize)).collect();
    let rows =
        interleave_record_batch(&morsels.iter().collect::<Vec<_>>(), &places).expect("rows of one schema");
    let column = |i: usize| rows.column(i).as_primitive::<Int64Type>().values().clone();
    let (keys, values) = (column(0), column(1));
    ranked.iter().zip(keys.iter().zip(values.iter())).map(|(r, (k, v))| (r.number, *k, *v)).collect()
}

/// Sorts places, group by group.
fn by_hand(spec: &RankSpec, keys: &[i64], values: &[i64]) -> Vec<(u64, i64, i64)> {
    let mut groups: HashMap<i64, Vec<usize>> = HashMap::new();
    for (place, key) in keys.iter().enumerate() {
        groups.entry(if spec.groups.is_empty() { 0 } else { *key }).or_default().push(place);
    }
    let mut kept = Vec::new();
    for mut places in groups.into_values() {
        places.sort_by(|a, b| values[*b].cmp(&values[*a]));
        let places = (0u64..).zip(places).filter(|(number, _)| spec.keeps(*number));
        kept.extend(places.map(|(number, place)| (number, keys[place], values[place])));
    }
    kept
}

/// The same by counting who stands before whom, of the few that are checked, or by one sort of all.
fn expected(spec: &RankSpec, keys: &[i64], values: &[i64]) -> Vec<(u64, i64, i64)> {
    let group = |place: usize| if spec.groups.is_empty() { 0 } else { keys[place] };
    let mut places: Vec<(i64, i64, usize)> = (0..keys.len()).map(|p| (group(p), -values[p], p)).collect();
    places.sort_unstable();
    let mut numbered = Vec::new();
    let (mut number, mut before) = (0, None);
    for (group, _, place) in places {
        number = if before == Some(group) { number + 1 } else { 0 };
        before = Some(group);
        if spec.keeps(number) {
            numbered.push((number, keys[place], values[place]));
        }
    }
    numbered
}
