//! Blocks that version 1 has written. They load for ever; and rows are still written to the same bytes, because
//! a change there makes everything that has not changed look as if it had.
//!
//! `SABOT_WRITE_GOLDEN=1` writes the files that are not there. A file that is there is never written again.

use super::*;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, DictionaryArray,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array, Int64Array, Int64Builder, LargeStringArray,
    ListArray, MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray, StructArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{Int32Type, i256};
use std::path::{Path, PathBuf};

/// Rows in three groups, the second of them empty.
fn rows(metadata: &[(&str, &str)], columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let length = columns[0].1.len();
    let groups: Vec<u16> = (0..length).map(|row| if row < 2 { 5 } else { 7 }).collect();
    let mut fields = vec![Field::new(GROUP, DataType::UInt16, false)];
    let mut arrays: Vec<ArrayRef> = vec![Arc::new(UInt16Array::from(groups))];
    for (name, column) in columns {
        fields.push(Field::new(name, column.data_type().clone(), true));
        arrays.push(column);
    }
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields).with_metadata(metadata)), arrays).unwrap()
}

/// State as operators have it: hashes, keys, totals; texts of several forms; rows that wait.
fn cases() -> Vec<(&'static str, Vec<RecordBatch>)> {
    let numbers = rows(
        &[("sabot.watermark", "1700000000000000")],
        vec![
            ("__sabot.hash", Arc::new(UInt64Array::from(vec![1, u64::MAX, 3]))),
            ("count", Arc::new(Int64Array::from(vec![Some(1), None, Some(i64::MIN)]))),
            ("sum", Arc::new(Float64Array::from(vec![Some(-0.0), Some(f64::NAN), None]))),
            ("small", Arc::new(Float32Array::from(vec![1.5, f32::INFINITY, -1.0]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("day", Arc::new(Date32Array::from(vec![Some(19_000), None, Some(-1)]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("Europe/Zurich"))),
        ],
    );
    let decimals = rows(
        &[],
        vec![
            (
                "exact",
                Arc::new(
                    Decimal128Array::from(vec![Some(-1), None, Some(i128::MAX / 10)])
                        .with_precision_and_scale(38, 4)
                        .unwrap(),
                ),
            ),
            (
                "wide",
                Arc::new(
                    Decimal256Array::from(vec![Some(i256::MINUS_ONE), Some(i256::ZERO), None])
                        .with_precision_and_scale(76, 0)
                        .unwrap(),
                ),
            ),
        ],
    );
    let long = "a text that is longer than twelve bytes";
    let texts = rows(
        &[("sabot.input", "0"), ("sabot.complete", "true"), ("sabot.watermark", "-9223372036854775808")],
        vec![
            ("plain", Arc::new(StringArray::from(vec![Some("a"), Some(""), None]))),
            ("large", Arc::new(LargeStringArray::from(vec![None, Some("é"), Some("🦀")]))),
            ("view", Arc::new(StringViewArray::from(vec![Some(long), None, Some("short")]))),
            ("bytes", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\0\xff"), None, Some(b"")]))),
            (
                "fixed",
                Arc::new(
                    FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                        [Some([1u8, 2]), None, Some([3, 4])].into_iter(),
                        2,
                    )
                    .unwrap(),
                ),
            ),
            (
                "dictionary",
                Arc::new(
                    vec![Some("x"), None, Some("x")].into_iter().collect::<DictionaryArray<Int32Type>>(),
                ),
            ),
        ],
    );
    let point = vec![
        Arc::new(Field::new("x", DataType::Int32, true)),
        Arc::new(Field::new("name", DataType::Utf8, false)),
    ];
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("k");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(false).unwrap();
    map.append(true).unwrap();
    let nested = rows(
        &[],
        vec![
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([
                    Some(vec![Some(1), None]),
                    None,
                    Some(vec![]),
                ])),
            ),
            (
                "struct",
                Arc::new(StructArray::new(
                    point.into(),
                    vec![
                        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
                        Arc::new(StringArray::from(vec!["a", "hidden", "c"])),
                    ],
                    Some(NullBuffer::from(vec![true, false, true])),
                )),
            ),
            ("map", Arc::new(map.finish())),
            ("null", Arc::new(NullArray::new(3))),
        ],
    );
    let empty = numbers.slice(0, 0);
    vec![
        ("numbers", vec![numbers.clone()]),
        ("decimals", vec![decimals]),
        ("texts", vec![texts.clone()]),
        ("nested", vec![nested]),
        ("two-sides", vec![numbers, texts, empty.clone()]),
        ("no-rows", vec![empty]),
        ("no-batches", vec![]),
    ]
}

fn golden(format: u16, name: &str) -> PathBuf {
    let folder = format!("tests/golden/block-{format}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(format!("{name}.block"))
}

#[test]
fn blocks_of_all_versions_load() {
    for (name, batches) in cases() {
        for format in 1..=FORMAT {
            let block = std::fs::read(golden(format, name)).unwrap();
            let back = decode(block.as_slice(), everything()).unwrap();
            assert_eq!(back.len(), batches.len(), "{name}");
            for (back, batch) in back.iter().zip(&batches) {
                assert_eq!(back.schema(), batch.schema(), "{name}");
                assert_batches_equal(back, batch);
            }
        }
    }
}

/// What is written now has the bytes that this version has written first. `SABOT_WRITE_GOLDEN=1` writes them where there
/// are none.
#[test]
fn blocks_are_written_alike() {
    for (name, batches) in cases() {
        let path = golden(FORMAT, name);
        let written = encode(&batches, everything(), ORIGIN).unwrap();
        if std::env::var_os("SABOT_WRITE_GOLDEN").is_some() && !path.exists() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &written).unwrap();
        }
        assert!(written == std::fs::read(&path).unwrap(), "{name} is written to other bytes");
    }
}
