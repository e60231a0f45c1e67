//! Every state of small worlds.

use std::sync::Arc;

use crate::search::{Visited, search};
use crate::steps::Choice;
use crate::world::{Budget, Config, World};

/// More than any of these worlds has; a world that outgrows it should be made smaller.
const STATES_MAX: usize = 3_000_000;

/// A history, a step a line.
pub(crate) fn told(history: &[Choice]) -> String {
    history.iter().map(|choice| format!("  {choice:?}\n")).collect()
}

fn visit(name: &str, rows: &[u8], sinks: u32, budget: Budget) -> Visited {
    let config = Arc::new(Config::new(rows, sinks));
    let started = std::time::Instant::now();
    match search(World::new(&config, budget), STATES_MAX) {
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
        Err(broke) => panic!("{name}: {}\n{}", broke.rule, told(&broke.history)),
    }
}

#[test]
fn two_writers() {
    visit("two writers", &[1, 1], 1, Budget { writers: 1, epochs: 1, ..Budget::default() });
}
