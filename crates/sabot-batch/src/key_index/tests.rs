//! The table against a list searched from the front.

use super::*;
use arrow::array::{
    Array, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int64Array, LargeStringArray, NullArray, StringArray, TimestampMicrosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{TimeUnit, UnionFields, UnionMode};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_testkit::array::{Spread, random_array};
use std::sync::Arc;

use crate::key_hash::KeyValue;

/// A small generator of its own: these tests need numbers, not distributions.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Values of every type, among them all that are equal without being identical.
fn palette(data_type: &DataType) -> ArrayRef {
    use DataType::*;
    let nan2 = f64::from_bits(f64::NAN.to_bits() | 1);
    match data_type {
        Boolean => Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Int8 => Arc::new(Int8Array::from(vec![Some(-128), Some(127), None, Some(0)])),
        Int64 => Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0), Some(-1)])),
        UInt64 => Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(1 << 63), None, Some(0), Some(1)])),
        Float32 => Arc::new(Float32Array::from(vec![
            Some(-0.0),
            Some(0.0),
            Some(f32::NAN),
            Some(-f32::NAN),
            None,
            Some(f32::NEG_INFINITY),
            Some(1.5),
        ])),
        Float64 => Arc::new(Float64Array::from(vec![
            Some(-0.0),
            Some(0.0),
            Some(nan2),
            Some(-f64::NAN),
            None,
            Some(f64::INFINITY),
            Some(-1.5),
        ])),
        Utf8 => Arc::new(StringArray::from(texts())),
        LargeUtf8 => Arc::new(LargeStringArray::from(texts())),
        Date32 => Arc::new(Date32Array::from(vec![Some(i32::MIN), None, Some(19_000)])),
        Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => Arc::new(
            TimestampMicrosecondArray::from(vec![Some(-1), None, Some(i64::MAX)]).with_timezone("UTC"),
        ),
        Decimal128(_, _) => Arc::new(
            Decimal128Array::from(vec![Some(i128::MAX / 2), Some(i128::MIN / 2), None, Some(5), Some(-5)])
                .with_data_type(data_type.clone()),
        ),
        Null => Arc::new(NullArray::new(2)),
        // What the test kit draws: few values, and many.
        other => {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let parts = [(9, Spread::Narrow), (5, Spread::Wide)]
                .map(|(rows, spread)| random_array(&mut rng, other, rows, 0.2, spread));
            concat(&[parts[0].as_ref(), parts[1].as_ref()]).unwrap()
        }
    }
}

fn texts() -> Vec<Option<&'static str>> {
    vec![
        Some(""),
        None,
        Some("a"),
        Some("a\0"),
        Some("exactly12byt"),
        Some("thirteen bytes"),
        Some("thirteen bytez"),
        Some("thir and some more text than fits"),
        Some("é"),
        Some("zzzzzzzzzzzz"),
    ]
}

