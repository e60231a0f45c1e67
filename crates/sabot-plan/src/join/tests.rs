//! Joins that are refused, with their messages, and what is known of the results of others.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_expr::{Expr, col, lit};

use super::*;
use crate::{
    Connector, CutOptions, KeyedStage, Plan, Route, SinkRequest, SourceRequest, StageKind, cut, explain,
};

fn source(name: &str, fields: &[(&str, DataType)], bounded: bool) -> NodeRef {
    let fields: Vec<Field> = fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect();
    let schema: SchemaRef = Schema::new(fields).into();
    let connector = Connector::slot(name);
    PlanBuilder::new()
        .source(match bounded {
            true => SourceRequest::bounded(connector, schema),
            false => SourceRequest::unbounded(connector, schema),
        })
        .unwrap()
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn flights() -> NodeRef {
    source("flights", &[("date", time()), ("origin", DataType::Utf8), ("delay", DataType::Int32)], true)
}

fn airports() -> NodeRef {
    let fields = [("iata", DataType::Utf8), ("name", DataType::Utf8), ("city", DataType::Utf8)];
    source("airports", &fields, true)
}

fn on(left: &str, right: &str) -> JoinRequest {
    JoinRequest::new([(col(left), col(right))])
}

fn lookup(left: &str, right: &str, columns: &[&str]) -> JoinRequest {
    JoinRequest {
        operator: "lookup_join",
        kind: JoinKind::Left,
        strategy: JoinStrategy::Lookup,
        columns: Some(columns.iter().map(|c| col(*c)).collect()),
        ..on(left, right)
    }
}

fn join(left: &NodeRef, right: &NodeRef, request: &JoinRequest) -> Result<NodeRef, PlanError> {
    PlanBuilder::new().join(left, right, request)
}

fn refused(left: &NodeRef, right: &NodeRef, request: &JoinRequest) -> String {
    join(left, right, request).unwrap_err().to_string()
}

fn names(node: &NodeRef) -> Vec<&str> {
    node.schema().fields().iter().map(|f| f.name().as_str()).collect()
}

fn nullable(node: &NodeRef) -> Vec<bool> {
    node.schema().fields().iter().map(|f| f.is_nullable()).collect()
}

#[test]
fn unknown_columns_name_the_side_and_the_near_miss() {
    let (flights, airports) = (flights(), airports());
    assert_eq!(
        refused(&flights, &airports, &on("orgin", "iata")),
        "unknown column \"orgin\" in join, left side; did you mean \"origin\"? columns: date, origin, delay"
    );
    assert_eq!(
        refused(&flights, &airports, &on("origin", "iat")),
        "unknown column \"iat\" in join, right side; did you mean \"iata\"? columns: iata, name, city"
    );
    assert_eq!(
        refused(&flights, &airports, &lookup("origin", "iata", &["name", "citty"])),
        "unknown column \"citty\" in lookup_join, right side; did you mean \"city\"? columns: iata, name, city"
    );
    let request = JoinRequest { condition: Some(col("delai").gt(5)), ..on("origin", "iata") };
    assert_eq!(
        refused(&flights, &airports, &request),
        "unknown column \"delai\" in the condition of join; did you mean \"delay\"? \
         columns: date, origin, delay, iata, name, city"
    );
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let (flights, airports) = (flights(), airports());
    assert_eq!(
        refused(&flights, &airports, &on("delay", "iata")),
        "join: `delay` is int32 and `iata` is utf8, which have no common type; cast one of them"
    );
    let request = JoinRequest { condition: Some(col("delay") + 1), ..on("origin", "iata") };
    assert_eq!(
        refused(&flights, &airports, &request),
        "filter: `delay + 1` is int32; a filter needs a boolean, such as a comparison"
    );
    let request = JoinRequest {
        columns: Some(vec![Expr::IsNull(Box::new(col("name")))]),
        ..lookup("origin", "iata", &[])
    };
    assert_eq!(
        refused(&flights, &airports, &request),
        "lookup_join: `name IS NULL` is not a column of the right side; compute it there with with_columns and \
         name the result"
    );
    let request = lookup("origin", "iata", &["name", "name"]);
    assert_eq!(
        refused(&flights, &airports, &request),
        "lookup-join: two columns are named \"name\"; give one of them another name with alias"
    );
}

#[test]
fn times_that_are_none_are_refused() {
    let request = JoinRequest {
        operator: "asof_join",
        nearest: Some((col("delay"), col("name"), Direction::Backward, None)),
        ..on("origin", "iata")
    };
    assert_eq!(
        refused(&flights(), &airports(), &request),
        "asof_join: `delay` is int32 and `name` is utf8; the two times must be timestamps or dates, both with a zone \
         or both without"
    );
    let prices = source("prices", &[("since", DataType::Date32), ("item", DataType::Utf8)], true);
    let nearest = Some((col("date"), col("since"), Direction::Forward, Some(Span::from_secs(-1))));
    let request = JoinRequest { operator: "asof_join", nearest, ..on("origin", "item") };
    assert_eq!(
        refused(&flights(), &prices, &request),
        "asof-join: tolerance is -1 s; it must not be negative"
    );
}

#[test]
fn a_side_without_end_is_refused_where_the_join_needs_its_end() {
    let orders = source("orders", &[("id", DataType::Int64)], false);
    let prices = source("prices", &[("item", DataType::Int64)], false);
    let items = source("items", &[("item", DataType::Int64)], true);
    let problem = "join: the right side is loaded whole before the first row of the left one is joined, but";
    assert_eq!(
        refused(&items, &orders, &on("item", "id")),
        format!("{problem} source slot orders never ends; exchange the two sides, because the left one ends")
    );
    assert_eq!(
        refused(&orders, &prices, &on("id", "item")),
        format!(
            "{problem} source slot prices never ends, and neither does source slot orders; make the right side a \
             table (a file, batches, any source that ends): two streams without end cannot be joined"
        )
    );
    for kind in [JoinKind::Right, JoinKind::Full] {
        let message = refused(&orders, &items, &JoinRequest { kind, ..on("id", "item") });
        assert_eq!(
            message,
            format!(
                "join: a {kind} join gives the right rows that match nothing when the left side ends, but source \
                 slot orders never ends; use an inner or a left join"
            )
        );
    }
    for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Semi, JoinKind::Anti] {
        assert!(join(&orders, &items, &JoinRequest { kind, ..on("id", "item") }).is_ok());
    }
}

