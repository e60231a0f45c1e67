//! The tests of this tier, tested: plans are as varied as they should be, and mistakes are noticed.

use sabot_cpu::CpuBackend;
use sabot_ops::Backend;
use sabot_ops::testing::{CanaryBackend, LateBackend, Sabotage};
use sabot_plan::NodeKind;
use sabot_tests::random::case;
use sabot_tests::{Case, Device, Setting};
use sabot_time::Windows;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::plans;
use crate::random::size;
use crate::unnest;

/// What occurs in how many of the two hundred random plans.
#[test]
fn random_plans_have_everything() {
    let mut plans: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 1..=200 {
        let plan = case(seed, size(1)).plan();
        let nodes = plan.nodes();
        let is_window = |i: usize| matches!(nodes[i].kind, NodeKind::Aggregate { window: Some(_), .. });
        let mut over_window = vec![false; nodes.len()];
        let mut found: BTreeMap<&str, bool> = BTreeMap::new();
        for (i, node) in nodes.iter().enumerate() {
            over_window[i] = node.inputs.iter().any(|input| over_window[*input] || is_window(*input));
            found.insert(node.kind.name(), true);
            found.entry("window over window").or_default();
            *found.entry("window over window").or_default() |= is_window(i) && over_window[i];
            match &node.kind {
                NodeKind::Aggregate { window: None, .. } => {
                    found.insert("group-by without window", true);
                }
                NodeKind::Aggregate { window: Some(window), .. } => {
                    found.insert(
                        match window.window {
                            Windows::Tumbling(_) => "tumbling",
                            Windows::Hopping(_) => "hopping",
                            Windows::Cumulate(_) => "cumulate",
                            Windows::Calendar(_) => "calendar",
                            Windows::Session(_) => "session",
                            Windows::Count(_) => "count",
                        },
                        true,
                    );
                }
                _ => {}
            }
        }
        let forks = plan.consumers().iter().filter(|c| c.len() > 1).count();
        let sinks = nodes.iter().filter(|n| matches!(n.kind, NodeKind::Sink { .. })).count();
        found.extend([("fork", forks > 0), ("several sinks", sinks > 1)]);
        for (what, there) in found {
            *plans.entry(what).or_default() += usize::from(there);
        }
    }
    let at_least = [
        ("filter", 100),
        ("select", 60),
        ("aggregate", 100),
        ("late-rows", 30),
        ("union", 30),
        ("join", 10),
        ("lookup-join", 10),
        ("map-batches", 20),
        ("sort", 20),
        ("limit", 15),
        ("unique", 15),
        ("distinct", 5),
        ("top_n", 20),
        ("over", 20),
        ("unnest", 20),
        ("predict", 20),
        ("event-time", 150),
        ("window over window", 20),
        ("tumbling", 50),
        ("hopping", 40),
        ("cumulate", 10),
        ("calendar", 10),
        ("session", 20),
        ("group-by without window", 20),
        ("fork", 40),
        ("several sinks", 60),
    ];
    for (what, wanted) in at_least {
        let got = plans.get(what).copied().unwrap_or(0);
        assert!(got >= wanted, "{what} in {got} plans of 200, wanted {wanted}: {plans:?}");
    }
}

fn setting() -> Setting {
    Setting { workers: 2, keyed: 4, queue: None, morsel_rows: 7, device: Device::Cpu }
}

fn verify(case: &Case, backend: Arc<dyn Backend>) -> Result<(), String> {
    case.verify(&setting().start(vec![backend])).map(|_| ())
}

/// A device with a mistake is found out by one of the named pipelines.
#[test]
fn mistakes_of_a_device_are_noticed() {
    let cpu = || Arc::new(CpuBackend::new());
    let canaries = [
        (Sabotage::DropLastRow, plans::stateless as plans::Make),
        (Sabotage::DropLastRow, plans::exchanges),
        (Sabotage::ForgetNulls, plans::stateless),
        (Sabotage::ForgetNulls, plans::window),
        (Sabotage::LoseLateRows, plans::window),
        (Sabotage::LoseMore, unnest::results),
    ];
    for (sabotage, make) in canaries {
        let case = make(300, 4);
        verify(&case, cpu()).unwrap();
        let found = verify(&case, Arc::new(CanaryBackend::new(cpu(), sabotage)));
        assert!(found.is_err(), "{sabotage:?} in {} went unnoticed", case.name);
    }
}

/// The late device is late: tickets are pending, held back, overtake each other, and come in parts.
#[test]
fn a_late_device_is_late() {
    let late = Arc::new(LateBackend::holding(Arc::new(CpuBackend::new()), 5));
    for make in [plans::stateless, plans::window, plans::exchanges] {
        verify(&make(700, 4), late.clone()).unwrap();
    }
    let counters = &late.counters;
    let counted = [&counters.pending, &counters.overtakes, &counters.held, &counters.parts];
    let [pending, overtakes, held, parts] = counted.map(|counter| counter.load(Ordering::SeqCst));
    assert!(
        pending > 100 && overtakes > 20 && held > 100 && parts > 50,
        "{pending} pending, {overtakes} overtakes, {held} held, {parts} in parts"
    );
}
