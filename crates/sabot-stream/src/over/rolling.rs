//! Values over the rows before a row: rows leave as the watermark passes them, or as they come.
//!
//! The invariants:
//! - A row's values are made of all rows of its partition up to its time, late ones excepted. A row is late
//!   when it comes behind the watermark of its own source partition, or of the operator, whatever its key; late
//!   rows are counted, handed on where somebody reads them, and seen by no other row.
//! - Rows leave in the order of event time, and before the watermark that let them go is handed on.
//! - Of a partition, what later rows can reach is kept; the watermark says what they cannot.
//! - Where an order was asked for among rows of one time, it is theirs from here on, at sinks and for what follows.
//! - On arrival, rows leave in the order in which they came, and what they see is what came before.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use sabot_batch::{Morsel, hidden};
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::over::{Rolling, Turn};
use sabot_cpu::rank::RankOrder;
use sabot_ops::{OverSpec, RankSpec};
use sabot_plan::{Emit, OverStage, RollingStage};
use sabot_state::Needed;
use std::sync::Arc;

use super::rolling_cuts::HistoryCuts;
use super::{PLACE, name_the_partition, output_columns};
use crate::gather::gather;
use crate::keyed_aggregate::check_inserts;
use crate::progress::Progress;
use crate::ready::Ready;
use crate::row_cuts::RowCuts;
use crate::row_state::{RowState, agree};
use crate::waiting::Waiting;
use crate::{CutPart, KeptRows, KeyedOperator, OperatorError, PARTITION_BITS};

/// The time under which rows stand in a snapshot: they know their own.
const THEIR_OWN: i64 = i64::MAX;

/// Rows that are computed at once, and a few more where they have one time.
const STEP: usize = 32_768;

/// Keys that are asked with each watermark whether they can be forgotten, however little time has passed.
const EXPIRED_MIN: usize = 16;

/// One task's share of the partitions.
#[derive(Debug)]
pub struct KeyedRolling {
    rolling: Rolling,
    emit: Emit,
    partition: Vec<usize>,
    /// The order of rows, whatever their partition, over the columns that it is made of.
    order: RankOrder,
    order_columns: Vec<usize>,
    waiting: RowState,
    history: RowState,
    /// Where each column of the output stands in the rows with what was added.
    columns: Vec<usize>,
    output: SchemaRef,
    /// What makes the hidden columns that say where a row stands, where rows are given a new order.
    place: Option<NewPlace>,
    late_form: Option<(SchemaRef, Vec<usize>)>,
    late_rows: u64,
    late: Vec<Morsel>,
    progress: Progress,
    held: Waiting,
    /// Rows with what was added.
    ready: Ready,
    /// Cuts of rows that wait, and of histories.
    waiting_cuts: RowCuts,
    history_cuts: HistoryCuts,
    /// Of the last cut, until it has ended.
    head: Vec<RecordBatch>,
}

impl KeyedRolling {
    /// An operator without state, for one task of the stage: the owner of `owned`. `output` is the stage's
    /// output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other, or the stage waits for all rows.
    pub fn new(
        stage: &OverStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let (spec, keys) = (&stage.spec, (key_groups, owned));
        let Some(RollingStage { emit, late, late_columns, ordinal }) = &stage.rolling else {
            return Err(OperatorError::plan("values that wait for all rows cannot roll"));
        };
        let turn = match emit {
            Emit::Final => Turn::InOrder,
            Emit::OnArrival => Turn::OnArrival,
        };
        let rolling = Rolling::new(spec, &stage.rows, turn, stage.hash_seed).map_err(OperatorError::plan)?;
        let (order, order_columns) = order_of_rows(spec, &stage.rows)?;
        let history = RowState::new(
            "history",
            rolling.snapshot_schema(),
            rolling.snapshot_keys(),
            stage.hash_seed,
            keys,
        );
        // The key, and the number of a row.
        let history = history.unique_by(rolling.snapshot_keys().len() + 1);
        Ok(Self {
            history,
            rolling,
            emit: *emit,
            partition: spec.partition.clone(),
            order,
            order_columns,
            waiting: RowState::new(
                "waiting",
                stage.rows.clone(),
                spec.partition.clone(),
                stage.hash_seed,
                keys,
            ),
            columns: output_columns(stage, output)?,
            output: output.clone(),
            place: ordinal.map(|ordinal| NewPlace::new(spec, &stage.rows, ordinal)).transpose()?,
            late_form: late.clone().map(|schema| (schema, late_columns.clone())),
            late_rows: 0,
            late: Vec::new(),
            progress: Progress::new(),
            held: Waiting::new(|batch| Ok(times(batch)?.to_vec())),
            ready: Ready::default(),
            waiting_cuts: RowCuts::default(),
            history_cuts: HistoryCuts::default(),
            head: Vec::new(),
        })
    }

