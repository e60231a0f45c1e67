//! The same pipelines on a device that is late, on one that refuses and fails, and on the host path of GPUs.
//!
//! The named pipelines run in every setting (on the slow device that plays a GPU in six), the random ones in six each, other
//! ones for each plan.

use sabot_tests::random::case;
use sabot_tests::{Device, Setting, Settings};

use crate::everywhere::Tally;
use crate::plans;
use crate::random::size;

/// All named pipelines in these settings, and so many random ones.
fn run_all(device: Device, settings: &[Setting], random: u64) -> Tally {
    let mut tally = Tally::default();
    for (_, make) in plans::ALL {
        for partitions in [1, 4] {
            tally.check(&make(300, partitions), settings);
        }
    }
    for seed in 1..=random {
        let partitions = if seed % 2 == 0 { 1 } else { 4 };
        tally.check(&case(seed, size(partitions)), &Settings::some(device, seed as usize));
    }
    tally
}

#[test]
fn a_late_device_gives_the_same() {
    let tally = run_all(Device::Late, &Settings::all(Device::Late), 200);
    assert!(tally.on_device > 10_000, "{tally:?}");
    assert_eq!((tally.fallback_morsels, tally.refused_fragments), (0, 0), "it is late and not wrong");
}

#[test]
fn the_host_path_of_gpus_gives_the_same() {
    let tally = run_all(Device::Gpu, &Settings::some(Device::Gpu, 1), 50);
    assert!(tally.refused_fragments > 100 && tally.on_device > 300, "{tally:?}");
    assert_eq!(tally.fallback_morsels, 0, "a device that does not fail");
}

#[test]
fn a_refusing_device_gives_the_same() {
    let tally = run_all(Device::Refusing, &Settings::all(Device::Refusing), 200);
    assert!(tally.refused_fragments > 100, "{tally:?}");
    assert!(tally.fallback_morsels > 500, "{tally:?}");
    // What the device neither refused nor failed it did itself: about a tenth of its morsels failed.
    let tried = tally.on_device + tally.fallback_morsels;
    assert!(tally.fallback_morsels * 20 > tried && tally.fallback_morsels * 5 < tried, "{tally:?}");
}
