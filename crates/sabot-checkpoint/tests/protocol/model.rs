//! Every state of small worlds.

use std::sync::Arc;

use crate::search::{Visited, search};
use crate::steps::{Choice, apply};
use crate::world::{AtOnce, Budget, Config, World, Writer};

/// More than any of these worlds has; a world that outgrows it should be made smaller.
const STATES_MAX: usize = 3_000_000;

/// A history, a step a line.
pub(crate) fn told(history: &[Choice]) -> String {
    history.iter().map(|choice| format!("  {choice:?}\n")).collect()
}

/// A world whose first writer runs already.
pub(crate) fn running(config: Config, budget: Budget) -> World {
    let mut world = World::new(&Arc::new(config), budget);
    apply(&mut world, Choice::Tick { writer: 0 }).unwrap();
    while matches!(&*world.writers[0], Writer::Recovering { .. }) {
        apply(&mut world, Choice::Do { writer: 0, call: 0 }).unwrap();
    }
    world
}

fn visit(name: &str, world: World) -> Visited {
    let started = std::time::Instant::now();
    match search(world, STATES_MAX) {
        Ok(visited) => {
            println!(
                "{name}: {} states, {} steps, {} ends, {:?}",
                visited.states,
                visited.steps,
                visited.ends,
                started.elapsed()
            );
            assert!(visited.ends > 0, "{name}: no end was found");
            assert_eq!(
                visited.stuck,
                0,
                "{name}: {} are stuck\n{}",
                visited.stuck,
                told(&visited.stuck_after)
            );
            visited
        }
        Err(broke) => {
            panic!("{name}, after {} states: {}\n{}", broke.states, broke.rule, told(&broke.history))
        }
    }
}

fn config(rows: &[u8], sinks: u32, at_once: AtOnce) -> Config {
    Config { at_once, ..Config::new(rows, sinks) }
}

const NONE: Budget = Budget {
    writers: 0,
    restarts: 0,
    epochs: 0,
    lost: 0,
    full: 0,
    timeouts: 0,
    torn: 0,
    failing: 0,
    suspends: 0,
    crashes: 0,
};
const FINE: AtOnce = AtOnce { reads: false, newest: false, deletes: false, commits: false, puts: false };

#[test]
fn one_writer_dies_anywhere_and_is_started_again() {
    let budget = Budget { epochs: 2, crashes: 2, restarts: 2, ..NONE };
    visit("dies", World::new(&config(&[1, 1], 1, FINE).into(), budget));
    let budget = Budget { epochs: 2, crashes: 1, restarts: 1, ..NONE };
    visit("dies, 2 sinks", running(config(&[2, 2], 2, AtOnce { reads: true, ..FINE }), budget));
}

#[test]
fn calls_are_lost_and_come_later() {
    visit("lost", running(config(&[1, 1], 1, FINE), Budget { epochs: 2, lost: 2, restarts: 2, ..NONE }));
}

#[test]
fn everything_fails_once() {
    let budget = Budget { epochs: 2, lost: 1, full: 1, timeouts: 1, failing: 1, restarts: 3, ..NONE };
    visit("faults", running(config(&[1, 1], 1, AtOnce { reads: true, deletes: true, ..FINE }), budget));
}

#[test]
fn a_manifest_is_torn() {
    let budget = Budget { epochs: 2, torn: 1, lost: 1, restarts: 2, ..NONE };
    visit("torn", World::new(&config(&[1, 1], 1, AtOnce { deletes: true, ..FINE }).into(), budget));
}

#[test]
fn a_second_writer_takes_over_at_any_time() {
    visit("2 writers, fine", running(config(&[1, 1], 1, FINE), Budget { epochs: 1, writers: 1, ..NONE }));
    let coarse = |rows: &[u8]| config(rows, 1, AtOnce::ALL);
    visit("2 writers, 2 epochs", running(coarse(&[1, 1]), Budget { epochs: 2, writers: 1, ..NONE }));
    visit("2 writers, 3 epochs", running(coarse(&[1, 0]), Budget { epochs: 3, writers: 1, ..NONE }));
}

