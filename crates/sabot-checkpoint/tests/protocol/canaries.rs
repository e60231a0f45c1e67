//! Protocols that are broken on purpose. Each must be found by the search that finds nothing in the real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{running, told};
use crate::search::search;
use crate::world::{AtOnce, Broken, Budget, Config, World};

/// Searches a world with a broken protocol, after the same world with the real one; the rule that is broken.
fn finds(of: Broken, rows: &[u8], budget: Budget, from_start: bool) -> String {
    let world = |broken| {
        let config = Config { at_once: AtOnce::ALL, broken, ..Config::new(rows, 1) };
        if from_start { World::new(&Arc::new(config), budget) } else { running(config, budget) }
    };
    let whole = search(world(None), 1_000_000);
    assert!(whole.is_ok(), "{of:?} is found where it is not: {whole:?}");
    match search(world(Some(of)), 1_000_000) {
        Ok(visited) => panic!("{of:?} was not noticed in {} states", visited.states),
        Err(found) => {
            println!("{of:?}, after {} states: {}\n{}", found.states, found.rule, told(&found.history));
            found.rule
        }
    }
}

fn starts_with(rule: &str, wanted: &str) {
    assert!(rule.starts_with(wanted), "another rule was broken: {rule}");
}

#[test]
fn output_that_is_visible_before_its_manifest() {
    let rule = finds(Broken::CommitBeforeManifest, &[1, 0], Budget { epochs: 1, ..Budget::default() }, false);
    starts_with(&rule, "I1: task 0: sink 0 shows 1, beyond");
}

#[test]
fn retention_that_deletes_what_others_refer_to() {
    let rule = finds(Broken::DeleteReferenced, &[1, 1], Budget { epochs: 3, ..Budget::default() }, false);
    starts_with(&rule, "I5");
}

#[test]
fn manifests_that_replace_others() {
    let budget = Budget { epochs: 1, writers: 1, ..Budget::default() };
    finds(Broken::NoFencing, &[1, 0], budget, false);
}

#[test]
fn a_sleeper_that_does_not_look_around() {
    let budget = Budget { epochs: 2, writers: 1, ..Budget::default() };
    let rule = finds(Broken::NoNewestCheck, &[1, 0], budget, false);
    starts_with(&rule, "I3");
}

#[test]
fn cleaning_before_the_writer_is_fenced() {
    let budget = Budget { epochs: 1, writers: 1, ..Budget::default() };
    let rule = finds(Broken::CleanBeforeFence, &[1, 0], budget, false);
    starts_with(&rule, "I2");
}

#[test]
fn cleaning_what_later_writers_have_staged() {
    let budget = Budget { epochs: 0, writers: 1, ..Budget::default() };
    let rule = finds(Broken::CleanEverybody, &[1, 0], budget, true);
    starts_with(&rule, "I2");
}

#[test]
fn removing_what_was_staged_for_an_epoch_that_was_given_up() {
    let budget = Budget { epochs: 2, timeouts: 1, ..Budget::default() };
    let rule = finds(Broken::AbortOnGiveUp, &[1, 0], budget, false);
    starts_with(&rule, "I2");
}

#[test]
fn epochs_without_a_manifest() {
    let budget = Budget { epochs: 2, timeouts: 1, ..Budget::default() };
    let rule = finds(Broken::LeaveGaps, &[1, 0], budget, false);
    starts_with(&rule, "I4");
}

#[test]
fn recovery_that_leaves_commits_unfinished() {
    let budget = Budget { epochs: 1, crashes: 1, restarts: 1, ..Budget::default() };
    let rule = finds(Broken::ForgetCommits, &[1, 0], budget, false);
    starts_with(&rule, "I1");
}

#[test]
fn state_that_is_older_than_its_positions() {
    let budget = Budget { epochs: 1, crashes: 1, restarts: 1, ..Budget::default() };
    let rule = finds(Broken::SnapshotEarly, &[2, 0], budget, false);
    starts_with(&rule, "I6");
}

/// Every way of breaking the protocol has a test above.
#[test]
fn none_is_forgotten() {
    let text = include_str!("canaries.rs");
    let world = include_str!("world.rs");
    let variants = world.split("enum Broken {").nth(1).unwrap().split('}').next().unwrap();
    let names: BTreeMap<&str, usize> = variants
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .map(|line| line.trim_end_matches(','))
        .map(|name| (name, text.matches(&format!("finds(Broken::{name},")).count()))
        .collect();
    assert!(names.len() >= 10 && names.values().all(|tests| *tests == 1), "{names:?}");
}
