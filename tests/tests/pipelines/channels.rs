//! Random plans over channels that are fed while the job runs, with barriers in between.
//!
//! Results depend neither on when rows arrive nor on where barriers cut the output into epochs. Where a
//! channel may fall idle, late rows are told by the owner of the window's state instead of by the step
//! that assigns windows; the results are the same.

use sabot_plan::{CutOptions, KeyedInput, KeyedStage, StageKind, cut};
use sabot_tests::random::{Origin, Size, case};
use sabot_tests::{Case, Device, Settings};

/// Runs the plans; how many aggregations took raw rows.
fn check(origin: Origin) -> usize {
    let (mut late, mut raw) = (0, 0);
    for seed in 1..=100 {
        let partitions = if seed % 2 == 0 { 1 } else { 4 };
        for setting in Settings::some(Device::Cpu, seed as usize) {
            // Channels can be read once, so that each run needs a case of its own.
            let case = case(seed, Size { rows: 400, partitions, steps: (3, 9), origin });
            case.check(&setting.engine(), &setting);
            late += case.outcome().late_rows;
            raw += raw_aggregations(&case);
        }
    }
    assert!(late > 100, "{late} late rows");
    raw
}

fn raw_aggregations(case: &Case) -> usize {
    let physical = cut(&case.plan(), &CutOptions::default()).unwrap();
    let raw = |kind: &StageKind| matches!(kind, StageKind::Keyed(KeyedStage::Aggregate(keyed)) if keyed.input == KeyedInput::Raw);
    physical.stages.iter().filter(|stage| raw(&stage.kind)).count()
}

#[test]
fn bounded_channels_give_the_same() {
    assert_eq!(check(Origin::BoundedChannels), 0, "a bounded channel does not fall idle");
}

#[test]
fn channels_that_might_fall_idle_give_the_same() {
    let raw = check(Origin::UnboundedChannels);
    assert!(raw > 200, "only {raw} aggregations took raw rows");
}
