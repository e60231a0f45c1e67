//! Every refusal, with its message.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_common::Span;
use sabot_expr::{col, lit};
use sabot_time::{CountWindow, CumulateWindow, HoppingWindow, SessionWindow, TumblingWindow, Windows};

mod order;
mod predict;
mod unnest;

use super::*;
use crate::{Plan, TimeAttribute, approx_quantile, avg, call_aggregate, count, max, min, sum};

fn flights_schema() -> SchemaRef {
    let date = DataType::Timestamp(TimeUnit::Millisecond, Some("+00:00".into()));
    Arc::new(Schema::new(vec![
        Field::new("date", date, false),
        Field::new("delay", DataType::Int32, true),
        Field::new("distance", DataType::Int32, false),
        Field::new("origin", DataType::Utf8, false),
        Field::new("destination", DataType::Utf8, true),
    ]))
}

fn connector() -> Connector {
    Connector::registered("csv", [("path", "flights.csv")])
}

fn flights() -> NodeRef {
    PlanBuilder::new().source(SourceRequest::bounded(connector(), flights_schema())).unwrap()
}

fn timed(source: &NodeRef) -> NodeRef {
    PlanBuilder::new().event_time(source, "date", Span::from_secs(300), None).unwrap()
}

fn orders() -> NodeRef {
    let schema =
        Schema::new(vec![Field::new("at", DataType::Date32, false), Field::new("n", DataType::Int64, false)]);
    PlanBuilder::new().source(SourceRequest::unbounded(Connector::slot("orders"), schema.into())).unwrap()
}

fn changes() -> NodeRef {
    let request = SourceRequest::bounded(Connector::slot("changes"), flights_schema());
    PlanBuilder::new().source(SourceRequest { changes: ChangeMode::Changelog, ..request }).unwrap()
}

fn hours() -> KeyedWindow {
    let window = TumblingWindow::new(Span::from_secs(3600), Span::ZERO).unwrap().into();
    KeyedWindow { window, allowed_lateness: Span::ZERO }
}

fn names(node: &NodeRef) -> Vec<&str> {
    node.schema().fields().iter().map(|f| f.name().as_str()).collect()
}

fn refused(result: Result<NodeRef, PlanError>) -> String {
    result.unwrap_err().to_string()
}

fn collect(input: &NodeRef) -> Result<NodeRef, PlanError> {
    let request = SinkRequest {
        collects: Some("collect".into()),
        ..SinkRequest::new(Connector::slot("out")).ordered()
    };
    PlanBuilder::new().sink(input, request)
}

#[test]
fn the_bounds_that_name_a_window_are_part_of_the_key() {
    let key = |window: Windows| {
        let window = KeyedWindow { window, ..hours() };
        let request = AggregateRequest::new(["origin"], [count()]).windowed(window);
        let node = PlanBuilder::new().aggregate(&timed(&flights()), &request).unwrap();
        assert_eq!(names(&node), ["window_start", "window_end", "origin", "count(*)"]);
        node.properties().upsert_key.clone()
    };
    let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let (day, hour) = (Span::from_secs(86_400), Span::from_secs(3600));
    let started = list(&["window_start", "origin"]);
    assert_eq!(key(HoppingWindow::new(day, hour, Span::ZERO).unwrap().into()), started);
    assert_eq!(key(SessionWindow::new(hour).unwrap().into()), started);
    // They start together.
    let grown = list(&["window_start", "window_end", "origin"]);
    assert_eq!(key(CumulateWindow::new(day, hour, Span::ZERO).unwrap().into()), grown);
    // Many rows may have one time.
    assert_eq!(key(CountWindow::new(3).unwrap().into()), None);
}

