//! One partition that is being read: its reader, its clock, and the morsels made of its rows.

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::{Morsel, RowOrigin, TimeBounds, hidden};
use sabot_checkpoint::PartitionState;
use sabot_common::{Clock, EventTime, OperatorId};
use sabot_connect::{PartitionId, PartitionReader, Position, ReadCounters, ReadRequest, Source, Spawner};
use sabot_plan::EventTimeSpec;
use sabot_time::{IdleDetector, PartitionClock, PauseDecision};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::checkpoint::position_bytes;
use crate::error::JobError;
use crate::event_times::EventTimes;
use crate::gate::Gate;
use crate::job::JobCore;
use crate::metrics::SourceCounters;
use crate::timers::Timers;

/// What the tasks of a source share.
pub(crate) struct SourceContext {
    pub(crate) operator: OperatorId,
    pub(crate) job: Arc<JobCore>,
    pub(crate) counters: Arc<SourceCounters>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) bounded: bool,
    pub(crate) request: ReadRequest,
    pub(crate) spawner: Arc<dyn Spawner>,
    /// Schema of the morsels: columns of the source, then hidden ones.
    pub(crate) output: SchemaRef,
    /// The source's number within the plan.
    pub(crate) ordinal: u32,
    pub(crate) event_time: Option<EventTimeSpec>,
    pub(crate) times: Option<EventTimes>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a partition is held back before it is paused.
    pub(crate) pause_after: Duration,
    pub(crate) timers: Arc<Timers>,
    /// What must be open before the source is read.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Gates that open when it has ended.
    pub(crate) opens: Vec<Arc<Gate>>,
}

/// A partition that is yet to be opened.
#[derive(Clone, Debug)]
pub(crate) struct NewPartition {
    pub(crate) id: PartitionId,
    /// Its number within the source, in the order of discovery.
    pub(crate) number: u32,
    /// Where it is gone on with; none from its start.
    pub(crate) from: Option<Settled>,
}

/// How far a partition was let into the job.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) position: Position,
    /// The largest event time before that place.
    pub(crate) event_time_max: Option<EventTime>,
}

impl Settled {
    /// As a manifest holds it.
    pub(crate) fn state(self, name: &str, number: u32, ended: bool) -> PartitionState {
        PartitionState {
            name: name.to_owned(),
            ordinal: number,
            position: position_bytes(self.position),
            rows: self.position.row,
            event_time_max: self.event_time_max.map(EventTime::micros),
            ended,
        }
    }
}

/// A partition that is being read.
pub(crate) struct Partition {
    name: Arc<str>,
    number: u32,
    /// Number of the partition in the plan, for the total order at sinks.
    ordinal: u32,
    /// How far its rows have been let in, which may be less than was read.
    settled: Settled,
    pub(super) reader: Box<dyn PartitionReader>,
    pub(super) clock: Option<PartitionClock>,
    pub(super) idle: Option<IdleDetector>,
    pub(super) pause: Option<PauseDecision>,
    counted: ReadCounters,
}

impl SourceContext {
    /// Opens a partition at its start, or where it is gone on with.
    pub(crate) fn open(&self, new: &NewPartition) -> Result<Partition, JobError> {
        let from = new.from.as_ref().map(|from| &from.position);
        let reader = self
            .source
            .open(&new.id, from, &self.request, &self.spawner)
            .map_err(|e| JobError::connect(&self.operator, e))?;
        let settled = new.from.unwrap_or_default();
        let clock = |e: &EventTimeSpec| {
            PartitionClock::resume(e.out_of_orderness, settled.event_time_max, EventTime::MIN)
        };
        let clock = self.event_time.as_ref().map(clock).transpose();
        // A bounded partition is never idle: it ends. Nor is it paused: what it fetches ahead is bounded,
        // and nobody at its other end waits for a sign of life.
        let timeout = self.event_time.as_ref().and_then(|e| e.idle_timeout).filter(|_| !self.bounded);
        let pause = (!self.bounded).then(|| PauseDecision::new(self.pause_after));
        Ok(Partition {
            name: new.id.name(),
            number: new.number,
            ordinal: (self.ordinal << 20) | new.number,
            settled,
            reader,
            clock: clock.map_err(|e| JobError::internal(&self.operator, e))?,
            idle: timeout.map(|timeout| IdleDetector::new(Some(timeout), self.clock.now())),
            pause,
            counted: ReadCounters::default(),
        })
    }
}

