//! Random plans: stored, loaded and cut.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use sabot_common::Span;
use sabot_expr::{Expr, col};
use sabot_time::TumblingWindow;
use std::time::Duration;

use super::check::check;
use crate::{
    AggregateExpr, AggregateRequest, Boundedness, ChangeMode, Connector, CutOptions, KeyedWindow, NodeRef,
    Plan, PlanBuilder, PlanError, SinkRequest, SourceRequest, corr, count, cut, elements, first, max, sum,
};

/// One thing to try: what, to which of the nodes so far, and how.
type Choice = (u8, u8, u8, u8);

fn source(b: &PlanBuilder, how: u8) -> Result<NodeRef, PlanError> {
    let schema = Schema::new(vec![
        Field::new(
            "at",
            DataType::Timestamp(TimeUnit::Millisecond, (how & 1 == 0).then(|| "UTC".into())),
            false,
        ),
        Field::new("k", DataType::Utf8, how & 2 == 0),
        Field::new("n", DataType::Int64, true),
        Field::new("d", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
        Field::new("l", DataType::List(Field::new_list_field(DataType::Int64, true).into()), how & 1 == 0),
    ]);
    b.source(SourceRequest {
        boundedness: if how & 4 == 0 { Boundedness::Bounded } else { Boundedness::Unbounded },
        changes: if how & 0xF8 == 8 { ChangeMode::Changelog } else { ChangeMode::AppendOnly },
        ..SourceRequest::bounded(Connector::slot(format!("in{how}")), schema.into())
    })
}

/// The columns whose bits are set, at least one.
fn columns(node: &NodeRef, bits: u8) -> Vec<Expr> {
    let fields = node.schema().fields();
    let chosen = |(i, _): &(usize, _)| *i == 0 || bits & (1 << (i % 8)) != 0;
    fields.iter().enumerate().filter(chosen).map(|(_, f)| col(f.name())).collect()
}

fn aggregate(b: &PlanBuilder, node: &NodeRef, how: u8) -> Result<NodeRef, PlanError> {
    let last = node.schema().fields().last().map_or("", |f| f.name());
    let all: [AggregateExpr; 5] = [
        count().alias("rows"),
        max(col(last)).alias("most"),
        sum(col("n")).alias("total"),
        first(col(last)).filter(col("n").gt(3)).alias("first"),
        corr(col("n"), col("n")).alias("corr"),
    ];
    let aggregates: Vec<AggregateExpr> =
        all.into_iter().enumerate().filter(|(i, _)| how & (1 << i) != 0).map(|(_, a)| a).collect();
    let keys = columns(node, how >> 3).into_iter().take(usize::from(how >> 6)).map(|key| {
        let name = format!("key {key}");
        if how & 16 == 0 { key } else { key.alias(name) }
    });
    let request = AggregateRequest::new(keys, aggregates);
    let window = TumblingWindow::new(Span::from_secs(1 + i64::from(how)), Span::ZERO).unwrap().into();
    match &node.properties().time {
        Some(_) => b.aggregate(node, &request.windowed(KeyedWindow { window, allowed_lateness: Span::ZERO })),
        None => b.aggregate(node, &request),
    }
}

/// What a choice makes of the nodes so far; much of it is refused, which is part of the game.
fn attempt(b: &PlanBuilder, nodes: &[NodeRef], (what, at, other, how): Choice) -> Result<NodeRef, PlanError> {
    let pick = |i: u8| &nodes[usize::from(i) % nodes.len()];
    let node = pick(at);
    let first = col(node.schema().field(0).name());
    match what % 11 {
        0 => source(b, how),
        1 => b.event_time(node, "at", Span::from_secs(1), (how & 1 == 0).then(|| Duration::from_secs(1))),
        2 => b.filter(node, &first.is_not_null().and(col("n").gt(i64::from(how)))),
        3 => b.select(node, &columns(node, how)),
        4 => b.with_columns(node, &[(col("n") + i64::from(how)).alias(["n", "m"][usize::from(how & 1)])]),
        5 | 6 => aggregate(b, node, how),
        7 => b.late_rows(nodes.iter().rev().find(|n| n.kind().name() == "aggregate").unwrap_or(node)),
        8 => b.union(node, pick(other)),
        9 => {
            let request = if how & 1 == 0 { elements("l") } else { elements("l").alias("n2").keep_empty() };
            b.unnest(node, &if how & 2 == 0 { request } else { request.position("nth") })
        }
        _ => b.map_batches(node, "f", node.schema()),
    }
}

/// Rows that never end have an order by event time alone.
fn can_be_ordered(node: &NodeRef) -> bool {
    node.properties().time.is_some() || node.properties().boundedness == Boundedness::Bounded
}

fn build(choices: Vec<Choice>) -> Option<Plan> {
    let b = PlanBuilder::new();
    let first = source(&b, 0).unwrap();
    let mut nodes = vec![b.event_time(&first, "at", Span::from_secs(1), None).unwrap(), first];
    for choice in &choices {
        nodes.extend(attempt(&b, &nodes, *choice));
    }
    let mut sinks = Vec::new();
    for (i, (node, choice)) in nodes.iter().skip(2).zip(choices.iter().cycle()).enumerate() {
        if choice.3 % 3 == 0 || i + 3 == nodes.len() {
            let request = SinkRequest {
                accepts_changes: true,
                ordered: choice.1 & 1 == 0 && can_be_ordered(node),
                ..SinkRequest::new(Connector::slot(format!("out{i}")))
            };
            sinks.push(b.sink(node, request).unwrap());
        }
    }
    Plan::from_sinks(&sinks).ok()
}

fn choices() -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(any::<Choice>(), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stored_plans_are_equal_and_cut_alike(choices in choices(), keyed_parallelism in 1u32..5) {
        let Some(plan) = build(choices) else { return Ok(()) };
        let loaded: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        prop_assert_eq!(&loaded, &plan);
        let options = CutOptions { keyed_parallelism };
        let physical = cut(&plan, &options).unwrap();
        check(&plan, &physical);
        prop_assert_eq!(format!("{physical:?}"), format!("{:?}", cut(&loaded, &options).unwrap()));
    }
}

/// The generator is worth its time only if most of what it tries becomes a plan with some of everything.
#[test]
fn random_plans_are_rich() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut kinds = std::collections::BTreeMap::<&str, usize>::new();
    let mut plans = 0;
    for _ in 0..200 {
        let choices = choices().new_tree(&mut runner).unwrap().current();
        let Some(plan) = build(choices) else { continue };
        plans += 1;
        plan.nodes().iter().for_each(|node| *kinds.entry(node.kind.name()).or_default() += 1);
    }
    assert!(plans > 100, "{plans} plans");
    let all = [
        "aggregate",
        "event-time",
        "filter",
        "late-rows",
        "map-batches",
        "select",
        "sink",
        "source",
        "union",
        "unnest",
    ];
    for kind in all {
        assert!(kinds.get(kind).copied().unwrap_or(0) > 10, "{kinds:?}");
    }
}
