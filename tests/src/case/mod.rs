//! A pipeline under test: streams with their data, run on engines and held against the reference.

mod feed;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot::{Engine, Error, Job, JobError, JobMetrics, Stream};
use sabot_common::RowLocation;
use sabot_connect::{Boundedness, Collected, MemorySource, input_channels};
use sabot_exec::{BatchFunction, Bindings};
use sabot_expr::FunctionRegistry;
use sabot_plan::{CutOptions, NodeKind, Plan, cut};
use std::fmt::Display;
use std::sync::{Arc, Mutex, OnceLock};

use crate::compare::difference;
use crate::reference::{self, Failure, Inputs, Outcome, Partitions};
use crate::sinks;
pub(crate) use feed::Feed;

/// Makes a [`Case`] and remembers what the reference must know: rows of sources, functions.
pub struct CaseBuilder {
    name: String,
    inputs: Inputs,
    outputs: Vec<Output>,
    feeds: Vec<Feed>,
}

#[derive(Clone)]
struct Output {
    stream: Stream,
    ordered: bool,
}

impl CaseBuilder {
    /// A case without outputs yet.
    pub fn new(name: impl Display) -> Self {
        Self { name: name.to_string(), inputs: Inputs::default(), outputs: Vec::new(), feeds: Vec::new() }
    }

    /// A source of batches in memory.
    pub fn source(&mut self, schema: SchemaRef, partitions: Partitions) -> Stream {
        let stream = Stream::from_partitions(schema, partitions.clone()).expect("batches have the schema");
        let slot = slot_of(&stream, |kind| matches!(kind, NodeKind::Source { .. }));
        self.inputs.sources.insert(slot, partitions);
        stream
    }

    /// A source of channels, one a partition, that are fed while the job runs. A case with such a source
    /// can run once.
    pub fn channels(&mut self, schema: SchemaRef, partitions: Partitions, end: Boundedness) -> Stream {
        let (senders, source) = input_channels("channels", partitions.len(), 2, schema);
        let stream = Stream::from_channel(source.with_boundedness(end)).expect("the types are known");
        let slot = slot_of(&stream, |kind| matches!(kind, NodeKind::Source { .. }));
        for (sender, batches) in senders.into_iter().zip(&partitions) {
            self.feeds.push(Feed { sender, batches: batches.clone() });
        }
        self.inputs.sources.insert(slot, partitions);
        stream
    }

    /// A user function over batches, which must work row by row.
    pub fn map_batches(&mut self, stream: Stream, schema: SchemaRef, function: BatchFunction) -> Stream {
        let call = function.clone();
        let mapped = stream.map_batches(schema, move |batch| call(batch)).expect("the schema is known");
        let slot = slot_of(&mapped, |kind| matches!(kind, NodeKind::MapBatches { .. }));
        self.inputs.functions.insert(slot, function);
        mapped
    }

    /// Adds a sink. In an ordered one the sequence of rows counts; rows that never end and have no event
    /// time cannot go into one.
    pub fn output(&mut self, stream: &Stream, ordered: bool) {
        // The facade says no to such a sink; whether it would, it says.
        let (sink, _) = sinks::ordered();
        let ordered = ordered && Job::new("order").write(stream, sink).is_ok();
        self.outputs.push(Output { stream: stream.clone(), ordered });
    }

    /// The finished case.
    pub fn build(self) -> Case {
        let CaseBuilder { name, inputs, outputs, feeds } = self;
        Case { name, inputs, outputs, feeds: Mutex::new(feeds), outcome: OnceLock::new() }
    }
}

/// The slot of the last node of a kind above a stream.
fn slot_of(stream: &Stream, wanted: impl Fn(&NodeKind) -> bool) -> String {
    let plan = stream.to_plan().expect("the stream can be planned");
    let slots = plan.slots();
    let found = slots.iter().rev().find(|(_, node)| wanted(&node.kind));
    found.expect("the stream has such a node").0.to_owned()
}

/// A pipeline with its data and its sinks.
pub struct Case {
    /// Its name in messages.
    pub name: String,
    inputs: Inputs,
    outputs: Vec<Output>,
    feeds: Mutex<Vec<Feed>>,
    outcome: OnceLock<Outcome>,
}

/// One run of a case.
#[derive(Debug)]
pub struct Run {
    /// What the engine counted; `None` where the job failed as it had to.
    pub metrics: Option<JobMetrics>,
}

