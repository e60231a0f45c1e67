//! Hash joins: the build side is kept by key, and rows of the probe side are looked up in it.
//!
//! Input 0 is the probe side, input 1 the build side; an operator owns the rows of both whose keys lie in
//! its key groups. The invariants:
//! - No result before the build side is complete. Rows of the probe side that come earlier, as they must
//!   where one source feeds both, are kept and count as state.
//! - Results come in the order of the probe side's rows here, the matches of one row in the order of the
//!   build side; rows of the build side that match nothing come last of all, when the probe side has ended.
//! - What comes out depends on the rows alone: their hidden columns give results a place that no cut into
//!   morsels and no number of tasks changes.
//! - The watermark is handed on only once all rows before it have been joined.

mod marks;
mod snapshot;
#[cfg(test)]
mod tests;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::{Morsel, RowKind, RowKinds};
use sabot_common::{Epoch, EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::join::{JoinTable, Joiner, Probe};
use sabot_plan::JoinStage;
use sabot_state::Needed;
use std::collections::{HashMap, VecDeque};

use crate::row_cuts::{InCut, RowCuts};
use crate::{CutPart, KeptRows, KeyedOperator, OperatorError};
use marks::{MATCHED, Marks};
use snapshot::PARTS;

/// The input that is looked up.
const PROBE: usize = 0;
/// The input that is kept.
const BUILD: usize = 1;

/// One task's share of a hash join.
#[derive(Debug)]
pub struct KeyedJoin {
    joiner: Joiner,
    /// Rows of the probe side wait at their sources until the build side is there.
    gated: bool,
    key_groups: KeyGroups,
    owned: KeyGroupRange,
    /// The build side so far, until it is complete.
    build: Vec<Kept>,
    /// The build side, complete.
    table: Option<Table>,
    /// Rows of the probe side that have not been looked up.
    waiting: VecDeque<Kept>,
    cuts: RowCuts,
    /// Of the last cut, until it has ended.
    head: Vec<RecordBatch>,
    /// The cut that has the rows of the table.
    table_cut: InCut,
    /// Rows of the probe side whose result has not been given to its end.
    open: Option<Probe>,
    /// The row of the table up to which build rows without a match have been given, at the end.
    rest: Option<usize>,
    /// Bytes of `build` and `waiting`.
    bytes: usize,
    watermark: EventTime,
    /// The watermark that was handed on.
    handed_on: EventTime,
    ended: bool,
}

/// Rows, and the cut that has them.
#[derive(Debug)]
struct Kept {
    batch: RecordBatch,
    cut: InCut,
}

impl Kept {
    fn new(batch: RecordBatch) -> Self {
        Self { batch, cut: InCut::default() }
    }
}

#[derive(Debug)]
struct Table {
    rows: JoinTable,
    /// Where rows of the build side come out that nothing has matched.
    marks: Option<Marks>,
}

impl KeyedJoin {
    /// An operator without rows, for one task of the stage: the owner of `owned`. `output` is the stage's
    /// output schema.
    ///
    /// # Errors
    /// [`OperatorError::Plan`] when stage and output do not fit each other.
    pub fn new(
        stage: &JoinStage,
        output: &SchemaRef,
        key_groups: KeyGroups,
        owned: KeyGroupRange,
    ) -> Result<Self, OperatorError> {
        let joiner = Joiner::new(stage.spec.clone(), stage.probe.clone(), stage.build.clone());
        let joiner = joiner.map_err(OperatorError::plan)?;
        if joiner.output_schema() != output {
            let message =
                format!("a join that gives {} was planned to give {output}", joiner.output_schema());
            return Err(OperatorError::plan(message));
        }
        Ok(Self {
            joiner,
            gated: stage.gated,
            key_groups,
            owned,
            build: Vec::new(),
            table: None,
            waiting: VecDeque::new(),
            cuts: RowCuts::default(),
            head: Vec::new(),
            table_cut: InCut::default(),
            open: None,
            rest: None,
            bytes: 0,
            watermark: EventTime::MIN,
            handed_on: EventTime::MIN,
            ended: false,
        })
    }

    /// Makes the table of the build side.
    fn complete(&mut self) -> Result<(), OperatorError> {
        if self.table.is_some() {
            return Ok(());
        }
        let build: Vec<RecordBatch> = self.build.drain(..).map(|kept| kept.batch).collect();
        // Rows stand in another order from now on, and those of the other side leave.
        self.cuts.begin_anew();
        self.bytes -= build.iter().map(bytes_of).sum::<usize>();
        let rows = self.joiner.table(&build)?;
        let marks = self.keeps_build().then(|| Marks::new(rows.rows().num_rows()));
        self.table = Some(Table { rows, marks });
        Ok(())
    }

    fn keeps_build(&self) -> bool {
        self.joiner.spec().kind.keeps_build()
    }

    /// The next part of what can be joined.
    fn next(&mut self, max_rows: usize) -> Result<Option<RecordBatch>, OperatorError> {
        let Some(table) = &mut self.table else { return Ok(None) };
        loop {
            if let Some(probe) = &mut self.open {
                let matched = table.marks.as_mut().map(|marks| &mut marks.matched);
                let next = self.joiner.next(&table.rows, probe, matched, max_rows)?;
                table.marks.iter_mut().for_each(Marks::note);
                if next.is_some() {
                    return Ok(next);
                }
                self.open = None;
            }
            let Some(Kept { batch, .. }) = self.waiting.pop_front() else { break };
            self.bytes -= bytes_of(&batch);
            self.open = Some(self.joiner.probe(&table.rows, batch)?);
        }
        match (&mut self.rest, &table.marks) {
            (Some(at), Some(marks)) => {
                Ok(self.joiner.unmatched(&table.rows, &marks.matched, at, max_rows)?)
            }
            _ => Ok(None),
        }
    }

    /// The key group of each row of a side.
    fn groups(&self, batch: &RecordBatch, input: usize) -> Result<Vec<u16>, OperatorError> {
        let spec = self.joiner.spec();
        let keys: Vec<usize> =
            spec.keys.iter().map(|(probe, build)| if input == PROBE { *probe } else { *build }).collect();
        let mut hashes = Vec::new();
        let hashed = KeyHasher::new(spec.seed).hash_batch_columns(batch, &keys, &mut hashes);
        hashed.map_err(OperatorError::input)?;
        Ok(hashes.into_iter().map(|hash| self.key_groups.group_of(hash)).collect())
    }
}

fn bytes_of(batch: &RecordBatch) -> usize {
    Morsel::new(batch.clone()).bytes()
}

fn inserts(morsel: &Morsel) -> Result<(), OperatorError> {
    let RowKinds::PerRow(kinds) = morsel.kinds() else { return Ok(()) };
    match kinds.iter().find(|kind| **kind != RowKind::Insert) {
        Some(kind) => Err(OperatorError::NotInsert { kind: kind.symbol() }),
        None => Ok(()),
    }
}

impl KeyedOperator for KeyedJoin {
    fn on_morsel(&mut self, input: usize, morsel: Morsel) -> Result<(), OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "a morsel", when: "after the end of the input" });
        }
        inserts(&morsel)?;
        let batch = morsel.into_dense_host()?;
        let wanted = if input == PROBE { self.joiner.probe_schema() } else { self.joiner.build_schema() };
        let types = |s: &SchemaRef| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        if types(wanted) != types(batch.schema_ref()) {
            let got = batch.schema();
            return Err(OperatorError::input(format!("a morsel of {got} came where {wanted} was planned")));
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.bytes += bytes_of(&batch);
        match (input, &self.table) {
            (PROBE, _) => self.waiting.push_back(Kept::new(batch)),
            (BUILD, None) => self.build.push(Kept::new(batch)),
            _ => {
                return Err(OperatorError::Order { step: "a build row", when: "after the build side's end" });
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<EventTime, OperatorError> {
        if self.ended {
            return Err(OperatorError::Order { step: "a watermark", when: "after the end of the input" });
        }
        self.watermark = self.watermark.max(watermark);
        // Rows before it may be waiting for the build side.
        if self.table.is_some() {
            self.handed_on = self.watermark;
        }
        Ok(self.handed_on)
    }

    fn on_input_end(&mut self, input: usize) -> Result<(), OperatorError> {
        if input == BUILD { self.complete() } else { Ok(()) }
    }

    fn on_end(&mut self, drain: bool) -> Result<(), OperatorError> {
        if std::mem::replace(&mut self.ended, true) {
            return Err(OperatorError::Order { step: "an end", when: "after the end of the input" });
        }
        if drain {
            self.complete()?;
            self.rest = self.keeps_build().then_some(0);
        }
        Ok(())
    }

    fn wants(&self, input: usize) -> bool {
        input == BUILD || self.table.is_some() || !self.gated
    }

    fn next_output(&mut self, max_rows: usize) -> Option<Result<Morsel, OperatorError>> {
        self.next(max_rows).map(|batch| batch.map(Morsel::new)).transpose()
    }

    fn state_bytes(&self) -> usize {
        let table = self
            .table
            .as_ref()
            .map_or(0, |table| table.rows.bytes() + table.marks.as_ref().map_or(0, Marks::bytes));
        table + self.bytes + self.open.as_ref().map_or(0, |probe| bytes_of(probe.batch()))
    }

    fn kept(&self) -> Vec<KeptRows> {
        let of = |input| KeptRows { part: PARTS[input], schema: self.snapshot_schema(input) };
        let matched = KeptRows { part: MATCHED, schema: marks::schema(HashMap::new()) };
        let mut kept = vec![of(PROBE), of(BUILD)];
        kept.extend(self.keeps_build().then_some(matched));
        kept
    }

    fn snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.take_snapshot(range)
    }

    fn begin_cut(&mut self, epoch: Epoch, stored: Option<Epoch>) -> Result<(), OperatorError> {
        self.check_taken()?;
        self.begin_cuts(epoch, stored);
        Ok(())
    }

    fn next_of_cut(&mut self, rows: usize) -> Result<CutPart, OperatorError> {
        let mut cuts = std::mem::take(&mut self.cuts);
        let given = cuts.next_rows(rows, |input, _, rows| self.write_cut(input, rows));
        self.cuts = cuts;
        let given = match given? {
            Some(rows) => Some(vec![rows]),
            None => self.next_marks(rows)?,
        };
        if let Some(rows) = given {
            return Ok(CutPart::Rows(rows));
        }
        if self.head.is_empty() {
            return Err(OperatorError::no_cut());
        }
        let of_rows = PARTS.iter().map(|part| (*part, self.cuts.needed()));
        let marks = self.table.as_ref().and_then(|table| table.marks.as_ref());
        let of_marks = marks.map(|marks| (MATCHED, Needed::Since(marks.since())));
        let needed = Needed::Kinds(of_rows.chain(of_marks).collect());
        Ok(CutPart::End { head: std::mem::take(&mut self.head), needed })
    }

    fn restore(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        self.take_in(snapshots)
    }
}
