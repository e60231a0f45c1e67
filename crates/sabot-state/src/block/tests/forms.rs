//! The same rows in other clothes have the same bytes.

use super::*;
use arrow::array::{
    Array, BooleanArray, DictionaryArray, Int32Array, StringArray, StringViewArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{concat, nullif, take};
use arrow::datatypes::Int8Type;

fn bytes_of(column: &ArrayRef) -> Vec<u8> {
    let groups = (0..column.len()).map(|row| (row / 3) as u16).collect();
    encode(&[batch_of(column.clone(), groups)], everything(), ORIGIN).unwrap()
}

fn has_mask(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Null | DataType::Union(..) | DataType::RunEndEncoded(..))
}

#[test]
fn offsets_and_neighbours_leave_no_trace() {
    for (number, data_type) in types().iter().enumerate() {
        for (round, rows) in [0usize, 1, 7, 64, 65, 200].into_iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64((number * 64 + round) as u64);
            let draw = |rng: &mut ChaCha8Rng, rows| random_array(rng, data_type, rows, 0.3, Spread::Narrow);
            let column = draw(&mut rng, rows);
            let wanted = bytes_of(&column);
            let (before, after) = (draw(&mut rng, 13), draw(&mut rng, 5));
            let among = concat(&[&before, &column, &after]).unwrap().slice(13, rows);
            assert_eq!(bytes_of(&among), wanted, "{data_type}, {rows} rows, among others");
            let all: Int32Array = (0..rows as i32).collect();
            let taken = take(&column, &all, None).unwrap();
            assert_eq!(bytes_of(&taken), wanted, "{data_type}, {rows} rows, taken");
        }
    }
}

#[test]
fn what_stands_under_nulls_leaves_no_trace() {
    for (number, data_type) in types().iter().enumerate().filter(|(_, t)| has_mask(t)) {
        for rows in [1usize, 9, 130] {
            let mut rng = ChaCha8Rng::seed_from_u64((number + rows) as u64);
            let hidden: BooleanArray = (0..rows).map(|_| Some(rng.random_bool(0.4))).collect();
            let mut draw = |nulls| random_array(&mut rng, data_type, rows, nulls, Spread::Wide);
            let (column, poison) = (draw(0.2), draw(0.0));
            let other = zip(&hidden, &poison, &column).unwrap();
            let hide = |column: &ArrayRef| nullif(column, &hidden).unwrap();
            assert_eq!(bytes_of(&hide(&column)), bytes_of(&hide(&other)), "{data_type}, {rows} rows");
        }
    }
}

#[test]
fn a_mask_without_nulls_is_none() {
    for data_type in types().iter().filter(|t| has_mask(t)) {
        let column = random_array(&mut ChaCha8Rng::seed_from_u64(9), data_type, 20, 0.0, Spread::Wide);
        let all = NullBuffer::new(BooleanBuffer::new(Buffer::from([0xff; 4]), 3, 20));
        let masked = column.to_data().into_builder().nulls(Some(all)).build().unwrap();
        assert_eq!(bytes_of(&make_array(masked)), bytes_of(&column), "{data_type}");
    }
}

#[test]
fn dictionaries_hold_what_is_used_once() {
    let keys = |keys: &[Option<i8>]| keys.iter().copied().collect::<arrow::array::Int8Array>();
    let of = |k, values: Vec<Option<&str>>| {
        let values = Arc::new(StringArray::from(values));
        Arc::new(DictionaryArray::<Int8Type>::new(k, values)) as ArrayRef
    };
    let plain = of(keys(&[Some(0), Some(1), None, Some(0)]), vec![Some("b"), Some("a")]);
    // Unused values, two equal ones, another order, and a null that is a value.
    let other = of(
        keys(&[Some(4), Some(1), Some(2), Some(3)]),
        vec![Some("x"), Some("a"), None, Some("b"), Some("b")],
    );
    assert_eq!(bytes_of(&plain), bytes_of(&other));
    // And the rows are those.
    let back = decode(bytes_of(&other), everything()).unwrap();
    assert_eq!(back[0].column(1).to_data(), plain.to_data());
}

#[test]
fn views_forget_their_buffers() {
    let long = "a text of more than twelve bytes";
    let plain =
        StringViewArray::from(vec![Some(long), Some("short"), None, Some("twelve bytes"), Some(long)]);
    let shared = take(&plain, &Int32Array::from(vec![0, 1, 2, 3, 0]), None).unwrap();
    assert_eq!(bytes_of(&(Arc::new(plain) as ArrayRef)), bytes_of(&shared));
}

#[test]
fn values_keep_their_bits() {
    let floats =
        |values: Vec<f64>| bytes_of(&(Arc::new(arrow::array::Float64Array::from(values)) as ArrayRef));
    assert_ne!(floats(vec![0.0]), floats(vec![-0.0]));
    assert_ne!(floats(vec![f64::NAN]), floats(vec![f64::from_bits(f64::NAN.to_bits() | 1)]));
}

#[test]
fn canary_other_rows_have_other_bytes() {
    for (number, data_type) in types().iter().enumerate().filter(|(_, t)| *t != &DataType::Null) {
        let mut rng = ChaCha8Rng::seed_from_u64(number as u64);
        let mut draw = || bytes_of(&random_array(&mut rng, data_type, 40, 0.1, Spread::Wide));
        assert_ne!(draw(), draw(), "{data_type}");
    }
}

#[test]
fn metadata_has_one_order() {
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let names: Vec<String> = (0..20).map(|i| format!("key {i}")).collect();
    let with = |names: Vec<&String>| {
        let map: HashMap<String, String> = names.iter().map(|n| ((*n).clone(), (*n).clone())).collect();
        let batch = batch_of(column.clone(), vec![0]);
        let fields: Vec<Field> =
            batch.schema().fields().iter().map(|f| f.as_ref().clone().with_metadata(map.clone())).collect();
        let schema = Schema::new(fields).with_metadata(map);
        encode(
            &[RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec()).unwrap()],
            everything(),
            ORIGIN,
        )
    };
    // Each map has an order of its own.
    let first = with(names.iter().collect()).unwrap();
    for _ in 0..10 {
        assert_eq!(with(names.iter().rev().collect()).unwrap(), first);
    }
}
