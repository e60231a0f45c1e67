//! Two hundred random plans in every setting.

use sabot_tests::random::{Origin, Size, case};
use sabot_tests::{Device, Settings};
use std::ops::Range;

/// The size of the random pipelines, over this many partitions.
pub(crate) fn size(partitions: usize) -> Size {
    Size { rows: 240, partitions, steps: (3, 9), origin: Origin::Memory }
}

fn check(seeds: Range<u64>) {
    let (mut late, mut failing) = (0, 0);
    for seed in seeds {
        for partitions in [1, 4] {
            let case = case(seed, size(partitions));
            late += case.outcome().late_rows;
            failing += usize::from(!case.outcome().failures.is_empty());
            for setting in Settings::all(Device::Cpu) {
                case.check(&setting.engine(), &setting);
            }
        }
    }
    // Plans without late rows and without errors would prove less than they seem to.
    assert!(late > 20 && failing > 0, "{late} late rows, {failing} failing runs");
}

#[test]
fn plans_1_to_50() {
    check(1..51);
}

#[test]
fn plans_51_to_100() {
    check(51..101);
}

#[test]
fn plans_101_to_150() {
    check(101..151);
}

#[test]
fn plans_151_to_200() {
    check(151..201);
}
