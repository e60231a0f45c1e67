//! What is refused of an unnest, with its message, and what is known of its rows.

use super::*;
use crate::{UnnestRequest, array_agg, elements};

/// Lists of delays by origin.
fn lists() -> NodeRef {
    let request = AggregateRequest::new(["origin"], [array_agg(col("delay")).alias("delays")]);
    PlanBuilder::new().aggregate(&flights(), &request).unwrap()
}

fn unnest(input: &NodeRef, request: impl Into<UnnestRequest>) -> Result<NodeRef, PlanError> {
    PlanBuilder::new().unnest(input, &request.into())
}

#[test]
fn only_lists_that_are_there_have_elements() {
    assert_eq!(
        refused(unnest(&lists(), "delai")),
        "unknown column \"delai\" in unnest; did you mean \"delays\"? columns: origin, delays"
    );
    assert_eq!(
        refused(unnest(&lists(), "origin")),
        "unnest: column \"origin\" is utf8, which has no elements; it must be a list"
    );
    assert_eq!(
        refused(unnest(&lists(), elements("delays").alias("origin"))),
        "unnest: two columns are named \"origin\"; give one of them another name with alias"
    );
    assert!(refused(unnest(&lists(), elements("delays").position("delays"))).contains("named \"delays\""));
    assert!(refused(unnest(&lists(), elements("delays").alias("__sabot.x"))).contains("kept for the engine"));
}

#[test]
fn elements_take_the_place_of_their_list() {
    let plain = unnest(&lists(), "delays").unwrap();
    assert_eq!(names(&plain), ["origin", "delays"]);
    assert_eq!(plain.schema().field(1).data_type(), &DataType::Int32);
    // Many rows of one origin have nothing that tells them apart, but for their place in the list.
    assert_eq!(plain.properties().upsert_key, None);
    let numbered = unnest(&lists(), elements("delays").alias("delay").position("nth")).unwrap();
    assert_eq!(names(&numbered), ["origin", "delay", "nth"]);
    assert!(!numbered.schema().field(2).is_nullable());
    assert_eq!(numbered.properties().upsert_key, Some(vec!["origin".to_owned(), "nth".to_owned()]));
    let kept = unnest(&lists(), elements("delays").position("nth").keep_empty()).unwrap();
    assert!(kept.schema().fields().iter().skip(1).all(|field| field.is_nullable()));
}

fn names(node: &NodeRef) -> Vec<&str> {
    node.schema().fields().iter().map(|field| field.name().as_str()).collect()
}