#[test]
fn unknown_columns_name_the_operator_and_the_near_miss() {
    let b = PlanBuilder::new();
    let columns = "columns: date, delay, distance, origin, destination";
    assert_eq!(
        refused(b.filter(&flights(), &col("orgin").eq("SFO"))),
        format!("unknown column \"orgin\" in filter; did you mean \"origin\"? {columns}")
    );
    assert_eq!(
        refused(b.select(&flights(), &[col("x") + 1])),
        format!("unknown column \"x\" in select; {columns}")
    );
    assert_eq!(
        refused(b.event_time(&flights(), "dat", Span::ZERO, None)),
        format!("unknown column \"dat\" in event_time; did you mean \"date\"? {columns}")
    );
    let request = AggregateRequest::new(["orign"], [count()]);
    assert_eq!(
        refused(b.aggregate(&flights(), &request)),
        format!("unknown column \"orign\" in group_by; did you mean \"origin\"? {columns}")
    );
    assert_eq!(
        b.check_group_by(&flights(), None, &request.keys).unwrap_err(),
        b.aggregate(&flights(), &request).unwrap_err()
    );
    assert_eq!(
        refused(b.aggregate(&flights(), &AggregateRequest::new(["origin"], [avg(col("dealy"))]))),
        format!("unknown column \"dealy\" in aggregate; did you mean \"delay\"? {columns}")
    );
}

#[test]
fn type_errors_show_both_types_and_the_expression() {
    let b = PlanBuilder::new();
    let message = refused(b.filter(&flights(), &col("delay").gt(col("origin"))));
    assert!(message.starts_with("filter: cannot combine int32 and utf8 in `delay > origin`"), "{message}");
    assert_eq!(
        refused(b.filter(&flights(), &(col("delay") + 1))),
        "filter: `delay + 1` is int32; a filter needs a boolean, such as a comparison"
    );
    assert_eq!(
        refused(b.aggregate(&flights(), &AggregateRequest::new(["origin"], [sum(col("destination"))]))),
        "group-by: sum of utf8 as \"sum(destination)\"; it takes an integer, a float, a decimal or a duration"
    );
    let aggregate = |call| refused(b.aggregate(&flights(), &AggregateRequest::new(["origin"], [call])));
    assert_eq!(
        aggregate(count().filter(col("delay")).alias("late")),
        "aggregate: the filter `delay` of \"late\" is int32; it must be a boolean"
    );
    assert_eq!(
        aggregate(approx_quantile(col("delay"), 95.0)),
        "group-by: approx_quantile at 95; a quantile is a share from 0 to 1, such as 0.95 for 95 %"
    );
    let unknown = aggregate(call_aggregate("product", 1, [col("delay")]));
    assert!(unknown.starts_with("aggregate: unknown function product version 1"), "{unknown}");
}

#[test]
fn event_time_stands_on_a_source_and_on_a_time() {
    let b = PlanBuilder::new();
    let filtered = b.filter(&flights(), &col("delay").gt(15)).unwrap();
    assert_eq!(
        refused(b.event_time(&filtered, "date", Span::ZERO, None)),
        "event_time(\"date\") follows filter; declare it directly on the source, before any other step, so that \
         no row is dropped before its time is seen"
    );
    let message = refused(b.event_time(&flights(), "delay", Span::ZERO, None));
    assert!(
        message.starts_with("event_time: column \"delay\" is int32; it must be a timestamp or a date"),
        "{message}"
    );
    assert_eq!(
        refused(b.event_time(&flights(), "date", Span(-1), None)),
        "event_time: out_of_orderness is -1 µs; it must not be negative"
    );
}

#[test]
fn windows_need_event_time() {
    let b = PlanBuilder::new();
    let expected = "window: source csv(path=flights.csv) has no event time; call event_time(column, \
                    out_of_orderness) on every source that feeds it, before any other step";
    let request = AggregateRequest::new(["origin"], [count()]).windowed(hours());
    assert_eq!(refused(b.aggregate(&flights(), &request)), expected);
    assert_eq!(b.check_window(&flights(), &hours()).unwrap_err().to_string(), expected);
    let negative = KeyedWindow { allowed_lateness: Span::from_secs(-60), ..hours() };
    assert_eq!(
        b.check_window(&timed(&flights()), &negative).unwrap_err().to_string(),
        "window: allowed_lateness is -1 min; it must not be negative"
    );
    // A union keeps its event time only if both sides have it.
    let half = b.union(&timed(&flights()), &flights()).unwrap();
    assert!(b.check_window(&half, &hours()).is_err());
    let both = b.union(&timed(&flights()), &timed(&flights())).unwrap();
    assert!(b.check_window(&both, &hours()).is_ok());
}

