//! What is refused before anything runs, each with the message that a user sees.

use sabot::{Engine, Error, Job, Stream, col, count, in_order, micros, sum, tumbling};
use sabot_connect::input_channel;
use sabot_exec::{Bindings, EngineConfig};
use sabot_plan::{
    AggregateRequest, ChangeMode, Connector, CutOptions, PlanBuilder, SinkRequest, SourceRequest, cut,
};
use sabot_tests::sinks;

use crate::kit::{engine, events};

fn bounded() -> Stream {
    Stream::from_batches([events(&[(1, "a", 1)])]).unwrap()
}

fn unbounded() -> Stream {
    Stream::from_channel(input_channel("orders", 4, events(&[]).schema()).1).unwrap()
}

/// The message, with the numbers of slots, which depend on the order of tests, as `N`.
fn message<T>(refused: Result<T, Error>) -> String {
    let Err(error) = refused else { panic!("it was not refused") };
    stable(&error.to_string())
}

fn stable(message: &str) -> String {
    let mut out = String::new();
    for (i, part) in message.split('-').enumerate() {
        let digits = part.chars().take_while(char::is_ascii_digit).count();
        let number = i > 0 && digits > 0 && !part[digits..].starts_with(|c: char| c.is_alphanumeric());
        out.push_str(if i > 0 { "-" } else { "" });
        out.push_str(if number { "N" } else { "" });
        out.push_str(if number { &part[digits..] } else { part });
    }
    out
}

#[test]
fn a_stream_of_changes_into_an_append_only_operator() {
    let builder = PlanBuilder::new();
    let request = SourceRequest {
        changes: ChangeMode::Changelog,
        ..SourceRequest::bounded(Connector::slot("accounts"), events(&[]).schema())
    };
    let changes = builder.source(request).unwrap();
    let refused = builder.aggregate(&changes, &AggregateRequest::new(["k"], [count()])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "aggregate takes appended rows only, but source slot accounts also brings updates and deletes; no operator here turns those into appended rows"
    );
    let refused = builder.sink(&changes, SinkRequest::new(Connector::slot("out"))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "sink slot out takes appended rows only, but source slot accounts also brings updates and deletes; no operator here turns those into appended rows"
    );
}

#[test]
fn a_window_without_event_time() {
    let filtered = bounded().filter(col("n").gt(0)).unwrap();
    assert_eq!(
        message(filtered.window(tumbling(micros(10)))),
        "window: filter has no event time; call event_time(column, out_of_orderness) on every source that feeds it, before any other step"
    );
    assert_eq!(
        message(bounded().filter(col("n").gt(0)).unwrap().event_time("t", in_order())),
        "event_time(\"t\") follows filter; declare it directly on the source, before any other step, so that no row is dropped before its time is seen"
    );
    assert_eq!(
        message(bounded().event_time("n", in_order())),
        "event_time: column \"n\" is int64; it must be a timestamp or a date (cast it in the source's data, or declare another column)"
    );
}

#[test]
fn an_unknown_column() {
    assert_eq!(
        message(bounded().select([col("n").alias("number")]).unwrap().filter(col("nubmer").gt(0))),
        "unknown column \"nubmer\" in filter; did you mean \"number\"? columns: number"
    );
    assert_eq!(message(bounded().group_by(["key"])), "unknown column \"key\" in group_by; columns: t, k, n");
}

#[test]
fn a_type_error() {
    assert_eq!(
        message(bounded().filter(col("n"))),
        "filter: `n` is int64; a filter needs a boolean, such as a comparison"
    );
    let refused = message(bounded().filter(col("k").gt(col("n"))));
    assert!(refused.starts_with("filter: cannot combine utf8 and int64 in `k > n`; "), "{refused}");
    let refused = message(bounded().group_by(["k"]).unwrap().aggregate([sum(col("k"))]));
    assert!(
        refused.contains("sum of utf8 as \"sum(k)\"; it takes an integer, a float, a decimal or a duration"),
        "{refused}"
    );
}

