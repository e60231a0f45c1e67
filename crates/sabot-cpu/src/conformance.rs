//! The conformance suite, driven only through the backend's public side.

use sabot_ops::conformance::{self, Options, Required};

use crate::{CpuBackend, SimdVariant};

/// The cells that the CPU must support; a cell may only ever be added.
const REQUIRED: &str = include_str!("../../../conformance/required/cpu.txt");

/// The suite for every variant would take three times as long and tell nothing new: only steps that
/// compare with a literal have variants.
#[test]
fn the_newest_variant_passes_the_whole_suite() {
    let required = Required::parse(REQUIRED).unwrap();
    let report = conformance::run(&CpuBackend::with_variant(SimdVariant::Auto).unwrap(), &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
}

#[test]
fn every_variant_passes_the_cells_that_have_variants() {
    for variant in SimdVariant::ALL.into_iter().filter(|v| v.is_available()) {
        for cells in ["filter-project/compare", "window-assign/"] {
            let options = Options { only: Some(cells.to_owned()), ..Options::quick() };
            let report = conformance::run(&CpuBackend::with_variant(variant).unwrap(), &options);
            assert!(report.failed.is_empty(), "{variant}: {report}");
            assert!(!report.passed.is_empty(), "no cell is named {cells}");
        }
    }
}
