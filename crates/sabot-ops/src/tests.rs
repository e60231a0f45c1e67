//! What specs refuse, in which words, and that they come back from storage as they went in.

use crate::{
    AggregateFunction, AggregateSpec, CATALOG, FilterProjectSpec, Fragment, GroupByMode, GroupBySpec,
    OperatorSpec, PartitionSpec, Projection, Quantile, SpecError, UnionSpec, UnnestColumn, UnnestSource,
    UnnestSpec, UserFunction, WindowAssignSpec,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, UnionFields, UnionMode};
use sabot_batch::hidden;
use sabot_common::{KeyGroups, Span};
use sabot_expr::{FunctionRegistry, TypedExpr, col, resolve};
use sabot_time::TumblingWindow;
use std::sync::Arc;

fn flights() -> SchemaRef {
    let mut fields = vec![
        Field::new("origin", DataType::Utf8, true),
        Field::new("delay", DataType::Int32, false),
        Field::new("date", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("payload", DataType::Decimal128(10, 2), true),
    ];
    fields.extend([hidden::TIME, hidden::LATE, hidden::KEY].map(|name| hidden::field(name).unwrap()));
    Arc::new(Schema::new(fields))
}

fn typed(expr: sabot_expr::Expr) -> TypedExpr {
    resolve(&expr, &flights(), &FunctionRegistry::new()).unwrap()
}

fn project(expr: sabot_expr::Expr) -> FilterProjectSpec {
    let projections = vec![Projection { name: expr.output_name(), expr: typed(expr) }];
    FilterProjectSpec { predicate: None, projections, carried: vec![] }
}

fn count_by_origin() -> GroupBySpec {
    let aggregates = vec![AggregateSpec::count("flights")];
    GroupBySpec { keys: vec![0], hashed: vec![0], seed: 1, aggregates, mode: GroupByMode::Partial }
}

fn hourly() -> WindowAssignSpec {
    let window = TumblingWindow::new(Span::from_secs(3600), Span::ZERO).unwrap().into();
    WindowAssignSpec { window, allowed_lateness: Span::from_secs(60) }
}

fn by_origin() -> PartitionSpec {
    PartitionSpec { keys: vec![0], seed: 1, key_groups: KeyGroups::default(), parallelism: 4 }
}

fn refusal(step: impl Into<OperatorSpec>) -> String {
    refusal_of(&flights(), vec![step.into()])
}

fn refusal_of(input: &SchemaRef, steps: Vec<OperatorSpec>) -> String {
    Fragment::new(input.clone(), steps).unwrap_err().to_string()
}

#[test]
fn filter_project_says_what_does_not_fit() {
    let predicate = FilterProjectSpec { predicate: Some(typed(col("delay"))), ..project(col("origin")) };
    assert_eq!(refusal(predicate), "filter-project: the predicate delay is int32; it must be bool");
    let carried = FilterProjectSpec { carried: vec![7], ..project(col("delay")) };
    assert_eq!(refusal(carried), "filter-project: column 7 of a schema with 7 columns");
    let twice = FilterProjectSpec { carried: vec![1], ..project(col("delay")) };
    let text =
        "filter-project: two output columns are named \"delay\"; give one of them another name with alias";
    assert_eq!(refusal(twice), text);
    let other = Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, true),
        Field::new("delay", DataType::Int32, true),
    ]));
    let text = "filter-project: column \"delay\" is int32, nullable, but `delay` was resolved with int32";
    assert_eq!(refusal_of(&other, vec![project(col("delay")).into()]), text);
}

#[test]
fn window_assign_says_what_does_not_fit() {
    let untimed = Arc::new(Schema::new(vec![Field::new("delay", DataType::Int32, false)]));
    let text = "window-assign: the input has no column __sabot.time; declare event_time on its source";
    assert_eq!(refusal_of(&untimed, vec![hourly().into()]), text);
    let negative = WindowAssignSpec { allowed_lateness: Span(-1), ..hourly() };
    assert_eq!(refusal(negative), "window-assign: allowed lateness -1 µs; it must be 0 or more");
    let nullable = Arc::new(Schema::new(vec![Field::new(hidden::TIME, DataType::Int64, true)]));
    let text =
        "window-assign: event time \"__sabot.time\" is int64; it must be int64 microseconds and never null";
    assert_eq!(refusal_of(&nullable, vec![hourly().into()]), text);
}

