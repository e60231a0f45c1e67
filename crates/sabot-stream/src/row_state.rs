//! Rows that wait in an operator, as its snapshot: the time they wait for, their key group, their columns.
//!
//! A snapshot is a batch for each time, rows contiguous and ascending by key group and otherwise in the
//! order in which they are held; the watermark stands with each. So a change of parallelism moves slices.

use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt16Type};
use sabot_batch::hidden;
use sabot_batch::key_hash::KeyHasher;
use sabot_common::{EventTime, KeyGroupRange, KeyGroups};
use sabot_state::{GROUP, KEY_COLUMNS, PART};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::{KeptRows, OperatorError};

/// The key of the schema's metadata under which the watermark stands, in µs.
const WATERMARK: &str = "sabot.watermark";

/// Columns of a snapshot before those of the rows: time and key group.
const KEPT_BEFORE: usize = 2;

/// How rows of one schema are written down.
#[derive(Debug)]
pub(crate) struct RowState {
    /// What kind of rows these are.
    part: &'static str,
    rows: SchemaRef,
    /// The columns whose hash says which key group a row is of; without any it is group 0.
    keys: Vec<usize>,
    seed: u64,
    key_groups: KeyGroups,
    owned: KeyGroupRange,
    /// Columns of a snapshot by which its rows are told apart, where some do.
    unique: Option<Range<usize>>,
}

impl RowState {
    pub(crate) fn new(
        part: &'static str,
        rows: SchemaRef,
        keys: Vec<usize>,
        seed: u64,
        (key_groups, owned): (KeyGroups, KeyGroupRange),
    ) -> Self {
        Self { part, rows, keys, seed, key_groups, owned, unique: None }
    }

    /// Rows that are told apart by their first columns, so many of them.
    pub(crate) fn unique_by(self, columns: usize) -> Self {
        Self { unique: Some(KEPT_BEFORE..KEPT_BEFORE + columns), ..self }
    }

