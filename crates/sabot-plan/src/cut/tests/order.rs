//! Rankings and values over rows: which hidden columns they ask for, what they give, how they are wired.

use super::*;
use crate::{
    ColumnExpr, IntoColumn, Keep, RankResult, RankStage, TopNRequest, asc, desc, lag, range, row_number, sum,
    whole,
};
use sabot_batch::hidden;

fn builder() -> PlanBuilder {
    PlanBuilder::new()
}

fn rank_of(plan: &PhysicalPlan, stage: usize) -> &RankStage {
    let StageKind::Keyed(KeyedStage::Rank(rank)) = &plan.stages[stage].kind else {
        panic!("stage {stage} is no ranking")
    };
    rank
}

fn top(input: &NodeRef, groups: Vec<Expr>) -> NodeRef {
    let request = TopNRequest {
        rows: 10,
        groups,
        order: vec![desc("flights"), asc("origin")],
        number: "rank".to_owned(),
    };
    builder().top_n(input, &request).unwrap()
}

/// Nobody carries the order of rows but for those who need it.
#[test]
fn the_order_is_carried_up_to_who_needs_it_and_not_behind() {
    let sorted = builder().sort(&timed(&source("in"), None), &[desc("delay")]).unwrap();
    let plan = cut_all(&[to(&select(&sorted, &[col("origin")]), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "sink 2"]);
    // Event time and lateness are part of the order of the stream, which decides between equal rows.
    assert_eq!(names(&plan.stages[0].output), ["delay", "origin", ".time", ".late", ".partition", ".row"]);
    assert_eq!(names(&plan.stages[2].output), ["origin"]);
    let unsorted = cut_all(&[to(&select(&timed(&source("in"), None), &[col("origin")]), "out")]);
    assert_eq!(names(&unsorted.stages[0].output), ["origin"]);
}

#[test]
fn a_sort_gives_a_new_order_without_event_time_and_keys() {
    let sorted = builder().sort(&hourly(&timed(&source("in"), None)), &[desc("worst")]).unwrap();
    assert_eq!(sorted.properties().time, None);
    let plan = cut_all(&[ordered(&sorted, "out")]);
    let sort = plan.stages.len() - 2;
    assert_eq!(rank_of(&plan, sort).result, RankResult::Sorted);
    assert_eq!(plan.stages[sort].inputs[0].route, Route::Gather);
    assert!(names(&plan.stages[sort - 1].output).contains(&".key"), "results are told apart by their keys");
    let visible = ["window_start", "window_end", "origin", "flights", "mean", "worst"];
    assert_eq!(names(&plan.stages[sort].output), [&visible[..], &[".partition", ".row"]].concat());
}

#[test]
fn a_limit_behind_a_sort_makes_one_stage() {
    let sorted = builder().sort(&source("in"), &[asc("delay")]).unwrap();
    let first = builder().limit(&sorted, 2, Some(5)).unwrap();
    let plan = cut_all(&[ordered(&first, "out")]);
    assert_eq!(shape(&plan), ["source", "keyed 0", "sink 1"]);
    let spec = &rank_of(&plan, 1).spec;
    assert_eq!((spec.skip, spec.fetch, spec.order.len()), (2, Some(5), 1));
    // A name says that the sort itself is wanted.
    let named = builder().named(&sorted, "by-delay").unwrap();
    let plan = cut_all(&[ordered(&builder().limit(&named, 0, Some(5)).unwrap(), "out")]);
    assert_eq!(shape(&plan), ["source", "keyed 0", "keyed 1", "sink 2"]);
}

#[test]
fn the_top_of_each_window_keeps_its_event_time() {
    let windows = filter(&hourly(&timed(&source("in"), None)), col("flights").gt(3));
    let best = top(&windows, vec![]);
    assert!(best.properties().time.is_some());
    let again = hours();
    let request = AggregateRequest::new(["rank"], [count()]).windowed(again);
    let ranks = builder().aggregate(&best, &request).unwrap();
    let plan = cut_all(&[ordered(&select(&best, &[col("rank"), col("origin")]), "a"), ordered(&ranks, "b")]);
    let stage =
        plan.stages.iter().position(|s| matches!(s.kind, StageKind::Keyed(KeyedStage::Rank(_)))).unwrap();
    let rank = rank_of(&plan, stage);
    assert!(rank.windowed && rank.numbered);
    assert_eq!(
        names(&plan.stages[stage].output),
        ["origin", "rank", ".time", ".late", ".partition", ".row", ".key"]
    );
    // By key it is exchanged.
    let plan = cut_all(&[ordered(&top(&windows, vec![col("worst")]), "out")]);
    assert_eq!(plan.stages[plan.stages.len() - 2].inputs[0].route, Route::KeyGroups);
}

#[test]
fn rows_that_are_only_left_out_go_on_as_they_were() {
    let input = timed(&source("in"), None);
    let last = builder().unique(&input, &[col("origin")], Keep::Last).unwrap();
    assert_eq!(last.properties().upsert_key, Some(vec!["origin".to_owned()]));
    let plan = cut_all(&[ordered(&builder().limit(&last, 0, Some(3)).unwrap(), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "keyed 1", "keyed 2", "sink 3"]);
    assert_eq!(rank_of(&plan, 2).result, RankResult::AsBefore);
    let hidden = [".time", ".late", ".partition", ".row"];
    assert_eq!(names(&plan.stages[3].output)[4..], hidden);
    let kinds = builder().distinct(&select(&input, &[col("origin"), col("delay")])).unwrap();
    cut_all(&[to(&select(&kinds, &[col("delay")]), "out")]);
}

#[test]
fn values_over_rows_stand_behind_the_columns_and_only_those_are_computed_that_are_read() {
    let input = timed(&source("in"), None);
    let columns: Vec<ColumnExpr> = vec![
        lag("delay", 1).over(["origin"], whole()).alias("before").into_column(),
        sum(col("distance")).over(["origin"], range(Span::from_secs(60))).alias("recent").into_column(),
        row_number().over::<&str>([], whole()).order_by([desc("delay")]).alias("place").into_column(),
        (col("delay") + 1).alias("delay").into_column(),
    ];
    let all = builder().with_over(&input, &columns).unwrap();
    let visible = ["date", "delay", "distance", "origin", "before", "recent", "place"];
    assert_eq!(names(all.schema()), visible);
    assert!(all.properties().time.is_some());
    cut_all(&[ordered(&all, "out")]);
    let plan = cut_all(&[to(&select(&all, &[col("recent"), col("origin")]), "out")]);
    let over = plan.stages.iter().find_map(|stage| match &stage.kind {
        StageKind::Keyed(KeyedStage::Over(over)) => Some(over),
        _ => None,
    });
    let over = over.unwrap();
    assert_eq!(over.spec.calls.len(), 1);
    assert_eq!(over.rows.field(over.spec.order[0].column).name(), hidden::TIME);
}

/// Plans with these operators are data like any other.
#[test]
fn they_can_be_stored() {
    let input = timed(&source("in"), None);
    let columns = [lag(col("delay") + 1, 1).over(["origin"], whole()).alias("before").into_column()];
    let over = builder().with_over(&input, &columns).unwrap();
    let best = top(&hourly(&over), vec![]);
    let sorted = builder().sort(&over, &[desc(col("before") * 2)]).unwrap();
    let plan = Plan::from_sinks(&[to(&best, "a"), ordered(&sorted, "b")]).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
}

/// What is read for a limit alone need not be read when it has its rows, if it has no end of its own.
#[test]
fn a_limit_knows_the_endless_sources_that_feed_it_alone() {
    let feeders = |plan: &PhysicalPlan| -> Vec<Vec<usize>> {
        let feeders = |stage: &Stage| match &stage.kind {
            StageKind::Keyed(KeyedStage::Rank(rank)) => Some(rank.feeders.clone()),
            _ => None,
        };
        plan.stages.iter().filter_map(feeders).collect()
    };
    let limit = |input: &NodeRef| builder().limit(input, 0, Some(3)).unwrap();
    let rows = timed(&endless("in"), None);
    let first = limit(&filter(&rows, col("delay").gt(3)));
    assert_eq!(first.properties().boundedness, Boundedness::Bounded);
    assert_eq!(feeders(&cut_all(&[ordered(&first, "out")])), [[0]]);
    // Windows in between, and a second limit.
    let plan = cut_all(&[ordered(&limit(&limit(&hourly(&rows))), "out")]);
    assert_eq!(feeders(&plan), [[0], [0]]);
    // Somebody else reads the source, or what is made of it on the way.
    assert_eq!(feeders(&cut_all(&[ordered(&first, "out"), to(&rows, "all")])), [[0; 0]]);
    let windows = hourly(&rows);
    let late = builder().late_rows(&windows).unwrap();
    assert_eq!(feeders(&cut_all(&[ordered(&limit(&windows), "out"), to(&late, "late")])), [[0; 0]]);
    // Of two sources the one that has an end is read to it.
    let both = builder().union(&rows, &timed(&source("file"), None)).unwrap();
    let plan = cut_all(&[ordered(&limit(&both), "out")]);
    assert!(
        matches!(plan.stages[0].kind, StageKind::Source(_)) && plan.stages[0].operators[0].as_str() == "in"
    );
    assert_eq!(feeders(&plan), [[0]]);
    // Kinds may come for ever.
    let kinds = builder().distinct(&select(&rows, &[col("origin")])).unwrap();
    assert_eq!(kinds.properties().boundedness, Boundedness::Unbounded);
    assert_eq!(feeders(&cut_all(&[to(&kinds, "out")])), [[0; 0]]);
}
