//! The whole text of a plan with a bit of everything.

use arrow::datatypes::{DataType, Field, TimeUnit};
use sabot_common::Span;
use sabot_expr::col;
use sabot_time::TumblingWindow;
use std::time::Duration;

use super::*;
use crate::{
    AggregateRequest, Connector, CutOptions, KeyedWindow, NodeRef, PlanBuilder, SinkRequest, SourceRequest,
    avg, count, cut,
};

fn flights(b: &PlanBuilder) -> NodeRef {
    let schema = Schema::new(vec![
        Field::new("date", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("delay", DataType::Int32, true),
        Field::new("distance", DataType::Int32, false),
        Field::new("origin", DataType::Utf8, false),
        Field::new("destination", DataType::Utf8, false),
    ]);
    let connector = Connector::registered("parquet", [("path", "flights.parquet")]);
    let request = SourceRequest::bounded(connector, schema.into());
    let source = b.source(SourceRequest { name: Some("flights".into()), ..request }).unwrap();
    let timed = b.event_time(&source, "date", Span::from_secs(300), None).unwrap();
    b.named(&timed, "dated").unwrap()
}

fn plan() -> Plan {
    let b = PlanBuilder::new();
    let late = b.named(&b.filter(&flights(&b), &col("delay").gt(15)).unwrap(), "delayed").unwrap();
    let window = TumblingWindow::new(Span::from_secs(3600), Span::ZERO).unwrap().into();
    let window = KeyedWindow { window, allowed_lateness: Span::from_secs(60) };
    let aggregates =
        [count().alias("flights"), avg(col("delay")).alias("average_delay"), avg(col("distance"))];
    let request = AggregateRequest::new(["origin"], aggregates).windowed(window);
    let hourly = b.named(&b.aggregate(&late, &request).unwrap(), "hourly").unwrap();
    let too_late = b.named(&b.late_rows(&hourly).unwrap(), "too-late").unwrap();
    let both = b.named(&b.union(&too_late, &late).unwrap(), "both").unwrap();
    let far = b.with_columns(&both, &[(col("distance") * 2).alias("there_and_back")]).unwrap();
    let far = b.named(&far, "far").unwrap();
    let sink = |node: &NodeRef, name: &str| {
        let request =
            SinkRequest { name: Some(name.into()), ..SinkRequest::new(Connector::slot(name)).ordered() };
        b.sink(node, request).unwrap()
    };
    Plan::from_sinks(&[sink(&hourly, "windows"), sink(&far, "rows")]).unwrap()
}

fn verdict(device: &str, refusal: Option<&str>) -> DeviceVerdict {
    DeviceVerdict { device: DeviceId::new(device), refusal: refusal.map(str::to_owned) }
}

const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn the_text_is_the_golden_one() {
    let plan = plan();
    let physical = cut(&plan, &CutOptions { keyed_parallelism: 4 }).unwrap();
    let devices = |fragment: &Fragment| {
        let strings = fragment.to_string().contains("origin").then_some("strings as keys");
        vec![verdict("cuda:0", strings), verdict("cpu", None)]
    };
    let text = explain(&plan, &physical, devices);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_eq!(text, GOLDEN, "\n{text}");
}

#[test]
fn devices_are_named_with_the_reasons_of_the_others() {
    assert_eq!(placement(&[]), "cpu (only device)");
    assert_eq!(placement(&[verdict("cpu", None)]), "cpu (only device)");
    let all =
        [verdict("cuda:0", Some("no driver")), verdict("wgpu:0", Some("float64")), verdict("cpu", None)];
    assert_eq!(placement(&all), "cpu (cuda:0: no driver, wgpu:0: float64)");
    assert_eq!(placement(&[verdict("cuda:0", None), verdict("cpu", None)]), "cuda:0 (first choice)");
}

#[test]
fn endless_sources_and_row_kinds_are_told() {
    let b = PlanBuilder::new();
    let schema =
        Schema::new(vec![Field::new("at", DataType::Date32, false), Field::new("n", DataType::Int64, true)]);
    let orders = b.source(SourceRequest::unbounded(Connector::slot("orders"), schema.into())).unwrap();
    let timed = b.event_time(&orders, "at", Span::ZERO, Some(Duration::from_secs(5))).unwrap();
    let window = TumblingWindow::new(Span::from_secs(60), Span::ZERO).unwrap().into();
    let window = KeyedWindow { window, allowed_lateness: Span::ZERO };
    let keys: [&str; 0] = [];
    let counts = b.aggregate(&timed, &AggregateRequest::new(keys, [count()]).windowed(window)).unwrap();
    let sink = b.sink(&counts, SinkRequest::new(Connector::slot("out"))).unwrap();
    let plan = Plan::from_sinks(&[sink]).unwrap();
    let text = explain(&plan, &cut(&plan, &CutOptions::default()).unwrap(), |_| Vec::new());
    for expected in [
        "reads slot orders, without end",
        "event time is at, up to 0 s out of order, idle after 5s",
        "tumbling(1 min), all rows: count(*)",
        "takes single rows, because partitions may return or come to windows that are closed",
        "reads at (of 2 columns) from slot orders",
        "keyed state, from 1 exchanged by key over 1 task",
    ] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
}
