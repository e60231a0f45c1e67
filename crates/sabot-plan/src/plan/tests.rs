//! Ids, sharing, and the stored form.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema};
use sabot_common::Span;
use sabot_expr::{ClosureFunction, FunctionError, Scalar, UserAggregate, UserState, call, col};
use sabot_time::TumblingWindow;
use std::sync::Arc;

use super::*;
use crate::{
    AggregateRequest, KeyedWindow, PlanBuilder, SinkRequest, SourceRequest, avg, call_aggregate, count,
};

fn source(b: &PlanBuilder, slot: &str) -> NodeRef {
    let schema = Schema::new(vec![
        Field::new("at", DataType::Date32, false),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]);
    b.source(SourceRequest::bounded(Connector::slot(slot), schema.into())).unwrap()
}

fn out(b: &PlanBuilder, node: &NodeRef, slot: &str) -> NodeRef {
    b.sink(node, SinkRequest::new(Connector::slot(slot)).ordered()).unwrap()
}

fn rich_plan(b: &PlanBuilder) -> Plan {
    let timed = b
        .event_time(&source(b, "in"), "at", Span::from_secs(60), Some(std::time::Duration::from_secs(5)))
        .unwrap();
    let kept = b.filter(&timed, &col("x").gt(f64::NAN).or(col("n").is_null())).unwrap();
    let window = TumblingWindow::new(Span::from_secs(3600), Span::from_secs(60)).unwrap().into();
    let window = KeyedWindow { window, allowed_lateness: Span::from_secs(1) };
    let request =
        AggregateRequest::new([col("n") % 7], [count(), avg(col("x") * 2.5).alias("mean")]).windowed(window);
    let hourly = b.aggregate(&kept, &request).unwrap();
    let late = b.late_rows(&hourly).unwrap();
    let all = b.union(&late, &kept).unwrap();
    let mapped = b.named(&b.map_batches(&all, "f", all.schema()).unwrap(), "shuffle").unwrap();
    Plan::from_sinks(&[out(b, &hourly, "windows"), out(b, &mapped, "rows")]).unwrap()
}

#[test]
fn equal_sub_plans_are_one_node_with_two_consumers() {
    let b = PlanBuilder::new();
    let branch = || b.filter(&source(&b, "in"), &col("n").gt(5)).unwrap();
    let plan = Plan::from_sinks(&[out(&b, &branch(), "a"), out(&b, &branch(), "b")]).unwrap();
    let names: Vec<&str> = plan.nodes().iter().map(|n| n.kind.name()).collect();
    assert_eq!(names, ["source", "filter", "sink", "sink"]);
    assert_eq!(plan.consumers(), [vec![1], vec![2, 3], vec![], vec![]]);

    let other = b.filter(&source(&b, "in"), &col("n").gt(6)).unwrap();
    let plan = Plan::from_sinks(&[out(&b, &branch(), "a"), out(&b, &other, "b")]).unwrap();
    assert_eq!(plan.nodes().len(), 5);
}

#[test]
fn ids_come_from_structure_and_not_from_order() {
    let b = PlanBuilder::new();
    let (left, right) = (out(&b, &source(&b, "l"), "a"), out(&b, &source(&b, "r"), "b"));
    let ids = |plan: Plan| {
        let mut ids: Vec<String> = plan.nodes().iter().map(|n| n.id.to_string()).collect();
        ids.sort();
        ids
    };
    let there = ids(Plan::from_sinks(&[left.clone(), right.clone()]).unwrap());
    assert_eq!(there, ids(Plan::from_sinks(&[right, left]).unwrap()));
    let digits = there[0].strip_prefix("sink-").unwrap();
    assert!(digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{digits}");
}

#[test]
fn an_id_stays_when_the_plan_changes_around_it() {
    let b = PlanBuilder::new();
    let ids = |limit: i64| {
        let filter = b.filter(&source(&b, "in"), &col("n").gt(limit)).unwrap();
        let select = b.select(&filter, &[col("n")]).unwrap();
        let plan = Plan::from_sinks(&[out(&b, &select, "a")]).unwrap();
        plan.nodes().iter().map(|node| node.id.clone()).collect::<Vec<_>>()
    };
    let (before, after) = (ids(1), ids(2));
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same, [true, false, true, true], "{before:?} {after:?}");
}

