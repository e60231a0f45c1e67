//! The conformance suite, whole, for every SIMD variant that this machine has.

use sabot_ops::conformance::{self, Options, Required};

use crate::{CpuBackend, SimdVariant};

/// The cells that the CPU must support; a cell may only ever be added.
const REQUIRED: &str = include_str!("../../../conformance/required/cpu.txt");

#[test]
fn the_cpu_passes_the_suite_in_every_variant() {
    let required = Required::parse(REQUIRED).unwrap();
    let variants = SimdVariant::ALL.into_iter().filter(|v| *v != SimdVariant::Auto && v.is_available());
    for variant in variants {
        let report = conformance::run(&CpuBackend::with_variant(variant).unwrap(), &Options::quick());
        assert!(report.failed.is_empty(), "{variant}: {report}");
        let shortfall = required.check(&report);
        assert!(shortfall.is_empty(), "{variant}: {shortfall}");
    }
}
