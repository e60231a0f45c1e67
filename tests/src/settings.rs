//! Every way in which a pipeline is run: the settings of an engine that results must not depend on.

use sabot::Engine;
use sabot_cpu::CpuBackend;
use sabot_gpu_ops::{FakeDevice, GpuBackend, GpuOptions, Script};
use sabot_ops::Backend;
use sabot_ops::testing::{LateBackend, RefusingBackend};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

/// One way to run a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Worker threads.
    pub workers: usize,
    /// Tasks of keyed operators.
    pub keyed: usize,
    /// Morsels in a queue; `None` for the default.
    pub queue: Option<usize>,
    /// Rows of a morsel.
    pub morsel_rows: usize,
    /// What runs fragments.
    pub device: Device,
}

/// What runs fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU backend alone.
    Cpu,
    /// A backend whose tickets finish late and out of order, some only when they are flushed.
    Late,
    /// A backend that refuses half of the fragments and fails a tenth of the morsels.
    Refusing,
    /// The host path of GPUs, over a device that is none.
    Gpu,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { workers, keyed, queue, morsel_rows, device } = self;
        let queue = queue.map_or("default".to_owned(), |q| q.to_string());
        write!(
            f,
            "workers {workers}, keyed {keyed}, queue {queue}, morsel rows {morsel_rows}, device {device:?}"
        )
    }
}

/// Sets of settings.
pub struct Settings;

impl Settings {
    /// Workers 1, 2, 4 × keyed parallelism 1, 4 × queue capacity 1 and default × morsel rows 1, 7, 4096.
    pub fn all(device: Device) -> Vec<Setting> {
        let mut all = Vec::new();
        for workers in [1, 2, 4] {
            for keyed in [1, 4] {
                for queue in [Some(1), None] {
                    for morsel_rows in [1, 7, 4096] {
                        all.push(Setting { workers, keyed, queue, morsel_rows, device });
                    }
                }
            }
        }
        all
    }

    /// Six of them in which every two values of different settings meet but for a few pairs of workers
    /// and morsel rows; `turn` picks another six.
    pub fn some(device: Device, turn: usize) -> Vec<Setting> {
        let pick = |i: usize| Setting {
            workers: [1, 2, 4][(i + turn) % 3],
            keyed: [1, 4][(i / 3 + turn) % 2],
            queue: [Some(1), None][(i + i / 3 + turn / 2) % 2],
            morsel_rows: [1, 7, 4096][(i + i / 3 + turn / 3) % 3],
            device,
        };
        (0..6).map(pick).collect()
    }
}

impl Setting {
    /// The engine of this setting. There is one of each in the process; its jobs share it.
    pub fn engine(self) -> Engine {
        static ENGINES: LazyLock<Mutex<HashMap<Setting, Engine>>> = LazyLock::new(Mutex::default);
        let mut engines = ENGINES.lock().expect("no test panics while an engine starts");
        engines.entry(self).or_insert_with(|| self.start(self.backends())).clone()
    }

    /// An engine of this setting with backends of the caller's.
    pub fn start(self, backends: Vec<Arc<dyn Backend>>) -> Engine {
        let builder = Engine::builder()
            .workers(self.workers)
            .keyed_parallelism(self.keyed)
            .morsel_rows(self.morsel_rows)
            .memory_budget(1 << 30)
            .backends(backends);
        let builder = match self.queue {
            Some(morsels) => builder.queue_morsels(morsels),
            None => builder,
        };
        builder.build().expect("the engine starts")
    }

    fn backends(self) -> Vec<Arc<dyn Backend>> {
        let seed = (self.workers * 1_000 + self.keyed * 100 + self.morsel_rows % 97) as u64;
        let cpu = Arc::new(CpuBackend::new());
        match self.device {
            Device::Cpu => Vec::new(),
            Device::Late => vec![Arc::new(LateBackend::holding(cpu, seed))],
            Device::Refusing => vec![Arc::new(RefusingBackend::new(cpu, seed))],
            Device::Gpu => {
                vec![Arc::new(GpuBackend::new(FakeDevice::new(Script::default()), GpuOptions::default()))]
            }
        }
    }
}