#[test]
fn a_name_on_both_sides_needs_a_suffix() {
    let towns = source("towns", &[("city", DataType::Utf8), ("origin", DataType::Utf8)], true);
    let (flights, airports) = (flights(), airports());
    let problem = |columns: &str| {
        format!(
            "join: {columns} on both sides; name the right one differently with suffix(\"_right\") behind on(…), or \
             with select and alias before the join"
        )
    };
    assert_eq!(refused(&flights, &towns, &on("origin", "city")), problem("column \"origin\" is"));
    let both = join(&flights, &airports, &on("origin", "iata")).unwrap();
    let more = source("more", &[("name", DataType::Utf8), ("city", DataType::Utf8)], true);
    assert_eq!(refused(&both, &more, &on("origin", "name")), problem("columns name, city are"));

    let renamed = JoinRequest { suffix: Some("_right".to_owned()), ..on("origin", "city") };
    let joined = join(&flights, &towns, &renamed).unwrap();
    assert_eq!(names(&joined), ["date", "origin", "delay", "city", "origin_right"]);
    // The condition sees the names of the result, and refuses one that could be either.
    let request = JoinRequest { condition: Some(col("origin_right").not_eq(col("origin"))), ..renamed };
    assert!(join(&flights, &towns, &request).is_ok());
    let semi = JoinRequest { kind: JoinKind::Semi, ..on("origin", "city") };
    assert_eq!(names(&join(&flights, &towns, &semi).unwrap()), ["date", "origin", "delay"]);
    let request = JoinRequest { condition: Some(col("origin").eq(lit("SFO"))), ..semi };
    assert_eq!(refused(&flights, &towns, &request), problem("column \"origin\" is"));
}

#[test]
fn a_key_of_one_name_stands_once() {
    let left = source("left", &[("id", DataType::Int32), ("a", DataType::Utf8)], true);
    let right = source("right", &[("id", DataType::Int64), ("b", DataType::Utf8)], true);
    for kind in [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full] {
        let joined = join(&left, &right, &JoinRequest { kind, ..on("id", "id") }).unwrap();
        assert_eq!(names(&joined), ["id", "a", "b"]);
        let wanted = if kind.keeps_build() { DataType::Int64 } else { DataType::Int32 };
        assert_eq!(joined.schema().field(0).data_type(), &wanted, "{kind}");
    }
    // In a condition it is the left one.
    let request = JoinRequest { condition: Some(col("id").gt(5)), ..on("id", "id") };
    assert!(join(&left, &right, &request).is_ok());
    let request = JoinRequest { condition: Some(col("idd").gt(5)), ..on("id", "id") };
    assert_eq!(
        refused(&left, &right, &request),
        "unknown column \"idd\" in the condition of join; did you mean \"id\"? columns: id, a, b"
    );
}