    /// The rows that are not late.
    fn without_late(&mut self, batch: RecordBatch) -> Result<RecordBatch, OperatorError> {
        let (times, behind) = (times(&batch)?, hidden::lateness(&batch));
        let passed = self.progress.watermark().micros();
        let is_late = |(row, time): (usize, &i64)| {
            (passed != i64::MIN && *time <= passed) || behind.is_some_and(|behind| behind.value(row) > 0)
        };
        let late: Vec<bool> = times.iter().enumerate().map(is_late).collect();
        let count = late.iter().filter(|late| **late).count();
        if count == 0 {
            return Ok(batch);
        }
        self.late_rows += count as u64;
        let late = BooleanArray::from(late);
        if let Some((schema, columns)) = &self.late_form {
            let rows = filter_record_batch(&batch, &late).map_err(OperatorError::input)?;
            let columns = columns.iter().map(|column| rows.column(*column).clone()).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
            self.late.push(Morsel::new(rows.map_err(OperatorError::plan)?));
        }
        let kept = BooleanArray::new(!late.values(), None);
        filter_record_batch(&batch, &kept).map_err(OperatorError::input)
    }

    /// Computes the rows up to the watermark.
    fn pass(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        let due = self.held.take_up_to(watermark.micros())?;
        let places = self.in_order(&due)?;
        let batches: Vec<&RecordBatch> = due.iter().collect();
        let mut next = 0;
        while next < places.len() {
            let portion = &places[next..next + step(&due, &places[next..])?];
            next += portion.len();
            let rows = match run_of_one(portion) {
                Some((batch, row)) => due[batch].slice(row, portion.len()),
                None => gather(&batches, portion).map_err(OperatorError::input)?,
            };
            self.compute(rows)?;
        }
        self.expire(watermark)
    }

    /// Where the rows of some batches stand, in their order.
    fn in_order(&self, batches: &[RecordBatch]) -> Result<Vec<(usize, usize)>, OperatorError> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (i, batch) in batches.iter().enumerate() {
            rows.extend(times(batch)?.iter().enumerate().map(|(row, time)| (*time, i, row)));
        }
        // A stable sort finds the runs that are in order already, which most batches are.
        rows.sort_by_key(|(time, ..)| *time);
        let peers = |pair: &[(i64, usize, usize)]| pair[0].0 == pair[1].0;
        let tied = |place: &usize| {
            let (before, behind) = (place.checked_sub(1).map(|before| before..place + 1), *place..place + 2);
            before.into_iter().chain([behind]).filter_map(|pair| rows.get(pair)).any(peers)
        };
        // What else their order is made of is looked at only where time leaves it open.
        let tied: Vec<usize> = (0..rows.len()).filter(tied).collect();
        let mut places: Vec<(usize, usize)> = rows.iter().map(|(_, batch, row)| (*batch, *row)).collect();
        if tied.is_empty() {
            return Ok(places);
        }
        let open: Vec<(usize, usize)> = tied.iter().map(|place| places[*place]).collect();
        let batches = batches.iter().map(|batch| batch.project(&self.order_columns));
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(OperatorError::input)?;
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let among = gather(&batches, &open).map_err(OperatorError::input)?;
        // Times come first in the order, so that those of one time stay in its places.
        let ranked = self.order.rank(&[&self.order.encode(&among)?], false);
        tied.into_iter().zip(ranked).for_each(|(place, ranked)| places[place] = open[ranked.row as usize]);
        Ok(places)
    }

    /// Forgets what nobody can reach any more. What a cut has still to give stays until then.
    fn expire(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        if !self.history_cuts.is_pending() && self.rolling.expire(watermark, EXPIRED_MIN)? {
            self.history_cuts.begin_anew();
        }
        Ok(())
    }

    fn check_taken(&self) -> Result<(), OperatorError> {
        OperatorError::check_taken(self.ready.is_empty())
    }

    /// Computes rows whose turn it is.
    fn compute(&mut self, rows: RecordBatch) -> Result<(), OperatorError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.rolling.take_in(&rows)?;
        self.history_cuts.touch(batch.keys(), &self.rolling)?;
        let added = self.rolling.run_batch(batch);
        let added = added.map_err(|e| name_the_partition(e, &rows, &self.partition))?;
        let mut all: Vec<_> = rows.columns().iter().cloned().chain(added).collect();
        if let Some(place) = &self.place {
            all.extend(place.columns(&rows)?);
        }
        let columns = self.columns.iter().map(|column| all[*column].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.output.clone(), columns, &options);
        self.ready.push(batch.map_err(OperatorError::plan)?);
        Ok(())
    }
}

