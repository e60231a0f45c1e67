//! From stages to tasks: instances, edges, wakers.
//!
//! Nothing runs while a job is built. Everything that can be refused is refused here: unbound names,
//! sources that do not open, sinks that cannot write.

use sabot_common::OperatorId;
use sabot_connect::{Boundedness, DeadLetters, PartitionId, ReadRequest, Sink, SinkWriter, Source};
use sabot_plan::{
    JoinStage, KeyedStage, PhysicalPlan, Route, SinkStage, SourceStage, Stage, StageKind, encode_keys,
};
use sabot_stream::keyed_operator;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::bindings::{Bindings, Unresolved};
use crate::edge::Edge;
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
use crate::outputs::{Fan, Outputs};
use crate::programs::Programs;
use crate::scheduler::{Scheduler, TaskCell};
use crate::sink_task::SinkTask;
use crate::source_task::{Growth, PARTITIONS_MAX, SourceContext, SourceTask, deal, tasks_of, too_many};
use crate::stage_waker::StageWaker;

/// A job that is ready to launch.
pub(crate) struct Built {
    pub(crate) job: Arc<JobCore>,
    pub(crate) tasks: Vec<Arc<TaskCell>>,
    pub(crate) sources: Vec<Arc<SourceControl>>,
    /// Sources that may grow, with their tasks.
    growths: Vec<(Arc<Growth>, Vec<Arc<SourceControl>>)>,
}

impl Built {
    /// Lets the tasks have a first look, and asks growing sources for what has come.
    pub(crate) fn launch(self) {
        self.job.launch(self.tasks, self.sources);
        for (growth, tasks) in self.growths {
            growth.start(tasks);
        }
    }
}

