//! Random plans over channels that are fed while the job runs, with barriers in between.
//!
//! Results depend neither on when rows arrive nor on where barriers cut the output into epochs. Where a
//! channel may fall idle, late rows are told by the owner of the window's state instead of by the step
//! that assigns windows; the results are the same.

use sabot_tests::random::{Origin, Size, case};
use sabot_tests::{Device, Settings};

fn check(origin: Origin) {
    let mut late = 0;
    for seed in 1..=100 {
        let partitions = if seed % 2 == 0 { 1 } else { 4 };
        for setting in Settings::some(Device::Cpu, seed as usize) {
            // Channels can be read once, so that each run needs a case of its own.
            let case = case(seed, Size { rows: 400, partitions, steps: (3, 9), origin });
            case.check(&setting.engine(), &setting);
            late += case.outcome().late_rows;
        }
    }
    assert!(late > 100, "{late} late rows");
}

#[test]
fn bounded_channels_give_the_same() {
    check(Origin::BoundedChannels);
}

#[test]
fn channels_that_might_fall_idle_give_the_same() {
    check(Origin::UnboundedChannels);
}