#[test]
fn what_is_known_of_the_result() {
    let b = PlanBuilder::new();
    let flights = b.event_time(&flights(), "date", Span::ZERO, None).unwrap();
    let strict =
        Schema::new(vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Int8, false)]);
    let table = b.source(SourceRequest::bounded(Connector::slot("t"), strict.into())).unwrap();
    for (kind, time, nulls) in [
        (JoinKind::Inner, true, vec![true, true, true, false, false]),
        (JoinKind::Left, true, vec![true, true, true, true, true]),
        (JoinKind::Right, false, vec![true, true, true, false, false]),
        (JoinKind::Full, false, vec![true, true, true, true, true]),
        (JoinKind::Semi, true, vec![true, true, true]),
        (JoinKind::Anti, true, vec![true, true, true]),
    ] {
        let joined = join(&flights, &table, &JoinRequest { kind, ..on("origin", "k") }).unwrap();
        assert_eq!(joined.properties().time.is_some(), time, "{kind}");
        assert_eq!(nullable(&joined), nulls, "{kind}");
    }
    let groups = b.aggregate(&flights, &crate::AggregateRequest::new(["origin"], [crate::count()])).unwrap();
    let key = |request: &JoinRequest| join(&groups, &table, request).unwrap().properties().upsert_key.clone();
    assert_eq!(key(&on("origin", "k")), None);
    assert_eq!(key(&JoinRequest { unique: true, ..on("origin", "k") }), Some(vec!["origin".to_owned()]));
    let semi = JoinRequest { kind: JoinKind::Semi, ..on("origin", "k") };
    assert_eq!(key(&semi), Some(vec!["origin".to_owned()]));
}

fn plan(node: &NodeRef) -> Plan {
    let sink = PlanBuilder::new().sink(node, SinkRequest::new(Connector::slot("out")).ordered()).unwrap();
    Plan::from_sinks(&[sink]).unwrap()
}

#[test]
fn a_lookup_is_one_table_and_the_left_side_waits_for_it() {
    let joined = join(&flights(), &airports(), &lookup("origin", "iata", &["city"])).unwrap();
    let plan = plan(&joined);
    let stages = cut(&plan, &CutOptions { keyed_parallelism: 2 }).unwrap().stages;
    let table = stages.iter().position(|s| matches!(s.kind, StageKind::Table(_))).unwrap();
    assert!(stages[table].inputs.iter().all(|i| i.route == Route::Gather));
    assert!(stages.iter().any(|s| matches!(&s.kind, StageKind::Lookup(l) if l.table == table)));
    let after: Vec<&[usize]> = stages
        .iter()
        .filter_map(|s| match &s.kind {
            StageKind::Source(source) => Some(source.after.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(after, [&[1][..], &[]], "flights wait for airports");
    // Only what is read of the table is in it.
    assert_eq!(names_of(&stages[table].output), ["city", "iata"]);

    let text = explain(&plan, &cut(&plan, &CutOptions::default()).unwrap(), |_| Vec::new());
    for line in
        ["left join with source-", ", looked up by origin = iata", "waits for the end of 1", "look-up, from"]
    {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&stored).unwrap(), plan);
}

fn names_of(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|f| f.name().as_str()).filter(|n| !sabot_batch::hidden::is_hidden(n)).collect()
}

#[test]
fn a_join_of_a_stream_with_itself_keeps_rows_instead_of_waiting() {
    for strategy in [JoinStrategy::Exchange, JoinStrategy::Lookup] {
        let left = flights();
        let right =
            PlanBuilder::new().select(&left, &[col("origin").alias("k"), col("delay").alias("d")]).unwrap();
        let joined = join(&left, &right, &JoinRequest { strategy, ..on("origin", "k") }).unwrap();
        let stages = cut(&plan(&joined), &CutOptions { keyed_parallelism: 3 }).unwrap().stages;
        let keyed = stages.iter().find_map(|s| match &s.kind {
            StageKind::Keyed(KeyedStage::Join(stage)) => Some((s, stage)),
            _ => None,
        });
        let (stage, spec) = keyed.unwrap();
        assert!(!spec.gated);
        assert!(stage.inputs.iter().all(|i| i.route == Route::KeyGroups) && stage.inputs.len() == 2);
        let waits =
            |s: &crate::Stage| matches!(&s.kind, StageKind::Source(source) if !source.after.is_empty());
        assert!(!stages.iter().any(waits));
    }
}
