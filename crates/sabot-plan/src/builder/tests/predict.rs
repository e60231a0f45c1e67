//! What is refused of a prediction, with its message, and what is known of its rows.

use super::*;
use crate::predict::without_trees;
use crate::{PredictExpr, margin, prediction, reasons};

fn predict(input: &NodeRef, features: &[&str], values: &[PredictExpr]) -> Result<NodeRef, PlanError> {
    PlanBuilder::new().predict(input, &without_trees(features), values)
}

#[test]
fn features_are_numbers_that_are_there() {
    assert_eq!(
        refused(predict(&flights(), &["delay", "distanz"], &[prediction()])),
        "unknown column \"distanz\" in predict; did you mean \"distance\"? columns: date, delay, distance, \
         origin, destination"
    );
    assert_eq!(
        refused(predict(&flights(), &["origin"], &[prediction()])),
        "predict: feature \"origin\" is utf8; it must be a number, as the model's feature \"origin\" is"
    );
}

#[test]
fn columns_have_names_of_their_own() {
    assert_eq!(
        refused(predict(&flights(), &["delay"], &[prediction().alias("delay")])),
        "predict: two columns are named \"delay\"; give one of them another name with alias"
    );
    assert!(refused(predict(&flights(), &["delay"], &[margin(), margin()])).contains("named \"margin\""));
    assert!(
        refused(predict(&flights(), &[], &[margin().alias("__sabot.x")])).contains("kept for the engine")
    );
    assert_eq!(
        refused(predict(&flights(), &[], &[])),
        refused(PlanBuilder::new().select(&flights(), &[])).replace("select", "predict")
    );
}

#[test]
fn rows_stay_what_they_are() {
    let values = [prediction().alias("score"), reasons(3)];
    let scored = predict(&timed(&changes()), &["distance", "delay"], &values).unwrap();
    assert_eq!(names(&scored)[5..], ["score", "reasons"]);
    assert!(scored.schema().fields()[5..].iter().all(|field| !field.is_nullable()));
    assert_eq!(scored.properties().produces, ChangeMode::Changelog);
    assert!(scored.properties().time.is_some());
}
