//! Which fragments are better off on a device, as far as that is known when a job starts.
//!
//! Every candidate is weighed by its calibration and by what the fragment asks for each row: see `sabot-placement`. A device that
//! is not expected to be the fastest refuses the fragment, with its reason, as one without a kernel does; so the rest of the
//! runtime knows nothing of it.

use sabot_common::{DeviceId, RowWork, limits};
use sabot_ops::{Backend, CompileError, CompileJob, Fragment, Support};
use sabot_placement::{Calibration, Cost, cost};
use sabot_plan::Price;
use std::sync::Arc;

/// Something to run fragments on, and how fast it is.
#[derive(Clone, Debug)]
struct Candidate {
    backend: Arc<dyn Backend>,
    calibration: Calibration,
}

/// Weighs devices against each other and against the CPU.
#[derive(Clone, Debug)]
pub struct Planner {
    cpu: Candidate,
    devices: Vec<Candidate>,
    morsel_rows: usize,
}

/// What a candidate is expected to take.
struct Expected {
    cost: Cost,
    /// Rows of the morsel that costs so much.
    rows: usize,
}

impl Expected {
    /// Seconds for a row, of many.
    fn row_s(&self) -> f64 {
        self.cost.period_s() / self.rows as f64
    }
}

impl Candidate {
    /// `None` for a fragment that it refuses.
    fn expected(&self, fragment: &Fragment, host: &Calibration, morsel_rows: usize) -> Option<Expected> {
        if self.backend.supports(fragment) != Support::Yes {
            return None;
        }
        let work = self.backend.work(fragment);
        // Rows are gathered for devices that they have to be copied to.
        let rows = work.rows_of(limits::SHIPPED_BYTES_TARGET).unwrap_or(0).max(morsel_rows);
        Some(Expected { cost: cost(&self.calibration, host, &work, rows), rows })
    }
}

impl Planner {
    /// A planner for a CPU whose sources make morsels of so many rows, and devices with how fast they are.
    ///
    /// ```
    /// # use sabot_exec::Planner;
    /// # use sabot_placement::DeviceClass;
    /// # use std::sync::Arc;
    /// let cpu = (Arc::new(sabot_cpu::CpuBackend::new()) as _, DeviceClass::Cpu.assumed("cpu"));
    /// assert!(Arc::new(Planner::new(cpu, Vec::new(), 1 << 14)).backends().is_empty());
    /// ```
    pub fn new(
        cpu: (Arc<dyn Backend>, Calibration),
        devices: Vec<(Arc<dyn Backend>, Calibration)>,
        morsel_rows: usize,
    ) -> Self {
        let candidate = |(backend, calibration)| Candidate { backend, calibration };
        let devices = devices.into_iter().map(candidate).collect();
        Self { cpu: candidate(cpu), devices, morsel_rows: morsel_rows.max(1) }
    }

    /// The devices, each of which takes the fragments that it is expected to finish first.
    pub fn backends(self: &Arc<Self>) -> Vec<Arc<dyn Backend>> {
        let placed = |at| Arc::new(Placed { planner: self.clone(), at }) as Arc<dyn Backend>;
        (0..self.devices.len()).map(placed).collect()
    }

    /// What a fragment costs, in seconds for a row.
    pub fn price(&self, fragment: &Fragment) -> Price {
        let best = self.best(fragment).map(|(_, expected)| expected.row_s());
        Price { cpu: self.on_cpu(fragment).row_s(), device: best }
    }

    /// What the devices are expected to take that do not refuse the fragment, and the CPU: a line for `explain`.
    pub fn says(&self, fragment: &Fragment) -> String {
        let said = |name: &DeviceId, expected: &Expected| {
            let Expected { cost, rows } = expected;
            format!("{name} {:.2} ns a row, as {cost} for {rows} rows", expected.row_s() * 1e9)
        };
        let devices = self.devices.iter().filter_map(|candidate| {
            let expected = self.expected(candidate, fragment)?;
            Some(said(&candidate.backend.device(), &expected))
        });
        let cpu = said(&DeviceId::cpu(), &self.on_cpu(fragment));
        std::iter::once(cpu).chain(devices).collect::<Vec<_>>().join("; ")
    }

    fn expected(&self, candidate: &Candidate, fragment: &Fragment) -> Option<Expected> {
        candidate.expected(fragment, &self.cpu.calibration, self.morsel_rows)
    }

    fn on_cpu(&self, fragment: &Fragment) -> Expected {
        let work = self.cpu.backend.work(fragment);
        let calibration = &self.cpu.calibration;
        Expected { cost: cost(calibration, calibration, &work, self.morsel_rows), rows: self.morsel_rows }
    }

    /// The fastest device; of equals the first.
    fn best(&self, fragment: &Fragment) -> Option<(usize, Expected)> {
        let devices = self.devices.iter().enumerate();
        let expected = devices.filter_map(|(at, device)| Some((at, self.expected(device, fragment)?)));
        expected.min_by(|(_, a), (_, b)| a.row_s().total_cmp(&b.row_s()))
    }
}

/// A device that takes what it is best at.
#[derive(Debug)]
struct Placed {
    planner: Arc<Planner>,
    at: usize,
}

impl Placed {
    fn inner(&self) -> &Arc<dyn Backend> {
        &self.planner.devices[self.at].backend
    }
}

impl Backend for Placed {
    fn device(&self) -> DeviceId {
        self.inner().device()
    }

    fn supports(&self, fragment: &Fragment) -> Support {
        if let no @ Support::No { .. } = self.inner().supports(fragment) {
            return no;
        }
        let Some((best, expected)) = self.planner.best(fragment) else {
            return Support::No { reason: "it was lost just now".to_owned() };
        };
        let faster = match self.planner.on_cpu(fragment).row_s() <= expected.row_s() {
            true => DeviceId::cpu(),
            false if best != self.at => self.planner.devices[best].backend.device(),
            false => return Support::Yes,
        };
        Support::No { reason: format!("{faster} is expected to be faster") }
    }

    fn work(&self, fragment: &Fragment) -> RowWork {
        self.inner().work(fragment)
    }

    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        self.inner().compile(fragment)
    }
}
