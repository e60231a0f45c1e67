//! Values over the rows around a row: rows held until all have come, then computed partition by partition.
//!
//! The invariants:
//! - Bounded input: nothing leaves before a drained input ends, and until then the watermark is held back,
//!   because the rows in front of it are still here.
//! - Rows leave as they came, with the columns that are added; only their place in a morsel is new, and
//!   the hidden columns say where they belong.
//! - Within a partition the order is total, so nothing depends on how rows arrive, were cut, or were
//!   snapshot and restored in between.

mod rolling;
mod rolling_cuts;
#[cfg(test)]
mod rolling_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use rolling::KeyedRolling;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use sabot_batch::{Morsel, hidden};
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::group_by::AccumulateError;
use sabot_cpu::over::OverStep;
use sabot_cpu::rank::{RankKeys, RankOrder, Ranked};
use sabot_plan::OverStage;
use std::ops::Range;

use crate::gather::gather;
use crate::keyed_aggregate::check_inserts;
use crate::progress::Progress;
use crate::ready::Ready;
use crate::row_cuts::{InCut, RowCuts};
use crate::row_state::{RowState, agree};
use crate::{CutPart, KeptRows, KeyedOperator, OperatorError};

/// The time of rows that wait for the end of the input.
const AT_THE_END: i64 = i64::MAX;

/// One task's share of the partitions.
#[derive(Debug)]
pub struct KeyedOver {
    order: RankOrder,
    step: OverStep,
    state: RowState,
    partition: Vec<usize>,
    /// Where each column of the output stands in the rows with what was added.
    columns: Vec<usize>,
    output: SchemaRef,
    progress: Progress,
    held: Vec<Held>,
    cuts: RowCuts,
    bytes: usize,
    /// The rows in their order, once all are there, and the first that has not left.
    ranked: Vec<Ranked>,
    next: usize,
    /// Rows with what was added.
    ready: Ready,
}

#[derive(Debug)]
struct Held {
    batch: RecordBatch,
    keys: RankKeys,
    cut: InCut,
}

impl KeyedOver {
    /// An operator without state, for one task of the stage: the owner of `owned`. `output` is the stage's
    /// output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other.
    pub fn new(
        stage: &OverStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let spec = &stage.spec;
        let state = RowState::new(
            "waiting",
            stage.rows.clone(),
            spec.partition.clone(),
            stage.hash_seed,
            (key_groups, owned),
        );
        Ok(Self {
            order: RankOrder::new(&spec.ranking(), &stage.rows).map_err(OperatorError::plan)?,
            step: OverStep::new(spec, &stage.rows).map_err(OperatorError::plan)?,
            state,
            partition: spec.partition.clone(),
            columns: output_columns(stage, output)?,
            output: output.clone(),
            progress: Progress::new(),
            held: Vec::new(),
            cuts: RowCuts::default(),
            bytes: 0,
            ranked: Vec::new(),
            next: 0,
            ready: Ready::default(),
        })
    }

    fn hold(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        if batch.num_rows() > 0 {
            let keys = self.order.encode(&batch)?;
            self.bytes += Morsel::new(batch.clone()).bytes() + keys.bytes();
            self.held.push(Held { batch, keys, cut: InCut::default() });
        }
        Ok(())
    }

    fn check_taken(&self) -> Result<(), OperatorError> {
        OperatorError::check_taken(self.ready.is_empty() && self.ranked.is_empty())
    }

    /// Computes whole partitions, until there are enough rows.
    fn compute(&mut self, max_rows: usize) -> Result<(), OperatorError> {
        let mut partitions: Vec<Range<usize>> = Vec::new();
        let from = self.next;
        while self.next < self.ranked.len() && self.next - from < max_rows {
            let start = self.next;
            let is_first = |ranked: &Ranked| ranked.number == 0;
            let rest = self.ranked[start + 1..].iter().position(is_first);
            self.next = rest.map_or(self.ranked.len(), |rest| start + 1 + rest);
            partitions.push(start - from..self.next - from);
        }
        if partitions.is_empty() {
            return Ok(());
        }
        let batches: Vec<&RecordBatch> = self.held.iter().map(|held| &held.batch).collect();
        let places: Vec<(usize, usize)> =
            self.ranked[from..self.next].iter().map(|r| (r.batch as usize, r.row as usize)).collect();
        let rows = gather(&batches, &places).map_err(OperatorError::input)?;
        let added =
            self.step.run(&rows, &partitions).map_err(|e| name_the_partition(e, &rows, &self.partition))?;
        let all: Vec<_> = rows.columns().iter().cloned().chain(added).collect();
        let columns = self.columns.iter().map(|column| all[*column].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.output.clone(), columns, &options);
        self.ready.push(batch.map_err(OperatorError::plan)?);
        if self.next == self.ranked.len() {
            (self.held, self.ranked, self.next, self.bytes) = (Vec::new(), Vec::new(), 0, 0);
        }
        Ok(())
    }
}