    /// What kind of rows these are.
    pub(crate) fn part(&self) -> &'static str {
        self.part
    }

    /// What a snapshot has of these rows.
    pub(crate) fn kept(&self) -> KeptRows {
        KeptRows { part: self.part, schema: Schema::new(self.fields()).into() }
    }

    /// Checks that a batch has the planned columns, whatever their names: names are the planner's affair.
    pub(crate) fn check(&self, batch: &RecordBatch) -> Result<(), OperatorError> {
        let got = batch.schema_ref();
        let same = |(a, b): (&Arc<Field>, &Arc<Field>)| a.data_type() == b.data_type();
        let (ours, theirs) = (self.rows.fields(), got.fields());
        if Arc::ptr_eq(&self.rows, got) || (ours.len() == theirs.len() && ours.iter().zip(theirs).all(same)) {
            return Ok(());
        }
        Err(OperatorError::input(format!("a morsel of {got} came where {} was planned", self.rows)))
    }

    /// The rows of these batches that belong to a range of key groups, which all wait for `time`.
    pub(crate) fn write(
        &self,
        time: i64,
        batches: &[&RecordBatch],
        range: KeyGroupRange,
        watermark: EventTime,
    ) -> Result<RecordBatch, OperatorError> {
        self.write_as(self.schema(Some(watermark)), time, batches, range)
    }

    /// Rows of a cut, of which its head says how far the watermark is.
    pub(crate) fn write_cut(&self, time: i64, rows: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        self.write_as(self.schema(None), time, &[rows], self.owned)
    }

    /// The head of a cut.
    pub(crate) fn head(&self, watermark: EventTime) -> RecordBatch {
        RecordBatch::new_empty(self.schema(Some(watermark)))
    }

    fn write_as(
        &self,
        schema: SchemaRef,
        time: i64,
        batches: &[&RecordBatch],
        range: KeyGroupRange,
    ) -> Result<RecordBatch, OperatorError> {
        let all = concat_batches(&self.rows, batches.iter().copied()).map_err(OperatorError::input)?;
        let groups = self.groups(&all)?;
        let rows = u32::try_from(all.num_rows()).map_err(OperatorError::input)?;
        let mut order: Vec<u32> = (0..rows).filter(|row| range.contains(groups[*row as usize])).collect();
        order.sort_by_key(|row| groups[*row as usize]);
        let groups: UInt16Array = order.iter().map(|row| groups[*row as usize]).collect::<Vec<u16>>().into();
        let picked = take_record_batch(&all, &UInt32Array::from(order)).map_err(OperatorError::input)?;
        let mut columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![time; picked.num_rows()])), Arc::new(groups)];
        columns.extend_from_slice(picked.columns());
        RecordBatch::try_new(schema, columns).map_err(OperatorError::input)
    }

    /// The rows of a snapshot that are owned here, in runs of one time; and the watermark.
    pub(crate) fn read(
        &self,
        snapshot: &RecordBatch,
    ) -> Result<(EventTime, Vec<(i64, RecordBatch)>), OperatorError> {
        let unknown = || OperatorError::input("a snapshot of another operator");
        let watermark = snapshot.schema_ref().metadata().get(WATERMARK).and_then(|text| text.parse().ok());
        let watermark = EventTime(watermark.ok_or_else(unknown)?);
        if !self.wrote(snapshot) {
            return Err(unknown());
        }
        let groups = snapshot.column(1).as_primitive::<UInt16Type>();
        let owned: BooleanArray = groups.values().iter().map(|g| Some(self.owned.contains(*g))).collect();
        let mine = filter_record_batch(snapshot, &owned).map_err(OperatorError::input)?;
        let rows = RecordBatch::try_new(self.rows.clone(), mine.columns()[KEPT_BEFORE..].to_vec());
        let rows = rows.map_err(OperatorError::input)?;
        let times = mine.column(0).as_primitive::<Int64Type>().values();
        let runs = runs(times).map(|(time, run)| (time, rows.slice(run.start, run.len())));
        Ok((watermark, runs.collect()))
    }

    /// Whether a snapshot has the columns of these rows.
    pub(crate) fn wrote(&self, snapshot: &RecordBatch) -> bool {
        let same =
            |(a, b): (&Arc<Field>, &Arc<Field>)| a.name() == b.name() && a.data_type() == b.data_type();
        let (expected, got) = (self.fields(), snapshot.schema_ref());
        got.fields().len() == expected.len() && got.fields().iter().zip(&expected).all(same)
    }

    fn groups(&self, rows: &RecordBatch) -> Result<Vec<u16>, OperatorError> {
        if self.keys.is_empty() {
            return Ok(vec![0; rows.num_rows()]);
        }
        let mut hashes = Vec::new();
        let hashed = KeyHasher::new(self.seed).hash_batch_columns(rows, &self.keys, &mut hashes);
        hashed.map_err(OperatorError::input)?;
        Ok(hashes.into_iter().map(|hash| self.key_groups.group_of(hash)).collect())
    }

    fn fields(&self) -> Vec<Arc<Field>> {
        let mut fields = vec![
            Arc::new(Field::new(hidden::WINDOW, DataType::Int64, false)),
            Arc::new(Field::new(GROUP, DataType::UInt16, false)),
        ];
        fields.extend(self.rows.fields().iter().cloned());
        fields
    }

    fn schema(&self, watermark: Option<EventTime>) -> SchemaRef {
        let watermark = watermark.map(|time| (WATERMARK.to_owned(), time.micros().to_string()));
        let part = (PART.to_owned(), self.part.to_owned());
        let unique = self.unique.as_ref();
        let unique =
            unique.map(|columns| (KEY_COLUMNS.to_owned(), format!("{}..{}", columns.start, columns.end)));
        let metadata: HashMap<_, _> = watermark.into_iter().chain([part]).chain(unique).collect();
        Arc::new(Schema::new(self.fields()).with_metadata(metadata))
    }
}

/// The runs of equal times, in row order.
pub(crate) fn runs(times: &[i64]) -> impl Iterator<Item = (i64, Range<usize>)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let from = next;
        let time = *times.get(from)?;
        next = times[from..].iter().position(|t| *t != time).map_or(times.len(), |run| from + run);
        Some((time, from..next))
    })
}

/// Takes the watermark of one more snapshot of an epoch: the first sets it, the others must agree.
pub(crate) fn agree(known: &mut Option<EventTime>, other: EventTime) -> Result<(), OperatorError> {
    match *known {
        Some(first) if first != other => Err(OperatorError::Epochs { first, other }),
        _ => {
            *known = Some(other);
            Ok(())
        }
    }
}