fn all_types() -> Vec<DataType> {
    let mut all: Vec<DataType> =
        sabot_testkit::array::types().into_iter().filter(KeyIndex::supports).collect();
    all.push(DataType::Decimal128(38, 2));
    all.push(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    all
}

/// A key as text in canonical form: what equality means, said in the dullest way.
fn key_text(columns: &[ArrayRef], row: usize) -> String {
    columns
        .iter()
        .map(|c| format!("{:?}", KeyValue::from_array(c, row).unwrap()))
        .map(one_zero)
        .collect::<Vec<_>>()
        .join("|")
}

/// Debug text prints every NaN as `NaN`; zeros it tells apart.
fn one_zero(text: String) -> String {
    text.replace("(-0.0)", "(0.0)")
}

fn random_column(data_type: &DataType, rows: usize, numbers: &mut Numbers) -> ArrayRef {
    let palette = palette(data_type);
    let indices: UInt32Array = (0..rows).map(|_| numbers.below(palette.len() as u64) as u32).collect();
    let plain = take(&palette, &indices, None).unwrap();
    if matches!(data_type, DataType::Utf8 | DataType::LargeUtf8) && numbers.below(2) == 0 {
        let keys = indices.iter().map(|i| i.map(|i| i as i16)).collect();
        return Arc::new(DictionaryArray::<arrow::datatypes::Int16Type>::try_new(keys, palette).unwrap());
    }
    plain
}

/// How hashes are made: full width, or so poor that salts collide all the time.
fn weak_hash(text: &str, bits: u32) -> u64 {
    let full =
        text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    if bits == 0 { 0 } else { full >> (64 - bits) | (full >> (64 - bits)) << 32 }
}

fn check(types: &[DataType], rows: usize, batches: usize, hash_bits: u32, seed: u64) {
    let mut numbers = Numbers(seed);
    let kept: Vec<DataType> = types.iter().map(canonical_type).collect();
    let mut index = KeyIndex::new(&kept).unwrap();
    let mut reference: Vec<String> = Vec::new();
    let mut seen: Vec<Vec<ArrayRef>> = vec![Vec::new(); types.len()];
    let mut ids = Vec::new();
    for _ in 0..batches {
        let whole: Vec<ArrayRef> = types.iter().map(|t| random_column(t, rows + 3, &mut numbers)).collect();
        let columns: Vec<ArrayRef> = whole.iter().map(|c| c.slice(3, rows)).collect();
        let keys: Vec<String> = (0..rows).map(|row| key_text(&columns, row)).collect();
        let hashes: Vec<u64> = keys.iter().map(|k| weak_hash(k, hash_bits)).collect();
        index.upsert(&columns, &hashes, &mut ids).unwrap();
        let expected: Vec<u32> = keys
            .iter()
            .map(|key| {
                let place = reference.iter().position(|r| r == key).unwrap_or_else(|| {
                    reference.push(key.clone());
                    reference.len() - 1
                });
                place as u32
            })
            .collect();
        assert_eq!(ids, expected, "types {types:?}, hash bits {hash_bits}, seed {seed}");
        for (all, column) in seen.iter_mut().zip(columns) {
            all.push(column);
        }
    }
    assert_eq!(index.len(), reference.len());
    let stored = index.key_columns().unwrap();
    let texts: Vec<String> = (0..index.len()).map(|row| key_text(&stored, row)).collect();
    if types.is_empty() {
        assert_eq!(texts.len(), 1.min(rows * batches));
    } else {
        assert_eq!(texts, reference);
    }
}

#[test]
fn every_type_with_good_and_with_terrible_hashes() {
    for data_type in all_types() {
        for bits in [0, 1, 3, 64] {
            for rows in [0, 1, 31, 33, 1023, 1025] {
                check(std::slice::from_ref(&data_type), rows, 2, bits, u64::from(bits) + rows as u64);
            }
        }
    }
}

#[test]
fn several_columns_and_no_column() {
    let types = all_types();
    for seed in 0..40 {
        let mut numbers = Numbers(seed);
        let columns = numbers.below(4) as usize;
        let picked: Vec<DataType> =
            (0..columns).map(|_| types[numbers.below(types.len() as u64) as usize].clone()).collect();
        check(&picked, 300, 4, [64, 8, 2][seed as usize % 3], seed);
    }
}

#[test]
fn many_keys_grow_the_table() {
    let values: Vec<i64> = (0..50_000).map(|i| i * 7919 % 50_021).collect();
    let column: ArrayRef = Arc::new(Int64Array::from(values));
    let mut hashes = Vec::new();
    crate::key_hash::KeyHasher::new(1).hash_columns(std::slice::from_ref(&column), &mut hashes).unwrap();
    let mut index = KeyIndex::new(&[DataType::Int64]).unwrap();
    let mut ids = Vec::new();
    index.upsert(std::slice::from_ref(&column), &hashes, &mut ids).unwrap();
    assert!(ids.iter().enumerate().all(|(i, id)| i == *id as usize));
    index.upsert(std::slice::from_ref(&column), &hashes, &mut ids).unwrap();
    assert_eq!(index.len(), 50_000);
    assert_eq!(&index.key_columns().unwrap()[0], &column);
    assert_eq!(index.hashes(), hashes);
    let bytes = index.bytes();
    index.clear();
    assert!(index.is_empty() && index.bytes() >= bytes / 2);
    index.upsert(&[column.slice(5, 2)], &hashes[5..7], &mut ids).unwrap();
    assert_eq!(ids, [0, 1]);
}

#[test]
fn ranges_of_a_prepared_batch_find_the_same_keys() {
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a", "c", "b"]));
    let columns = [column];
    let hashes = [1, 2, 1, 3, 2];
    let mut index = KeyIndex::new(&[DataType::Utf8]).unwrap();
    let batch = KeyBatch::new(index.types(), &columns, 5).unwrap();
    let mut ids = Vec::new();
    index.upsert_rows(&batch, 1..3, &hashes, &mut ids).unwrap();
    assert_eq!(ids, [0, 1]);
    index.upsert_rows(&batch, 0..5, &hashes, &mut ids).unwrap();
    assert_eq!(ids, [1, 0, 1, 2, 0]);
}

#[test]
fn prefixes_sort_at_both_ends_of_their_range() {
    let cases: [&[Option<u64>]; 6] = [
        &[],
        &[None],
        &[Some(0), Some(u64::MAX), None, Some(1)],
        &[Some(u64::MAX), Some(u64::MAX)],
        &[None, Some(3 << 40), Some(1 << 40), None, Some(2 << 40), Some(1 << 40)],
        &[Some(5), Some(4), Some(4)],
    ];
    for prefixes in cases {
        let mut ids = vec![7];
        // Ids of equal prefix in falling order, so that it shows when they are not compared.
        super::sort::by_prefix(prefixes, false, &mut ids, |a, b| b.cmp(&a));
        let mut expected: Vec<u32> = (0..prefixes.len() as u32).rev().collect();
        expected.sort_by_key(|id| (prefixes[*id as usize].is_none(), prefixes[*id as usize]));
        assert_eq!(ids, expected, "{prefixes:?}");
    }
}

#[test]
fn ids_sort_in_the_total_order() {
    let types = all_types();
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let first = types[seed as usize % types.len()].clone();
        let second = types[numbers.below(types.len() as u64) as usize].clone();
        let columns = [random_column(&first, 40, &mut numbers), random_column(&second, 40, &mut numbers)];
        let hashes: Vec<u64> = (0..40).map(|row| weak_hash(&key_text(&columns, row), 64)).collect();
        let mut index = KeyIndex::new(&[canonical_type(&first), canonical_type(&second)]).unwrap();
        index.upsert(&columns, &hashes, &mut Vec::new()).unwrap();
        let mut ids = Vec::new();
        index.sorted_ids(&mut ids);
        assert_eq!(ids.len(), index.len());
        assert!(ids.windows(2).all(|w| index.compare(w[0], w[1]).is_lt()));
        // The order that Arrow's row format gives, which sinks merge by.
        let stored = index.take(&ids).unwrap();
        let options = arrow::compute::SortOptions { descending: false, nulls_first: false };
        let fields = stored
            .iter()
            .map(|c| arrow::row::SortField::new_with_options(c.data_type().clone(), options))
            .collect();
        let rows = arrow::row::RowConverter::new(fields).unwrap().convert_columns(&stored).unwrap();
        assert!((1..rows.num_rows()).all(|i| rows.row(i - 1) < rows.row(i)), "seed {seed}");
    }
}

