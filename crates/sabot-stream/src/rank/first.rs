//! Limit, unique and distinct in the order of the stream: rows leave as the watermark passes them.
//!
//! The invariant: the order of the stream puts no row in front of the watermark that is not here yet, so
//! rows up to it can be taken in their order, each group counted, and let go; what is kept of a group is
//! how many of its rows have passed. The result is that of a ranking at the end of the input, and there
//! need not be one. A watermark may be long in coming, where files are read one after the other: rows that
//! have enough others of their group in front of them are let go meanwhile.

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, SchemaRef, UInt16Type, UInt64Type};
use sabot_batch::key_index::{KeyBatch, canonical_type};
use sabot_batch::{Morsel, hidden};
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::rank::{RankKeys, RankOrder, Ranked};
use sabot_ops::RankSpec;
use sabot_plan::RankStage;
use sabot_state::{GROUP, KEY_COLUMNS, KeyedTable, Keying, Needed, PART, StateColumns, Sweep};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::output::Output;
use super::pane::ROWS_MIN;
use crate::keyed_aggregate::check_inserts;
use crate::progress::Progress;
use crate::row_cuts::RowCuts;
use crate::row_state::{RowState, agree};
use crate::waiting::Waiting;
use crate::{CutPart, KeptRows, KeyedOperator, OperatorError};

/// The time under which waiting rows stand in a snapshot: they know their own.
const WAITING: i64 = i64::MAX;

/// The kind of rows in a snapshot that say how many rows of a group have passed.
const PASSED: &str = "passed";

/// One task's share of a limit, unique or distinct over rows with event time.
#[derive(Debug)]
pub struct KeyedFirst {
    spec: RankSpec,
    /// The order of the stream alone.
    order: RankOrder,
    state: RowState,
    keying: Keying,
    owned: KeyGroupRange,
    key_types: Vec<DataType>,
    passed: KeyedTable<Passed>,
    waiting: Waiting,
    cuts: Cuts,
    /// How many rows there were when it was last looked which can go.
    left: usize,
    progress: Progress,
    output: Output,
}

/// The cuts of both kinds of rows.
#[derive(Debug, Default)]
struct Cuts {
    last: Option<Epoch>,
    waiting: RowCuts,
    passed: Sweep,
    /// Of the last one, until it has ended.
    head: Vec<RecordBatch>,
}

/// How many rows of each group have passed, kept or not.
#[derive(Debug, Default)]
struct Passed(Vec<u64>);

impl KeyedFirst {
    /// An operator without state, for one task of the stage: the owner of `owned`. `output` is the stage's
    /// output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other, or the rows have no event time.
    pub fn new(
        stage: &RankStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let spec = stage.spec.clone();
        if !spec.order.is_empty() || spec.backwards || stage.rows.index_of(hidden::TIME).is_err() {
            return Err(OperatorError::plan("rows that leave as they go have the order of event time"));
        }
        let plain = |column: &usize| {
            let field = stage.rows.field(*column);
            Field::new(field.name(), canonical_type(field.data_type()), field.is_nullable())
        };
        let keying = Keying::new(key_groups, stage.hash_seed);
        let mut fields: Vec<Field> = spec.groups.iter().map(plain).collect();
        // A column may be a key twice; in the table its name need only be one of its own.
        (0..).zip(&mut fields).for_each(|(i, field): (usize, &mut Field)| {
            *field = field.clone().with_name(format!("{i} {}", field.name()));
        });
        Ok(Self {
            order: RankOrder::new(&RankSpec::default(), &stage.rows).map_err(OperatorError::plan)?,
            state: RowState::new(
                "waiting",
                stage.rows.clone(),
                spec.groups.clone(),
                stage.hash_seed,
                (key_groups, owned),
            ),
            keying,
            owned,
            key_types: fields.iter().map(|field| field.data_type().clone()).collect(),
            passed: KeyedTable::new(&fields, keying, Passed::default())?,
            waiting: Waiting::new(places),
            cuts: Cuts::default(),
            left: 0,
            progress: Progress::new(),
            output: Output::new(stage, output)?,
            spec,
        })
    }