impl KeyedOperator for KeyedRolling {
    fn on_morsel(&mut self, _input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        self.progress.check_open("a morsel")?;
        check_inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        self.waiting.check(&batch)?;
        let batch = self.without_late(batch)?;
        match self.emit {
            Emit::Final => self.held.push(batch),
            Emit::OnArrival => self.compute(batch),
        }
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        let watermark = self.progress.reach(watermark)?;
        self.pass(watermark)?;
        Ok(watermark)
    }

    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        self.progress.end()?;
        if drain { self.pass(EventTime::MAX) } else { Ok(()) }
    }

    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        self.ready.next(max_rows).map(Ok)
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }

    fn take_late(&mut self) -> Vec<Morsel> {
        std::mem::take(&mut self.late)
    }

    fn state_bytes(&self) -> usize {
        let late: usize = self.late.iter().map(Morsel::bytes).sum();
        self.rolling.bytes() + self.held.bytes() + self.ready.bytes() + self.history_cuts.bytes() + late
    }

    fn kept(&self) -> Vec<KeptRows> {
        vec![self.waiting.kept(), self.history.kept()]
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let held = self.held.batches();
        let mut snapshots = vec![self.waiting.write(THEIR_OWN, &held, range, self.progress.watermark())?];
        for history in self.rolling.snapshot()? {
            let mine = self.history.write(THEIR_OWN, &[&history], range, self.progress.watermark())?;
            snapshots.push(mine);
        }
        Ok(snapshots)
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        if self.history_cuts.is_pending() {
            // One barrier after the other before a cut is given: else nothing would ever be forgotten.
            self.history_cuts.give_up();
            self.expire(self.progress.watermark())?;
        }
        let held = self.held.in_cuts().map(|(cut, batch)| (cut, 0, THEIR_OWN, batch));
        self.waiting_cuts.begin(epoch, stored, Vec::new(), held);
        self.history_cuts.begin(epoch, stored, &self.rolling);
        self.head = [&self.waiting, &self.history].map(|rows| rows.head(self.progress.watermark())).into();
        Ok(())
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        let write = |_, time, rows: &RecordBatch| self.waiting.write_cut(time, rows);
        if let Some(rows) = self.waiting_cuts.next_rows(rows, write)? {
            return Ok(CutPart::Rows(vec![rows]));
        }
        if let Some(rows) = self.history_cuts.next(rows, &self.rolling)? {
            let rows = rows.iter().map(|rows| self.history.write_cut(THEIR_OWN, rows));
            return Ok(CutPart::Rows(rows.collect::<Result<_, _>>()?));
        }
        if self.head.is_empty() {
            return Err(OperatorError::no_cut());
        }
        let needed = vec![
            (self.waiting.part(), self.waiting_cuts.needed()),
            (self.history.part(), Needed::Since(self.history_cuts.since())),
        ];
        Ok(CutPart::End { head: std::mem::take(&mut self.head), needed: Needed::Kinds(needed) })
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let fresh = self.progress.is_fresh() && self.held.is_empty() && self.rolling.is_empty();
        let mut known = (!fresh).then_some(self.progress.watermark());
        let mut histories = Vec::new();
        for snapshot in snapshots {
            if self.history.wrote(snapshot) {
                let (watermark, rows) = self.history.read(snapshot)?;
                agree(&mut known, watermark)?;
                histories.extend(rows.into_iter().map(|(_, rows)| rows));
                continue;
            }
            let (watermark, rows) = self.waiting.read(snapshot)?;
            agree(&mut known, watermark)?;
            for (_, rows) in rows {
                // Of several cuts those before the newest have rows that have passed.
                self.held.push_behind(&rows, watermark.micros())?;
            }
        }
        // Of several cuts the newest comes first, and has what comes behind the rows of the others.
        self.rolling.restore_newest(&histories)?;
        known.into_iter().for_each(|watermark| self.progress.resume(watermark));
        Ok(())
    }
}