#[test]
fn results_that_would_never_come_are_refused() {
    let b = PlanBuilder::new();
    assert_eq!(
        refused(b.aggregate(&orders(), &AggregateRequest::new(["at"], [count()]))),
        "group_by without a window gives its result when the input ends, but source slot orders never ends; put a \
         window before the group_by"
    );
    let even = b.filter(&orders(), &(col("n") % 2).eq(0)).unwrap();
    assert_eq!(
        refused(collect(&even)),
        "collect waits for the end of its input, but source slot orders never ends; use to_channel, execute_stream, \
         or write to a sink and start the job"
    );
    assert!(collect(&flights()).is_ok());
    let channel = b.sink(&even, SinkRequest::new(Connector::slot("out")));
    assert!(channel.is_ok());
}

#[test]
fn row_kinds_are_refused_where_only_appended_rows_go() {
    let b = PlanBuilder::new();
    let filtered = b.filter(&changes(), &col("delay").gt(15)).unwrap();
    assert_eq!(filtered.properties().produces, ChangeMode::Changelog);
    let why = "takes appended rows only, but source slot changes also brings updates and deletes; no operator here \
               turns those into appended rows";
    let request = AggregateRequest::new(["origin"], [count()]);
    assert_eq!(refused(b.aggregate(&filtered, &request)), format!("aggregate {why}"));
    assert_eq!(refused(b.map_batches(&filtered, "f", &flights_schema())), format!("map-batches {why}"));
    assert_eq!(refused(collect(&filtered)), format!("collect {why}"));
    let csv = SinkRequest::new(Connector::registered("csv", [("path", "o.csv")]));
    assert_eq!(refused(b.sink(&filtered, csv.clone())), format!("sink csv(path=o.csv) {why}"));
    assert!(b.sink(&filtered, SinkRequest { accepts_changes: true, ..csv }).is_ok());
    let mixed = b.union(&flights(), &changes()).unwrap();
    assert_eq!(refused(b.aggregate(&mixed, &request)), format!("aggregate {why}"));
}

#[test]
fn late_rows_come_from_windows_alone() {
    let b = PlanBuilder::new();
    let total = b.aggregate(&flights(), &AggregateRequest::new(["origin"], [count()])).unwrap();
    for (node, what) in [(&total, "aggregate"), (&flights(), "source csv(path=flights.csv)")] {
        assert_eq!(
            refused(b.late_rows(node)),
            format!(
                "late rows: {what} has no window, so no row can be late for it; take the late rows of a windowed \
                 aggregation, or of values over rows before"
            )
        );
    }
    let input = timed(&flights());
    let hourly =
        b.aggregate(&input, &AggregateRequest::new(["origin"], [count()]).windowed(hours())).unwrap();
    let late = b.late_rows(&hourly).unwrap();
    assert_eq!((late.schema(), &late.properties().time), (input.schema(), &input.properties().time));
}

#[test]
fn unions_need_the_same_columns() {
    let b = PlanBuilder::new();
    let select = |columns: &[Expr]| b.select(&flights(), columns).unwrap();
    let left = select(&[col("origin"), col("delay")]);
    for (right, difference) in [
        (
            select(&[col("origin"), col("distance")]),
            "column 2 is \"delay\" on one side and \"distance\" on the other",
        ),
        (
            select(&[col("origin"), lit(1.5).alias("delay")]),
            "column \"delay\" is int32 on one side and float64 on the other",
        ),
        (select(&[col("origin")]), "column \"delay\" is on one side only"),
        (select(&[col("origin"), col("delay"), col("date")]), "column \"date\" is on one side only"),
    ] {
        assert_eq!(
            refused(b.union(&left, &right)),
            format!(
                "union: {difference}; both sides must have the same columns in the same order (use select, alias or cast)"
            )
        );
    }
    let never_null = select(&[col("origin"), col("distance").alias("delay")]);
    assert!(b.union(&never_null, &left).unwrap().schema().field(1).is_nullable());
}

