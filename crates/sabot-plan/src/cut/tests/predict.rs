//! A prediction is a step of the fragment that it stands in, and computes what is read of it.

use super::*;
use crate::predict::without_trees;
use crate::{margin, prediction, reasons};
use sabot_ops::PredictSpec;

fn scored() -> NodeRef {
    let schema = Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Second, None), false),
        Field::new("note", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
        Field::new("count", DataType::Int64, false),
    ]);
    let request = SourceRequest::bounded(Connector::slot("payments"), schema.into());
    let source = PlanBuilder::new().source(request).unwrap();
    let source = PlanBuilder::new().event_time(&source, "at", Span::ZERO, None).unwrap();
    let model = without_trees(&["count", "amount"]);
    let values = [prediction().alias("score"), margin(), reasons(2)];
    PlanBuilder::new().predict(&source, &model, &values).unwrap()
}

/// The predictions of a plan, stage by stage.
fn predictions(plan: &PhysicalPlan) -> Vec<PredictSpec> {
    let mut found = Vec::new();
    for stage in &plan.stages {
        let StageKind::Fragment(fragment) = &stage.kind else { continue };
        for step in fragment.fragment.steps() {
            if let OperatorSpec::Predict(spec) = step {
                found.push(spec.clone());
            }
        }
    }
    found
}

#[test]
fn it_runs_between_what_stands_around_it() {
    let risky = filter(&filter(&scored(), col("score").gt(0.5)), col("amount").gt(7));
    let plan = cut_all(&[to(&select(&risky, &[col("note")]), "out")]);
    assert_eq!(shape(&plan), ["source", "fragment 0", "sink 1"]);
    assert_eq!(names(&plan.stages[0].output), ["note", "amount", "count"]);
    let [spec] = predictions(&plan).try_into().unwrap();
    assert_eq!(spec.features, [2, 1], "count and amount among what is read");
    assert_eq!(spec.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["score"]);
}

#[test]
fn what_nobody_reads_is_not_predicted() {
    let plan = cut_all(&[to(&select(&scored(), &[col("note")]), "out")]);
    assert_eq!(names(&plan.stages[0].output), ["note"], "features neither");
    assert_eq!(predictions(&plan), []);
}

#[test]
fn hidden_columns_stand_behind_what_is_predicted() {
    let plan = cut_all(&[ordered(&scored(), "out")]);
    let hidden = [".time", ".late", ".partition", ".row"];
    let visible = ["at", "note", "amount", "count", "score", "margin", "reasons"];
    assert_eq!(names(&plan.stages[1].output), [&visible[..], &hidden].concat());
}

#[test]
fn it_can_be_stored() {
    let plan = Plan::from_sinks(&[ordered(&scored(), "out")]).unwrap();
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    // A plan that was changed by hand is held to the same rules.
    let wrong = text.replace("\"features\":[3,2]", "\"features\":[3,1]");
    assert_ne!(wrong, text);
    let refused = serde_json::from_str::<Plan>(&wrong).unwrap_err().to_string();
    assert!(refused.contains("predict: feature \"note\" is utf8"), "{refused}");
}
