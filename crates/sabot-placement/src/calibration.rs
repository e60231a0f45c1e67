//! How fast a device is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How fast a device is. Serialises, to be kept between runs.
///
/// ```
/// # use sabot_placement::{Basis, Calibration, DeviceClass};
/// let assumed = DeviceClass::DatacenterGpu.assumed("cuda:0");
/// assert_eq!(assumed.basis, Basis::Assumed(DeviceClass::DatacenterGpu));
/// assert!(assumed.to_string().contains("assumed, as of a datacenter GPU"), "{assumed}");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The device: `cpu`, `cuda:0`.
    pub device: String,
    /// Where the numbers are from.
    pub basis: Basis,
    /// Tasks that it works on at a time, each as fast as the numbers say: processors, and 1 of a GPU.
    pub lanes: u32,
    /// Microseconds that a piece of work takes however small it is.
    pub launch_us: f64,
    /// Bytes a second that one lane reads and writes in its memory.
    pub bytes_per_s: f64,
    /// Operations a second of one lane; an addition of 64 bits is one.
    pub operations_per_s: f64,
    /// Rows a second that one lane looks up in a table of a thousand groups.
    pub folds_per_s: f64,
    /// The way from the host and back; none where rows are there anyway.
    pub link: Option<Link>,
}

/// The way to a device.
///
/// ```
/// # use sabot_placement::DeviceClass;
/// let link = DeviceClass::DatacenterGpu.assumed("cuda:0").link.unwrap();
/// assert!(link.latency_us > 0.0 && link.up_bytes_per_s > 1e9 && link.down_bytes_per_s > 1e9);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Microseconds of the smallest copy.
    pub latency_us: f64,
    /// Bytes a second to the device.
    pub up_bytes_per_s: f64,
    /// Bytes a second back.
    pub down_bytes_per_s: f64,
}

/// Where numbers are from.
///
/// ```
/// # use sabot_placement::{Basis, DeviceClass};
/// let assumed = DeviceClass::DiscreteGpu.assumed("wgpu:0").basis;
/// assert_eq!(assumed, Basis::Assumed(DeviceClass::DiscreteGpu));
/// assert_eq!(assumed.to_string(), "assumed, as of a GPU on a card");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// They were measured on the device.
    Measured,
    /// They are those of a class of devices.
    Assumed(DeviceClass),
}

/// Devices that are fast alike.
///
/// ```
/// # use sabot_placement::DeviceClass;
/// let memory = |class: DeviceClass| class.assumed("some").bytes_per_s;
/// assert!(memory(DeviceClass::DatacenterGpu) > memory(DeviceClass::DiscreteGpu));
/// assert!(memory(DeviceClass::DiscreteGpu) > memory(DeviceClass::IntegratedGpu));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    /// Processors of the host.
    Cpu,
    /// A GPU with memory of several terabytes a second, such as NVIDIA's H200.
    DatacenterGpu,
    /// A GPU on a card.
    DiscreteGpu,
    /// A GPU that shares the memory of the host.
    IntegratedGpu,
}

impl DeviceClass {
    /// What is assumed of a device that was not measured. Of GPUs these are orders of magnitude from data sheets, a third below
    /// what they promise: a device that is thought too slow costs little, one that is thought too fast slows a pipeline.
    ///
    /// ```
    /// # use sabot_placement::DeviceClass;
    /// let cpu = DeviceClass::Cpu.assumed("cpu");
    /// assert_eq!((cpu.device.as_str(), cpu.lanes, cpu.link), ("cpu", 1, None));
    /// ```
    pub fn assumed(self, device: &str) -> Calibration {
        let (launch_us, bytes_per_s, operations_per_s, folds_per_s, link) = match self {
            // One core of an AMD EPYC (AVX-512), 2026-11-29: `sabot::calibrate_cpu`.
            DeviceClass::Cpu => (0.5, 3.0e10, 3.5e9, 2.0e8, None),
            DeviceClass::DatacenterGpu => (8.0, 2.5e12, 5.0e12, 3.0e10, Some((10.0, 35.0e9))),
            DeviceClass::DiscreteGpu => (15.0, 3.0e11, 1.0e12, 3.0e9, Some((25.0, 12.0e9))),
            DeviceClass::IntegratedGpu => (30.0, 3.0e10, 1.0e11, 5.0e8, Some((40.0, 6.0e9))),
        };
        let link =
            link.map(|(latency_us, rate)| Link { latency_us, up_bytes_per_s: rate, down_bytes_per_s: rate });
        Calibration {
            device: device.to_owned(),
            basis: Basis::Assumed(self),
            lanes: 1,
            launch_us,
            bytes_per_s,
            operations_per_s,
            folds_per_s,
            link,
        }
    }
}

impl Calibration {
    /// Whether all numbers are some that a device could have: what was read from a file may be anything.
    ///
    /// ```
    /// # use sabot_placement::{Calibration, DeviceClass};
    /// let cpu = DeviceClass::Cpu.assumed("cpu");
    /// assert!(cpu.is_plausible());
    /// assert!(!Calibration { folds_per_s: 0.0, ..cpu.clone() }.is_plausible());
    /// assert!(!Calibration { launch_us: f64::NAN, ..cpu }.is_plausible());
    /// ```
    pub fn is_plausible(&self) -> bool {
        let rate = |rate: f64| rate.is_finite() && rate > 0.0;
        let time = |time: f64| time.is_finite() && time >= 0.0;
        let link =
            |link: &Link| time(link.latency_us) && rate(link.up_bytes_per_s) && rate(link.down_bytes_per_s);
        self.lanes > 0
            && time(self.launch_us)
            && [self.bytes_per_s, self.operations_per_s, self.folds_per_s].into_iter().all(rate)
            && self.link.as_ref().is_none_or(link)
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceClass::Cpu => "a server's processor",
            DeviceClass::DatacenterGpu => "a datacenter GPU",
            DeviceClass::DiscreteGpu => "a GPU on a card",
            DeviceClass::IntegratedGpu => "a GPU in the host's memory",
        })
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basis::Measured => f.write_str("measured"),
            Basis::Assumed(class) => write!(f, "assumed, as of {class}"),
        }
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let giga = |rate: f64| rate / 1e9;
        write!(f, "{}: ", self.basis)?;
        if self.lanes > 1 {
            write!(f, "{} lanes, each with ", self.lanes)?;
        }
        write!(
            f,
            "{:.1} GB/s of memory, {:.1} G operations/s, {:.2} G rows/s grouped",
            giga(self.bytes_per_s),
            giga(self.operations_per_s),
            giga(self.folds_per_s)
        )?;
        if let Some(link) = &self.link {
            let (up, down) = (giga(link.up_bytes_per_s), giga(link.down_bytes_per_s));
            write!(f, ", {up:.1} GB/s to it, {down:.1} GB/s back")?;
        }
        Ok(())
    }
}