/// Else state could go to the wrong one when their order changes.
#[test]
fn operators_that_do_the_same_are_told_apart_by_what_is_above() {
    let b = PlanBuilder::new();
    let branch = |limit: i64, sink: &str| {
        let filter = b.filter(&source(&b, "in"), &col("n").gt(limit)).unwrap();
        (out(&b, &b.select(&filter, &[col("n")]).unwrap(), sink), limit)
    };
    let select_of = |sinks: &[NodeRef], limit: i64| {
        let plan = Plan::from_sinks(sinks).unwrap();
        let filter = plan.nodes().iter().position(|node| {
            matches!(&node.kind, NodeKind::FilterProject { predicate: Some(p), .. } if p.to_string().contains(&limit.to_string()))
        });
        let select = plan.nodes().iter().find(|node| node.inputs == [filter.unwrap()]).unwrap();
        assert_eq!(select.kind.name(), "select");
        select.id.clone()
    };
    let ((five, _), (seven, _)) = (branch(5, "a"), branch(7, "b"));
    let both = [five.clone(), seven.clone()];
    let turned = [seven, five];
    assert_ne!(select_of(&both, 5), select_of(&both, 7));
    assert_eq!(select_of(&both, 5), select_of(&turned, 5));
    assert_eq!(select_of(&both, 7), select_of(&turned, 7));
}

#[test]
fn colliding_ids_get_a_suffix() {
    let taken: HashSet<OperatorId> = ["filter-1", "filter-1-2"].map(OperatorId::from).into();
    assert_eq!(free_id(&"filter-1".into(), &taken).as_str(), "filter-1-3");
    assert_eq!(free_id(&"filter-2".into(), &taken).as_str(), "filter-2");
    // A name that looks like a derived id is in the way of it, and both stay.
    let b = PlanBuilder::new();
    let kept = b.filter(&source(&b, "in"), &col("n").gt(5)).unwrap();
    let other = b.named(&source(&b, "other"), kept.id().to_string()).unwrap();
    let plan = Plan::from_sinks(&[out(&b, &other, "a"), out(&b, &kept, "b")]).unwrap();
    assert_eq!(plan.node(&OperatorId::new(format!("{}-2", kept.id()))).unwrap().kind.name(), "filter");
}

#[test]
fn slots_are_listed_with_their_operators() {
    let plan = rich_plan(&PlanBuilder::new());
    let slots: Vec<(&str, &str)> =
        plan.slots().into_iter().map(|(slot, node)| (slot, node.kind.name())).collect();
    assert_eq!(slots, [("in", "source"), ("windows", "sink"), ("f", "map-batches"), ("rows", "sink")]);
}

#[test]
fn plans_survive_being_stored() {
    let plan = rich_plan(&PlanBuilder::new());
    let text = serde_json::to_string_pretty(&plan).unwrap();
    assert!(text.starts_with("{\n  \"format_version\": 1,"), "{text}");
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    let keying = Keying { key_groups: sabot_common::KeyGroups::new(7).unwrap(), hash_seed: 42 };
    let other = plan.clone().with_keying(keying);
    let again: Plan = serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
    assert_eq!(again.keying(), keying);
    assert_ne!(again, plan);
}

/// Ids are made of what is stored, so the form of what was there before other kinds of windows stays.
#[test]
fn windows_of_one_kind_are_stored_as_before_there_were_others() {
    let text = serde_json::to_string(&rich_plan(&PlanBuilder::new())).unwrap();
    let stored = r#""window":{"window":{"size":3600000000,"offset":60000000},"allowed_lateness":1000000}"#;
    assert!(text.contains(stored), "{text}");
    let hopping = text.replace(
        r#"{"size":3600000000,"offset":60000000}"#,
        r#"{"hopping":{"size":3600000000,"slide":60000000}}"#,
    );
    let plan: Plan = serde_json::from_str(&hopping).unwrap();
    let shown = format!("{:?}", plan.nodes());
    assert!(shown.contains("Hopping"), "{shown}");
    assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
}

