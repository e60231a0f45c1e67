//! Runs a pipeline in every setting.

use sabot::JobMetrics;
use sabot_tests::{Case, Device, Setting, Settings};

/// Rows over all partitions, small enough for morsels of one row and many settings.
const FEW: usize = 700;
/// Rows that fill more than one morsel of 4096.
const MANY: usize = 9_000;

/// Every setting over one and four partitions with few rows, and some settings with many.
pub(crate) fn everywhere(make: impl Fn(usize, usize) -> Case) {
    for partitions in [1, 4] {
        let few = make(FEW, partitions);
        for setting in Settings::all(Device::Cpu) {
            few.check(&setting.engine(), &setting);
        }
        let many = make(MANY, partitions);
        for setting in Settings::some(Device::Cpu, partitions) {
            many.check(&setting.engine(), &setting);
        }
    }
}

/// What devices did over several runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Morsels that failed on the device and were finished by the CPU.
    pub(crate) fallback_morsels: u64,
    /// Fragments that the device refused.
    pub(crate) refused_fragments: u64,
    /// Morsels that the device finished itself.
    pub(crate) on_device: u64,
    /// Morsels that the CPU finished.
    pub(crate) on_cpu: u64,
}

impl Tally {
    fn add(&mut self, metrics: &JobMetrics) {
        self.fallback_morsels += metrics.fallback_morsels;
        self.refused_fragments += metrics.refused_fragments;
        for (device, morsels) in &metrics.morsels_by_device {
            match device.as_str() {
                "cpu" => self.on_cpu += morsels,
                _ => self.on_device += morsels,
            }
        }
    }

    /// Runs a case in some settings.
    pub(crate) fn check(&mut self, case: &Case, settings: &[Setting]) {
        for setting in settings {
            if let Some(metrics) = case.check(&setting.engine(), setting).metrics {
                self.add(&metrics);
            }
        }
    }
}
