//! What is refused of orders and of values over rows, with its message.

use super::*;
use crate::{
    Emit, IntoColumn, OverExpr, asc, corr, count, desc, first, lag, lead, range, rank, rows, running, sum,
    whole,
};
use sabot_ops::{Distance, Frame, FrameBound, FrameUnits};

fn top(input: &NodeRef, order: Vec<SortExpr>) -> Result<NodeRef, PlanError> {
    PlanBuilder::new()
        .top_n(input, &TopNRequest { rows: 3, groups: vec![], order, number: "rank".to_owned() })
}

fn over(input: &NodeRef, column: OverExpr) -> Result<NodeRef, PlanError> {
    PlanBuilder::new().with_over(input, &[column.into_column()])
}

#[test]
fn orders_need_keys_that_are_there() {
    let b = PlanBuilder::new();
    assert!(refused(b.sort(&flights(), &[])).contains("sort by nothing"));
    let typo = refused(b.sort(&flights(), &[desc("delai")]));
    assert!(typo.starts_with("unknown column \"delai\" in sort; did you mean \"delay\"?"), "{typo}");
    assert!(refused(top(&flights(), vec![])).contains("top_n by nothing"));
    assert!(refused(b.unique(&flights(), &[], Keep::First)).contains("unique: no column is left"));
    let numbered = top(&flights(), vec![desc("delay")]).unwrap();
    assert!(refused(top(&numbered, vec![asc("rank")])).contains("two columns are named \"rank\""));
}

#[test]
fn input_without_end_is_refused_where_nothing_could_come() {
    let b = PlanBuilder::new();
    let sort = refused(b.sort(&orders(), &[desc("n")]));
    assert!(
        sort.starts_with("sort gives its result when the input ends, but source slot orders never ends"),
        "{sort}"
    );
    assert!(refused(top(&orders(), vec![desc("n")])).contains("put a windowed aggregation before it"));
    assert!(refused(b.limit(&orders(), 0, Some(1))).contains("limit gives its result when the input ends"));
    assert!(refused(b.distinct(&orders())).contains("never ends"));
    let sums = over(&orders(), count().over(["n"], whole()));
    let sums = refused(sums);
    assert!(sums.contains("say which column is event time") && sums.ends_with("orders never ends"), "{sums}");
    // The first rows are known as the watermark passes them, the last are not.
    let dated = b.event_time(&orders(), "at", Span::ZERO, None).unwrap();
    assert!(b.limit(&dated, 0, Some(1)).is_ok() && b.distinct(&dated).is_ok());
    assert!(b.unique(&dated, &[col("n")], Keep::First).is_ok());
    assert!(refused(b.unique(&dated, &[col("n")], Keep::Last)).contains("keep the first"));
    // With windows there is an end.
    let request = AggregateRequest::new(["n"], [count().alias("rows")]).windowed(hours());
    let windows = b.aggregate(&dated, &request).unwrap();
    assert!(refused(top(&dated, vec![desc("n")])).contains("put a windowed aggregation before it"));
    assert!(top(&windows, vec![desc("rows")]).is_ok());
}

#[test]
fn values_over_rows_before_need_no_end() {
    let b = PlanBuilder::new();
    let dated = b.event_time(&orders(), "at", Span::ZERO, None).unwrap();
    let day = range(Span::from_secs(86_400));
    let rolls = |node: &NodeRef| matches!(node.kind(), NodeKind::Over(over) if over.rolls);
    let recent = over(&dated, count().over(["n"], day)).unwrap();
    assert!(rolls(&recent));
    let last = over(&dated, lag("at", 1).over(["n"], whole()).then_by([desc("at")])).unwrap();
    assert!(rolls(&last));
    for (column, advice) in [
        (rank().over(["n"], day), "count the rows of a frame instead"),
        (lead("n", 1).over(["n"], day), "lag looks back instead"),
        (count().over(["n"], running()), "such as range(days(7)) or rows(100)"),
        (count().over(["n"], day).order_by([asc("at")]), "leave order_by out"),
        (corr(col("n"), col("n")).over(["n"], day), "variances and standard deviations can"),
    ] {
        let message = refused(over(&dated, column));
        assert!(
            message.contains(advice) && message.ends_with("but source slot orders never ends"),
            "{message}"
        );
    }
    // Rows that end can wait for each other; when one value has to, all of them do.
    let flights = timed(&flights());
    let hour = range(Span::from_secs(3_600));
    let both = [count().over(["origin"], hour).alias("recent"), rank().over(["origin"], whole())];
    let both = both.map(IntoColumn::into_column);
    assert!(rolls(&b.with_over(&flights, &both[..1]).unwrap()));
    let waits = b.with_over(&flights, &both).unwrap();
    assert!(!rolls(&waits) && !rolls(&waits.inputs()[0]));
    // Nothing that has to wait can be had at once, nor can what stands beside it.
    let at_once = rank().over(["origin"], hour).emit(Emit::OnArrival);
    assert!(refused(over(&flights, at_once)).contains("count the rows of a frame instead"));
    let at_once = count().over(["origin"], hour).emit(Emit::OnArrival).into_column();
    for mixed in [[both[1].clone(), at_once.clone()], [at_once.clone(), both[1].clone()]] {
        assert!(refused(b.with_over(&flights, &mixed)).contains("count the rows of a frame instead"));
    }
    let untimed = refused(b.with_over(&self::flights(), &[at_once]));
    assert!(untimed.contains("exactly one sort key and not 0"), "{untimed}");
    let untimed = count().over(["origin"], rows(3)).emit(Emit::OnArrival);
    assert!(refused(over(&self::flights(), untimed)).contains("say which column is event time"));
}

