//! From stages to tasks: instances, edges, wakers.
//!
//! Nothing runs while a job is built. Everything that can be refused is refused here: unbound names,
//! sources that do not open, sinks that cannot write.

mod begin;
mod endpoints;
mod wiring;

use arrow::datatypes::Schema;
use sabot_checkpoint::{RestartStrategy, Role};
use sabot_common::OperatorId;
use sabot_connect::{Boundedness, ReadRequest};
use sabot_plan::{
    JoinStage, KeyedStage, PhysicalPlan, SinkStage, SourceStage, Stage, StageKind, encode_keys,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use crate::bindings::Bindings;
use crate::checkpoint::{Checkpoints, Driver, Line, Reporter, Restore, waiting};
use crate::engine::EngineCore;
use crate::error::JobError;
use crate::event_times::EventTimes;
use crate::fragment_task::{FragmentLane, FragmentStage};
use crate::gate::Gate;
use crate::inputs::Inputs;
use crate::job::{JobCore, JobSink, SourceControl, SourceOrders};
use crate::keyed_task::KeyedTask;
use crate::lookup_join::{LookupProgram, Replica, TableTask};
use crate::map_batches::MapProgram;
use crate::order::OrderBuffer;
use crate::programs::Programs;
use crate::scheduler::{Scheduler, TaskCell};
use crate::sink_task::SinkTask;
use crate::source_task::{
    Growth, Letters, PARTITIONS_MAX, SourceContext, SourceTask, Surroundings, deal, too_many,
};
use crate::stage_waker::StageWaker;
use begin::{Begun, begin, keyed_states, partitions};
pub(crate) use endpoints::stages_with_letters;
use endpoints::{
    OpenSource, ResolvedSink, dead_letters, last_operator, open_sources, resolve_sinks, unresolved,
};
use wiring::Wiring;

/// A job that is ready to launch.
pub(crate) struct Built {
    pub(crate) job: Arc<JobCore>,
    driver: Option<Driver>,
    pub(crate) tasks: Vec<Arc<TaskCell>>,
    pub(crate) sources: Vec<Arc<SourceControl>>,
    /// Sources that may grow, with their tasks.
    growths: Vec<(Arc<Growth>, Vec<Arc<SourceControl>>)>,
}

impl Built {
    /// Lets the tasks have a first look, and asks growing sources for what has come.
    pub(crate) fn launch(self) -> Result<(), JobError> {
        if let Some(Err(error)) = self.driver.map(Driver::launch) {
            // Nobody else would ever say that it is over.
            self.tasks.iter().for_each(|task| task.clear());
            self.job.conclude(Err(error.clone()));
            return Err(error);
        }
        self.job.launch(self.tasks, self.sources);
        for (growth, tasks) in self.growths {
            growth.start(tasks);
        }
        Ok(())
    }
}

/// Builds the tasks of a plan. `again` says that this is not the first run, and may not be the last.
pub(crate) fn build(
    name: &str,
    plan: &PhysicalPlan,
    bindings: &Bindings,
    engine: &Arc<EngineCore>,
    checkpoints: Option<&Checkpoints>,
    again: bool,
) -> Result<Built, JobError> {
    // Sinks first: a job that cannot write must not have claimed a channel.
    let mut sinks = resolve_sinks(plan, bindings)?;
    let built = build_with(name, plan, bindings, engine, &mut sinks, checkpoints);
    if built.is_err() {
        for sink in sinks.values_mut() {
            // Writers may have made temporary files already; they are gone before their sink cleans up.
            drop(sink.writer.take());
            let _ = if again { sink.sink.release() } else { sink.sink.abort() };
        }
    }
    built
}

fn build_with(
    name: &str,
    plan: &PhysicalPlan,
    bindings: &Bindings,
    engine: &Arc<EngineCore>,
    sinks: &mut BTreeMap<usize, ResolvedSink>,
    checkpoints: Option<&Checkpoints>,
) -> Result<Built, JobError> {
    for (index, stage) in plan.stages.iter().enumerate() {
        match (&stage.kind, sinks.get_mut(&index)) {
            (StageKind::MapBatches(spec), _) => {
                let operator = last_operator(stage);
                bindings.function(&spec.slot).map_err(|e| unresolved(&operator, e))?;
            }
            // With checkpoints an earlier run has to be finished first.
            (StageKind::Sink(spec), Some(sink)) if checkpoints.is_none() => sink.open(spec)?,
            (StageKind::Sink(spec), Some(sink)) => {
                let taken = sink.sink.resume(spec.visible.clone());
                taken.map_err(|e| JobError::connect(&sink.operator, e))?;
            }
            _ => {}
        }
    }
    let mut opened = open_sources(plan, bindings, engine.config.workers)?;
    let mut plan = plan.clone();
    for (index, open) in &mut opened {
        if open.source.reads_dictionaries() {
            open.dictionaries = encode_keys(&mut plan, *index);
        }
    }
    let plan = &plan;
    let wiring = Wiring::new(plan, &opened, engine.config.queue_morsels);
    let job_sinks = sinks.values().map(|s| JobSink { operator: s.operator.clone(), sink: s.sink.clone() });
    // Dead letters are committed with the rest; behind it, so that the numbers of sink stages stay.
    let letters = dead_letters(&opened);
    for (index, letters) in &letters {
        let taken = match checkpoints {
            None => letters.take(),
            // Its columns are its own.
            Some(_) => letters.resume(Arc::new(Schema::empty())),
        };
        taken.map_err(|e| JobError::connect(&last_operator(&plan.stages[*index]), e))?;
    }
    let of_letters = letters.iter().map(|(index, letters)| JobSink {
        operator: last_operator(&plan.stages[*index]),
        sink: letters.clone(),
    });
    let job_sinks: Vec<JobSink> = job_sinks.chain(of_letters).collect();
    let begun = match checkpoints {
        None => None,
        Some(checkpoints) => match begin(name, plan, (&opened, &letters), sinks, &wiring, checkpoints)? {
            Some(begun) => Some((begun, checkpoints)),
            None => {
                // It had come to its end, and all of its output is there.
                let job = JobCore::new(name.to_owned(), engine, Vec::new(), None, false);
                return Ok(Built { job, driver: None, tasks: vec![], sources: vec![], growths: vec![] });
            }
        },
    };
    let (driver, from) = channel();
    let driver = checkpoints.map(|_| driver);
    let supervised = checkpoints.is_some_and(|c| c.restart != RestartStrategy::None);
    let job = JobCore::new(name.to_owned(), engine, job_sinks, driver.clone(), supervised);
    let (begun, checkpoints) = begun.unzip();
    let line = driver.zip(begun.as_ref());
    let line = line.map(|(driver, begun)| Line::new(driver, begun.start.manifest.generation));
    let scheduler = engine.scheduler()?;
    let gates = gates(plan, &wiring.instances);
    let mut builder = Builder {
        plan,
        bindings,
        engine,
        scheduler,
        job,
        wiring,
        tasks: Vec::new(),
        sources: Vec::new(),
        growths: Vec::new(),
        controls: BTreeMap::new(),
        gates,
        replicas: BTreeMap::new(),
        begun: begun.as_ref(),
        line,
    };
    if let Err(error) = builder.stages(&opened, sinks) {
        builder.tasks.iter().for_each(|task| task.clear());
        return Err(error);
    }
    let Builder { job, tasks, sources, growths, .. } = builder;
    let driver = begun.zip(checkpoints).map(|(Begun { places, start, .. }, checkpoints)| {
        job.begin_at(start.manifest.epoch.next());
        Driver::new(job.clone(), checkpoints.clone(), &places, start, from)
    });
    Ok(Built { job, driver, tasks, sources, growths })
}

/// What each source that must wait waits for: the ends of all tasks of other sources.
fn gates(plan: &PhysicalPlan, instances: &[usize]) -> BTreeMap<usize, Arc<Gate>> {
    let gate = |(index, stage): (usize, &Stage)| match &stage.kind {
        StageKind::Source(source) if !source.after.is_empty() => {
            let tasks = source.after.iter().filter_map(|other| instances.get(*other)).sum();
            Some((index, Arc::new(Gate::new(tasks))))
        }
        _ => None,
    };
    plan.stages.iter().enumerate().filter_map(gate).collect()
}

struct Builder<'a> {
    plan: &'a PhysicalPlan,
    bindings: &'a Bindings,
    engine: &'a Arc<EngineCore>,
    scheduler: &'a Scheduler,
    job: Arc<JobCore>,
    wiring: Wiring,
    tasks: Vec<Arc<TaskCell>>,
    sources: Vec<Arc<SourceControl>>,
    growths: Vec<(Arc<Growth>, Vec<Arc<SourceControl>>)>,
    /// By source stage: its tasks' mailboxes.
    controls: BTreeMap<usize, Vec<Arc<SourceControl>>>,
    /// By source stage: what it waits for before it is read.
    gates: BTreeMap<usize, Arc<Gate>>,
    /// By table stage.
    replicas: BTreeMap<usize, Arc<Replica>>,
    begun: Option<&'a Begun>,
    /// To the driver.
    line: Option<Line>,
}

