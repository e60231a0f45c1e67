//! The reference implementations against results worked out by hand.

use super::*;
use crate::{AggregateFunction, AggregateSpec, Projection, UnionSpec};
use arrow::array::{
    Array, AsArray, BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, StringArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int32Type, Int64Type, Schema, UInt64Type,
};
use sabot_batch::{RowKind, RowKinds, RowOrigin, Selection, TimeBounds};
use sabot_common::{KeyGroups, Span};
use sabot_expr::{Expr, FunctionRegistry, col, lit, resolve};
use sabot_time::TumblingWindow;

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn ints(values: &[Option<i32>]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn select(schema: &Schema, predicate: Option<Expr>, exprs: &[Expr]) -> FilterProjectSpec {
    let registry = FunctionRegistry::new();
    let typed = |expr: &Expr| resolve(expr, schema, &registry).unwrap();
    let projections = exprs.iter().map(|e| Projection { name: e.output_name(), expr: typed(e) }).collect();
    FilterProjectSpec { predicate: predicate.as_ref().map(typed), projections, carried: Vec::new() }
}

fn run_steps(steps: Vec<OperatorSpec>, input: &Morsel) -> Result<Output, Failure> {
    run(&Fragment::new(input.schema(), steps).unwrap(), input)
}

fn only(output: Output) -> RecordBatch {
    assert_eq!(output.morsels.len(), 1);
    output.morsels.into_iter().next().unwrap().1.into_dense_host().unwrap()
}

fn column<T: arrow::datatypes::ArrowPrimitiveType>(
    batch: &RecordBatch,
    index: usize,
) -> Vec<Option<T::Native>> {
    batch.column(index).as_primitive::<T>().iter().collect()
}

#[test]
fn a_predicate_keeps_true_rows_alone() {
    let f: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
    let input = Morsel::new(batch([("a", ints(&[Some(1), Some(2), Some(3), None])), ("f", f)]));
    let spec = select(&input.schema(), Some(col("f")), &[col("a") + 1, col("a")]);
    let result = only(run_steps(vec![spec.into()], &input).unwrap());
    assert_eq!(column::<Int32Type>(&result, 0), [Some(2), None]);
    assert_eq!(result.schema().field(0).name(), "a + 1");
}

#[test]
fn the_first_failing_row_counts_and_dropped_rows_never_fail() {
    let input = Morsel::new(batch([
        ("a", ints(&[Some(2), Some(0), Some(0)])),
        ("b", ints(&[Some(0), Some(1), Some(0)])),
    ]));
    let by = |name: &str| lit(10) / col(name);
    let failing_row = |spec: FilterProjectSpec, input: &Morsel| match run_steps(vec![spec.into()], input) {
        Err(Failure::Row(error)) => (error.row, error.expression),
        other => panic!("{other:?}"),
    };
    let schema = input.schema();
    assert_eq!(failing_row(select(&schema, None, &[by("a"), by("b")]), &input), (0, "10 / b".to_owned()));
    assert_eq!(failing_row(select(&schema, None, &[by("a")]), &input), (1, "10 / a".to_owned()));
    let predicate = Some(by("b").gt(0));
    assert_eq!(failing_row(select(&schema, predicate, &[by("a")]), &input), (0, "10 / b".to_owned()));
    let guarded = select(&schema, Some(col("a").not_eq(0)), &[by("a")]);
    assert_eq!(column::<Int32Type>(&only(run_steps(vec![guarded.into()], &input).unwrap()), 0), [Some(5)]);
    // Rows are counted over all rows, and dead ones do not fail.
    let dressed = input.with_selection(Selection::from_words(vec![0b100], 3)).unwrap();
    assert_eq!(failing_row(select(&schema, None, &[by("a")]), &dressed), (2, "10 / a".to_owned()));
}

#[test]
fn a_later_step_may_fail_in_an_earlier_row() {
    let input = Morsel::new(batch([("a", ints(&[Some(1), Some(0)])), ("b", ints(&[Some(0), Some(1)]))]));
    let first = select(&input.schema(), None, &[lit(10) / col("a"), col("b")]);
    let between = first.output_schema(&input.schema()).unwrap();
    let second = select(&between, None, &[lit(10) / col("b")]);
    match run_steps(vec![first.into(), second.into()], &input) {
        Err(Failure::Row(error)) => assert_eq!((error.row, error.expression.as_str()), (0, "10 / b")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn broken_update_pairs_become_deletes_and_inserts() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let kinds =
        [UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, Delete, Insert];
    let keep = [true, true, true, false, false, true, true, true];
    let f: ArrayRef = Arc::new(BooleanArray::from(keep.to_vec()));
    let input = Morsel::new(batch([("f", f)])).with_kinds(RowKinds::PerRow(kinds.into())).unwrap();
    let spec = select(&input.schema(), Some(col("f")), &[]);
    let output = run_steps(vec![spec.into()], &input).unwrap();
    let (_, morsel) = &output.morsels[0];
    assert_eq!((morsel.rows(), morsel.schema().fields().len()), (6, 0));
    let wanted = [UpdateBefore, UpdateAfter, Delete, Insert, Delete, Insert];
    assert_eq!(morsel.kinds(), &RowKinds::PerRow(wanted.into()));
}

#[test]
fn bare_columns_keep_bits_and_dictionaries() {
    let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![odd_nan, -0.0]));
    let words: ArrayRef = Arc::new(["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let input = Morsel::new(batch([("x", floats), ("d", words)]));
    let spec = FilterProjectSpec { carried: vec![0], ..select(&input.schema(), None, &[col("d")]) };
    let result = only(run_steps(vec![spec.into()], &input).unwrap());
    assert_eq!(result.column(0).data_type(), input.schema().field(1).data_type());
    let bits: Vec<u64> =
        result.column(1).as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [odd_nan.to_bits(), (-0.0f64).to_bits()]);
}

fn timed(times: &[i64], lateness: &[i64]) -> Morsel {
    let fields = [hidden::TIME, hidden::LATE].map(|name| hidden::field(name).unwrap());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(times.to_vec())), Arc::new(Int64Array::from(lateness.to_vec()))];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    Morsel::new(RecordBatch::try_new(schema, columns).unwrap())
}