#[test]
fn unnest_says_what_does_not_fit() {
    let columns = |sources: &[(&str, UnnestSource)]| {
        sources
            .iter()
            .map(|(name, source)| UnnestColumn { name: (*name).to_owned(), source: *source })
            .collect()
    };
    let unnest = |list: usize, sources: &[(&str, UnnestSource)]| UnnestSpec {
        list,
        keep_empty: false,
        columns: columns(sources),
    };
    assert_eq!(refusal(unnest(0, &[])), "unnest: column \"origin\" is utf8; it must be a list");
    assert_eq!(refusal(unnest(9, &[])), "unnest: column 9 of a schema with 7 columns");
    let item = Arc::new(Field::new_list_field(DataType::Int32, false));
    let lists = Arc::new(Schema::new(vec![Field::new("delays", DataType::List(item), true)]));
    let twice = unnest(0, &[("n", UnnestSource::Element), ("n", UnnestSource::Position)]);
    let text = "unnest: two output columns are named \"n\"; give one of them another name with alias";
    assert_eq!(refusal_of(&lists, vec![twice.into()]), text);
    let wrong_key = unnest(0, &[(hidden::KEY, UnnestSource::Order(Some(0)))]);
    let refused = refusal_of(&lists, vec![wrong_key.into()]);
    assert!(refused.contains("must be binary and never null"), "{refused}");
    let early = unnest(0, &[("delay", UnnestSource::Element)]);
    let schema = Arc::new(Schema::new(vec![Field::new("delay", DataType::Int32, false)]));
    let text = "unnest: not the last step of its fragment; only what leaves a fragment comes in parts";
    assert_eq!(refusal_of(&lists, vec![early.clone().into(), UnionSpec { schema }.into()]), text);
    // Elements that are never null are null where a row without elements is kept.
    let nullable = |spec: &UnnestSpec| spec.output_schema(&lists).unwrap().field(0).is_nullable();
    assert!(!nullable(&early) && nullable(&UnnestSpec { keep_empty: true, ..early }));
}

#[test]
fn group_by_says_what_does_not_fit() {
    let either = UnionFields::from_fields(vec![Field::new("n", DataType::Int64, true)]);
    let either = Field::new("either", DataType::Union(either, UnionMode::Dense), true);
    let by_union = GroupBySpec { keys: vec![0], ..count_by_origin() };
    let refused = refusal_of(&Arc::new(Schema::new(vec![either])), vec![by_union.into()]);
    let text = "group-by: key \"either\" is union(dense, 0 n: int64); it must be any type that neither is nor holds a map \
                or a union";
    assert_eq!(refused, text);
    let hashed = GroupBySpec { hashed: vec![1], ..count_by_origin() };
    assert_eq!(refusal(hashed), "group-by: column 1 of a schema with 1 columns");
    let with = |aggregate| GroupBySpec { aggregates: vec![aggregate], ..count_by_origin() };
    let of = |function, arguments: &[(usize, DataType)]| {
        refusal(with(AggregateSpec::new(function, arguments.to_vec(), "x")))
    };
    use AggregateFunction as F;
    let text = "group-by: sum of utf8 as \"x\"; it takes an integer, a float, a decimal or a duration";
    assert_eq!(of(F::Sum, &[(0, DataType::Utf8)]), text);
    let text = "group-by: argument \"delay\" of \"x\" is int32, declared as int64";
    assert_eq!(of(F::Sum, &[(1, DataType::Int64)]), text);
    let text = "group-by: max needs an argument: a boolean, an integer, a float, a decimal, a string, a date, a time, a \
                timestamp or a duration";
    assert_eq!(of(F::Max, &[]), text);
    let text =
        "group-by: corr of int32 and utf8 as \"x\"; it takes two numbers: integers, floats or decimals";
    assert_eq!(of(F::Corr, &[(1, DataType::Int32), (0, DataType::Utf8)]), text);
    let text = "group-by: approx_quantile at 95; a quantile is a share from 0 to 1, such as 0.95 for 95 %";
    assert_eq!(of(F::ApproxQuantile { quantile: Quantile(95.0) }, &[(1, DataType::Int32)]), text);
    let text = "group-by: first as \"x\" depends on the order of rows; the input must carry __sabot.partition and \
                __sabot.row";
    assert_eq!(of(F::First, &[(1, DataType::Int32)]), text);
    let text = "group-by: product version 2 (unbound); bind the plan to a function registry that has it";
    assert_eq!(of(F::User(UserFunction::new("product", 2)), &[(1, DataType::Int32)]), text);
    let text = "group-by: filter \"delay\" is int32; it must be a boolean";
    assert_eq!(refusal(with(AggregateSpec::count("x").filtered(1))), text);
    let rows_for_state = refusal(count_by_origin().to_merge());
    assert!(rows_for_state.starts_with("group-by: input [origin utf8?, delay int32, "), "{rows_for_state}");
    assert!(
        rows_for_state
            .ends_with("is not the partial state [origin utf8?, __sabot.hash uint64, flights.count int64]")
    );
}

