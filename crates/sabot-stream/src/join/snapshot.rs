//! State out and in: the rows of both sides with their key groups, and which build rows have matched.

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt16Array, UInt32Array,
};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt16Type, UInt32Type};
use sabot_common::{Epoch, EventTime, KeyGroupRange};
use sabot_cpu::join::in_build_order;
use sabot_state::{GROUP, PART};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::marks::{self, MATCHED, Places};
use super::{BUILD, Kept, KeyedJoin, PROBE, Table, bytes_of};
use crate::OperatorError;

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
        if self.keeps_build() {
            batches.push(self.write_marks(range)?);
        }
        Ok(batches)
    }

    /// The marks of rows of these key groups.
    fn write_marks(&self, range: KeyGroupRange) -> Result<RecordBatch, OperatorError> {
        let schema = marks::schema(self.said());
        let Some(Table { rows, marks: Some(marks) }) = &self.table else {
            return Ok(RecordBatch::new_empty(schema));
        };
        let groups = self.groups(rows.rows(), BUILD)?;
        let mut matched: Vec<u32> = (0..groups.len() as u32).collect();
        matched.retain(|row| range.contains(groups[*row as usize]) && marks.matched.contains(*row as usize));
        Places::new(groups).write(schema, &matched)
    }

    fn with_group(
        &self,
        rows: &RecordBatch,
        input: usize,
        range: KeyGroupRange,
    ) -> Result<RecordBatch, OperatorError> {
        let groups = self.groups(rows, input)?;
        let kept: BooleanArray = groups.iter().map(|group| Some(range.contains(*group))).collect();
        let all = self.grouped(rows, input, groups, true)?;
        filter_record_batch(&all, &kept).map_err(OperatorError::input)
    }

    pub(super) fn check_taken(&self) -> Result<(), OperatorError> {
        // Before the build side is complete nothing can be taken.
        OperatorError::check_taken(self.table.is_none() || self.open.is_none() && self.waiting.is_empty())
    }

    /// Begins a cut of the rows of both sides, as far as they are here, and of the marks.
    pub(super) fn begin_cuts(&mut self, epoch: Epoch, stored: Option<Epoch>) {
        self.head = [PROBE, BUILD].map(|input| RecordBatch::new_empty(self.stamped(input, true))).into();
        let matched = self.keeps_build().then(|| RecordBatch::new_empty(marks::schema(self.said())));
        self.head.extend(matched);
        let table_cut = &mut self.table_cut;
        let table = self.table.as_ref().map(|table| (table_cut, BUILD, 0, table.rows.rows())).into_iter();
        let build = self.build.iter_mut().map(|kept| (&mut kept.cut, BUILD, 0, &kept.batch));
        let waiting = self.waiting.iter_mut().map(|kept| (&mut kept.cut, PROBE, 0, &kept.batch));
        self.cuts.begin(epoch, stored, Vec::new(), table.chain(build).chain(waiting));
        if let Some(Table { marks: Some(marks), .. }) = &mut self.table {
            marks.begin(epoch, stored);
        }
    }

    /// The next marks of a cut.
    pub(super) fn next_marks(&mut self, max: usize) -> Result<Option<Vec<RecordBatch>>, OperatorError> {
        let Some(mut table) = self.table.take() else { return Ok(None) };
        let rows = table.rows.rows();
        let groups = |range: Range<usize>| self.groups(&rows.slice(range.start, range.len()), BUILD);
        let next = table.marks.as_mut().map_or(Ok(None), |marks| marks.next(max, groups));
        self.table = Some(table);
        next
    }

    /// Rows of a cut, ascending by key group.
    pub(super) fn write_cut(&self, input: usize, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let groups = self.groups(rows, input)?;
        let mut order: Vec<u32> = (0..groups.len() as u32).collect();
        order.sort_by_key(|row| groups[*row as usize]);
        let all = self.grouped(rows, input, groups, false)?;
        take_record_batch(&all, &UInt32Array::from(order)).map_err(OperatorError::input)
    }

    fn grouped(
        &self,
        rows: &RecordBatch,
        input: usize,
        groups: Vec<u16>,
        is_snapshot: bool,
    ) -> Result<RecordBatch, OperatorError> {
        let mut columns = rows.columns().to_vec();
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
            metadata.extend(self.said());
        }
        Arc::new(self.snapshot_schema(input).as_ref().clone().with_metadata(metadata))
    }

    /// What a snapshot says of its epoch.
    fn said(&self) -> HashMap<String, String> {
        HashMap::from([
            (COMPLETE.to_owned(), self.table.is_some().to_string()),
            (WATERMARK.to_owned(), self.watermark.micros().to_string()),
        ])
    }

    pub(super) fn snapshot_schema(&self, input: usize) -> SchemaRef {
        let side = if input == PROBE { self.joiner.probe_schema() } else { self.joiner.build_schema() };
        let mut fields: Vec<Field> = side.fields().iter().map(|f| f.as_ref().clone()).collect();
        fields.push(Field::new(GROUP, DataType::UInt16, false));
        Schema::new(fields).into()
    }

    /// Takes in the rows of `snapshots` whose key groups are owned here.
    pub(super) fn take_in(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let mut sides = [Vec::new(), Vec::new()];
        let (mut complete, mut matched) = (None, Vec::new());
        for (number, snapshot) in snapshots.iter().enumerate() {
            let watermark = EventTime(said(snapshot, WATERMARK)?);
            if number > 0 && watermark != self.watermark {
                return Err(OperatorError::Epochs { first: self.watermark, other: watermark });
            }
            self.watermark = watermark;
            let is_complete: bool = said(snapshot, COMPLETE)?;
            if *complete.get_or_insert(is_complete) != is_complete {
                return Err(OperatorError::input("snapshots with and without a whole build side"));
            }
            if snapshot.schema_ref().metadata().get(PART).is_some_and(|part| part == MATCHED) {
                let columns = snapshot.columns().to_vec();
                matched.push(batch(marks::schema(HashMap::new()), columns, snapshot.num_rows())?);
                continue;
            }
            let input: usize = said(snapshot, INPUT)?;
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
        let rows = plain(&in_build_order(build)?, self.joiner.build_schema())?;
        self.bytes += bytes_of(&rows);
        self.build.push(Kept::new(rows));
        if complete == Some(true) {
            self.complete()?;
            self.take_in_marks(&matched)?;
        }
        for rows in probe.iter().filter(|rows| rows.num_rows() > 0) {
            let rows = plain(rows, self.joiner.probe_schema())?;
            self.bytes += bytes_of(&rows);
            self.waiting.push_back(Kept::new(rows));
        }
        Ok(())
    }

    /// Notes the rows of the table that had matched.
    fn take_in_marks(&mut self, snapshots: &[RecordBatch]) -> Result<(), OperatorError> {
        let Some(mut table) = self.table.take() else { return Ok(()) };
        if let Some(marks) = &mut table.marks {
            let rows = Places::new(self.groups(table.rows.rows(), BUILD)?).by_group();
            for snapshot in snapshots {
                let groups = snapshot.column(0).as_primitive::<UInt16Type>().values();
                let numbers = snapshot.column(1).as_primitive::<UInt32Type>().values();
                for (group, number) in groups.iter().zip(numbers) {
                    if !self.owned.contains(*group) {
                        continue;
                    }
                    let of_group = rows.get(usize::from(*group));
                    let row = of_group.and_then(|rows| rows.get(*number as usize)).ok_or_else(|| {
                        let message =
                            format!("row {number} of key group {group} has matched, and is not there");
                        OperatorError::input(message)
                    })?;
                    marks.matched.insert(*row as usize);
                }
            }
        }
        self.table = Some(table);
        Ok(())
    }
}

/// The rows without what the snapshot added.
fn plain(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, OperatorError> {
    let width = schema.fields().len();
    batch(schema.clone(), rows.columns()[..width].to_vec(), rows.num_rows())
}

fn batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, OperatorError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(OperatorError::input)
}

fn said<T: std::str::FromStr>(snapshot: &RecordBatch, key: &str) -> Result<T, OperatorError> {
    let text = snapshot.schema_ref().metadata().get(key).and_then(|text| text.parse().ok());
    text.ok_or_else(|| OperatorError::input(format!("a snapshot of something else: it has no {key}")))
}
