//! What is cut of plans that are written out here; random ones are in `random`.

mod check;
mod order;
mod predict;
mod random;
mod unnest;

use arrow::datatypes::{DataType, Field, TimeUnit};
use sabot_common::Span;
use sabot_expr::{ClosureFunction, Expr, FunctionRegistry, call, col, lit};
use sabot_ops::{AggregateSpec, GroupByMode};
use sabot_time::{CountWindow, TumblingWindow};
use std::time::Duration;

use super::*;
use crate::{
    AggregateExpr, AggregateRequest, AggregateStage, Connector, KeyedInput, KeyedStage, KeyedWindow, NodeRef,
    PlanBuilder, SinkRequest, SourceRequest, avg, count, first, last, max, sum,
};
use check::check;

fn source(name: &str) -> NodeRef {
    let schema = Schema::new(vec![
        Field::new("date", DataType::Timestamp(TimeUnit::Second, None), false),
        Field::new("delay", DataType::Int32, true),
        Field::new("distance", DataType::Int32, false),
        Field::new("origin", DataType::Utf8, false),
    ]);
    let request = SourceRequest::bounded(Connector::slot(name), schema.into());
    PlanBuilder::new().source(SourceRequest { name: Some(name.into()), ..request }).unwrap()
}

fn endless(name: &str) -> NodeRef {
    let schema = source(name).schema().clone();
    let request = SourceRequest::unbounded(Connector::slot(name), schema);
    PlanBuilder::new().source(SourceRequest { name: Some(name.into()), ..request }).unwrap()
}

fn timed(source: &NodeRef, idle: Option<Duration>) -> NodeRef {
    PlanBuilder::new().event_time(source, "date", Span::from_secs(300), idle).unwrap()
}

fn filter(input: &NodeRef, predicate: Expr) -> NodeRef {
    PlanBuilder::new().filter(input, &predicate).unwrap()
}

fn select(input: &NodeRef, columns: &[Expr]) -> NodeRef {
    PlanBuilder::new().select(input, columns).unwrap()
}

fn hours() -> KeyedWindow {
    let window = TumblingWindow::new(Span::from_secs(3600), Span::ZERO).unwrap().into();
    KeyedWindow { window, allowed_lateness: Span::from_secs(60) }
}

fn hourly(input: &NodeRef) -> NodeRef {
    let aggregates =
        [count().alias("flights"), avg(col("delay")).alias("mean"), max(col("delay")).alias("worst")];
    let request = AggregateRequest::new(["origin"], aggregates).windowed(hours());
    PlanBuilder::new().aggregate(input, &request).unwrap()
}

fn to(input: &NodeRef, slot: &str) -> NodeRef {
    PlanBuilder::new().sink(input, SinkRequest::new(Connector::slot(slot))).unwrap()
}

fn ordered(input: &NodeRef, slot: &str) -> NodeRef {
    PlanBuilder::new().sink(input, SinkRequest::new(Connector::slot(slot)).ordered()).unwrap()
}

fn cut_all(sinks: &[NodeRef]) -> PhysicalPlan {
    let plan = Plan::from_sinks(sinks).unwrap();
    let physical = cut(&plan, &CutOptions { keyed_parallelism: 4 }).unwrap();
    check(&plan, &physical);
    physical
}

/// Kinds of the stages, each with the stages that it reads.
fn shape(plan: &PhysicalPlan) -> Vec<String> {
    let kind = |stage: &Stage| match &stage.kind {
        StageKind::Source(_) => "source",
        StageKind::Fragment(_) => "fragment",
        StageKind::MapBatches(_) => "map",
        StageKind::Table(_) => "table",
        StageKind::Lookup(_) => "look-up",
        StageKind::Keyed(_) => "keyed",
        StageKind::Sink(_) => "sink",
    };
    let input = |input: &StageInput| match input.port {
        Port::Main => input.stage.to_string(),
        Port::Late => format!("{}!", input.stage),
    };
    let stage = |stage: &Stage| {
        let inputs: Vec<String> = stage.inputs.iter().map(input).collect();
        [kind(stage).to_owned(), inputs.join("+")].join(" ").trim_end().to_owned()
    };
    plan.stages.iter().map(stage).collect()
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|f| f.name().trim_start_matches("__sabot")).collect()
}