#[test]
fn partition_and_union_say_what_does_not_fit() {
    let none = PartitionSpec { parallelism: 0, ..by_origin() };
    assert_eq!(refusal(none), "partition: parallelism 0; it must be 1 or more");
    let many = PartitionSpec { parallelism: 129, ..by_origin() };
    assert!(refusal(many).starts_with("partition: parallelism 129 with 128 key groups; "));
    let stricter = Arc::new(Schema::new(vec![Field::new("origin", DataType::Utf8, false)]));
    let input = Arc::new(Schema::new(vec![Field::new("origin", DataType::Utf8, true)]));
    let text = "union: input [origin utf8?] does not fit the common schema [origin utf8]";
    assert_eq!(refusal_of(&input, vec![UnionSpec { schema: stricter }.into()]), text);
}

#[test]
fn fragments_end_in_at_most_one_partition_and_have_one_kind_of_late_rows() {
    let text = "partition: not the last step of its fragment; only the end of a fragment has targets";
    assert_eq!(refusal_of(&flights(), vec![by_origin().into(), project(col("delay")).into()]), text);
    let renew = FilterProjectSpec { carried: vec![4, 5], ..project(col("delay")) };
    let text = "window-assign: second window step of a fragment; late rows would have two schemas";
    assert_eq!(refusal_of(&flights(), vec![hourly().into(), renew.into(), hourly().into()]), text);
}

#[test]
fn a_fragment_knows_its_schemas_targets_and_text() {
    let steps = vec![hourly().into(), count_by_origin().into(), by_origin().into()];
    let fragment = Fragment::new(flights(), steps).unwrap();
    assert_eq!(fragment.targets(), 4);
    assert_eq!(fragment.late(), Some(flights()));
    assert_eq!(fragment.output().fields().len(), 3);
    let text = "window tumbling(1 h) allowing 1 min late → pre-aggregate 1 keys [count as flights] → partition by key \
                over 4 tasks";
    assert_eq!(fragment.to_string(), text);
    let empty = Fragment::new(flights(), vec![]).unwrap();
    assert_eq!((empty.to_string().as_str(), empty.late(), empty.targets()), ("pass", None, 1));
}

#[test]
fn specs_and_fragments_come_back_from_storage() {
    let filter = FilterProjectSpec {
        predicate: Some(typed(col("delay").gt(15).and(col("origin").not_eq("SFO")))),
        carried: vec![0, 4, 5, 6],
        ..project((col("delay") * 2).alias("twice"))
    };
    let common = filter.output_schema(&flights()).unwrap();
    let group = GroupBySpec { keys: vec![1], ..count_by_origin() };
    let steps: Vec<OperatorSpec> = vec![
        filter.into(),
        UnionSpec { schema: common }.into(),
        hourly().into(),
        group.clone().into(),
        group.to_merge().into(),
        PartitionSpec { keys: vec![0], ..by_origin() }.into(),
    ];
    let fragment = Fragment::new(flights(), steps).unwrap();
    let text = serde_json::to_string(&fragment).unwrap();
    assert_eq!(serde_json::from_str::<Fragment>(&text).unwrap(), fragment);
    for step in fragment.steps() {
        let text = serde_json::to_string(step).unwrap();
        assert_eq!(&serde_json::from_str::<OperatorSpec>(&text).unwrap(), step);
    }
}