#[test]
fn a_collect_of_what_never_ends() {
    let refused = message(unbounded().collect());
    assert_eq!(
        refused,
        "collect waits for the end of its input, but source slot channel orders-N never ends; use to_channel, execute_stream, or write to a sink and start the job"
    );
    assert!(message(unbounded().show()).starts_with("show waits for the end of its input"));
    assert_eq!(
        message(unbounded().group_by(["k"])),
        "group_by without a window gives its result when the input ends, but source slot channel orders-N never ends; put a window before the group_by"
    );
}

/// It would hold every row until an end that never comes.
#[test]
fn an_ordered_sink_over_what_never_ends_and_has_no_event_time() {
    let refused = message(Job::new("ordered").write(&unbounded(), sinks::ordered().0));
    assert_eq!(
        refused,
        "sink slot ordered-N writes rows in order, but source slot channel orders-N never ends and declares no event time, so that nothing says when a row's turn has come; declare event_time on it, or write to to_channel or to a folder (a path that ends in /), which take rows as they come"
    );
    let timed = unbounded().event_time("t", in_order()).unwrap();
    assert!(Job::new("ordered").write(&timed, sinks::ordered().0).is_ok());
    assert!(Job::new("unordered").write(&unbounded(), sinks::multiset().0).is_ok());
}

#[test]
fn a_second_job_over_a_claimed_channel() {
    let stream = unbounded().named("orders").unwrap();
    let job = || Job::new("reads").write(&stream, sinks::multiset().0).unwrap();
    let engine = engine();
    let _first = engine.start(job()).unwrap();
    assert_eq!(
        message(engine.start(job())),
        "operator orders: channel orders is already claimed by a job, and its rows cannot be read twice; put several sinks into one job instead"
    );
    // Several sinks in one job are no second reading.
    let stream = unbounded();
    let job = Job::new("one").write(&stream, sinks::multiset().0).unwrap();
    drop(engine.start(job.write(&stream, sinks::multiset().0).unwrap()).unwrap());
}

#[test]
fn late_rows_of_what_has_no_window() {
    let grouped = bounded().group_by(["k"]).unwrap().aggregate([count()]).unwrap();
    assert_eq!(
        message(grouped.split_late()),
        "late rows: aggregate has no window, so no row can be late for it; take the late rows of a windowed \
         aggregation, or of values over rows before"
    );
}

#[test]
fn a_union_of_different_columns_and_two_columns_of_one_name() {
    let renamed = bounded().select([col("t"), col("k"), col("n").alias("m")]).unwrap();
    assert_eq!(
        message(bounded().union(&renamed)),
        "union: column 3 is \"n\" on one side and \"m\" on the other; both sides must have the same columns in the same order (use select, alias or cast)"
    );
    assert_eq!(
        message(bounded().select([col("n"), col("t").alias("n")])),
        "select: two columns are named \"n\"; give one of them another name with alias"
    );
}

/// A plan is data; what it only names must be bound when it is run.
#[test]
fn an_unbound_slot() {
    let builder = PlanBuilder::new();
    let source = SourceRequest::bounded(Connector::slot("orders"), events(&[]).schema());
    let rows = builder.source(source).unwrap();
    let sink = builder.sink(&rows, SinkRequest::new(Connector::slot("results"))).unwrap();
    let physical = cut(&sabot::Plan::from_sinks(&[sink]).unwrap(), &CutOptions::default()).unwrap();
    let engine = sabot_exec::Engine::start(EngineConfig { workers: 1, ..EngineConfig::default() }).unwrap();
    let mut bindings = Bindings::default();
    let refused = engine.submit("unbound", &physical, &bindings, None).unwrap_err();
    assert_eq!(refused.to_string(), "sink \"results\" of the plan is not bound; bound: (none)");
    bindings.sinks.insert("results".to_owned(), sinks::ordered().0);
    let refused = engine.submit("unbound", &physical, &bindings, None).unwrap_err();
    assert_eq!(refused.to_string(), "source \"orders\" of the plan is not bound; bound: (none)");
}

#[test]
fn a_job_without_sinks() {
    let engine = Engine::builder().workers(1).build().unwrap();
    assert_eq!(
        message(engine.start(Job::new("nothing"))),
        "the job has no sink; write at least one stream to somewhere"
    );
}