fn source_of(plan: &PhysicalPlan, stage: usize) -> &SourceStage {
    let StageKind::Source(source) = &plan.stages[stage].kind else { panic!("stage {stage} is no source") };
    source
}

fn keyed_of(plan: &PhysicalPlan, stage: usize) -> &AggregateStage {
    let StageKind::Keyed(KeyedStage::Aggregate(keyed)) = &plan.stages[stage].kind else {
        panic!("stage {stage} is no aggregation")
    };
    keyed
}

fn fragment_of(plan: &PhysicalPlan, stage: usize) -> &FragmentStage {
    let StageKind::Fragment(fragment) = &plan.stages[stage].kind else {
        panic!("stage {stage} is no fragment")
    };
    fragment
}

fn steps(plan: &PhysicalPlan, stage: usize) -> Vec<&'static str> {
    fragment_of(plan, stage).fragment.steps().iter().map(OperatorSpec::name).collect()
}

#[test]
fn a_chain_is_one_fragment_that_reads_what_it_needs() {
    let late = filter(&source("in"), col("delay").gt(15).and(col("origin").not_eq("SFO")));
    let hours = select(&late, &[(col("delay") / 60).alias("hours"), col("origin")]);
    let plan = cut_all(&[to(&filter(&hours, col("hours").lt(10)), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "sink 1"]);
    assert_eq!(steps(&plan, 1), ["filter-project"; 3]);
    assert_eq!(plan.stages[1].operators.len(), 3);
    assert_eq!(source_of(&plan, 0).projection, [1, 3]);
    assert_eq!(names(&plan.stages[0].output), ["delay", "origin"]);
    assert_eq!(names(&plan.stages[2].output), ["hours", "origin"]);
    assert_eq!(plan.stages[2].inputs[0].route, Route::Gather);
}

#[test]
fn steps_that_change_nothing_are_left_out() {
    let narrow = select(&source("in"), &[col("delay"), col("origin")]);
    let plan = cut_all(&[to(&narrow, "out")]);
    assert_eq!(shape(&plan), ["source", "sink 0"]);
    let swapped = select(&source("in"), &[col("origin"), col("delay")]);
    assert_eq!(shape(&cut_all(&[to(&swapped, "out")])), ["source", "fragment 0", "sink 1"]);
}

#[test]
fn ordered_sinks_carry_what_the_order_is_made_of() {
    let late = filter(&timed(&source("in"), None), col("delay").gt(15));
    let plan = cut_all(&[ordered(&late, "out")]);
    assert_eq!(source_of(&plan, 0).hidden, [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW]);
    let visible = ["date", "delay", "distance", "origin"];
    assert_eq!(
        names(&plan.stages[2].output),
        [visible.as_slice(), &[".time", ".late", ".partition", ".row"]].concat()
    );

    // Without event time the order is that of partitions and rows.
    let plan = cut_all(&[ordered(&source("in"), "out")]);
    assert_eq!(source_of(&plan, 0).hidden, [hidden::PARTITION, hidden::ROW]);
    let StageKind::Sink(sink) = &plan.stages[1].kind else { panic!("no sink") };
    assert_eq!(names(&sink.visible), visible);
}

#[test]
fn an_aggregation_is_prepared_upstream_and_applied_by_the_owner_of_the_keys() {
    let kept = filter(&timed(&source("in"), None), col("distance").gt(100));
    let plan = cut_all(&[ordered(&hourly(&kept), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "sink 2"]);
    assert_eq!(
        steps(&plan, 1),
        ["filter-project", "window-assign", "filter-project", "group-by", "partition"]
    );
    // The event-time column is read for the times that are made of it, and goes no further.
    assert_eq!(source_of(&plan, 0).projection, [0, 1, 2, 3]);
    assert_eq!(names(&plan.stages[0].output), ["delay", "distance", "origin", ".time", ".late"]);

    let keyed = keyed_of(&plan, 2);
    assert_eq!((keyed.input, keyed.partial.mode), (KeyedInput::Partial, GroupByMode::Partial));
    // Rows are keyed by window and origin; the window moves no row to another task.
    assert_eq!(
        (keyed.partial.keys.as_slice(), keyed.partial.hashed.as_slice()),
        ([2, 0].as_slice(), [1].as_slice())
    );
    let Some(OperatorSpec::Partition(partition)) = fragment_of(&plan, 1).fragment.steps().last() else {
        panic!()
    };
    assert_eq!((partition.keys.as_slice(), partition.parallelism), ([1].as_slice(), 4));
    // Both aggregates of the delay read one column.
    let column = |a: &AggregateSpec| a.arguments.first().map(|argument| argument.column);
    let inputs: Vec<Option<usize>> = keyed.partial.aggregates.iter().map(column).collect();
    assert_eq!(inputs, [None, Some(1), Some(1)]);
    assert_eq!(
        names(&keyed.partial_schema),
        [".window", "origin", ".hash", "flights.count", "mean.sum", "mean.count", "worst.value"]
    );
    let hidden = [".time", ".late", ".partition", ".row", ".key"];
    let visible = ["window_start", "window_end", "origin", "flights", "mean", "worst"];
    assert_eq!(names(&plan.stages[2].output), [visible.as_slice(), &hidden].concat());
    assert_eq!(plan.stages[2].inputs[0].route, Route::KeyGroups);
    assert_eq!((source_of(&plan, 0).ordinal, keyed.ordinal), (0, 1));
}

#[test]
fn results_that_nobody_reads_are_not_made() {
    let worst = select(&hourly(&timed(&source("in"), None)), &[col("window_end"), col("worst")]);
    let plan = cut_all(&[to(&worst, "out")]);
    let keyed = keyed_of(&plan, 2);
    assert_eq!((keyed.window_start.as_deref(), keyed.window_end.as_deref()), (None, Some("window_end")));
    assert_eq!(names(&plan.stages[2].output), ["window_end", "origin", "worst"]);
    assert_eq!(keyed.partial.aggregates.len(), 1);
}

#[test]
fn where_rows_stand_is_carried_for_ordered_aggregates_alone() {
    let by_origin = |input: &NodeRef, aggregates: Vec<AggregateExpr>| {
        PlanBuilder::new().aggregate(input, &AggregateRequest::new(["origin"], aggregates)).unwrap()
    };
    let total = by_origin(&timed(&source("in"), None), vec![sum(col("delay"))]);
    assert!(source_of(&cut_all(&[to(&total, "out")]), 0).hidden.is_empty());
    let first =
        by_origin(&timed(&source("in"), None), vec![first(col("delay")).alias("first"), count().alias("n")]);
    let plan = cut_all(&[to(&first, "out")]);
    assert_eq!(source_of(&plan, 0).hidden, [hidden::TIME, hidden::PARTITION, hidden::ROW]);
    let state = ["origin", ".hash", "first.value", "first.order", "n.count"];
    assert_eq!(names(&keyed_of(&plan, 2).partial_schema), state);
    // One that nobody reads asks for nothing, and without event time there is none to ask for.
    let unread = select(&first, &[col("n")]);
    assert!(source_of(&cut_all(&[to(&unread, "out")]), 0).hidden.is_empty());
    let plan = cut_all(&[to(&by_origin(&source("in"), vec![last(col("delay"))]), "out")]);
    assert_eq!(source_of(&plan, 0).hidden, [hidden::PARTITION, hidden::ROW]);
    // Results of windows are told apart by their key.
    let twice = by_origin(&hourly(&timed(&source("in"), None)), vec![last(col("worst"))]);
    let plan = cut_all(&[to(&twice, "out")]);
    let hidden = names(&plan.stages[2].output).into_iter().filter(|name| name.starts_with('.'));
    assert_eq!(hidden.collect::<Vec<_>>(), [".time", ".partition", ".row", ".key"]);
    // Rows that go to their owner raw bring their places along.
    let idle = timed(&endless("in"), Some(Duration::from_secs(5)));
    let request = AggregateRequest::new(["origin"], [last(col("delay"))]).windowed(hours());
    let raw = PlanBuilder::new().aggregate(&idle, &request).unwrap();
    let plan = cut_all(&[to(&raw, "out")]);
    assert_eq!(names(&plan.stages[1].output), ["origin", "delay", ".time", ".partition", ".row", ".window"]);
}

#[test]
fn filters_are_columns_and_guard_what_may_fail() {
    let late = col("delay").gt(15);
    let aggregates = [
        count().filter(late.clone()).alias("late"),
        sum(col("delay")).filter(late).alias("minutes"),
        sum(lit(60) / col("delay")).filter(col("delay").not_eq(0)).alias("rate"),
    ];
    let request = AggregateRequest::new(["origin"], aggregates);
    let node = PlanBuilder::new().aggregate(&source("in"), &request).unwrap();
    let plan = cut_all(&[to(&node, "out")]);
    let partial = &keyed_of(&plan, 2).partial;
    let reads = |a: &AggregateSpec| (a.arguments.first().map(|argument| argument.column), a.filter);
    // Keys come first; each distinct expression is one column.
    let columns: Vec<_> = partial.aggregates.iter().map(reads).collect();
    assert_eq!(columns, [(None, Some(1)), (Some(2), Some(1)), (Some(3), Some(4))]);
    let NodeKind::Aggregate { aggregates, .. } = node.kind() else { panic!() };
    assert_eq!(aggregates[1].to_string(), "sum(delay) FILTER (WHERE delay > 15)");
    assert!(aggregates[2].arguments[0].to_string().starts_with("CASE WHEN delay <> 0 THEN 60 / delay"));
    assert!(!aggregates[1].arguments[0].to_string().contains("CASE"));
}

#[test]
fn without_window_there_is_one_result_a_key() {
    let total =
        PlanBuilder::new().aggregate(&source("in"), &AggregateRequest::new(["origin"], [count()])).unwrap();
    let plan = cut_all(&[ordered(&total, "out")]);
    assert_eq!(steps(&plan, 1), ["group-by", "partition"]);
    let keyed = keyed_of(&plan, 2);
    assert!(keyed.window.is_none() && keyed.window_start.is_none());
    assert_eq!(names(&plan.stages[2].output), ["origin", "count(*)", ".partition", ".row", ".key"]);

    let keys: [&str; 0] = [];
    let one = PlanBuilder::new().aggregate(&source("in"), &AggregateRequest::new(keys, [count()])).unwrap();
    let plan = cut_all(&[to(&one, "out")]);
    // Counting rows reads no column.
    assert!(source_of(&plan, 0).projection.is_empty());
}

#[test]
fn keys_may_be_named_like_parts_of_the_state() {
    let request = AggregateRequest::new([col("origin").alias("n.count")], [count().alias("n")]);
    let total = PlanBuilder::new().aggregate(&source("in"), &request).unwrap();
    let plan = cut_all(&[to(&total, "out")]);
    assert_eq!(names(&plan.stages[2].output), ["n.count", "n"]);
    assert_eq!(names(&keyed_of(&plan, 2).partial_schema), ["n.count 2", ".hash", "n.count"]);
}

#[test]
fn windows_over_windows_take_their_time_from_the_first() {
    let days = KeyedWindow {
        window: TumblingWindow::new(Span::from_secs(86_400), Span::ZERO).unwrap().into(),
        ..hours()
    };
    let request = AggregateRequest::new(["origin"], [sum(col("flights"))]).windowed(days);
    let daily = PlanBuilder::new().aggregate(&hourly(&timed(&source("in"), None)), &request).unwrap();
    let plan = cut_all(&[to(&daily, "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "fragment 2", "keyed 3", "sink 4"]);
    assert_eq!(names(&plan.stages[2].output), ["origin", "flights", ".time", ".late"]);
}

#[test]
fn late_rows_keep_all_their_columns() {
    let hourly = hourly(&timed(&source("in"), None));
    let late = PlanBuilder::new().late_rows(&hourly).unwrap();
    let plan = cut_all(&[to(&hourly, "windows"), ordered(&late, "late")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "sink 2", "sink 1!"]);
    let columns = ["date", "delay", "distance", "origin", ".time", ".late", ".partition", ".row"];
    assert_eq!(names(fragment_of(&plan, 1).late.as_ref().unwrap()), columns);
    assert_eq!(names(&plan.stages[4].output), columns);

    // Late rows alone: the windows are still computed, and nobody reads them.
    let plan = cut_all(&[to(&late, "late")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "sink 1!"]);
}

#[test]
fn where_a_partition_may_go_idle_rows_go_to_the_owner_raw() {
    let idle = Some(Duration::from_secs(5));
    let plan = cut_all(&[to(&hourly(&timed(&endless("in"), idle)), "out")]);
    assert_eq!(steps(&plan, 1), ["window-assign", "filter-project", "partition"]);
    let keyed = keyed_of(&plan, 2);
    assert_eq!(keyed.input, KeyedInput::Raw);
    assert_eq!(names(&plan.stages[1].output), ["origin", "delay", ".window"]);
    assert!(keyed.late.is_none() && keyed.late_columns.is_empty());
    // A bounded partition ends and is never idle.
    let plan = cut_all(&[to(&hourly(&timed(&source("in"), idle)), "out")]);
    assert_eq!(keyed_of(&plan, 2).input, KeyedInput::Partial);
    // Nor does the next window know more than the first.
    let twice = AggregateRequest::new(["origin"], [count()]).windowed(hours());
    let twice = PlanBuilder::new().aggregate(&hourly(&timed(&endless("in"), idle)), &twice).unwrap();
    assert_eq!(keyed_of(&cut_all(&[to(&twice, "out")]), 4).input, KeyedInput::Raw);
}

#[test]
fn where_rows_are_counted_they_go_to_the_owner_with_what_orders_them() {
    let counted = |input: &NodeRef| {
        let window = KeyedWindow { window: CountWindow::new(7).unwrap().into(), ..hours() };
        let request = AggregateRequest::new(["origin"], [sum(col("delay"))]).windowed(window);
        PlanBuilder::new().aggregate(input, &request).unwrap()
    };
    let plan = cut_all(&[to(&counted(&timed(&source("in"), None)), "out")]);
    assert_eq!(steps(&plan, 1), ["window-assign", "filter-project", "partition"]);
    assert_eq!(keyed_of(&plan, 2).input, KeyedInput::Raw);
    assert_eq!(names(&plan.stages[1].output), ["origin", "delay", ".window", ".partition", ".row"]);
    // Late rows bring some of it along already, and results of windows have keys.
    let input = hourly(&timed(&source("in"), None));
    let input = select(&input, &[col("origin"), col("flights").alias("delay")]);
    let results = counted(&input);
    let late = PlanBuilder::new().late_rows(&results).unwrap();
    let plan = cut_all(&[to(&results, "out"), ordered(&late, "late")]);
    let prepare = plan.stages.iter().rfind(|s| s.output.index_of("__sabot.window").is_ok()).unwrap();
    let order = [".time", ".late", ".partition", ".row", ".key", ".window"];
    assert_eq!(names(&prepare.output), [&["origin", "delay"][..], &order].concat());
}

#[test]
fn late_rows_of_raw_input_come_from_both_halves() {
    let hourly = hourly(&timed(&endless("in"), Some(Duration::from_secs(5))));
    let late = PlanBuilder::new().late_rows(&hourly).unwrap();
    let plan = cut_all(&[to(&hourly, "windows"), to(&late, "late")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "sink 2", "fragment 1!+2!", "sink 4"]);
    let (fragment, keyed) = (fragment_of(&plan, 1), keyed_of(&plan, 2));
    assert_eq!(fragment.late, keyed.late);
    assert_eq!(
        names(&plan.stages[1].output),
        ["origin", "delay", "date", "distance", ".time", ".late", ".window"]
    );
    // In the order of the late rows' schema; keys and arguments that are plain columns travel once.
    assert_eq!(keyed.late_columns, [2, 1, 3, 0, 4, 5]);
}

#[test]
fn a_fork_is_computed_once() {
    let fork = filter(&source("in"), col("delay").gt(15));
    let other = select(&fork, &[(col("distance") * 2).alias("far")]);
    let plan = cut_all(&[to(&fork, "a"), to(&other, "b")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "sink 1", "fragment 1", "sink 3"]);
    let two = cut_all(&[to(&hourly(&timed(&source("in"), None)), "a"), to(&timed(&source("in"), None), "b")]);
    assert_eq!(shape(&two), ["source", "fragment 0", "keyed 1", "sink 2", "sink 0"]);
}

#[test]
fn a_source_is_read_once_for_each_event_time() {
    let plan = cut_all(&[to(&source("in"), "a"), to(&timed(&source("in"), None), "b")]);
    assert_eq!(shape(&plan), ["source", "sink 0", "source", "sink 2"]);
    assert!(source_of(&plan, 0).event_time.is_none() && source_of(&plan, 2).event_time.is_some());
    assert_eq!((source_of(&plan, 0).ordinal, source_of(&plan, 2).ordinal), (0, 1));
}

#[test]
fn unions_are_the_first_step_of_what_follows() {
    let b = PlanBuilder::new();
    let narrow = |name: &str| select(&source(name), &[col("origin"), col("delay")]);
    let three = b.union(&b.union(&narrow("x"), &narrow("y")).unwrap(), &narrow("z")).unwrap();
    let plan = cut_all(&[to(&filter(&three, col("delay").gt(5)), "out")]);
    // Each branch puts its columns in order; the inner union is no stage of its own.
    let branches = ["source", "source", "fragment 0", "fragment 1", "source", "fragment 4"];
    assert_eq!(shape(&plan), [branches.as_slice(), &["fragment 2+3+5", "sink 6"]].concat());
    assert_eq!(steps(&plan, 6), ["union", "filter-project"]);

    let plan = cut_all(&[to(&b.union(&source("x"), &source("y")).unwrap(), "out")]);
    assert_eq!(shape(&plan), ["source", "source", "fragment 0+1", "sink 2"]);
    assert_eq!(steps(&plan, 2), ["union"]);
    let plan = cut_all(&[to(&b.union(&source("x"), &source("x")).unwrap(), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0+0", "sink 1"]);
}

#[test]
fn rows_beside_window_results_get_an_empty_key() {
    let input = timed(&source("in"), None);
    let columns = [col("origin"), col("delay").cast(DataType::Int64).alias("n")];
    let rows = select(&input, &columns);
    let results = select(&hourly(&input), &[col("origin"), col("flights").alias("n")]);
    let plan = cut_all(&[ordered(&PlanBuilder::new().union(&rows, &results).unwrap(), "out")]);
    let source = source_of(&plan, 0);
    assert_eq!(source.hidden, demand::HIDDEN);
    let union = plan.stages.iter().position(|s| s.inputs.len() == 2).unwrap();
    assert!(fragment_of(&plan, union).fragment.input().field_with_name(hidden::KEY).is_ok());
    assert!(plan.stages[union].output.field(1).is_nullable());
}

#[test]
fn user_functions_get_all_columns_and_hidden_ones_go_around() {
    let input = filter(&timed(&source("in"), None), col("delay").gt(15));
    let mapped = PlanBuilder::new().map_batches(&input, "f", input.schema()).unwrap();
    let plan = cut_all(&[to(&hourly(&mapped), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "map 1", "fragment 2", "keyed 3", "sink 4"]);
    assert_eq!(names(&plan.stages[1].output), ["date", "delay", "distance", "origin", ".time", ".late"]);
    assert_eq!(names(&plan.stages[2].output), ["delay", "origin", ".time", ".late"]);
}

fn pruning_of(sinks: &[NodeRef]) -> Option<String> {
    source_of(&cut_all(sinks), 0).pruning.as_ref().map(ToString::to_string)
}

#[test]
fn conditions_that_every_reader_has_are_pushed_into_the_source() {
    let late = filter(&timed(&source("in"), None), col("delay").gt(15).and(col("origin").eq("SFO")));
    assert_eq!(pruning_of(&[to(&late, "out")]).as_deref(), Some("delay > 15 AND origin = 'SFO'"));
    // Further filters add to it, as long as they speak of the source's own columns.
    let renamed = select(&late, &[col("delay"), col("distance").alias("origin")]);
    let further = filter(&renamed, col("delay").lt(60).and(col("origin").gt(7)));
    assert_eq!(
        pruning_of(&[to(&further, "out")]).as_deref(),
        Some("delay > 15 AND origin = 'SFO' AND delay < 60")
    );
    // What one reader alone asks for says nothing about the rows that the other reads.
    let other = filter(&timed(&source("in"), None), col("origin").eq("SFO").and(col("distance").gt(9)));
    assert_eq!(pruning_of(&[to(&late, "a"), to(&other, "b")]).as_deref(), Some("origin = 'SFO'"));
    assert_eq!(pruning_of(&[to(&late, "a"), to(&timed(&source("in"), None), "b")]), None);
    assert_eq!(pruning_of(&[to(&hourly(&timed(&source("in"), None)), "out")]), None);
}

#[test]
fn nothing_is_pruned_that_would_have_failed() {
    let risky = filter(&source("in"), (lit(1) / col("delay")).gt(0).and(col("origin").eq("SFO")));
    assert_eq!(pruning_of(&[to(&risky, "out")]), None);
    let before = filter(&source("in"), col("origin").eq("SFO").and((lit(1) / col("delay")).gt(0)));
    let after = filter(&before, col("distance").gt(9));
    assert_eq!(pruning_of(&[to(&after, "out")]).as_deref(), Some("origin = 'SFO'"));
    let computed =
        PlanBuilder::new().with_columns(&source("in"), &[(lit(1) / col("delay")).alias("q")]).unwrap();
    assert_eq!(pruning_of(&[to(&filter(&computed, col("origin").eq("SFO")), "out")]), None);
}

#[test]
fn conditions_with_user_functions_stay_where_they_are() {
    let odd =
        ClosureFunction::new("odd", 1, [DataType::Int32], DataType::Boolean, |args, _| Ok(args[0].clone()));
    let mut functions = FunctionRegistry::new();
    functions.register(Arc::new(odd.infallible())).unwrap();
    let b = PlanBuilder::with_functions(Arc::new(functions));
    let kept = b.filter(&source("in"), &call("odd", 1, [col("delay")]).and(col("distance").gt(9))).unwrap();
    assert_eq!(pruning_of(&[to(&kept, "out")]).as_deref(), Some("distance > 9"));
}

#[test]
fn impossible_options_and_too_many_sources_are_refused() {
    let plan = Plan::from_sinks(&[to(&hourly(&timed(&source("in"), None)), "out")]).unwrap();
    let none = cut(&plan, &CutOptions { keyed_parallelism: 0 }).unwrap_err();
    assert!(none.to_string().starts_with("partition: parallelism 0"), "{none}");
    let mut sinks: Vec<NodeRef> = Vec::new();
    for i in 0..=ORDINALS_MAX {
        sinks.push(to(&source(&format!("in{i}")), &format!("out{i}")));
    }
    let plan = Plan::from_sinks(&sinks).unwrap();
    assert_eq!(
        cut(&plan, &CutOptions::default()).unwrap_err().to_string(),
        "4097 sources and keyed operators in one plan; at most 4096 are allowed"
    );
}