fn window(size: i64, allowed_lateness: i64) -> WindowAssignSpec {
    let window = TumblingWindow::new(Span(size), Span::ZERO).unwrap().into();
    WindowAssignSpec { window, allowed_lateness: Span(allowed_lateness) }
}

#[test]
fn windows_start_at_or_before_a_row_and_late_rows_stand_aside() {
    let input = timed(&[0, 9, 10, -1, -10, -11, 25], &[0, 5, 6, 0, 0, 0, 100]);
    let output = run_steps(vec![window(10, 5).into()], &input).unwrap();
    let late = output.late[0].host().unwrap();
    assert_eq!(column::<Int64Type>(late, 0), [Some(10), Some(25)]);
    assert_eq!(late.schema(), input.schema());
    let starts = column::<Int64Type>(&only(output), 2);
    assert_eq!(starts, [0, 0, -10, -10, -20].map(Some));
}

#[test]
fn time_bounds_and_origin_stay_while_they_are_true() {
    let bounds = Some(TimeBounds { min: EventTime(0), max: EventTime(25) });
    let origin = Some(RowOrigin { partition: "p".into(), first_row: 7 });
    let dressed = |m: Morsel| m.with_time_bounds(bounds).with_origin(origin.clone());
    let on_time = run_steps(vec![window(10, 0).into()], &dressed(timed(&[0, 9], &[0, 0]))).unwrap();
    assert_eq!(
        (on_time.morsels[0].1.time_bounds(), on_time.morsels[0].1.origin()),
        (bounds, origin.as_ref())
    );
    let one_late = run_steps(vec![window(10, 0).into()], &dressed(timed(&[0, 9], &[0, 1]))).unwrap();
    assert_eq!(one_late.morsels[0].1.origin(), None);
    assert_eq!(one_late.late[0].origin(), None);
}

