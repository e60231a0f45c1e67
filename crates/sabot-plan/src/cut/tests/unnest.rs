//! An unnest ends its fragment, reads what is read of its result, and gives rows an order of their own.

use super::*;
use crate::{JoinRequest, TopNRequest, array_agg, desc, elements};
use sabot_ops::{JoinKind, UnnestSource};

/// A source of rows with two lists.
fn tagged() -> NodeRef {
    let list = |data_type| DataType::List(Field::new_list_field(data_type, true).into());
    let schema = Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Second, None), false),
        Field::new("tags", list(DataType::Utf8), true),
        Field::new("sizes", list(DataType::Int64), false),
        Field::new("note", DataType::Utf8, true),
    ]);
    let request = SourceRequest::bounded(Connector::slot("tagged"), schema.into());
    let source = PlanBuilder::new().source(request).unwrap();
    PlanBuilder::new().event_time(&source, "at", Span::ZERO, None).unwrap()
}

fn sources(plan: &PhysicalPlan, stage: usize) -> Vec<UnnestSource> {
    let StageKind::Fragment(fragment) = &plan.stages[stage].kind else { panic!("no fragment") };
    let Some(OperatorSpec::Unnest(spec)) = fragment.fragment.steps().last() else { panic!("no unnest") };
    spec.columns.iter().map(|column| column.source).collect()
}

#[test]
fn only_what_is_read_is_repeated() {
    let tags = PlanBuilder::new().unnest(&tagged(), &elements("tags").position("nth")).unwrap();
    let plan = cut_all(&[to(&select(&tags, &[col("tags")]), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "sink 1"]);
    assert_eq!(names(&plan.stages[0].output), ["tags"], "nobody reads the rest");
    assert_eq!(sources(&plan, 1), [UnnestSource::Element]);
    // Lists that nobody reads still say how many rows there are.
    let plan = cut_all(&[to(&select(&tags, &[col("note")]), "out")]);
    assert_eq!(names(&plan.stages[0].output), ["tags", "note"]);
    assert_eq!(sources(&plan, 1), [UnnestSource::Input(1)]);
}

#[test]
fn what_follows_is_a_fragment_of_its_own() {
    let before = filter(&tagged(), col("note").is_not_null());
    let tags = PlanBuilder::new().unnest(&before, &"tags".into()).unwrap();
    let sizes = PlanBuilder::new().unnest(&tags, &"sizes".into()).unwrap();
    let plan = cut_all(&[to(&filter(&sizes, col("sizes").gt(3)), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "fragment 1", "fragment 2", "sink 3"]);
}

#[test]
fn rows_of_one_row_are_told_apart_by_their_position() {
    let tags = PlanBuilder::new().unnest(&tagged(), &"tags".into()).unwrap();
    let plan = cut_all(&[ordered(&tags, "out")]);
    assert_eq!(
        names(&plan.stages[1].output),
        ["at", "tags", "sizes", "note", ".time", ".late", ".partition", ".row", ".key"]
    );
    // Rows of a source have no key before.
    assert!(!names(&plan.stages[0].output).contains(&".key"));
    assert_eq!(sources(&plan, 1).last(), Some(&UnnestSource::Order(None)));
    let again = PlanBuilder::new().unnest(&tags, &"sizes".into()).unwrap();
    let plan = cut_all(&[ordered(&again, "out")]);
    assert!(matches!(sources(&plan, 2).last(), Some(UnnestSource::Order(Some(_)))));
}

/// Elements of a window's list are results of that window.
#[test]
fn elements_of_windows_have_their_time() {
    let lists = AggregateRequest::new(["note"], [array_agg(col("at")).alias("times")]).windowed(hours());
    let lists = PlanBuilder::new().aggregate(&tagged(), &lists).unwrap();
    let times = PlanBuilder::new().unnest(&lists, &"times".into()).unwrap();
    let request =
        TopNRequest { rows: 2, groups: vec![], order: vec![desc("times")], number: "rank".to_owned() };
    let top = PlanBuilder::new().top_n(&times, &request).unwrap();
    assert!(top.properties().time.is_some());
    cut_all(&[ordered(&top, "out")]);
}

#[test]
fn it_can_be_stored() {
    let tags = elements("tags").alias("tag").position("nth").keep_empty();
    let tags = PlanBuilder::new().unnest(&tagged(), &tags).unwrap();
    let plan = Plan::from_sinks(&[ordered(&tags, "out")]).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!(again, plan);
    // A plan that was changed by hand is held to the same rules.
    let wrong = text.replace("\"column\":1", "\"column\":0");
    assert_ne!(wrong, text);
    let refused = serde_json::from_str::<Plan>(&wrong).unwrap_err().to_string();
    assert!(refused.contains("unnest"), "{refused}");
}

/// Rows that a semi join lets through have no key of their own, but for a union with rows that have one.
#[test]
fn rows_without_a_key_meet_rows_with_one() {
    let b = PlanBuilder::new();
    let tags = select(&b.unnest(&tagged(), &"tags".into()).unwrap(), &[col("note")]);
    for kind in [JoinKind::Semi, JoinKind::Anti, JoinKind::Left] {
        let request = JoinRequest { kind, ..JoinRequest::new([(col("note"), col("origin"))]) };
        let some = select(&b.join(&tagged(), &source("in"), &request).unwrap(), &[col("note")]);
        cut_all(&[ordered(&b.union(&tags, &some).unwrap(), "out")]);
    }
}
