//! The key hash beside what memory allows: copying the bytes of the keys once.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use criterion::Criterion;
use sabot_batch::key_hash::{KeyHasher, KeyValue, reference_hash};
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

const SEED: u64 = 42;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    let Size { rows, .. } = Size::of_this_run();
    let ints = data::ints(7, rows, i64::MIN..i64::MAX);
    let short = data::texts(8, rows, 300, 3);
    let long = data::texts(9, rows, 1 << 40, 24);
    let number = |i: usize| KeyValue::Signed(ints[i]);
    let code = |i: usize| KeyValue::Text(short[i].clone());
    let name = |i: usize| KeyValue::Text(long[i].clone());
    let ints_column: ArrayRef = Arc::new(Int64Array::from(ints.clone()));
    let text = |values: &Vec<String>| -> ArrayRef { Arc::new(StringArray::from_iter_values(values)) };

    contest(criterion, "int64", data::batch([("a", ints_column.clone())]), |i| vec![number(i)]);
    contest(criterion, "utf8 of 3 bytes", data::batch([("a", text(&short))]), |i| vec![code(i)]);
    contest(criterion, "utf8 of 24 bytes", data::batch([("a", text(&long))]), |i| vec![name(i)]);
    let both = data::batch([("a", ints_column), ("b", text(&short))]);
    contest(criterion, "int64 and utf8", both, |i| vec![number(i), code(i)]);
}

fn contest(criterion: &mut Criterion, name: &str, keys: RecordBatch, key: impl Fn(usize) -> Vec<KeyValue>) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    let morsels = data::morsels(&keys, morsel_rows);
    // The slow form that follows the specification word by word.
    let expected = (0..rows).map(|i| reference_hash(SEED, &key(i)));
    let bytes = data::bytes(&morsels);
    let contest = Contest {
        group: "hash",
        name: name.to_owned(),
        rows: rows as u64,
        bytes,
        expected: checksum::of_rows(expected.map(|hash| Row::new().int(hash.cast_signed()))),
    };
    let columns: Vec<usize> = (0..keys.num_columns()).collect();
    let hasher = KeyHasher::new(SEED);
    // One buffer a morsel, kept: all are looked at afterwards, and allocating is not what is measured.
    let hashes = RefCell::new(vec![Vec::new(); morsels.len()]);
    let hash = || {
        for (morsel, out) in morsels.iter().zip(hashes.borrow_mut().iter_mut()) {
            hasher.hash_batch_columns(morsel, &columns, out).expect("columns that can be keys");
            black_box(out);
        }
    };
    let sum = |(): &()| {
        checksum::of_rows(
            hashes.borrow().iter().flatten().map(|hash: &u64| Row::new().int(hash.cast_signed())),
        )
    };
    contest.with_ceiling(criterion, (hash, sum), "copying the keys", data::copier(bytes));
}
