//! Jobs: one or more streams and where they go.

use sabot_common::{DeviceId, limits};
use sabot_exec::{Bindings, JobHandle, JobMetrics, Planner, StageMetrics};
use sabot_ops::{Backend, Fragment, Support};
use sabot_plan::{
    Connector, CutOptions, DeviceVerdict, NodeRef, PhysicalPlan, Plan, Price, SinkRequest, StageKind, cut,
    explain_measured,
};
use std::sync::Arc;
use std::time::Duration;

use crate::read::WriteTo;
use crate::{Checkpoints, Engine, Result, Stream};

/// One or more sinks that are fed, committed and stopped together. Operators that several of them
/// share run once.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// let late = flights.clone().filter(col("delay").gt(15))?;
/// let ((all, all_rows), (some, late_rows)) = (to_memory(), to_memory());
/// Job::new("copy").write(&flights, all)?.write(&late, some)?.run()?;
/// assert_eq!((all_rows.take()[0].num_rows(), late_rows.take()[0].num_rows()), (4, 2));
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Job {
    name: String,
    sinks: Vec<NodeRef>,
    bindings: Bindings,
    checkpoints: Option<Checkpoints>,
}

impl Job {
    /// A job without sinks yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), sinks: Vec::new(), bindings: Bindings::default(), checkpoints: None }
    }

    /// Writes a stream to a sink: `csv("out.csv")` is one file that appears when the job ends,
    /// `parquet("out/")` a folder.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("late.csv");
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?.select([col("delay")])?;
    /// Job::new("late").write(&late, csv(&path))?.run()?;
    /// assert_eq!(std::fs::read_to_string(&path)?, "delay\n48\n31\n");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the sink cannot take the stream.
    pub fn write(self, stream: &Stream, sink: impl WriteTo) -> Result<Self> {
        self.write_to(stream, sink, false)
    }

    /// As [`Job::write`], with rows in the order of the stream also where the sink would take them as they come: a
    /// channel, a folder, the standard output. A row then waits until the watermark says that none before it can come.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, AsArray, Int64Array, TimestampMicrosecondArray};
    /// # use sabot::arrow::datatypes::Int64Type;
    /// # let rows = RecordBatch::try_from_iter([
    /// #     ("t", Arc::new(TimestampMicrosecondArray::from(vec![3, 1, 2])) as ArrayRef),
    /// #     ("n", Arc::new(Int64Array::from(vec![30, 10, 20]))),
    /// # ])?;
    /// let rows = Stream::from_batches([rows])?.event_time("t", out_of_orderness(micros(5)))?;
    /// let (sink, mut received) = to_channel(4);
    /// let job = Job::new("in order").write_ordered(&rows, sink)?.start()?;
    /// let mut numbers: Vec<i64> = Vec::new();
    /// while let Some(batch) = received.recv_blocking()? {
    ///     numbers.extend(batch.column(1).as_primitive::<Int64Type>().values());
    /// }
    /// job.wait()?;
    /// assert_eq!(numbers, [10, 20, 30]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Job::write`], and for an unbounded stream without event time.
    pub fn write_ordered(self, stream: &Stream, sink: impl WriteTo) -> Result<Self> {
        self.write_to(stream, sink, true)
    }

    fn write_to(mut self, stream: &Stream, sink: impl WriteTo, in_order: bool) -> Result<Self> {
        let to = sink.open()?;
        let request = SinkRequest {
            connector: to.connector.clone(),
            ordered: in_order || to.sink.order() == sabot_connect::SinkOrder::Ordered,
            accepts_changes: to.sink.accepts_changes(),
            collects: to.collects,
            name: None,
        };
        self.sinks.push(stream.builder().sink(stream.node(), request)?);
        self.bindings.merge(stream.bindings());
        // Opened when the job starts.
        if let Some(registry) = to.registry {
            self.bindings.open_with(&to.connector, registry);
        }
        if let Connector::Slot(slot) = to.connector {
            self.bindings.sinks.insert(slot, to.sink);
        }
        Ok(self)
    }

    /// Keeps checkpoints while the job runs, and goes on from the newest one when it starts.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-job-checkpoints-{}", std::process::id()));
    /// let copy = || -> sabot::Result<Job> {
    ///     let job = Job::new("copy").write(&Stream::read(csv("data/flights.csv"))?, to_memory().0)?;
    ///     Ok(job.checkpoints(Checkpoints::folder(&folder)))
    /// };
    /// assert_eq!(copy()?.run()?.rows_read, 4);
    /// assert_eq!(copy()?.run()?.rows_read, 0); // there was nothing left to go on with
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checkpoints(mut self, checkpoints: Checkpoints) -> Self {
        self.checkpoints = Some(checkpoints);
        self
    }

    /// What becomes of the newest checkpoint when the job goes on from it, a line for each source, operator and sink:
    /// `unchanged`, `restored` in another form, `new`, `dropped`, or `incompatible` with what is different. `None`
    /// where there is no checkpoint. Nothing is started, and nothing written.
    ///
    /// A source is what it reads, a sink where it writes to; an operator is known by its name
    /// ([`Stream::named`](crate::Stream::named)), and without one by what it does: keys, windows, aggregates. What
    /// is computed before and behind it may change. Columns of state that may be null can be added, and types widened.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// # let folder = std::env::temp_dir().join(format!("sabot-doc-upgrade-{}", std::process::id()));
    /// let job = |aggregates: Vec<sabot::AggregateExpr>| -> sabot::Result<Job> {
    ///     let made = sabot::generator().option("columns", "key int(0, 9); n int(0, 99)");
    ///     let rows = Stream::read(made.option("rows", "1000000000000"))?;
    ///     let totals = rows.group_by(["key"])?.aggregate(aggregates)?.named("totals")?;
    ///     let checkpoints = Checkpoints::folder(&folder);
    ///     Ok(Job::new("totals").write(&totals, to_memory().0)?.checkpoints(checkpoints))
    /// };
    /// assert_eq!(job(vec![sum(col("n"))])?.explain_upgrade()?, None);
    /// let handle = job(vec![sum(col("n"))])?.start()?;
    /// # while handle.metrics().rows_read < 100_000 {}
    /// handle.stop(Stop::Suspend);
    /// handle.wait()?;
    ///
    /// let text = job(vec![sum(col("n")), max(col("n"))])?.explain_upgrade()?.unwrap();
    /// assert!(text.contains("restored      operator  totals: groups/max(n).value int64 is null in what was kept"), "{text}");
    /// let text = job(vec![max(col("n"))])?.explain_upgrade()?.unwrap();
    /// assert!(text.contains("incompatible  operator  totals: "), "{text}");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Job::plan`]; when the job cannot have checkpoints, or those that are there cannot be read.
    pub fn explain_upgrade(&self) -> Result<Option<String>> {
        let looked = self.checkpoints.as_ref().map(Checkpoints::look).transpose()?.flatten();
        let Some(checkpoints) = looked else { return Ok(None) };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let upgrade = sabot_exec::upgrade(
            &self.name,
            &self.cut(workers, Placing::default())?,
            &self.bindings,
            &checkpoints,
        )?;
        Ok(upgrade.map(|upgrade| upgrade.to_string()))
    }

    pub(crate) fn open_checkpoints(&self) -> Result<Option<sabot_exec::Checkpoints>> {
        Ok(self.checkpoints.as_ref().map(Checkpoints::open).transpose()?)
    }

    /// The job's name.
    ///
    /// ```
    /// # use sabot::Job;
    /// assert_eq!(Job::new("nightly").name(), "nightly");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plan: data that can be stored, sent and run elsewhere once its slots are bound.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// let plan = Job::new("late").write(&late, to_memory().0)?.plan()?;
    /// assert_eq!(plan.nodes().len(), 3); // source, filter, sink
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is no sink, or the plan breaks a rule that concerns it as a whole.
    pub fn plan(&self) -> Result<Plan> {
        Ok(Plan::from_sinks(&self.sinks)?)
    }

    /// The plan as text: operators with schemas, fragments, devices and why.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let late = Stream::read(csv("data/flights.csv"))?.filter(col("delay").gt(15))?;
    /// let text = Job::new("late").write(&late, to_memory().0)?.explain()?;
    /// assert!(text.contains("delay > 15"), "{text}");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Job::plan`].
    pub fn explain(&self) -> Result<String> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        self.explain_with(Placing::default(), &self.cut(workers, Placing::default())?, None)
    }

    /// The plan as an engine would run it.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let engine = Engine::builder().devices(Devices::Cpu).build()?;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let text = Job::new("copy").write(&flights, to_memory().0)?.explain_for(&engine)?;
    /// assert!(text.contains("data/flights.csv"), "{text}");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Job::plan`].
    pub fn explain_for(&self, engine: &Engine) -> Result<String> {
        let physical = self.cut(engine.keyed_parallelism(), engine.placing())?;
        self.explain_with(engine.placing(), &physical, None)
    }

    /// The plan as these devices would run it, or have done.
    pub(crate) fn explain_with(
        &self,
        Placing { backends, planner }: Placing<'_>,
        physical: &PhysicalPlan,
        metrics: Option<&JobMetrics>,
    ) -> Result<String> {
        let plan = self.plan()?;
        let verdict = |fragment: &Fragment, backend: &dyn Backend| DeviceVerdict {
            device: backend.device(),
            refusal: match backend.supports(fragment) {
                Support::Yes => None,
                Support::No { reason } => Some(reason),
            },
        };
        let devices = |fragment: &Fragment| backends.iter().map(|b| verdict(fragment, &**b)).collect();
        let expected = |number: usize| match &physical.stages.get(number)?.kind {
            StageKind::Fragment(stage) => Some(format!("expected: {}", planner?.says(&stage.fragment))),
            _ => None,
        };
        let measured = |number: usize| metrics?.stages.iter().find(|stage| stage.stage == number).map(done);
        let notes = |number| expected(number).into_iter().chain(measured(number)).collect();
        Ok(explain_measured(&plan, physical, devices, notes))
    }

    /// Runs the job on an engine of its own and waits for its end.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let metrics = Job::new("copy").write(&flights, to_memory().0)?.run()?;
    /// assert_eq!(metrics.rows_read, 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be started, and whatever it fails with.
    pub fn run(self) -> Result<JobMetrics> {
        Engine::new()?.run(self)
    }

    /// Starts the job on an engine of its own.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?;
    /// let handle = Job::new("copy").write(&flights, to_memory().0)?.start()?;
    /// assert_eq!(handle.wait()?.rows_written, 4);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self) -> Result<JobHandle> {
        Engine::new()?.start(self)
    }

    /// The stages, cut further where a part of a fragment is better off on a device than the whole.
    pub(crate) fn cut(
        &self,
        keyed_parallelism: usize,
        Placing { backends, planner }: Placing<'_>,
    ) -> Result<PhysicalPlan> {
        let keyed_parallelism = u32::try_from(keyed_parallelism).unwrap_or(u32::MAX);
        let physical = cut(&self.plan()?, &CutOptions { keyed_parallelism })?;
        if backends.is_empty() {
            return Ok(physical);
        }
        let runs = |fragment: &Fragment| backends.iter().any(|b| b.supports(fragment) == Support::Yes);
        let kept = if planner.is_some() { limits::KEPT_SHARE_ASSUMED } else { 1.0 };
        Ok(physical.cut_fragments(kept, |fragment| match planner {
            Some(planner) => planner.price(fragment),
            // A device that was asked for has as many steps as it can, in as few parts as they can be.
            None => Price {
                cpu: 1.0 + 1_000.0 * fragment.steps().len() as f64,
                device: runs(fragment).then_some(1.0),
            },
        }))
    }

    pub(crate) fn bindings(&self) -> &Bindings {
        &self.bindings
    }
}

/// The devices of an engine, and what weighs them where it was left to choose.
#[derive(Clone, Copy, Default)]
pub(crate) struct Placing<'a> {
    pub(crate) backends: &'a [Arc<dyn Backend>],
    pub(crate) planner: Option<&'a Planner>,
}

/// What a stage has done, in a line.
fn done(stage: &StageMetrics) -> String {
    let counted = |(device, morsels): (&DeviceId, &u64)| {
        format!("{morsels} morsel{} on {device}", if *morsels == 1 { "" } else { "s" })
    };
    let morsels: Vec<String> = stage.morsels_by_device.iter().map(counted).collect();
    let time = match stage.device_time {
        Duration::ZERO => String::new(),
        time => format!(", at work for {time:.1?}"),
    };
    format!("did {} rows in, {} out, {}{time}", stage.rows_in, stage.rows_out, morsels.join(", "))
}