impl Partition {
    /// Makes a morsel of rows: hidden columns where somebody asks for them, bounds and origin.
    pub(super) fn morsel(
        &mut self,
        context: &SourceContext,
        batch: &RecordBatch,
        first_row: u64,
    ) -> Result<Morsel, JobError> {
        let rows = batch.num_rows();
        let mut bounds = None;
        let (mut times, mut lateness) = (None, None);
        if let (Some(clock), Some(event_times)) = (&mut self.clock, &context.times) {
            let found = event_times.of(batch).map_err(|wrong| JobError::EventTime {
                operator: context.operator.clone(),
                location: RowOrigin { partition: self.name.clone(), first_row }.locate(wrong.row),
                column: event_times.column().to_owned(),
                found: wrong.found,
            })?;
            let mut late = Vec::new();
            let behind = clock.observe(found.values(), &mut late);
            lateness =
                Some(if behind > 0 { Arc::new(Int64Array::from(late)) } else { hidden::all_on_time(rows) });
            bounds = min_max(found.values());
            times = Some(found);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(context.output.fields().len());
        for field in context.output.fields() {
            columns.push(match field.name().as_str() {
                hidden::TIME => Arc::new(times.clone().unwrap_or_else(|| Int64Array::from(vec![0; rows]))),
                hidden::LATE => lateness.clone().unwrap_or_else(|| hidden::all_on_time(rows)),
                hidden::PARTITION => Arc::new(UInt32Array::from(vec![self.ordinal; rows])),
                hidden::ROW => {
                    Arc::new(UInt64Array::from_iter_values((0..rows as u64).map(|i| first_row + i)))
                }
                hidden::KEY => Arc::new(BinaryArray::from_iter_values(std::iter::repeat_n([0u8; 0], rows))),
                name => batch.column_by_name(name).cloned().ok_or_else(|| {
                    let message = format!("the source delivers no column \"{name}\"");
                    JobError::internal(&context.operator, message)
                })?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(context.output.clone(), columns, &options)
            .map_err(|e| JobError::internal(&context.operator, e))?;
        let origin = RowOrigin { partition: self.name.clone(), first_row };
        Ok(Morsel::new(batch).with_time_bounds(bounds).with_origin(Some(origin)))
    }

    /// All that was read has been let in.
    pub(super) fn settle(&mut self) {
        let event_time_max = self.clock.as_ref().and_then(PartitionClock::max_seen);
        self.settled = Settled { position: self.reader.position(), event_time_max };
    }

    /// How far its rows have been let in.
    pub(super) fn state(&self, ended: bool) -> PartitionState {
        self.settled.state(&self.name, self.number, ended)
    }

    /// Adds what the reader has done since the last time to the job's counters.
    pub(super) fn count(&mut self, job: &JobCore) {
        let now = self.reader.counters();
        let counters = &job.counters;
        let before = std::mem::replace(&mut self.counted, now);
        counters.dead_letters.fetch_add(now.dead_letters - before.dead_letters, Ordering::Relaxed);
        counters.row_groups_read.fetch_add(now.row_groups_read - before.row_groups_read, Ordering::Relaxed);
        counters
            .row_groups_pruned
            .fetch_add(now.row_groups_pruned - before.row_groups_pruned, Ordering::Relaxed);
    }
}

fn min_max(times: &[i64]) -> Option<TimeBounds> {
    let min = times.iter().min()?;
    let max = times.iter().max()?;
    Some(TimeBounds { min: EventTime(*min), max: EventTime(*max) })
}