#[test]
fn a_second_writer_takes_over_while_something_fails() {
    let coarse = || config(&[1, 0], 1, AtOnce::ALL);
    let budget = Budget { epochs: 1, writers: 1, restarts: 1, ..NONE };
    visit("2 writers, lost", running(coarse(), Budget { lost: 1, ..budget }));
    visit("2 writers, timeout", running(coarse(), Budget { epochs: 2, timeouts: 1, ..budget }));
    visit("2 writers, torn", running(coarse(), Budget { torn: 1, ..budget }));
    visit("2 writers, suspend", running(coarse(), Budget { suspends: 1, ..budget }));
    visit("2 writers, 2 sinks", running(config(&[2, 0], 2, AtOnce::ALL), budget));
}

#[test]
fn two_writers_start_at_the_same_time() {
    let budget = Budget { epochs: 1, writers: 1, ..NONE };
    visit("race", World::new(&config(&[1, 0], 1, AtOnce { reads: false, ..AtOnce::ALL }).into(), budget));
}

#[test]
fn three_writers() {
    let reads = config(&[1], 1, AtOnce { reads: false, ..AtOnce::ALL });
    visit("3 writers, reads", running(reads, Budget { epochs: 1, writers: 2, ..NONE }));
    visit("3 writers", running(config(&[1, 0], 1, AtOnce::ALL), Budget { epochs: 1, writers: 2, ..NONE }));
}

#[test]
fn a_job_is_suspended() {
    let budget = Budget { epochs: 1, suspends: 1, lost: 1, restarts: 2, ..NONE };
    visit("suspend", running(config(&[2, 1], 1, AtOnce { reads: true, ..FINE }), budget));
}

/// Worlds of up to a million states each: minutes, and so only when asked for. They have found what the smaller
/// ones did not.
#[test]
fn larger_worlds_when_asked_for() {
    if std::env::var_os("SABOT_MODEL_LARGE").is_none() {
        println!("skipped: SABOT_MODEL_LARGE is not set");
        return;
    }
    let all = AtOnce::ALL;
    let reads = AtOnce { reads: false, ..all };
    let two = Budget { writers: 1, restarts: 1, epochs: 1, ..NONE };
    let three = Budget { writers: 2, epochs: 1, ..NONE };
    let faults = Budget { epochs: 2, lost: 2, full: 1, timeouts: 1, restarts: 3, ..NONE };
    visit("large: 2, fine, lost", running(config(&[1, 0], 1, FINE), Budget { lost: 1, ..two }));
    visit("large: 2, fine", running(config(&[1, 1], 1, FINE), Budget { epochs: 2, ..two }));
    let budget = Budget { epochs: 2, timeouts: 1, lost: 1, ..two };
    visit("large: 2, timeout and lost", running(config(&[1, 0], 1, all), budget));
    let budget = Budget { epochs: 2, failing: 1, full: 1, restarts: 2, ..two };
    visit("large: 2, failing and full", running(config(&[1, 0], 1, all), budget));
    let budget = Budget { suspends: 1, lost: 1, restarts: 2, ..two };
    visit("large: 2, suspend and lost", running(config(&[1, 1], 1, all), budget));
    let budget = Budget { lost: 1, torn: 1, ..two };
    visit("large: race, lost and torn", World::new(&config(&[1, 0], 1, reads).into(), budget));
    visit("large: 3, reads", running(config(&[1, 0], 1, reads), three));
    visit(
        "large: 3, lost",
        running(config(&[1, 0], 1, reads), Budget { epochs: 0, lost: 1, restarts: 1, ..three }),
    );
    visit("large: 4", running(config(&[1, 0], 1, reads), Budget { epochs: 0, writers: 3, ..three }));
    visit("large: 1, faults", running(config(&[1, 1], 1, FINE), faults));
}

/// The canary of the last assertion: a job that dies for good does not come to its end.
#[test]
fn a_world_without_a_way_out_would_be_noticed() {
    let world = running(config(&[1, 0], 1, AtOnce::ALL), Budget { crashes: 1, ..NONE });
    let visited = search(world, STATES_MAX).unwrap();
    assert!(visited.stuck > 0 && visited.ends > 0, "{visited:?}");
}