fn aggregate_of(function: AggregateFunction, input: Option<usize>, schema: &Schema) -> AggregateSpec {
    let name = format!("{}_{input:?}", function.name());
    AggregateSpec::new(function, input.map(|i| (i, schema.field(i).data_type().clone())), name)
}

fn all_functions(schema: &Schema) -> GroupBySpec {
    use AggregateFunction::{Avg, Count, Max, Min, Sum};
    let mut aggregates = vec![aggregate_of(Count, None, schema)];
    aggregates.extend([Count, Sum, Avg, Min, Max].map(|f| aggregate_of(f, Some(1), schema)));
    GroupBySpec { keys: vec![0], hashed: vec![0], seed: 3, aggregates, mode: GroupByMode::Partial }
}

#[test]
fn partial_state_is_one_row_a_key_in_the_order_of_first_rows() {
    let keys = texts(&[Some("b"), None, Some("a"), Some("b"), None]);
    let values = ints(&[Some(i32::MAX), None, Some(-1), Some(i32::MAX), None]);
    let input = Morsel::new(batch([("k", keys), ("v", values)]));
    let state = only(run_steps(vec![all_functions(&input.schema()).into()], &input).unwrap());
    let names: Vec<String> = state.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names[..3], ["k", hidden::HASH, "count_None.count"]);
    assert_eq!(state.column(0).as_ref(), texts(&[Some("b"), None, Some("a")]).as_ref());
    let hash = |key| Some(reference_hash(3, &[key]));
    use sabot_batch::key_hash::KeyValue;
    let hashes = [hash(KeyValue::Text("b".into())), hash(KeyValue::Null), hash(KeyValue::Text("a".into()))];
    assert_eq!(column::<UInt64Type>(&state, 1), hashes);
    assert_eq!(column::<Int64Type>(&state, 2), [2, 2, 1].map(Some));
    assert_eq!(column::<Int64Type>(&state, 3), [2, 0, 1].map(Some));
    assert_eq!(column::<Decimal128Type>(&state, 4), [Some(2 * i128::from(i32::MAX)), None, Some(-1)]);
    assert_eq!(column::<Int32Type>(&state, 7), [Some(i32::MAX), None, Some(-1)]);
}

#[test]
fn merged_in_any_grouping_the_values_are_the_same() {
    let keys = [Some("a"), Some("b"), None, Some("a"), Some("b"), Some("a")];
    let values = [Some(4), Some(-7), None, None, Some(2), Some(5)];
    let whole = batch([("k", texts(&keys)), ("v", ints(&values))]);
    let spec = all_functions(&whole.schema());
    let at_once = aggregate(&spec, &whole.schema(), std::slice::from_ref(&whole)).unwrap();
    let pieces: Vec<RecordBatch> = (0..6).map(|i| whole.slice(i, 1)).collect();
    assert_eq!(aggregate(&spec, &whole.schema(), &pieces).unwrap(), at_once);
    assert_eq!(column::<Int64Type>(&at_once, 3), [Some(9), Some(-5), None]);
    assert_eq!(column::<Float64Type>(&at_once, 4), [Some(4.5), Some(-2.5), None]);
    assert_eq!(column::<Int32Type>(&at_once, 5), [Some(4), Some(-7), None]);
    assert_eq!(aggregate(&spec, &whole.schema(), &[]).unwrap().num_rows(), 0);
}

#[test]
fn keys_are_equal_as_values_and_come_out_in_canonical_form() {
    let odd_nan = f64::from_bits(0xfff8_0000_0000_0001);
    let keys: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, odd_nan, 0.0, f64::NAN, 1.0]));
    let input = Morsel::new(batch([("k", keys), ("v", ints(&[Some(1); 5]))]));
    let state = only(run_steps(vec![all_functions(&input.schema()).into()], &input).unwrap());
    let bits: Vec<u64> =
        state.column(0).as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0, 0x7ff8_0000_0000_0000, 1f64.to_bits()]);
    assert_eq!(column::<Int64Type>(&state, 2), [2, 2, 1].map(Some));
}

