//! State out and in: the rows of both sides with their key groups, and of build rows whether they matched.

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt16Array, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type};
use sabot_common::{Epoch, EventTime, KeyGroupRange};
use sabot_cpu::join::{Matched, in_build_order};
use sabot_state::{GROUP, PART};
use std::collections::HashMap;
use std::sync::Arc;

use super::{BUILD, Kept, KeyedJoin, PROBE, Table, bytes_of};
use crate::OperatorError;

/// The column of a snapshot that says whether a build row has matched: bool, not null.
const MATCHED: &str = "__sabot.matched";
/// Keys of the schema's metadata: which input the rows are of, whether the build side is complete, and the
/// watermark in µs.
const INPUT: &str = "sabot.input";
const COMPLETE: &str = "sabot.complete";
const WATERMARK: &str = "sabot.watermark";
/// The kinds of rows in a snapshot, by input.
pub(super) const PARTS: [&str; 2] = ["probe", "build"];

impl KeyedJoin {
    /// The rows of these key groups: one batch of each side at least, though it may be empty, because
    /// the watermark and whether the build side is complete are part of the state.
    pub(super) fn take_snapshot(&self, range: KeyGroupRange) -> Result<Vec<RecordBatch>, OperatorError> {
        self.check_taken()?;
        let mut batches = Vec::new();
        match &self.table {
            Some(table) => batches.push(self.with_group(table.rows.rows(), BUILD, range)?),
            None => {
                let build = self.build.iter().map(|kept| &kept.batch);
                let all = concat_batches(self.joiner.build_schema(), build);
                batches.push(self.with_group(&all.map_err(OperatorError::input)?, BUILD, range)?);
            }
        }
        let waiting =
            self.waiting.iter().map(|kept| &kept.batch).chain(self.open.as_ref().map(|probe| probe.batch()));
        let waiting = concat_batches(self.joiner.probe_schema(), waiting);
        batches.push(self.with_group(&waiting.map_err(OperatorError::input)?, PROBE, range)?);
        Ok(batches)
    }

    fn with_group(
        &self,
        rows: &RecordBatch,
        input: usize,
        range: KeyGroupRange,
    ) -> Result<RecordBatch, OperatorError> {
        let groups = self.groups(rows, input)?;
        let matched = match (&self.table, input) {
            (Some(table), BUILD) => (0..rows.num_rows()).map(|row| table.matched.contains(row)).collect(),
            _ => vec![false; rows.num_rows()],
        };
        let kept: BooleanArray = groups.iter().map(|group| Some(range.contains(*group))).collect();
        let all = self.marked(rows, input, (groups, matched), true)?;
        filter_record_batch(&all, &kept).map_err(OperatorError::input)
    }

    pub(super) fn check_taken(&self) -> Result<(), OperatorError> {
        match self.table.is_some() && (self.open.is_some() || !self.waiting.is_empty()) {
            true => Err(OperatorError::Order { step: "a snapshot", when: "before all output is taken" }),
            false => Ok(()),
        }
    }

    /// Begins a cut of the rows of both sides, as far as they are here.
    pub(super) fn cut_rows(&mut self, epoch: Epoch, stored: Option<Epoch>) {
        let head = [PROBE, BUILD].map(|input| RecordBatch::new_empty(self.stamped(input, true)));
        let table_cut = &mut self.table_cut;
        let table = self.table.as_ref().map(|table| (table_cut, BUILD, 0, table.rows.rows())).into_iter();
        let build = self.build.iter_mut().map(|kept| (&mut kept.cut, BUILD, 0, &kept.batch));
        let waiting = self.waiting.iter_mut().map(|kept| (&mut kept.cut, PROBE, 0, &kept.batch));
        self.cuts.begin(epoch, stored, head.into(), table.chain(build).chain(waiting));
    }