impl Case {
    /// The job, with sinks of its own, and what these collect.
    pub fn job(&self) -> (Job, Vec<Collected>) {
        let mut job = Job::new(self.name.clone());
        let mut collected = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let (sink, rows) = if output.ordered { sinks::ordered() } else { sinks::multiset() };
            job = job.write(&output.stream, sink).expect("the sink takes the stream");
            collected.push(rows);
        }
        (job, collected)
    }

    /// The stream of an output.
    pub fn stream(&self, output: usize) -> &Stream {
        &self.outputs[output].stream
    }

    /// What the reference makes of it.
    pub fn outcome(&self) -> &Outcome {
        self.outcome.get_or_init(|| reference::run(&self.plan(), &self.inputs))
    }

    /// The plan as text, for messages.
    pub fn explain(&self) -> String {
        self.job().0.explain().unwrap_or_else(|error| error.to_string())
    }

    /// The plan.
    pub fn plan(&self) -> Plan {
        self.job().0.plan().expect("the job has a plan")
    }

    /// Runs the case and holds every sink against the reference.
    ///
    /// # Panics
    /// Where they differ, with the plan and the first differing rows.
    pub fn check(&self, engine: &Engine, how: &dyn Display) -> Run {
        self.verify(engine)
            .unwrap_or_else(|wrong| panic!("{} with {how}:\n{wrong}\n\n{}", self.name, self.explain()))
    }

    /// As [`Case::check`], with what is wrong as an error.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify(&self, engine: &Engine) -> Result<Run, String> {
        let (job, collected) = self.job();
        self.compare(self.run(engine, job), &collected)
    }

    /// As [`Case::verify`], but through the plan as data: stored, loaded, its slots bound anew, and run by
    /// the engine below the facade.
    ///
    /// # Errors
    /// The first difference.
    pub fn verify_stored(
        &self,
        engine: &sabot_exec::Engine,
        functions: &FunctionRegistry,
    ) -> Result<Run, String> {
        let stored = serde_json::to_string(&self.plan()).map_err(|error| error.to_string())?;
        let mut plan: Plan = serde_json::from_str(&stored).map_err(|error| error.to_string())?;
        plan.bind(functions).map_err(|error| error.to_string())?;
        let physical = cut(&plan, &CutOptions::default()).map_err(|error| error.to_string())?;
        let (bindings, collected) = self.bind(&plan);
        let handle = engine.submit(&self.name, &physical, &bindings, None);
        self.compare(handle.and_then(|handle| handle.wait()).map_err(Error::from), &collected)
    }

    /// Binds every slot of a plan, and what its sinks collect.
    fn bind(&self, plan: &Plan) -> (Bindings, Vec<Collected>) {
        let (mut bindings, mut collected) = (Bindings::default(), Vec::new());
        for (slot, node) in plan.slots() {
            let slot = slot.to_owned();
            match &node.kind {
                NodeKind::Source { schema, .. } => {
                    let rows = self.inputs.sources[&slot].clone();
                    let source = MemorySource::new(slot.as_str(), schema.clone(), rows);
                    bindings.sources.insert(slot, Arc::new(source.expect("batches have the schema")));
                }
                NodeKind::Sink { ordered, .. } => {
                    let (sink, rows) = if *ordered { sinks::ordered() } else { sinks::multiset() };
                    bindings.sinks.insert(slot, sink);
                    collected.push(rows);
                }
                _ => drop(bindings.functions.insert(slot.clone(), self.inputs.functions[&slot].clone())),
            }
        }
        (bindings, collected)
    }

    /// Holds what came of a job against the reference.
    fn compare(&self, result: Result<JobMetrics, Error>, collected: &[Collected]) -> Result<Run, String> {
        let outcome = self.outcome();
        if !outcome.failures.is_empty() {
            self.verify_failure(result.err())?;
            let left: usize = collected.iter().flat_map(|c| c.take()).map(|batch| batch.num_rows()).sum();
            return match left {
                0 => Ok(Run { metrics: None }),
                _ => Err(format!("a failed job left {left} rows")),
            };
        }
        let metrics = result.map_err(|error| format!("the job failed: {error}"))?;
        for (number, (output, got)) in self.outputs.iter().zip(collected).enumerate() {
            if let Some(found) = difference(&outcome.sinks[number], &got.take(), output.ordered) {
                return Err(format!("sink {number}: {found}"));
            }
        }
        if metrics.late_rows != outcome.late_rows {
            return Err(format!("{} late rows counted instead of {}", metrics.late_rows, outcome.late_rows));
        }
        Ok(Run { metrics: Some(metrics) })
    }

    /// Runs the job; feeds its channels meanwhile, with barriers in between.
    fn run(&self, engine: &Engine, job: Job) -> Result<JobMetrics, Error> {
        let feeds = std::mem::take(&mut *self.feeds.lock().expect("no feed panics"));
        let handle = engine.start(job)?;
        std::thread::scope(|scope| {
            for feed in feeds {
                let handle = &handle;
                scope.spawn(move || feed.run(handle));
            }
        });
        Ok(handle.wait()?)
    }

    /// Holds the error of a job that had to fail against the rows that cannot be computed.
    fn verify_failure(&self, error: Option<Error>) -> Result<(), String> {
        let failures = &self.outcome().failures;
        let wrong = match error {
            None => Some("the job ended well".to_owned()),
            // Behind a union two branches may meet rows of one source partition, in no defined order.
            Some(error) => wrong_error(failures, &error, self.has_unions()),
        };
        wrong.map_or(Ok(()), |wrong| Err(format!("{wrong}; expected one of {failures:?}")))
    }

    fn has_unions(&self) -> bool {
        self.plan().nodes().iter().any(|node| matches!(node.kind, NodeKind::Union))
    }
}

/// Why an error is not one that the failing rows explain. It must be the first of its source partition,
/// unless `any` will do.
fn wrong_error(failures: &[Failure], error: &Error, any: bool) -> Option<String> {
    let Error::Job(JobError::Row { location, error, .. }) = error else {
        return Some(format!("the job failed with {error}"));
    };
    let explains = |failure: &&Failure| failure.error == error.error && stands_at(failure, location.as_ref());
    let Some(found) = failures.iter().find(explains) else {
        return Some(format!("the job failed with {error} at {location:?}"));
    };
    let earlier = |other: &&Failure| other.partition == found.partition && other.number < found.number;
    let first = failures.iter().find(earlier).filter(|_| location.is_some() && !any);
    first.map(|first| format!("row {} was reported before row {}", found.number, first.number))
}

fn stands_at(failure: &Failure, location: Option<&RowLocation>) -> bool {
    location.is_none_or(|at| {
        let partition =
            at.partition.rsplit_once('/').and_then(|(_, number)| number.parse().ok()).unwrap_or(0u64);
        at.row == failure.number && partition == failure.partition & 0xF_FFFF
    })
}

/// A function over batches.
pub fn function<F>(function: F) -> BatchFunction
where
    F: Fn(RecordBatch) -> Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
{
    Arc::new(function)
}