    /// Lets go of the rows that cannot be among the first of their group any more.
    fn trim(&mut self, needed: u64) -> Result<(), OperatorError> {
        let waiting = self.waiting.take();
        self.cuts.waiting.begin_anew();
        let (rows, groups) = self.in_order(&waiting)?;
        let mut before: HashMap<u32, u64> = HashMap::new();
        let mut stay: Vec<Vec<bool>> = waiting.iter().map(|batch| vec![false; batch.num_rows()]).collect();
        for Ranked { batch, row, .. } in rows {
            let (batch, row) = (batch as usize, row as usize);
            let group = groups[batch][row];
            let before = before.entry(group).or_insert(self.passed.state().0[group as usize]);
            stay[batch][row] = *before < needed;
            *before += 1;
        }
        for (batch, stay) in waiting.iter().zip(stay) {
            let stay = filter_record_batch(batch, &stay.into()).map_err(OperatorError::input)?;
            self.waiting.push(stay)?;
        }
        self.left = self.waiting.rows();
        Ok(())
    }

    /// The rows of some batches in the order of the stream, and the group of each.
    fn in_order(&mut self, batches: &[RecordBatch]) -> Result<(Vec<Ranked>, Vec<Vec<u32>>), OperatorError> {
        let keys =
            batches.iter().map(|batch| self.order.encode(batch)).collect::<Result<Vec<RankKeys>, _>>()?;
        let groups = batches.iter().map(|batch| self.groups(batch)).collect::<Result<_, _>>()?;
        Ok((self.order.rank(&keys.iter().collect::<Vec<_>>(), false), groups))
    }

    /// Lets the rows up to the watermark pass.
    fn pass(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        let due = self.waiting.take_up_to(watermark.micros())?;
        if due.is_empty() {
            return Ok(());
        }
        let (mut rows, groups) = self.in_order(&due)?;
        let passed = &mut self.passed.state_mut().0;
        rows.retain_mut(|row| {
            let count = &mut passed[groups[row.batch as usize][row.row as usize] as usize];
            row.number = *count;
            *count += 1;
            self.spec.keeps(row.number)
        });
        let bytes = due.iter().map(|batch| Morsel::new(batch.clone()).bytes()).sum();
        self.output.push(due, bytes, rows);
        Ok(())
    }

    /// The group of each row.
    fn groups(&mut self, batch: &RecordBatch) -> Result<Vec<u32>, OperatorError> {
        let (mut hashes, mut ids) = (Vec::new(), Vec::new());
        let hashed = self.keying.hasher().hash_batch_columns(batch, &self.spec.groups, &mut hashes);
        hashed.map_err(OperatorError::input)?;
        let columns = self.spec.groups.iter().map(|column| batch.column(*column));
        let keys = KeyBatch::new(&self.key_types, columns, batch.num_rows())?;
        self.passed.upsert(&keys, 0..batch.num_rows(), &hashes, &mut ids)?;
        Ok(ids)
    }

    /// Rows of the table, with what they are in their metadata.
    fn with_part(&self, passed: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        // The group and the keys.
        let keys = (1 + self.key_types.len()).to_string();
        let metadata = [(PART.to_owned(), PASSED.to_owned()), (KEY_COLUMNS.to_owned(), keys)];
        let schema = passed.schema_ref().as_ref().clone().with_metadata(HashMap::from(metadata));
        passed.clone().with_schema(Arc::new(schema)).map_err(OperatorError::input)
    }

    fn check_taken(&self) -> Result<(), OperatorError> {
        OperatorError::check_taken(self.output.is_empty())
    }

    /// Whether the only group is through, so that no row is of use any more.
    fn is_through(&self) -> bool {
        let passed = self.passed.state().0.first().copied().unwrap_or(0);
        self.spec.groups.is_empty() && self.spec.needed().is_some_and(|needed| passed >= needed)
    }
}