    /// Rows of a cut, ascending by key group.
    pub(super) fn write_cut(&self, input: usize, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let groups = self.groups(rows, input)?;
        let matched = vec![false; groups.len()];
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|row| groups[*row as usize]);
        let all = self.marked(rows, input, (groups, matched), false)?;
        take_record_batch(&all, &UInt32Array::from(order)).map_err(OperatorError::input)
    }

    fn marked(
        &self,
        rows: &RecordBatch,
        input: usize,
        (groups, matched): (Vec<u16>, Vec<bool>),
        is_snapshot: bool,
    ) -> Result<RecordBatch, OperatorError> {
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(matched)));
        columns.push(Arc::new(UInt16Array::from(groups)));
        batch(self.stamped(input, is_snapshot), columns, rows.num_rows())
    }

    /// The columns of rows; with what changes from epoch to epoch in their metadata, where they are not those of a cut.
    fn stamped(&self, input: usize, is_snapshot: bool) -> SchemaRef {
        let mut metadata = HashMap::from([
            (INPUT.to_owned(), input.to_string()),
            (PART.to_owned(), PARTS[input].to_owned()),
        ]);
        if is_snapshot {
            metadata.insert(COMPLETE.to_owned(), self.table.is_some().to_string());
            metadata.insert(WATERMARK.to_owned(), self.watermark.micros().to_string());
        }
        Arc::new(self.snapshot_schema(input).as_ref().clone().with_metadata(metadata))
    }

    pub(super) fn snapshot_schema(&self, input: usize) -> SchemaRef {
        let side = if input == PROBE { self.joiner.probe_schema() } else { self.joiner.build_schema() };
        let mut fields: Vec<Field> = side.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(Field::new(MATCHED, DataType::Boolean, false));
        fields.push(Field::new(GROUP, DataType::UInt16, false));
        Schema::new(fields).into()
    }

    /// Takes in the rows of `snapshots` whose key groups are owned here.
    pub(super) fn take_in(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let mut sides = [Vec::new(), Vec::new()];
        let mut complete = None;
        for (number, snapshot) in snapshots.iter().enumerate() {
            let input: usize = said(snapshot, INPUT)?;
            let watermark = EventTime(said(snapshot, WATERMARK)?);
            if number > 0 && watermark != self.watermark {
                return Err(OperatorError::Epochs { first: self.watermark, other: watermark });
            }
            self.watermark = watermark;
            let is_complete: bool = said(snapshot, COMPLETE)?;
            if *complete.get_or_insert(is_complete) != is_complete {
                return Err(OperatorError::input("snapshots with and without a whole build side"));
            }
            let side = sides.get_mut(input).ok_or_else(|| OperatorError::input("a third side"))?;
            let wanted = self.snapshot_schema(input);
            let rows = batch(wanted, snapshot.columns().to_vec(), snapshot.num_rows())?;
            let groups = rows.column(rows.num_columns() - 1).as_primitive::<UInt16Type>();
            let owned: BooleanArray = groups.values().iter().map(|g| Some(self.owned.contains(*g))).collect();
            side.push(filter_record_batch(&rows, &owned).map_err(OperatorError::input)?);
        }
        let [probe, build] = sides;
        self.handed_on = if complete == Some(true) { self.watermark } else { EventTime::MIN };
        let build = concat_batches(&self.snapshot_schema(BUILD), &build).map_err(OperatorError::input)?;
        // As the table will have it, so that each row keeps its mark.
        let build = in_build_order(build)?;
        let (rows, matched) = split(&build, self.joiner.build_schema())?;
        self.bytes += bytes_of(&rows);
        self.build.push(Kept::new(rows));
        if complete == Some(true) {
            self.complete()?;
            if let Some(Table { matched: noted, rows }) = &mut self.table {
                *noted = Matched::new(rows.rows().num_rows());
                let marked = matched.iter().enumerate().filter(|(_, marked)| *marked == Some(true));
                marked.for_each(|(row, _)| noted.insert(row));
            }
        }
        for rows in probe.iter().filter(|rows| rows.num_rows() > 0) {
            let (rows, _) = split(rows, self.joiner.probe_schema())?;
            self.bytes += bytes_of(&rows);
            self.waiting.push_back(Kept::new(rows));
        }
        Ok(())
    }
}

/// The rows without what the snapshot added, and the marks.
fn split(rows: &RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, BooleanArray), OperatorError> {
    let width = schema.fields().len();
    let plain = batch(schema.clone(), rows.columns()[..width].to_vec(), rows.num_rows())?;
    Ok((plain, rows.column(width).as_boolean().clone()))
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, OperatorError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(OperatorError::input)
}

fn said<T: std::str::FromStr>(snapshot: &RecordBatch, key: &str) -> Result<T, OperatorError> {
    let text = snapshot.schema_ref().metadata().get(key).and_then(|text| text.parse().ok());
    text.ok_or_else(|| OperatorError::input(format!("a snapshot of something else: it has no {key}")))
}
