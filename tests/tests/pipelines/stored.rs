//! A plan is data: stored as text, loaded and bound anew, it gives the same.

use sabot_exec::{Engine, EngineConfig};
use sabot_tests::Case;
use sabot_tests::random::{case, functions};

use crate::plans;
use crate::random::size;

fn check(case: &Case, engine: &Engine) {
    if let Err(wrong) = case.verify_stored(engine, &functions()) {
        panic!("{} after storing and loading its plan: {wrong}", case.name);
    }
}

#[test]
fn stored_plans_give_the_same() {
    let config = EngineConfig { workers: 2, morsel_rows: 50, ..EngineConfig::default() };
    let engine = Engine::start(config).unwrap();
    for (_, make) in plans::ALL {
        check(&make(500, 4), &engine);
    }
    for seed in 1..=200 {
        check(&case(seed, size(4)), &engine);
    }
}