impl Builder<'_> {
    fn stages(
        &mut self,
        opened: &BTreeMap<usize, OpenSource>,
        sinks: &mut BTreeMap<usize, ResolvedSink>,
    ) -> Result<(), JobError> {
        let plan = self.plan;
        let readers = opened.values().map(OpenSource::readers).sum::<usize>().max(1);
        for (index, stage) in plan.stages.iter().enumerate() {
            match &stage.kind {
                StageKind::Source(spec) => {
                    if let Some(open) = opened.get(&index) {
                        self.source(index, stage, spec, open, readers)?;
                    }
                }
                StageKind::Fragment(spec) => {
                    let config = &self.engine.config;
                    let operator = last_operator(stage);
                    let programs = Programs::choose(
                        &operator,
                        &spec.fragment,
                        (&config.backends, config.compile_first),
                        &*config.cpu,
                        &self.job,
                    )?;
                    self.lanes(index, stage, Arc::new(programs));
                }
                StageKind::MapBatches(spec) => {
                    let operator = last_operator(stage);
                    let function =
                        self.bindings.function(&spec.slot).map_err(|e| unresolved(&operator, e))?;
                    let output = stage.output.clone();
                    let program = MapProgram { function, stage: spec.clone(), output };
                    self.lanes(index, stage, Arc::new(Programs::user(Arc::new(program))));
                }
                StageKind::Table(spec) => self.table(index, stage, spec)?,
                StageKind::Lookup(lookup) => {
                    let operator = last_operator(stage);
                    let replica = self.replicas.get(&lookup.table).cloned();
                    let replica = replica
                        .ok_or_else(|| JobError::internal(&operator, "it has no table to look up in"))?;
                    let program = Arc::new(LookupProgram { replica });
                    self.lanes(index, stage, Arc::new(Programs::on_cpu(program)));
                }
                StageKind::Keyed(spec) => self.keyed(index, stage, spec)?,
                StageKind::Sink(spec) => {
                    let number = sinks.range(..index).count();
                    if let Some(sink) = sinks.get_mut(&index) {
                        self.sink(index, number, spec, sink)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The line to the driver of a task that takes part in checkpoints.
    fn reporter(&self, stage: usize, role: Role, task: usize) -> Option<Reporter> {
        let task = self.begun?.places.task(stage, role, task)?;
        Some(Reporter::new(task, self.line.clone()?))
    }

    fn restore(&self) -> Option<&Restore> {
        self.begun?.restore.as_ref()
    }

    fn cell(&mut self, stage: usize, operator: &OperatorId) -> Arc<TaskCell> {
        let depth = self.wiring.depths[stage];
        let cell = self.scheduler.cell(operator.as_str().to_owned(), depth, self.job.clone());
        self.tasks.push(cell.clone());
        cell
    }

    fn source(
        &mut self,
        index: usize,
        stage: &Stage,
        spec: &SourceStage,
        open: &OpenSource,
        readers: usize,
    ) -> Result<(), JobError> {
        let operator = last_operator(stage);
        let context = Arc::new(self.source_context(index, operator.clone(), stage, spec, open, readers)?);
        if open.partitions.len() > PARTITIONS_MAX {
            return Err(too_many(&context, open.partitions.len()));
        }
        let interval = self.engine.config.discovery_interval;
        let growth = open.may_grow.then(|| Growth::new(context.clone(), &open.partitions, interval));
        let mut controls = Vec::with_capacity(open.tasks);
        let takes_part = self.reporter(index, Role::Source, 0).is_some();
        let known = self.restore().filter(|_| takes_part).and_then(|restore| restore.source(&operator));
        let (partitions, mut over) = partitions(known, open)?;
        for (number, partitions) in deal(partitions, open.tasks).into_iter().enumerate() {
            let cell = self.cell(index, &operator);
            context.gate.iter().for_each(|gate| gate.add_waiting(cell.waker()));
            let (_, outputs) = self.wiring.take(index, number);
            outputs.set_producer(&cell.waker());
            let control = Arc::new(SourceControl {
                orders: Mutex::new(SourceOrders::default()),
                pending: AtomicBool::new(false),
                waker: cell.waker(),
            });
            self.sources.push(control.clone());
            controls.push(control.clone());
            let task = u32::try_from(number).unwrap_or(u32::MAX);
            let letters = open.dead_letters.clone().zip(self.reporter(index, Role::Sink, number));
            let surroundings = Surroundings {
                waker: cell.waker(),
                control,
                outputs,
                reporter: self.reporter(index, Role::Source, number),
                letters: letters.map(|(to, reporter)| Letters { to, task, reporter }),
                over: std::mem::take(&mut over),
            };
            cell.fill(Box::new(SourceTask::new(context.clone(), partitions, growth.clone(), surroundings)?));
        }
        self.controls.insert(index, controls.clone());
        self.growths.extend(growth.map(|growth| (growth, controls)));
        Ok(())
    }

    fn source_context(
        &self,
        index: usize,
        operator: OperatorId,
        stage: &Stage,
        spec: &SourceStage,
        open: &OpenSource,
        readers: usize,
    ) -> Result<SourceContext, JobError> {
        let config = &self.engine.config;
        let request = ReadRequest {
            projection: Some(spec.projection.clone()),
            filter: spec.pruning.as_ref().and_then(sabot_connect::PruneFilter::from_expr),
            morsel_rows: config.morsel_rows,
            // Rows decoded ahead are not charged yet: a quarter of the budget over all that is read at once.
            look_ahead_bytes: config.memory_budget / 4 / readers,
            event_time: spec.event_time.as_ref().map(|e| e.column),
            strings_as_dictionary: open.dictionaries.clone(),
            dead_letters: open.dead_letters.clone(),
        };
        let column = spec.event_time.as_ref().and_then(|e| spec.schema.fields().get(e.column));
        let times = column.and_then(|f| EventTimes::new(f.name(), f.data_type()));
        if times.is_some() != spec.event_time.is_some() {
            return Err(JobError::internal(&operator, "the event-time column is no point in time"));
        }
        let opens = self.plan.stages.iter().enumerate().filter_map(|(waiting, stage)| match &stage.kind {
            StageKind::Source(other) if other.after.contains(&index) => self.gates.get(&waiting).cloned(),
            _ => None,
        });
        Ok(SourceContext {
            operator,
            job: self.job.clone(),
            counters: self.job.counters.source(open.source.name(), open.source.rows()),
            source: open.source.clone(),
            bounded: open.source.boundedness() == Boundedness::Bounded,
            request,
            spawner: self.scheduler.spawner(),
            output: stage.output.clone(),
            ordinal: spec.ordinal,
            event_time: spec.event_time.clone(),
            times,
            clock: config.clock.clone(),
            pause_after: config.pause_after,
            timers: self.engine.timers.clone(),
            gate: self.gates.get(&index).cloned(),
            opens: opens.collect(),
        })
    }

    fn lanes(&mut self, index: usize, stage: &Stage, programs: Arc<Programs>) {
        let operator = last_operator(stage);
        let instances = self.wiring.instances[index];
        let workers = self.scheduler.workers();
        let lanes = workers.div_ceil(instances.max(1));
        for instance in 0..instances {
            let (inputs, outputs) = self.wiring.take(index, instance);
            let Some(input) = inputs.into_iter().flatten().next() else { continue };
            let waker = Arc::new(StageWaker::default());
            outputs.set_producer(&waker.clone().into());
            input.set_consumer(waker.clone().into());
            let shared = FragmentStage::new(
                (operator.clone(), self.job.counters.stage(index)),
                self.job.clone(),
                programs.clone(),
                waker.clone(),
                (input, outputs),
                lanes,
            );
            let cells: Vec<_> = (0..lanes).map(|_| self.cell(index, &operator)).collect();
            waker.set(cells.iter().map(TaskCell::waker).collect());
            for cell in cells {
                cell.fill(Box::new(FragmentLane::new(shared.clone(), cell.waker())));
            }
        }
    }

    fn table(&mut self, index: usize, stage: &Stage, spec: &JoinStage) -> Result<(), JobError> {
        let operator = last_operator(stage);
        let replica = Replica::new(spec).map_err(|e| JobError::internal(&operator, e))?;
        let replica = Arc::new(replica);
        self.replicas.insert(index, replica.clone());
        let cell = self.cell(index, &operator);
        let (inputs, _) = self.wiring.take(index, 0);
        inputs.iter().flatten().for_each(|edge| edge.set_consumer(cell.waker()));
        cell.fill(Box::new(TableTask {
            operator,
            job: self.job.clone(),
            inputs: Inputs::new(inputs),
            replica,
            rows: Vec::new(),
            bytes: 0,
        }));
        Ok(())
    }

    fn keyed(&mut self, index: usize, stage: &Stage, spec: &KeyedStage) -> Result<(), JobError> {
        let operator = last_operator(stage);
        let groups = self.plan.key_groups;
        let parallelism = self.wiring.instances[index];
        let feeders: Vec<Arc<SourceControl>> = match spec {
            KeyedStage::Rank(rank) => {
                rank.feeders.iter().filter_map(|stage| self.controls.get(stage)).flatten().cloned().collect()
            }
            _ => Vec::new(),
        };
        let takes_part = self.reporter(index, Role::State, 0).is_some();
        let restore = self.restore().filter(|_| takes_part);
        let states = keyed_states((stage, spec), groups, parallelism, restore)?;
        for (task, (state, has_ended)) in states.into_iter().enumerate() {
            let owned = groups.range_of_task(task, parallelism);
            let reporter = self.reporter(index, Role::State, task);
            self.job.add_keyed_task();
            let cell = self.cell(index, &operator);
            let (inputs, outputs) = self.wiring.take(index, task);
            outputs.set_producer(&cell.waker());
            inputs.iter().flatten().for_each(|edge| edge.set_consumer(cell.waker()));
            cell.fill(Box::new(KeyedTask {
                operator: operator.clone(),
                task: u32::try_from(task).unwrap_or(u32::MAX),
                job: self.job.clone(),
                inputs: Inputs::new(inputs),
                state,
                owned,
                outputs,
                held: VecDeque::new(),
                // What it had to say in the end it has said.
                drained: has_ended,
                state_limit: self.job.state_limit / parallelism.max(1),
                late_seen: 0,
                late: VecDeque::new(),
                feeders: feeders.clone(),
                through: false,
                ended: false,
                reporter,
                cutting: None,
            }));
        }
        Ok(())
    }

    fn sink(
        &mut self,
        index: usize,
        number: usize,
        spec: &SinkStage,
        sink: &mut ResolvedSink,
    ) -> Result<(), JobError> {
        let operator = &sink.operator;
        let groups = self.plan.key_groups.all();
        let mut order = spec.ordered.then(OrderBuffer::default);
        if let (Some(order), Some(restore)) = (&mut order, self.restore()) {
            let kept = [OrderBuffer::kept(&self.plan.stages[index].output)];
            restore.state(&waiting(operator), groups, &kept, |rows| {
                for rows in rows {
                    order.restore(&rows).map_err(|e| JobError::internal(operator, e))?;
                }
                Ok(())
            })?;
        }
        let reporter = self.reporter(index, Role::Sink, 0);
        let order_reporter = self.reporter(index, Role::State, 0);
        let writer =
            sink.writer.take().ok_or_else(|| JobError::internal(operator, "the sink was not opened"))?;
        let cell = self.cell(index, operator);
        let (inputs, _) = self.wiring.take(index, 0);
        inputs.iter().flatten().for_each(|edge| edge.set_consumer(cell.waker()));
        cell.fill(Box::new(SinkTask {
            operator: operator.clone(),
            sink: number,
            job: self.job.clone(),
            rows: self.job.counters.sink(sink.sink.name()),
            waker: cell.waker(),
            inputs: Inputs::new(inputs),
            order,
            writer,
            due: VecDeque::new(),
            ended: false,
            reporter,
            order_reporter,
            groups,
            cutting: None,
        }));
        Ok(())
    }
}