impl KeyedOperator for KeyedOver {
    fn on_morsel(&mut self, _input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        self.progress.check_open("a morsel")?;
        check_inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        self.state.check(&batch)?;
        self.hold(batch)
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        let watermark = self.progress.reach(watermark)?;
        Ok(if watermark == EventTime::MAX { watermark } else { EventTime::MIN })
    }

    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        self.progress.end()?;
        if drain {
            let keys: Vec<&RankKeys> = self.held.iter().map(|held| &held.keys).collect();
            self.ranked = self.order.rank(&keys, false);
        }
        Ok(())
    }

    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        if self.ready.is_empty()
            && let Err(error) = self.compute(max_rows.max(1))
        {
            return Some(Err(error));
        }
        self.ready.next(max_rows).map(Ok)
    }

    fn state_bytes(&self) -> usize {
        self.bytes + self.ranked.len() * size_of::<Ranked>() + self.ready.bytes()
    }

    fn kept(&self) -> Vec<KeptRows> {
        vec![self.state.kept()]
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let batches: Vec<&RecordBatch> = self.held.iter().map(|held| &held.batch).collect();
        Ok(vec![self.state.write(AT_THE_END, &batches, range, self.progress.watermark())?])
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        let head = vec![self.state.head(self.progress.watermark())];
        let held = self.held.iter_mut().map(|held| (&mut held.cut, 0, AT_THE_END, &held.batch));
        self.cuts.begin(epoch, stored, head, held);
        Ok(())
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        self.cuts.next(rows, |_, time, rows| self.state.write_cut(time, rows))
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let fresh = self.progress.is_fresh() && self.held.is_empty();
        let mut known = (!fresh).then_some(self.progress.watermark());
        for snapshot in snapshots {
            let (watermark, rows) = self.state.read(snapshot)?;
            agree(&mut known, watermark)?;
            for (_, rows) in rows {
                self.hold(rows)?;
            }
        }
        known.into_iter().for_each(|watermark| self.progress.resume(watermark));
        Ok(())
    }
}

/// An error about a row as one that says which partition it is of, and which row.
fn name_the_partition(error: AccumulateError, rows: &RecordBatch, partition: &[usize]) -> OperatorError {
    let AccumulateError::Overflow { aggregate, position, sum, data_type } = error else {
        return OperatorError::Aggregate(error);
    };
    let text =
        |column: &dyn Array| array_value_to_string(column, position).unwrap_or_else(|_| "?".to_owned());
    let schema = rows.schema();
    let mut parts: Vec<String> =
        partition.iter().map(|i| format!("{} {}", schema.field(*i).name(), text(rows.column(*i)))).collect();
    if let Some(times) = hidden::times(rows) {
        let time = TimestampMicrosecondArray::from(times.values().to_vec());
        parts.push(format!("the row at {}", text(&time)));
    }
    let key = if parts.is_empty() { "all rows".to_owned() } else { parts.join(", ") };
    OperatorError::Overflow { aggregate, key, sum, data_type }
}

/// The hidden columns that are made, behind all others, where rows are given a new order.
const PLACE: [&str; 3] = [hidden::PARTITION, hidden::ROW, hidden::KEY];

/// Where the columns of the output come from: those of the rows, then what is added, then hidden ones.
fn output_columns(stage: &OverStage, output: &SchemaRef) -> Result<Vec<usize>, OperatorError> {
    let added = stage.spec.result_fields(&stage.rows)?;
    let rows = stage.rows.fields().len();
    let reordered = stage.rolling.as_ref().is_some_and(|rolling| rolling.ordinal.is_some());
    let made = |name: &str| reordered.then(|| PLACE.iter().position(|made| *made == name)).flatten();
    let mut columns = Vec::with_capacity(output.fields().len());
    for (i, field) in output.fields().iter().enumerate() {
        let place = match i.checked_sub(stage.kept) {
            None => Some(i),
            Some(call) if call < added.len() => Some(rows + call),
            Some(_) => match made(field.name()) {
                Some(made) => Some(rows + added.len() + made),
                None => stage.rows.index_of(field.name()).ok(),
            },
        };
        let found = place.and_then(|place| match place.checked_sub(rows) {
            None => stage.rows.fields().get(place).map(|f| f.data_type().clone()),
            Some(call) if call < added.len() => Some(added[call].data_type().clone()),
            Some(_) => hidden::field(field.name()).map(|f| f.data_type().clone()),
        });
        match (place, found) {
            (Some(place), Some(found)) if &found == field.data_type() => columns.push(place),
            _ => {
                let (name, data_type) = (field.name(), field.data_type());
                return Err(OperatorError::plan(format!("over cannot give \"{name}\" as {data_type}")));
            }
        }
    }
    Ok(columns)
}