/// Builds the tasks of a plan.
pub(crate) fn build(
    name: &str,
    plan: &PhysicalPlan,
    bindings: &Bindings,
    engine: &Arc<EngineCore>,
) -> Result<Built, JobError> {
    // Sinks first: a job that cannot write must not have claimed a channel.
    let mut sinks = resolve_sinks(plan, bindings)?;
    let built = build_with(name, plan, bindings, engine, &mut sinks);
    if built.is_err() {
        for sink in sinks.values_mut() {
            // Writers may have made temporary files already; they are gone before their sink cleans up.
            drop(sink.writer.take());
            let _ = sink.sink.abort();
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
) -> Result<Built, JobError> {
    for (index, stage) in plan.stages.iter().enumerate() {
        match (&stage.kind, sinks.get_mut(&index)) {
            (StageKind::MapBatches(spec), _) => {
                let operator = last_operator(stage);
                bindings.function(&spec.slot).map_err(|e| unresolved(&operator, e))?;
            }
            (StageKind::Sink(spec), Some(sink)) => {
                let writer = sink.sink.open(spec.visible.clone(), 0);
                sink.writer = Some(writer.map_err(|e| JobError::connect(&sink.operator, e))?);
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
    let job_sinks = job_sinks.chain(dead_letter_sinks(plan, &opened)).collect();
    let job = JobCore::new(name.to_owned(), engine, job_sinks);
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
    };
    if let Err(error) = builder.stages(&opened, sinks) {
        builder.tasks.iter().for_each(|task| task.clear());
        return Err(error);
    }
    let Builder { job, tasks, sources, growths, .. } = builder;
    Ok(Built { job, tasks, sources, growths })
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

struct OpenSource {
    source: Arc<dyn Source>,
    partitions: Vec<PartitionId>,
    /// Partitions may come that are not named yet.
    may_grow: bool,
    tasks: usize,
    /// String columns that are read as dictionaries, as indices into the source's schema.
    dictionaries: Vec<usize>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
}

struct ResolvedSink {
    operator: OperatorId,
    sink: Arc<dyn Sink>,
    writer: Option<Box<dyn SinkWriter>>,
}

fn last_operator(stage: &Stage) -> OperatorId {
    stage.operators.last().cloned().unwrap_or_else(|| OperatorId::new("unnamed"))
}

fn unresolved(operator: &OperatorId, error: Unresolved) -> JobError {
    match error {
        Unresolved::Unbound(error) => error,
        Unresolved::Connect(error) => JobError::connect(operator, error),
    }
}

impl OpenSource {
    /// How many of its partitions are read at once.
    fn readers(&self) -> usize {
        match self.source.boundedness() {
            Boundedness::Bounded => self.tasks,
            Boundedness::Unbounded => self.partitions.len().max(self.tasks),
        }
    }
}

fn open_sources(
    plan: &PhysicalPlan,
    bindings: &Bindings,
    workers: usize,
) -> Result<BTreeMap<usize, OpenSource>, JobError> {
    let mut opened: BTreeMap<usize, OpenSource> = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if let StageKind::Source(spec) = &stage.kind {
            let operator = last_operator(stage);
            let source = bindings.source(&spec.connector).map_err(|e| unresolved(&operator, e))?;
            let may_grow = source.may_grow();
            let partitions = source.discover().map_err(|e| JobError::connect(&operator, e))?;
            // Stages that read one source share its dead letters.
            let shared = opened.values().find(|open| Arc::ptr_eq(&open.source, &source));
            let dead_letters = match shared {
                Some(open) => open.dead_letters.clone(),
                None => source.dead_letters().map_err(|e| JobError::connect(&operator, e))?,
            };
            let tasks = tasks_of(partitions.len(), may_grow, workers);
            let dictionaries = Vec::new();
            let open = OpenSource { source, partitions, may_grow, tasks, dictionaries, dead_letters };
            opened.insert(index, open);
        }
    }
    // Claimed last of all that can be refused before anything is opened.
    for (index, open) in &opened {
        open.source.claim().map_err(|e| JobError::connect(&last_operator(&plan.stages[*index]), e))?;
    }
    Ok(opened)
}

/// The places for dead letters, each once.
fn dead_letter_sinks(plan: &PhysicalPlan, opened: &BTreeMap<usize, OpenSource>) -> Vec<JobSink> {
    let mut found: Vec<JobSink> = Vec::new();
    for (index, open) in opened {
        let Some(letters) = open.dead_letters.clone() else { continue };
        let sink: Arc<dyn Sink> = letters;
        if !found.iter().any(|other| Arc::ptr_eq(&other.sink, &sink)) {
            found.push(JobSink { operator: last_operator(&plan.stages[*index]), sink });
        }
    }
    found
}

fn resolve_sinks(
    plan: &PhysicalPlan,
    bindings: &Bindings,
) -> Result<BTreeMap<usize, ResolvedSink>, JobError> {
    let mut sinks = BTreeMap::new();
    for (index, stage) in plan.stages.iter().enumerate() {
        if let StageKind::Sink(spec) = &stage.kind {
            let operator = last_operator(stage);
            let sink = bindings.sink(&spec.connector).map_err(|e| unresolved(&operator, e))?;
            sinks.insert(index, ResolvedSink { operator, sink, writer: None });
        }
    }
    Ok(sinks)
}

/// How many tasks each stage has, and the edges between them.
struct Wiring {
    instances: Vec<usize>,
    depths: Vec<usize>,
    /// Input edges of each task, by stage, instance and input of the stage.
    inputs: Vec<Vec<Vec<Vec<Arc<Edge>>>>>,
    /// Output fans of each task, by stage and instance.
    outputs: Vec<Vec<Outputs>>,
}

impl Wiring {
    fn new(plan: &PhysicalPlan, opened: &BTreeMap<usize, OpenSource>, capacity: usize) -> Self {
        let mut instances: Vec<usize> = Vec::with_capacity(plan.stages.len());
        let mut depths: Vec<usize> = Vec::with_capacity(plan.stages.len());
        for (index, stage) in plan.stages.iter().enumerate() {
            depths.push(stage.inputs.iter().map(|input| depths[input.stage] + 1).max().unwrap_or(0));
            instances.push(match &stage.kind {
                StageKind::Source(_) => opened.get(&index).map_or(0, |s| s.tasks),
                StageKind::Fragment(_) | StageKind::MapBatches(_) | StageKind::Lookup(_) => {
                    stage.inputs.iter().map(|input| instances[input.stage]).sum()
                }
                StageKind::Keyed(_) if stage.inputs.iter().all(|i| i.route == Route::Gather) => 1,
                StageKind::Keyed(_) => plan.keyed_parallelism as usize,
                StageKind::Table(_) | StageKind::Sink(_) => 1,
            });
        }
        let mut wiring = Wiring {
            inputs: instances
                .iter()
                .zip(&plan.stages)
                .map(|(n, stage)| vec![vec![Vec::new(); stage.inputs.len()]; *n])
                .collect(),
            outputs: instances.iter().map(|n| (0..*n).map(|_| Outputs::default()).collect()).collect(),
            instances,
            depths,
        };
        for (index, stage) in plan.stages.iter().enumerate() {
            wiring.connect(index, stage, capacity);
        }
        wiring
    }

    fn connect(&mut self, index: usize, stage: &Stage, capacity: usize) {
        let mut first = 0;
        for (number, input) in stage.inputs.iter().enumerate() {
            for upstream in 0..self.instances[input.stage] {
                let fan = match input.route {
                    Route::Forward => Fan::One(self.edge((index, first + upstream, number), capacity)),
                    Route::Gather => Fan::One(self.edge((index, 0, number), capacity)),
                    Route::KeyGroups => Fan::ByTarget(
                        (0..self.instances[index])
                            .map(|task| self.edge((index, task, number), capacity))
                            .collect(),
                    ),
                };
                self.outputs[input.stage][upstream].add(input.port, fan);
            }
            first += self.instances[input.stage];
        }
    }

    fn edge(&mut self, (stage, task, input): (usize, usize, usize), capacity: usize) -> Arc<Edge> {
        let edge = Arc::new(Edge::new(capacity));
        self.inputs[stage][task][input].push(edge.clone());
        edge
    }

    fn take(&mut self, stage: usize, task: usize) -> (Vec<Vec<Arc<Edge>>>, Outputs) {
        (std::mem::take(&mut self.inputs[stage][task]), std::mem::take(&mut self.outputs[stage][task]))
    }
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
                        &config.backends,
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
        for (number, partitions) in deal(&open.partitions, open.tasks).into_iter().enumerate() {
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
            let place = (cell.waker(), control, outputs);
            cell.fill(Box::new(SourceTask::new(context.clone(), partitions, growth.clone(), place)?));
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
                operator.clone(),
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
        for task in 0..parallelism {
            let owned = groups.range_of_task(task, parallelism);
            let state = keyed_operator(spec, &stage.output, groups, owned)
                .map_err(|e| JobError::Operator { operator: operator.clone(), message: e.to_string() })?;
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
                drained: false,
                state_limit: self.job.state_limit / parallelism.max(1),
                late_seen: 0,
                late: VecDeque::new(),
                feeders: feeders.clone(),
                through: false,
                ended: false,
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
            order: spec.ordered.then(OrderBuffer::default),
            writer,
            due: VecDeque::new(),
            ended: false,
        }));
        Ok(())
    }
}