/// The place of rows that stand in a new order: the operator is their partition, and what orders rows of one time
/// their key.
#[derive(Debug)]
struct NewPlace {
    order: RankOrder,
    columns: Vec<usize>,
    partition: u32,
}

impl NewPlace {
    fn new(spec: &OverSpec, rows: &SchemaRef, ordinal: u32) -> Result<Self, OperatorError> {
        let ties = RankSpec { order: spec.ties.clone(), groups: Vec::new(), ..spec.ranking() };
        // Time is what the place stands behind.
        let (order, columns) = order_over(ties, rows, |name| PLACE.contains(&name))?;
        Ok(Self { order, columns, partition: ordinal << PARTITION_BITS })
    }

    /// Partition, row and key, as [`PLACE`] names them.
    fn columns(&self, rows: &RecordBatch) -> Result<[ArrayRef; 3], OperatorError> {
        let among = rows.project(&self.columns).map_err(OperatorError::input)?;
        let keys = self.order.encode(&among)?;
        let keys = BinaryArray::from_iter_values((0..keys.len()).map(|row| keys.order(row)));
        let count = rows.num_rows();
        Ok([
            Arc::new(UInt32Array::from(vec![self.partition; count])),
            Arc::new(UInt64Array::from(vec![0; count])),
            Arc::new(keys),
        ])
    }
}

/// The order of rows, whatever their partition, and the columns that it is over.
fn order_of_rows(spec: &OverSpec, rows: &SchemaRef) -> Result<(RankOrder, Vec<usize>), OperatorError> {
    order_over(RankSpec { groups: Vec::new(), ..spec.ranking() }, rows, hidden::is_hidden)
}

/// An order, and what it is over: the columns that it names and some of the hidden ones.
fn order_over(
    mut ranking: RankSpec,
    rows: &SchemaRef,
    wanted: impl Fn(&str) -> bool,
) -> Result<(RankOrder, Vec<usize>), OperatorError> {
    let mut columns: Vec<usize> = ranking.order.iter().map(|key| key.column).collect();
    let is_wanted =
        |column: &usize| hidden::is_hidden(rows.field(*column).name()) && wanted(rows.field(*column).name());
    columns.extend((0..rows.fields().len()).filter(is_wanted));
    columns.sort_unstable();
    columns.dedup();
    for key in &mut ranking.order {
        key.column = columns.partition_point(|column| *column < key.column);
    }
    let among = rows.project(&columns).map_err(OperatorError::plan)?;
    Ok((RankOrder::new(&ranking, &among).map_err(OperatorError::plan)?, columns))
}

fn times(batch: &RecordBatch) -> Result<&[i64], OperatorError> {
    let times = hidden::times(batch).ok_or_else(|| OperatorError::input("rows without event time"))?;
    Ok(times.values())
}

/// How many of these rows are computed at once: some, and all others of the time of the last.
fn step(batches: &[RecordBatch], places: &[(usize, usize)]) -> Result<usize, OperatorError> {
    if places.len() <= STEP {
        return Ok(places.len());
    }
    let all = batches.iter().map(times).collect::<Result<Vec<_>, _>>()?;
    let time = |place: usize| all[places[place].0][places[place].1];
    Ok((STEP..places.len()).find(|place| time(*place) != time(*place - 1)).unwrap_or(places.len()))
}

/// Batch and first row, where rows stand one behind another in one batch.
fn run_of_one(places: &[(usize, usize)]) -> Option<(usize, usize)> {
    let (batch, first) = *places.first()?;
    let together = (first..).zip(places).all(|(row, place)| *place == (batch, row));
    together.then_some((batch, first))
}