#[test]
fn newer_formats_are_refused_before_they_are_misread() {
    let message = |text: &str| serde_json::from_str::<Plan>(text).unwrap_err().to_string();
    let newer = message(r#"{"format_version": 2, "nodes": [{"kind": "of the future"}]}"#);
    assert!(
        newer.starts_with(
            "the plan has format version 2; this build reads versions 1 to 1, so it needs a newer one"
        ),
        "{newer}"
    );
    assert!(message(r#"{"format_version": 0, "nodes": []}"#).starts_with("the plan has format version 0"));
    assert!(message(r#"{"nodes": []}"#).starts_with("missing field `format_version`"));
    assert!(message(r#"{"format_version": 1, "nodes": []}"#).starts_with("the job has no sink"));
}

#[test]
fn stored_plans_that_contradict_themselves_are_refused() {
    let plan = rich_plan(&PlanBuilder::new());
    let good = serde_json::to_value(&plan).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        serde_json::from_value::<Plan>(bad).unwrap_err().to_string()
    };
    type Change = &'static dyn Fn(&mut serde_json::Value);
    let all: [(Change, &str); 6] = [
        (&|v| v["nodes"][1]["inputs"][0] = 3.into(), "an input does not stand before it"),
        (&|v| v["nodes"][1]["inputs"] = serde_json::json!([]), "0 inputs; that is not the number it takes"),
        (&|v| v["nodes"][1]["id"] = v["nodes"][0]["id"].clone(), "another operator has the same id"),
        (
            &|v| v["nodes"][1]["properties"]["boundedness"] = "unbounded".into(),
            "its properties do not follow",
        ),
        (
            &|v| v["nodes"][1]["properties"]["schema"][1]["type"] = "utf8".into(),
            "its properties do not follow",
        ),
        (&|v| v["nodes"][1]["colour"] = "blue".into(), "unknown field `colour`"),
    ];
    for (change, expected) in all {
        let message = refused(change);
        assert!(message.contains(expected), "{message}");
    }
    let nodes = good["nodes"].as_array().unwrap().len();
    let unread = refused(&|v| drop(v["nodes"].as_array_mut().unwrap().remove(nodes - 1)));
    assert!(unread.contains("nothing reads its rows"), "{unread}");
}

#[test]
fn loaded_plans_find_their_functions_again() {
    let function = |version| {
        let f = ClosureFunction::new("twice", version, [DataType::Int64], DataType::Int64, |args, _| {
            Ok(args[0].clone())
        });
        let mut functions = FunctionRegistry::new();
        functions.register(Arc::new(f)).unwrap();
        functions
    };
    let b = PlanBuilder::with_functions(Arc::new(function(1)));
    let doubled = b.select(&source(&b, "in"), &[call("twice", 1, [col("n")]).alias("n")]).unwrap();
    let plan = Plan::from_sinks(&[out(&b, &doubled, "out")]).unwrap();
    let mut loaded: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(loaded, plan);
    assert_eq!(loaded.bind(&function(1)), Ok(()));
    let message = loaded.bind(&function(2)).unwrap_err().to_string();
    assert!(
        message.starts_with("select: unknown function twice version 1; did you mean twice version 2?"),
        "{message}"
    );
}

/// A function that keeps and returns whatever it is given a type for.
#[derive(Clone, Debug)]
struct Keeps(DataType);

impl UserAggregate for Keeps {
    fn name(&self) -> &str {
        "keeps"
    }
    fn version(&self) -> u32 {
        1
    }
    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, FunctionError> {
        Ok(DataType::Int64)
    }
    fn state_types(&self, _arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        Ok(vec![self.0.clone()])
    }
    fn start(&self, _arguments: &[DataType]) -> Box<dyn UserState> {
        Box::new(self.clone())
    }
}

impl UserState for Keeps {
    fn accumulate(&mut self, _arguments: &[ArrayRef]) -> Result<(), FunctionError> {
        Ok(())
    }
    fn merge(&mut self, _state: &[ArrayRef]) -> Result<(), FunctionError> {
        Ok(())
    }
    fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> {
        Ok(vec![Scalar::Null(self.0.clone())])
    }
    fn result(&self) -> Result<Scalar, FunctionError> {
        Ok(Scalar::Null(DataType::Int64))
    }
}

#[test]
fn loaded_plans_find_their_aggregate_functions_and_no_others() {
    let keeping = |data_type| {
        let mut functions = FunctionRegistry::new();
        functions.register_aggregate(Arc::new(Keeps(data_type))).unwrap();
        functions
    };
    let b = PlanBuilder::with_functions(Arc::new(keeping(DataType::Utf8)));
    let request = AggregateRequest::new(["at"], [call_aggregate("keeps", 1, [col("n")])]);
    let kept = b.aggregate(&source(&b, "in"), &request).unwrap();
    let plan = Plan::from_sinks(&[out(&b, &kept, "out")]).unwrap();
    // The types of state and result are known without the code.
    let mut loaded: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(loaded, plan);
    assert_eq!(loaded.bind(&keeping(DataType::Utf8)), Ok(()));
    let message = loaded.bind(&keeping(DataType::Int64)).unwrap_err().to_string();
    let text = "gives int64 with state (int64), but gave int64 with state (utf8) when the plan was stored";
    assert!(message.contains(text), "{message}");
    let message = loaded.bind(&FunctionRegistry::new()).unwrap_err().to_string();
    assert!(message.contains("unknown function keeps version 1"), "{message}");
}

#[test]
fn diamonds_stay_small() {
    let b = PlanBuilder::new();
    let mut node = source(&b, "in");
    for _ in 0..64 {
        node = b.union(&node, &node).unwrap();
    }
    let plan = Plan::from_sinks(&[out(&b, &node, "out")]).unwrap();
    assert_eq!(plan.nodes().len(), 66);
}