impl KeyedOperator for KeyedFirst {
    fn on_morsel(&mut self, _input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        self.progress.check_open("a morsel")?;
        check_inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        self.state.check(&batch)?;
        if self.is_through() {
            return Ok(());
        }
        self.waiting.push(batch)?;
        match self.spec.needed() {
            Some(needed) if self.waiting.rows() >= (self.left * 2).max(ROWS_MIN) => self.trim(needed),
            _ => Ok(()),
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
        self.output.next(max_rows).transpose()
    }

    fn wants_more(&self) -> bool {
        !self.is_through()
    }

    fn state_bytes(&self) -> usize {
        self.passed.bytes() + self.waiting.bytes() + self.output.bytes()
    }

    fn kept(&self) -> Vec<KeptRows> {
        let passed = KeptRows { part: PASSED, schema: self.passed.snapshot_schema().clone() };
        vec![self.state.kept(), passed]
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let waiting = self.waiting.batches();
        let waiting = self.state.write(WAITING, &waiting, range, self.progress.watermark())?;
        Ok(vec![waiting, self.with_part(&self.passed.snapshot(range)?)?])
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        let passed = RecordBatch::new_empty(self.passed.snapshot_schema().clone());
        let cuts = &mut self.cuts;
        let waiting = self.waiting.in_cuts().map(|(cut, batch)| (cut, 0, WAITING, batch));
        cuts.waiting.begin(epoch, stored, Vec::new(), waiting);
        let is_next = cuts.last.is_some() && cuts.last == stored;
        let mut stretch = match is_next {
            true => {
                let changed = self.passed.changed();
                cuts.passed.begin(epoch, changed, self.passed.len())
            }
            false => cuts.passed.begin_whole(epoch),
        };
        self.passed.begin_cut(0, &mut stretch);
        cuts.passed.end(stretch);
        cuts.last = Some(epoch);
        self.cuts.head = vec![self.state.head(self.progress.watermark()), self.with_part(&passed)?];
        Ok(())
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        let write = |_, time, rows: &RecordBatch| self.state.write_cut(time, rows);
        if let Some(rows) = self.cuts.waiting.next_rows(rows, write)? {
            return Ok(CutPart::Rows(vec![rows]));
        }
        let mut given = self.passed.take_aside();
        given.extend(self.passed.next_of_cut(rows)?);
        if !given.is_empty() {
            return given
                .iter()
                .map(|rows| self.with_part(rows))
                .collect::<Result<_, _>>()
                .map(CutPart::Rows);
        }
        let head = std::mem::take(&mut self.cuts.head);
        if head.is_empty() {
            return Err(OperatorError::no_cut());
        }
        let passed = Needed::Since(self.cuts.passed.since());
        let needed = Needed::Kinds(vec![(self.state.part(), self.cuts.waiting.needed()), (PASSED, passed)]);
        Ok(CutPart::End { head, needed })
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let fresh = self.progress.is_fresh() && self.waiting.is_empty() && self.passed.is_empty();
        let mut known = (!fresh).then_some(self.progress.watermark());
        for snapshot in snapshots {
            let counts = snapshot.schema_ref().fields().first().is_some_and(|field| field.name() == GROUP);
            if counts {
                let groups = snapshot.column(0).as_primitive_opt::<UInt16Type>();
                let groups = groups.ok_or_else(|| OperatorError::input("a snapshot of another operator"))?;
                let owned: BooleanArray =
                    groups.values().iter().map(|g| Some(self.owned.contains(*g))).collect();
                let mine = filter_record_batch(snapshot, &owned).map_err(OperatorError::input)?;
                self.passed.restore(&mine)?;
                continue;
            }
            let (watermark, rows) = self.state.read(snapshot)?;
            agree(&mut known, watermark)?;
            for (_, rows) in rows {
                // Of several cuts those before the newest have rows that have passed.
                self.waiting.push_behind(&rows, watermark.micros())?;
            }
        }
        known.into_iter().for_each(|watermark| self.progress.resume(watermark));
        Ok(())
    }
}

impl StateColumns for Passed {
    type Error = Infallible;

    fn fields(&self) -> Vec<Field> {
        vec![Field::new("passed", DataType::UInt64, false)]
    }

    fn resize(&mut self, len: usize) {
        self.0.resize(len, 0);
    }

    fn snapshot(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, Infallible> {
        Ok(vec![Arc::new(UInt64Array::from_iter_values(ids.iter().map(|id| self.0[*id as usize])))])
    }

    fn merge(&mut self, ids: &[u32], columns: &[ArrayRef]) -> Result<(), Infallible> {
        // The table has checked the columns.
        let counts = columns.first().and_then(|column| column.as_primitive_opt::<UInt64Type>());
        for (id, count) in ids.iter().zip(counts.into_iter().flat_map(|counts| counts.values())) {
            self.0[*id as usize] += count;
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}

/// Where rows stand in time: event time, or where their partition's watermark stood when they were late.
fn places(batch: &RecordBatch) -> Result<Vec<i64>, OperatorError> {
    let times = hidden::times(batch).ok_or_else(|| OperatorError::input("rows without event time"))?;
    Ok(match hidden::lateness(batch) {
        None => times.values().to_vec(),
        Some(late) => {
            times.values().iter().zip(late.values()).map(|(time, late)| time.saturating_add(*late)).collect()
        }
    })
}
