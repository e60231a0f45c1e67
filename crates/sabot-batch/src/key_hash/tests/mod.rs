//! The key hash against its vectors, against its reference, and against chance.

mod property;
mod quality;
mod vectors;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, UnionFields, UnionMode};

use super::{KeyHashError, KeyHasher, KeyValue, reference_hash, supports_key};

fn hash(seed: u64, columns: &[ArrayRef]) -> Vec<u64> {
    let mut out = vec![1, 2, 3];
    KeyHasher::new(seed).hash_columns(columns, &mut out).unwrap();
    out
}

fn map() -> DataType {
    let entry = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry.into()), false)), false)
}

fn union() -> DataType {
    let fields = UnionFields::from_fields(vec![Field::new("n", DataType::Int64, true)]);
    DataType::Union(fields, UnionMode::Sparse)
}

#[test]
fn types_without_a_place_in_the_specification_are_refused_by_name() {
    let refused = [
        (map(), "Map"),
        (union(), "Union"),
        (DataType::new_list(map(), true), "List"),
        (DataType::Struct(vec![Field::new("a", union(), true)].into()), "Struct"),
    ];
    let good: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    for (data_type, name) in refused {
        assert!(!supports_key(&data_type));
        let array = new_null_array(&data_type, 1);
        let mut out = vec![9];
        let error = KeyHasher::new(0).hash_columns(&[good.clone(), array.clone()], &mut out).unwrap_err();
        assert_eq!(error, KeyHashError::UnsupportedType { column: 1, data_type });
        assert!(error.to_string().contains(&format!("key column 1 has type {name}")), "{error}");
        assert_eq!(out, [9], "a refused key leaves the output alone");
        assert!(KeyValue::from_array(&array, 0).is_err());
    }
}

#[test]
fn every_type_but_maps_and_unions_is_a_key() {
    let holds = |data_type: &DataType| matches!(data_type, DataType::Map(..) | DataType::Union(..));
    for data_type in sabot_testkit::array::types() {
        assert_eq!(supports_key(&data_type), !holds(&data_type), "{data_type}");
    }
}

#[test]
fn a_dictionary_is_a_key_when_its_values_are() {
    let of = |values: DataType| DataType::Dictionary(Box::new(DataType::Int32), Box::new(values));
    assert!(supports_key(&of(DataType::Utf8)));
    assert!(supports_key(&of(DataType::new_list(of(DataType::Binary), true))));
    assert!(!supports_key(&of(map())));
    assert!(!supports_key(&of(of(DataType::Utf8))), "a dictionary of dictionaries is not specified");
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let columns: [ArrayRef; 2] =
        [Arc::new(Int32Array::from(vec![1, 2])), Arc::new(Int32Array::from(vec![1]))];
    let error = KeyHasher::new(0).hash_columns(&columns, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "key column 1 has 1 rows, but column 0 has 2");
}

#[test]
fn batches_are_hashed_by_column_index_in_the_order_given() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, false),
    ]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let name: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let batch = RecordBatch::try_new(schema, vec![id.clone(), name.clone()]).unwrap();
    let hasher = KeyHasher::new(5);
    let mut out = Vec::new();
    hasher.hash_batch_columns(&batch, &[1, 0], &mut out).unwrap();
    assert_eq!(out, hash(5, &[name, id]));
    hasher.hash_batch_columns(&batch, &[], &mut out).unwrap();
    assert_eq!(out, [reference_hash(5, &[]); 2], "the empty key still has one hash per row");
    let error = hasher.hash_batch_columns(&batch, &[0, 2], &mut out).unwrap_err();
    assert_eq!(error, KeyHashError::ColumnIndex { index: 2, columns: 2 });
}

#[test]
fn no_columns_have_no_rows() {
    assert!(hash(0, &[]).is_empty());
}