#[test]
fn column_names_are_unique_and_the_users_own() {
    let b = PlanBuilder::new();
    let again = |operator: &str, name: &str| {
        format!("{operator}: two columns are named \"{name}\"; give one of them another name with alias")
    };
    let twice = [col("delay"), col("distance").alias("delay")];
    assert_eq!(refused(b.select(&flights(), &twice)), again("select", "delay"));
    assert_eq!(refused(b.with_columns(&flights(), &twice)), again("with_columns", "delay"));
    let request = AggregateRequest::new(["origin"], [count().alias("origin")]);
    assert_eq!(refused(b.aggregate(&flights(), &request)), again("aggregate", "origin"));
    let start = col("origin").alias("window_start");
    let request = AggregateRequest::new([start], [count()]).windowed(hours());
    assert_eq!(refused(b.aggregate(&timed(&flights()), &request)), again("aggregate", "window_start"));
    assert_eq!(
        refused(b.select(&flights(), &[col("delay").alias("__sabot.time")])),
        "select: column \"__sabot.time\" starts with \"__sabot.\", which is kept for the engine; give it another name"
    );
    assert_eq!(refused(b.select(&flights(), &[])), "select: no column is left; name at least one");
    let doubled: Vec<Field> = ["a", "b", "a"].map(|n| Field::new(n, DataType::Int8, false)).to_vec();
    let request = SourceRequest::bounded(Connector::slot("s"), Schema::new(doubled).into());
    assert_eq!(refused(b.source(request)), again("source slot s", "a"));
}

#[test]
fn unknown_types_are_refused_by_name() {
    let b = PlanBuilder::new();
    let payload = DataType::new_list(DataType::Decimal128(39, 0), true);
    let schema: SchemaRef = Schema::new(vec![Field::new("payload", payload, true)]).into();
    let message = refused(b.source(SourceRequest::bounded(Connector::slot("s"), schema.clone())));
    assert!(
        message.starts_with(
            "source slot s: column \"payload\" is list(decimal128(39, 0)), which is not supported; supported types: null,"
        ),
        "{message}"
    );
    assert!(
        refused(b.map_batches(&flights(), "f", &schema))
            .starts_with("map-batches: column \"payload\" is list(decimal128(39, 0))")
    );
}

#[test]
fn names_are_not_shared() {
    let b = PlanBuilder::new();
    let late = b.named(&b.filter(&flights(), &col("delay").gt(15)).unwrap(), "late").unwrap();
    let short = b.named(&b.select(&late, &[col("delay")]).unwrap(), "late").unwrap();
    let sink = b.sink(&short, SinkRequest::new(Connector::slot("out"))).unwrap();
    assert_eq!(
        Plan::from_sinks(&[sink]).unwrap_err().to_string(),
        "two operators are named \"late\": a filter and a select that is not the same; every operator needs a name \
         of its own"
    );
    assert_eq!(refused(b.named(&late, "")), "filter: an operator's name must not be empty");
}

#[test]
fn sinks_end_a_plan_and_nothing_else_does() {
    let b = PlanBuilder::new();
    let sink = b.sink(&flights(), SinkRequest::new(Connector::slot("out"))).unwrap();
    assert_eq!(refused(b.filter(&sink, &lit(true))), "sink slot out is a sink; nothing can follow it");
    assert_eq!(
        Plan::from_sinks(&[flights()]).unwrap_err().to_string(),
        "source csv(path=flights.csv) is not a sink; a job is made of sinks, and of what feeds them"
    );
    assert_eq!(Plan::from_sinks(&[]).unwrap_err(), PlanError::NoSinks);
}