#[test]
fn a_stored_fragment_is_checked_when_it_is_read() {
    let fragment = Fragment::new(flights(), vec![by_origin().into()]).unwrap();
    let text = serde_json::to_string(&fragment).unwrap().replace("\"parallelism\":4", "\"parallelism\":0");
    let error = serde_json::from_str::<Fragment>(&text).unwrap_err().to_string();
    assert!(error.contains("parallelism 0; it must be 1 or more"), "{error}");
    let unknown = serde_json::to_string(&fragment).unwrap().replace("\"int32\"", "\"int33\"");
    let error = serde_json::from_str::<Fragment>(&unknown).unwrap_err().to_string();
    assert!(error.contains("unknown type \"int33\"; types: null, bool, int8"), "{error}");
    let column = SpecError::ColumnIndex { operator: "x", index: 2, columns: 1 };
    assert_eq!(column.to_string(), "x: column 2 of a schema with 1 columns");
}

/// Every function with an argument that it takes.
fn every_function() -> Vec<AggregateSpec> {
    use AggregateFunction as F;
    let int = || (1, DataType::Int32);
    let one =
        [F::Count, F::CountDistinct, F::Sum, F::Avg, F::Min, F::Max, F::VarSamp, F::VarPop, F::StddevSamp]
            .into_iter()
            .chain([F::StddevPop, F::ApproxCountDistinct, F::ApproxQuantile { quantile: Quantile(0.1) }])
            .chain([F::First, F::Last, F::ArrayAgg]);
    let mut specs: Vec<AggregateSpec> = one.map(|f| (f, vec![int()])).map(named).collect();
    specs.extend([F::CovarSamp, F::CovarPop, F::Corr].map(|f| named((f, vec![int(), int()]))));
    specs.extend([F::BoolAnd, F::BoolOr].map(|f| named((f, vec![(2, DataType::Boolean)]))));
    specs.push(named((F::StringAgg { separator: ", ".to_owned() }, vec![(0, DataType::Utf8)])));
    specs
}

fn named((function, arguments): (AggregateFunction, Vec<(usize, DataType)>)) -> AggregateSpec {
    let name = function.name().to_owned();
    AggregateSpec::new(function, arguments, name)
}

#[test]
fn stored_names_of_functions_are_those_of_sql() {
    let mut listed: Vec<&str> = CATALOG.iter().map(|info| info.name).collect();
    for spec in every_function() {
        let text = serde_json::to_string(&spec.function).unwrap();
        assert!(text.contains(&format!("\"{}\"", spec.function.name())), "{text}");
        assert_eq!(serde_json::from_str::<AggregateFunction>(&text).unwrap(), spec.function);
        listed.retain(|name| *name != spec.function.name());
        // What the table says of the state is what there is.
        for field in spec.state_fields().unwrap() {
            let part = field.name().rsplit('.').next().unwrap().to_owned();
            let said = spec.function.info().state;
            let there = said.contains(&format!("`{part}`")) || said.starts_with("as ") || part.contains("_");
            assert!(there, "{part} of {}: {said}", spec.name);
        }
    }
    assert!(listed.is_empty(), "not tested: {listed:?}");
    // As the first version stored them.
    assert_eq!(serde_json::from_str::<AggregateFunction>("\"Count\"").unwrap(), AggregateFunction::Count);
}

#[test]
fn types_of_decimals_follow_the_rules() {
    let of = |function, precision, scale| {
        let spec = named((function, vec![(0, DataType::Decimal128(precision, scale))]));
        let state = spec.state_fields().unwrap()[0].data_type().clone();
        (spec.result_field().unwrap().data_type().clone(), state)
    };
    let d = DataType::Decimal128;
    assert_eq!(of(AggregateFunction::Sum, 10, 2), (d(38, 2), d(38, 2)));
    assert_eq!(of(AggregateFunction::Sum, 20, 2), (d(38, 2), DataType::Decimal256(76, 2)));
    assert_eq!(of(AggregateFunction::Avg, 10, 2), (d(14, 6), d(38, 2)));
    // As many more digits as there is room for: those before the point stay.
    assert_eq!(of(AggregateFunction::Avg, 36, 2).0, d(38, 4));
    assert_eq!(of(AggregateFunction::Avg, 38, 2).0, d(38, 2));
    assert_eq!(of(AggregateFunction::Max, 38, 2), (d(38, 2), d(38, 2)));
}