#[test]
fn a_sum_beyond_its_type_is_an_error_of_the_row_in_final_only() {
    let input = batch([
        ("k", ints(&[Some(1), Some(2), Some(2)])),
        ("v", {
            let values: ArrayRef = Arc::new(Int64Array::from(vec![1, i64::MAX, 1]));
            values
        }),
    ]);
    let spec = all_functions(&input.schema());
    let state = only(run_steps(vec![spec.clone().into()], &Morsel::new(input.clone())).unwrap());
    let sums = state.column(4).as_any().downcast_ref::<Decimal128Array>().unwrap();
    assert_eq!(sums.value(1), i128::from(i64::MAX) + 1);
    match run_steps(vec![spec.to_final().into()], &Morsel::new(state)) {
        Err(Failure::Row(error)) => {
            assert_eq!(error.row, 1);
            let text = "sum(9223372036854775808) does not fit int64 in `sum_Some(1)`";
            assert_eq!(error.to_string(), text);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_keys_are_one_group_and_no_rows_are_none() {
    let input = batch([("k", ints(&[None, Some(2)])), ("v", ints(&[Some(3), None]))]);
    let spec = GroupBySpec { keys: vec![], hashed: vec![], ..all_functions(&input.schema()) };
    let one = aggregate(&spec, &input.schema(), std::slice::from_ref(&input)).unwrap();
    assert_eq!(column::<Int64Type>(&one, 0), [Some(2)]);
    let dead = Morsel::new(input).with_selection(Selection::from_words(vec![0], 2)).unwrap();
    assert!(run_steps(vec![spec.into()], &dead).unwrap().morsels.is_empty());
}

#[test]
fn a_changelog_does_not_get_into_a_group_by() {
    let input = batch([("k", ints(&[Some(1), Some(1)])), ("v", ints(&[Some(1), Some(1)]))]);
    let kinds = RowKinds::PerRow([RowKind::Insert, RowKind::Delete].into());
    let input = Morsel::new(input).with_kinds(kinds).unwrap();
    let failure = run_steps(vec![all_functions(&input.schema()).into()], &input).unwrap_err();
    assert_eq!(failure.to_string(), "group-by of a -D in row 1");
}

#[test]
fn rows_go_to_the_owner_of_their_key_group() {
    let keys: Vec<Option<i32>> = (0..100).map(|i| (i % 10 != 0).then_some(i % 7)).collect();
    let input = Morsel::new(batch([("k", ints(&keys))]));
    let spec =
        PartitionSpec { keys: vec![0], seed: 11, key_groups: KeyGroups::new(16).unwrap(), parallelism: 3 };
    let output = run_steps(vec![spec.clone().into()], &input).unwrap();
    let mut rows = 0;
    for (target, morsel) in &output.morsels {
        let part = morsel.host().unwrap();
        rows += part.num_rows();
        let mut hashes = Vec::new();
        sabot_batch::key_hash::KeyHasher::new(11).hash_batch_columns(part, &[0], &mut hashes).unwrap();
        for hash in hashes {
            assert_eq!(spec.key_groups.task_of_group(spec.key_groups.group_of(hash), 3), *target as usize);
        }
    }
    assert_eq!((rows, output.morsels.len()), (100, 3));
    let no_keys = PartitionSpec { keys: vec![], ..spec.clone() };
    let output = run_steps(vec![no_keys.into()], &input).unwrap();
    let owner = spec.key_groups.task_of_group(spec.key_groups.group_of(reference_hash(11, &[])), 3);
    assert_eq!(
        output.morsels.iter().map(|(t, m)| (*t as usize, m.rows())).collect::<Vec<_>>(),
        [(owner, 100)]
    );
}

#[test]
fn a_morsel_of_other_columns_is_an_internal_failure() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    let union = UnionSpec { schema: schema.clone() };
    let fragment = Fragment::new(schema, vec![union.into()]).unwrap();
    let failure = run(&fragment, &Morsel::new(batch([("a", ints(&[None]))]))).unwrap_err();
    let text = "a morsel with the columns [a int32?] for a fragment of [a int64?]";
    assert_eq!(failure.to_string(), text);
    assert!(matches!(failure.retry(), crate::Retry::Never));
}