#[test]
fn a_source_that_is_read_once_is_not_wanted_twice() {
    let b = PlanBuilder::new();
    let out = |node: &NodeRef, slot: &str| b.sink(node, SinkRequest::new(Connector::slot(slot))).unwrap();
    let timed = b.event_time(&orders(), "at", Span::ZERO, None).unwrap();
    let both = [out(&orders(), "a"), out(&timed, "b")];
    assert_eq!(
        Plan::from_sinks(&both).unwrap_err().to_string(),
        "source slot orders can be read only once, but is wanted without event time and with event time \"at\"; \
         declare event_time once and continue from that stream everywhere"
    );
    assert!(Plan::from_sinks(&[out(&timed, "a"), out(&timed, "b")]).is_ok());
    let claimed = PlanError::SourceClaimed { source_name: "slot orders".into() };
    assert_eq!(
        claimed.to_string(),
        "source slot orders can be read only once and is already claimed by another job, collect or show; put both \
         sinks into one job"
    );
}

#[test]
fn results_of_windows_show_their_bounds_and_go_into_further_windows() {
    let b = PlanBuilder::new();
    let request =
        AggregateRequest::new(["origin"], [count().alias("flights"), avg(col("delay")), max(col("delay"))]);
    let hourly = b.aggregate(&timed(&flights()), &request.windowed(hours())).unwrap();
    assert_eq!(
        names(&hourly),
        ["window_start", "window_end", "origin", "flights", "avg(delay)", "max(delay)"]
    );
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
    assert_eq!(hourly.schema().field(0), &Field::new("window_start", zoned, false));
    assert_eq!(hourly.schema().field(5), &Field::new("max(delay)", DataType::Int32, true));
    let properties = hourly.properties();
    assert_eq!(properties.time, Some(TimeAttribute { column: None, zone: Some("+00:00".into()) }));
    assert_eq!(properties.upsert_key.as_deref(), Some(["window_start".into(), "origin".into()].as_slice()));
    let days = KeyedWindow {
        window: TumblingWindow::new(Span::from_secs(86_400), Span::ZERO).unwrap().into(),
        ..hours()
    };
    let keys: [&str; 0] = [];
    let daily =
        b.aggregate(&hourly, &AggregateRequest::new(keys, [min(col("flights"))]).windowed(days)).unwrap();
    assert_eq!(names(&daily), ["window_start", "window_end", "min(flights)"]);
}

#[test]
fn attributes_follow_their_columns() {
    let b = PlanBuilder::new();
    let column = |node: &NodeRef| node.properties().time.as_ref().and_then(|t| t.column.clone());
    let input = timed(&flights());
    let renamed = b.select(&input, &[col("date").alias("at"), col("delay")]).unwrap();
    assert_eq!(column(&renamed).as_deref(), Some("at"));
    let gone = b.select(&renamed, &[col("delay")]).unwrap();
    assert!(gone.properties().time.is_some() && column(&gone).is_none());
    let mapped = b.map_batches(&input, "f", &flights_schema()).unwrap();
    assert!(mapped.properties().time.is_some() && column(&mapped).is_none());

    let totals = b.aggregate(&flights(), &AggregateRequest::new(["origin"], [count()])).unwrap();
    let key = |node: &NodeRef| node.properties().upsert_key.clone();
    let columns = [col("count(*)"), col("origin").alias("airport")];
    assert_eq!(key(&b.select(&totals, &columns).unwrap()), Some(vec!["airport".into()]));
    assert_eq!(key(&b.select(&totals, &columns[..1]).unwrap()), None);
    assert_eq!(key(&flights()), None);
}

#[test]
fn with_columns_replaces_in_place_and_appends() {
    let b = PlanBuilder::new();
    let more =
        b.with_columns(&flights(), &[(col("delay") / 60).alias("hours"), (col("delay") + 1).alias("delay")]);
    let more = more.unwrap();
    assert_eq!(names(&more), ["date", "delay", "distance", "origin", "destination", "hours"]);
    let NodeKind::FilterProject { projections, .. } = more.kind() else { panic!("{more:?}") };
    // Both read the column as it came in.
    assert_eq!(
        (projections[1].expr.to_string(), projections[5].expr.to_string()),
        ("delay + 1".into(), "delay / 60".into())
    );
}