#[test]
fn quick_hashes_are_equal_for_equal_keys_and_spread() {
    for data_type in all_types() {
        let mut numbers = Numbers(3);
        let types = [data_type.clone(), DataType::Utf8];
        let columns =
            [random_column(&data_type, 200, &mut numbers), random_column(&types[1], 200, &mut numbers)];
        let mut hashes = Vec::new();
        let kept = types.each_ref().map(canonical_type);
        KeyBatch::new(&kept, &columns, 200).unwrap().quick_hashes(9, &mut hashes);
        let mut known = std::collections::HashMap::new();
        for (row, hash) in hashes.iter().enumerate() {
            assert_eq!(known.entry(key_text(&columns, row)).or_insert(*hash), hash, "{data_type} row {row}");
        }
        let distinct: std::collections::HashSet<u64> = known.values().map(|h| h & 0xffff_ffff).collect();
        assert_eq!(distinct.len(), known.len(), "{data_type}: low halves collide");
    }
    // Multiples of a power of two are what window starts look like.
    let starts: ArrayRef = Arc::new(Int64Array::from_iter_values((0..4096).map(|i| i << 32)));
    let (columns, mut hashes) = ([starts], Vec::new());
    KeyBatch::new(&[DataType::Int64], &columns, 4096).unwrap().quick_hashes(0, &mut hashes);
    let slots: std::collections::HashSet<u64> = hashes.iter().map(|h| h % 8192).collect();
    assert!(slots.len() > 3000, "{} of 8192 slots for 4096 keys", slots.len());
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    let mut index = KeyIndex::new(&[DataType::Int64]).unwrap();
    let ints: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let mut ids = Vec::new();
    let error = index.upsert(&[text], &[0], &mut ids).unwrap_err();
    assert!(matches!(error, KeyIndexError::ColumnType { column: 0, .. }), "{error}");
    let error = index.upsert(&[], &[0], &mut ids).unwrap_err();
    assert_eq!(error, KeyIndexError::ColumnCount { got: 0, expected: 1 });
    let error = index.upsert(&[ints], &[0, 0], &mut ids).unwrap_err();
    assert!(matches!(error, KeyIndexError::Length { got: 1, expected: 2, .. }));
    let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
    assert!(KeyIndex::new(&[union]).unwrap_err().to_string().contains("Union"));
}

#[test]
fn replaced_strings_do_not_pile_up() {
    let long = |i: usize| format!("a string that is too long to be kept inline, number {i:08}");
    let column: ArrayRef = Arc::new(StringArray::from((0..1000).map(long).collect::<Vec<_>>()));
    let texts = text::Texts::new(column.as_ref()).unwrap().unwrap();
    let mut store = text::TextStore::default();
    store.resize_with_nulls(3);
    for row in 0..1000 {
        store.set(1, &texts, row);
        assert_eq!(store.get(1), Some(long(row).as_bytes()));
    }
    assert_eq!((store.get(0), store.get(2)), (None, None));
    assert!(store.allocated_bytes() < 40_000, "{} bytes", store.allocated_bytes());
    let joined = concat(&[&column.slice(999, 1)]).unwrap();
    let mut builder = text::TextBuilder::default();
    builder.append(&store, &[1]);
    assert_eq!(&builder.finish(&DataType::Utf8).unwrap(), &joined);
}
