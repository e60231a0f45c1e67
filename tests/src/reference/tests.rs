//! The reference on inputs small enough to know the answer by hand.

use super::*;
use crate::CaseBuilder;
use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray};
use sabot::{count, in_order, micros, min, sum, tumbling};
use std::sync::Arc;

fn batch(rows: &[(i64, &str, i64)]) -> RecordBatch {
    let t: TimestampMicrosecondArray = rows.iter().map(|r| r.0).collect::<Vec<_>>().into();
    let k: StringArray = rows.iter().map(|r| r.1).collect::<Vec<_>>().into();
    let n: Int64Array = rows.iter().map(|r| r.2).collect::<Vec<_>>().into();
    RecordBatch::try_from_iter([("t", Arc::new(t) as ArrayRef), ("k", Arc::new(k)), ("n", Arc::new(n))])
        .unwrap()
}

fn text(rows: &[Row]) -> Vec<String> {
    let line = |row: &Row| row.cells.iter().map(|c| c.value.to_string()).collect::<Vec<_>>().join(" ");
    rows.iter().map(line).collect()
}

#[test]
fn windows_late_rows_and_order_are_as_by_hand() {
    let first = batch(&[(10, "b", 1), (12, "a", 2), (25, "a", 4), (19, "b", 8), (5, "a", 16)]);
    let second = batch(&[(11, "b", 32)]);
    let mut builder = CaseBuilder::new("by hand");
    let schema = first.schema();
    let stream = builder.source(schema, vec![vec![first], vec![second]]).event_time("t", in_order()).unwrap();
    let window = tumbling(micros(10)).allowed_lateness(micros(6));
    let windowed = stream.clone().window(window).unwrap().group_by(["k"]).unwrap();
    let (result, late) = windowed.aggregate([sum(sabot::col("n")), count()]).unwrap().split_late().unwrap();
    builder.output(
        &result.select([sabot::col("k"), sabot::col("sum(n)"), sabot::col("count(*)")]).unwrap(),
        true,
    );
    builder.output(&late.select([sabot::col("n")]).unwrap(), true);
    builder.output(&stream.select([sabot::col("n")]).unwrap(), true);
    let case = builder.build();
    let outcome = case.outcome();
    // 19 is 6 behind 25 and allowed; 5 is 20 behind and late.
    assert_eq!(text(&outcome.sinks[0]), ["'a' 2 1", "'b' 41 3", "'a' 4 1"]);
    assert_eq!(text(&outcome.sinks[1]), ["16"]);
    // Late rows stand where the watermark stood: behind the row that made them late.
    assert_eq!(text(&outcome.sinks[2]), ["1", "32", "2", "4", "8", "16"]);
    assert_eq!(outcome.late_rows, 1);
}

#[test]
fn grouping_without_windows_is_ordered_by_key() {
    let rows = batch(&[(1, "b", 1), (2, "a", 2), (3, "b", -4)]);
    let mut builder = CaseBuilder::new("by hand");
    let stream = builder.source(rows.schema(), vec![vec![rows]]);
    let grouped = stream.group_by(["k"]).unwrap().aggregate([min(sabot::col("n"))]).unwrap();
    builder.output(&grouped, true);
    assert_eq!(text(&builder.build().outcome().sinks[0]), ["'a' 2", "'b' -4"]);
}

#[test]
fn without_keys_no_rows_are_one_group_but_no_window() {
    let none = batch(&[]);
    let mut builder = CaseBuilder::new("by hand");
    let stream = builder.source(none.schema(), vec![vec![none]]).event_time("t", in_order()).unwrap();
    let whole =
        stream.clone().group_by::<&str>([]).unwrap().aggregate([count(), min(sabot::col("n"))]).unwrap();
    let windows = stream.window(tumbling(micros(10))).unwrap().aggregate([count()]).unwrap();
    builder.output(&whole, true);
    builder.output(&windows, true);
    let case = builder.build();
    assert_eq!(text(&case.outcome().sinks[0]), ["0 NULL"]);
    assert!(case.outcome().sinks[1].is_empty());
}
