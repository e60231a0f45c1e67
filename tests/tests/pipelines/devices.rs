//! The same pipelines on a device that is late, on one that refuses and fails, and on the host path of GPUs.
//!
//! The named pipelines run in every setting, the random ones in six each, other ones for each plan.

use sabot_tests::random::case;
use sabot_tests::{Device, Settings};

use crate::everywhere::Tally;
use crate::plans;
use crate::random::size;

fn run_all(device: Device) -> Tally {
    let mut tally = Tally::default();
    for (_, make) in plans::ALL {
        for partitions in [1, 4] {
            tally.check(&make(300, partitions), &Settings::all(device));
        }
    }
    for seed in 1..=200 {
        let partitions = if seed % 2 == 0 { 1 } else { 4 };
        tally.check(&case(seed, size(partitions)), &Settings::some(device, seed as usize));
    }
    tally
}

#[test]
fn a_late_device_gives_the_same() {
    let tally = run_all(Device::Late);
    assert!(tally.on_device > 10_000, "{tally:?}");
    assert_eq!((tally.fallback_morsels, tally.refused_fragments), (0, 0), "it is late and not wrong");
}

#[test]
fn the_host_path_of_gpus_gives_the_same() {
    let tally = run_all(Device::Gpu);
    assert!(tally.refused_fragments > 100 && tally.on_device > 1_000, "{tally:?}");
    assert_eq!(tally.fallback_morsels, 0, "a device that does not fail");
}

#[test]
fn a_refusing_device_gives_the_same() {
    let tally = run_all(Device::Refusing);
    assert!(tally.refused_fragments > 100, "{tally:?}");
    assert!(tally.fallback_morsels > 500, "{tally:?}");
    // What the device neither refused nor failed it did itself: about a tenth of its morsels failed.
    let tried = tally.on_device + tally.fallback_morsels;
    assert!(tally.fallback_morsels * 20 > tried && tally.fallback_morsels * 5 < tried, "{tally:?}");
}
