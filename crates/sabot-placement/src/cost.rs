//! How long a morsel takes.

use sabot_common::RowWork;
use std::fmt;

use crate::Calibration;

/// How long a morsel takes on a device, in seconds.
///
/// Copies of one morsel go on while another computes, so with many morsels each takes as long as the slowest of its stations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// What the host does first: copying into slabs, and look-ups.
    pub host_s: f64,
    /// The copy to the device.
    pub up_s: f64,
    /// The kernel.
    pub kernel_s: f64,
    /// The copy back.
    pub down_s: f64,
    /// Tasks that go through these stations side by side.
    pub lanes: f64,
    /// Host tasks that prepare side by side.
    pub host_lanes: f64,
}

impl Cost {
    /// Seconds of one morsel alone.
    pub fn latency_s(&self) -> f64 {
        self.host_s + self.up_s + self.kernel_s + self.down_s
    }

    /// Seconds between two morsels when there are many.
    pub fn period_s(&self) -> f64 {
        let device = self.up_s.max(self.kernel_s).max(self.down_s) / self.lanes;
        device.max(self.host_s / self.host_lanes)
    }
}

impl fmt::Display for Cost {
    /// The time between two morsels, and where a device is reached over a link its stations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |seconds: f64| seconds * 1e6;
        write!(f, "{:.0} µs", us(self.period_s()))?;
        if self.up_s + self.down_s > 0.0 {
            let [host, up, kernel, down] = [self.host_s, self.up_s, self.kernel_s, self.down_s].map(us);
            write!(f, " (host {host:.0}, to it {up:.0}, kernel {kernel:.0}, back {down:.0})")?;
        }
        Ok(())
    }
}

/// How long a morsel of so many rows takes on a device, whose host is `host`: a launch and a roofline, and transfers where rows
/// have to get there first.
///
/// ```
/// # use sabot_common::RowWork;
/// # use sabot_placement::{DeviceClass, cost};
/// let (cpu, gpu) = (DeviceClass::Cpu.assumed("cpu"), DeviceClass::DatacenterGpu.assumed("cuda:0"));
/// let filter = RowWork { bytes: 8.0, operations: 1.0, ..RowWork::default() };
/// let shipped = RowWork { bytes_up: 4.0, bytes_down: 0.125, ..filter };
/// let (here, there) = (cost(&cpu, &cpu, &filter, 1 << 20), cost(&gpu, &cpu, &shipped, 1 << 20));
/// assert!(there.kernel_s < here.kernel_s, "the device itself is faster");
/// assert!(there.up_s > there.kernel_s, "getting there is what it costs");
/// ```
pub fn cost(device: &Calibration, host: &Calibration, work: &RowWork, rows: usize) -> Cost {
    let rows = rows as f64;
    let roofline = (work.bytes / device.bytes_per_s).max(work.operations / device.operations_per_s);
    let kernel_s = device.launch_us * 1e-6 + rows * (roofline + work.folds / device.folds_per_s);
    let (lanes, host_lanes) = (f64::from(device.lanes.max(1)), f64::from(host.lanes.max(1)));
    let mut cost = Cost { kernel_s, lanes, host_lanes, ..Cost::default() };
    if let Some(link) = &device.link {
        let copy = |bytes: f64, rate: f64| link.latency_us * 1e-6 + rows * bytes / rate;
        cost.up_s = copy(work.bytes_up, link.up_bytes_per_s);
        cost.down_s = copy(work.bytes_down, link.down_bytes_per_s);
        let prepared = work.host_bytes / host.bytes_per_s + work.host_folds / host.folds_per_s;
        // A task of the host takes the morsel in any case.
        cost.host_s = host.launch_us * 1e-6 + rows * prepared;
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Basis, DeviceClass};

    fn host(lanes: u32) -> Calibration {
        Calibration { lanes, ..DeviceClass::Cpu.assumed("cpu") }
    }

    /// Rows of the host, a four-byte column of which is compared.
    fn filter() -> (RowWork, RowWork) {
        let here = RowWork { bytes: 8.0, operations: 1.0, ..RowWork::default() };
        (here, RowWork { bytes_up: 4.0, bytes_down: 0.125, host_bytes: 24.0, ..here })
    }

    /// A key of four bytes and a sum of eight.
    fn sum_by_key() -> (RowWork, RowWork) {
        let here = RowWork { bytes: 12.0, operations: 5.0, folds: 1.0, ..RowWork::default() };
        (here, RowWork { bytes_up: 12.0, bytes_down: 0.5, host_bytes: 49.0, ..here })
    }

    fn prefers_gpu((here, there): (RowWork, RowWork), class: DeviceClass, lanes: u32, rows: usize) -> bool {
        let (host, gpu) = (host(lanes), class.assumed("gpu"));
        cost(&gpu, &host, &there, rows).period_s() < cost(&host, &host, &here, rows).period_s()
    }

    #[test]
    fn a_filter_of_rows_of_the_host_stays_there_and_a_group_by_does_not() {
        for rows in [1 << 14, 1 << 20, 1 << 24] {
            assert!(!prefers_gpu(filter(), DeviceClass::DatacenterGpu, 16, rows), "{rows}");
        }
        assert!(prefers_gpu(sum_by_key(), DeviceClass::DatacenterGpu, 2, 1 << 20));
        // A launch and two copies for a hundred rows.
        assert!(!prefers_gpu(sum_by_key(), DeviceClass::DatacenterGpu, 2, 100));
    }

    #[test]
    fn more_rows_never_move_work_back() {
        for class in [DeviceClass::DatacenterGpu, DeviceClass::DiscreteGpu, DeviceClass::IntegratedGpu] {
            for work in [filter(), sum_by_key()] {
                for lanes in [1, 2, 16, 128] {
                    let placed: Vec<bool> =
                        (0..26).map(|bits| prefers_gpu(work, class, lanes, 1 << bits)).collect();
                    assert!(placed.is_sorted(), "{class}, {work:?}, {lanes} lanes: {placed:?}");
                }
            }
        }
    }

    #[test]
    fn the_slowest_station_counts_when_there_are_many() {
        let cost = Cost { host_s: 8.0, up_s: 3.0, kernel_s: 1.0, down_s: 2.0, lanes: 1.0, host_lanes: 4.0 };
        assert_eq!((cost.latency_s(), cost.period_s()), (14.0, 3.0));
        assert_eq!(Cost { host_lanes: 2.0, ..cost }.period_s(), 4.0);
    }

    #[test]
    fn calibrations_are_data() {
        let one = Calibration { basis: Basis::Measured, ..DeviceClass::DiscreteGpu.assumed("wgpu:0") };
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Calibration>(&text).unwrap(), one);
        assert!(serde_json::from_str::<Calibration>(&text.replace("lanes", "threads")).is_err());
    }
}