#[test]
fn the_late_rows_of_several_values_are_those_of_the_first() {
    let b = PlanBuilder::new();
    let flights = timed(&flights());
    let hour = range(Span::from_secs(3_600));
    let two = [count().over(["origin"], hour).alias("a"), count().over(["delay"], hour).alias("b")];
    let rows = b.with_over(&flights, &two.map(IntoColumn::into_column)).unwrap();
    let twice = b.select(&rows, &[col("a") + 1]).unwrap();
    let late = b.late_rows(&twice).unwrap();
    assert_eq!(late.schema(), flights.schema());
    assert_eq!(late.inputs()[0].inputs()[0].id(), flights.id());
    let few = b.filter(&rows, &col("a").gt(1)).unwrap();
    assert!(refused(b.late_rows(&few)).contains("no row can be late for it"));
    let waits = over(&flights, rank().over(["origin"], whole())).unwrap();
    assert!(refused(b.late_rows(&waits)).contains("no row can be late for it"));
}

#[test]
fn changes_are_refused() {
    let b = PlanBuilder::new();
    assert!(refused(b.distinct(&changes())).starts_with("distinct takes appended rows only"));
    assert!(
        refused(over(&changes(), rank().over(["origin"], whole()))).starts_with("over takes appended rows")
    );
}

#[test]
fn frames_must_fit_their_order() {
    let seconds = |n| range(Span::from_secs(n));
    let timed = timed(&flights());
    assert!(over(&timed, sum(col("delay")).over(["origin"], seconds(60))).is_ok());
    let untimed = refused(over(&flights(), sum(col("delay")).over(["origin"], seconds(60))));
    assert!(untimed.contains("exactly one sort key and not 0"), "{untimed}");
    let wrong = sum(col("delay")).over(["origin"], seconds(60)).order_by([asc("distance")]);
    assert!(refused(over(&timed, wrong)).contains("does not fit the sort key \"distance\", which is int32"));
    let backwards = Frame {
        units: FrameUnits::Rows,
        start: FrameBound::CurrentRow,
        end: FrameBound::Preceding(Distance::Count(1)),
    };
    assert!(refused(over(&timed, count().over(["origin"], backwards))).contains("ends before it begins"));
    let text = refused(over(&timed, sum(col("origin")).over(["delay"], rows(2))));
    assert!(text.contains("sum of utf8"), "{text}");
    // Numbers do not look at the frame.
    assert!(over(&timed, lag("origin", 1).over(["delay"], backwards)).is_ok());
    assert!(over(&timed, rank().over(["delay"], running()).order_by([desc(col("distance") * 2)])).is_ok());
}

#[test]
fn values_over_rows_say_what_does_not_fit() {
    let timed = timed(&flights());
    let with = |column: OverExpr| refused(over(&timed, column));
    assert_eq!(
        with(count().filter(col("delay")).alias("late").over(["origin"], running())),
        "over: the filter `delay` of \"late\" is int32; it must be a boolean"
    );
    assert_eq!(
        with(first(col("delay")).over(["origin"], whole())),
        "over: first as \"first(delay)\" cannot be had over rows around; first_value and last_value can, and every \
         built-in aggregate whose result does not depend on the order of rows"
    );
    assert_eq!(
        with(sum(col("delay")).over(["orgin"], whole())),
        "unknown column \"orgin\" in over; did you mean \"origin\"? columns: date, delay, distance, origin, \
         destination"
    );
    assert_eq!(
        with(sum(col("delay")).over(["origin"], range(Span::from_secs(1))).order_by([asc("origin")])),
        "over: the frame range between 1 s preceding and current row does not fit the sort key \"origin\", which is \
         utf8; distances of times are spans, those of numbers are numbers, and other values have none"
    );
    assert_eq!(
        refused(over(&orders(), rank().over(["n"], whole()))),
        "over: rows without event time have no order in which they come; say which column is event time; otherwise \
         the values come when the input ends, but source slot orders never ends"
    );
}

#[test]
fn values_over_rows_replace_a_column_of_their_name() {
    let node = over(&flights(), lag("delay", 1).over(["origin"], whole()).order_by(["date"]).alias("delay"));
    assert_eq!(names(&node.unwrap()), ["date", "delay", "distance", "origin", "destination"]);
    let b = PlanBuilder::new();
    let twice =
        [count().over(["origin"], whole()).into_column(), count().over(["delay"], whole()).into_column()];
    assert!(refused(b.with_over(&flights(), &twice)).contains("two columns are named \"count(*)\""));
}
