//! Group-by: rows become partial state on the device, and only groups come back.
//!
//! The table of a launch begins small and is made larger when it was full; how large it had to be is remembered for the
//! next morsel. Of a few groups everything is fetched with the first answer, of more the rest is asked for. Groups come
//! back in any order and are sorted by their first rows. Their keys are those of these rows: a column of the input is
//! looked up where it is, whatever its type.

use arrow::array::{
    Array, ArrayData, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, UInt32Array, UInt64Array, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use sabot_batch::key_hash::KeyHasher;
use sabot_batch::key_index::canonical;
use sabot_batch::{Morsel, RowKind, RowKinds};
use sabot_codegen::{ColumnSource, Groups, Parameters, Recorded, StateColumn, Storage};
use sabot_ops::{Failure, Output, PartitionSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::backend::Shared;
use crate::device::{Bindings, Slab, WorkStep};
use crate::front::{Front, Prepared};
use crate::memory::Held;
use crate::results::narrowed;
use crate::slab::Layout;
use crate::source::{FULL, GROUPS, HEAD, TILE};
use crate::tickets::{Next, Operation, Stop, Work, bug};

/// Slots of a table that nobody has found too small: two thousand groups.
pub(crate) const SLOTS_MIN: usize = 4_096;

/// By how much a table grows that was full.
const GROWTH: usize = 8;

/// Groups that are fetched before it is known how many there are: some tens of kilobytes.
const GROUPS_FETCHED: usize = 1_024;

/// Workgroups of a launch: each has a table of its own to give to that of the launch, so that more of them than a large
/// device holds at a time are work for nothing.
const WORKGROUPS_MAX: u32 = 1_024;

/// A compiled fragment that ends in a group-by, or in a partition behind one.
#[derive(Debug)]
pub(crate) struct GroupBy {
    pub(crate) front: Front,
    pub(crate) groups: Groups,
    pub(crate) partition: Option<PartitionSpec>,
    /// Slots that were enough so far.
    pub(crate) slots: AtomicUsize,
}

/// A launch that is under way.
struct Launched {
    input: Morsel,
    prepared: Prepared,
    bindings: Bindings,
    rows_max: usize,
    slots: usize,
    /// How long the device has taken so far, where it says so.
    elapsed: Option<Duration>,
}

impl Launched {
    /// More time on the device.
    fn add(&mut self, more: Option<Duration>) {
        self.elapsed = self.elapsed.map_or(more, |elapsed| Some(elapsed + more.unwrap_or_default()));
    }
}

impl Operation for GroupBy {
    fn start(self: Arc<Self>, shared: &Shared, input: &Morsel, rows_max: usize) -> Result<Next, Stop> {
        let prepared = self.front.prepare(input, rows_max)?;
        let live = |row: usize| prepared.live.as_ref().is_none_or(|live| live.contains(row));
        if let RowKinds::PerRow(kinds) = input.kinds()
            && let Some(row) = (0..prepared.rows).find(|row| kinds[*row] != RowKind::Insert && live(*row))
        {
            return Err(bug(format!("group-by: row {row} is no insert")));
        }
        if prepared.live_rows() == 0 {
            return Ok(Next::Done(Output { late: prepared.late, ..Output::default() }));
        }
        let slots = self.slots.load(Ordering::Relaxed).max(SLOTS_MIN);
        self.launch(shared, input.clone(), prepared, (rows_max, slots), None)
    }
}

impl GroupBy {
    fn launch(
        self: Arc<Self>,
        shared: &Shared,
        input: Morsel,
        prepared: Prepared,
        (rows_max, slots): (usize, usize),
        elapsed: Option<Duration>,
    ) -> Result<Next, Stop> {
        let (source, grouping, device) = (&self.front.source, &self.groups.grouping, &shared.device);
        // Twice as many as there are rows are never full.
        let slots = slots.min((2 * prepared.rows).next_power_of_two());
        let mut layout = Layout::new(source, &prepared.columns, prepared.rows, prepared.live.is_some());
        layout.parameters[Parameters::SLOTS] = slots as u32;
        let record = grouping.record_words(&source.program);
        layout.output_words = (slots / 2).max(1) * record;
        let (bindings, buffers, mut steps) = self.front.fill(shared, &prepared, &layout)?;
        let blocks = (prepared.rows as u32)
            .div_ceil(source.tile_rows())
            .min(WORKGROUPS_MAX)
            .min(device.limits().workgroups_max);
        let sweep = (slots as u32).div_ceil(TILE).min(WORKGROUPS_MAX).min(device.limits().workgroups_max);
        for (entry, groups) in [blocks, sweep].into_iter().enumerate() {
            let (kernel, bindings) = (self.front.loaded.clone(), bindings.clone());
            steps.push(WorkStep::Launch { kernel, entry, bindings, groups });
        }
        let first = layout.output_words.min(GROUPS_FETCHED * record);
        for (part, words) in [(&bindings.status, HEAD), (&bindings.output, first)] {
            steps.push(WorkStep::Download { from: part.buffer.clone(), words, to: device.slab(words)? });
        }
        let work = device.submit(steps)?;
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        let mut launched = Launched { input, prepared, bindings, rows_max, slots, elapsed };
        Ok(Next::Work(Work {
            work,
            buffers,
            then: Box::new(move |shared, finished, buffers| {
                launched.add(finished.elapsed);
                let mut downloaded = finished.downloaded.into_iter();
                let (Some(status), Some(records)) = (downloaded.next(), downloaded.next()) else {
                    return Err(bug("a device gave back too few slabs"));
                };
                self.first_answer(shared, launched, buffers, status.words(), records)
            }),
        }))
    }

    /// The head of the table, and some records.
    fn first_answer(
        self: Arc<Self>,
        shared: &Shared,
        mut launched: Launched,
        buffers: Vec<Held>,
        status: &[u32],
        records: Box<dyn Slab>,
    ) -> Result<Next, Stop> {
        if status[0] != 0 {
            return Ok(Next::Done(self.front.by_hand(shared, &launched.input)?));
        }
        if status[FULL] != 0 {
            let Launched { input, prepared, bindings, rows_max, slots, elapsed } = launched;
            if slots >= 2 * prepared.rows {
                return Err(bug("a table with room for all rows is full"));
            }
            let slots = slots * GROWTH;
            self.slots.fetch_max(slots, Ordering::Relaxed);
            shared.counters.grown.fetch_add(1, Ordering::Relaxed);
            // The next table may take the memory of this one.
            drop((bindings, buffers));
            return self.launch(shared, input, prepared, (rows_max, slots), elapsed);
        }
        let groups = status[GROUPS] as usize;
        let words = groups * self.groups.grouping.record_words(&self.front.source.program);
        if groups <= GROUPS_FETCHED {
            return Ok(Next::Done(self.output(launched, &records.words()[..words], groups)?));
        }
        let from = launched.bindings.output.buffer.clone();
        let work =
            shared.device.submit(vec![WorkStep::Download { from, words, to: shared.device.slab(words)? }])?;
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        Ok(Next::Work(Work {
            work,
            buffers,
            then: Box::new(move |_, finished, _| {
                launched.add(finished.elapsed);
                let [records] = &finished.downloaded[..] else {
                    return Err(bug("a device gave back too few slabs"));
                };
                Ok(Next::Done(self.output(launched, &records.words()[..words], groups)?))
            }),
        }))
    }

    /// Partial state, of the records of groups.
    fn output(&self, launched: Launched, records: &[u32], groups: usize) -> Result<Output, Stop> {
        let Launched { prepared, rows_max, elapsed, .. } = launched;
        let late = prepared.late;
        if groups == 0 {
            return Ok(Output { late, elapsed, ..Output::default() });
        }
        let records = Records::new(self, records, groups);
        let arrow = |error: arrow::error::ArrowError| bug(error.to_string());
        let schema = self.schema()?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        let first = records.rows(0);
        for (number, from) in self.groups.keys.iter().enumerate() {
            columns.push(match from {
                ColumnSource::Passed(column) => {
                    let column = prepared.columns.get(*column).ok_or_else(|| bug("no such key"))?;
                    canonical(&take(column, &first, None).map_err(arrow)?).map_err(arrow)?
                }
                ColumnSource::Computed(_) => {
                    let field = schema.field(number);
                    records.recorded(Recorded::Key(number), field.data_type(), None).map_err(bug)?
                }
            });
        }
        columns.push(self.hashes(&columns, groups)?);
        for (number, state) in self.groups.state.iter().enumerate() {
            let field = schema.field(self.groups.keys.len() + 1 + number);
            columns.push(match *state {
                StateColumn::Best { row, of: ColumnSource::Passed(column) } => {
                    let column = prepared.columns.get(column).ok_or_else(|| bug("no such argument"))?;
                    take(column, &records.best(row), None).map_err(arrow)?
                }
                StateColumn::Best { row, .. } => {
                    let valid = records.best(row).nulls().cloned();
                    records.recorded(Recorded::Best(row), field.data_type(), valid).map_err(bug)?
                }
                StateColumn::Count(count) => records.counts(count),
                StateColumn::Sum { sum, count, signed } => records.sums(sum, count, signed).map_err(arrow)?,
                StateColumn::SumFloats { sum, count } => records.floats(sum, count),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(groups));
        let batch = RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow)?;
        let mut morsels = Vec::new();
        for (target, batch) in self.targets(batch)? {
            let morsel = Morsel::new(batch);
            let pieces = if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] };
            morsels.extend(pieces.into_iter().map(|piece| (target, piece)));
        }
        Ok(Output { morsels, late, elapsed, ..Output::default() })
    }

    /// The schema of partial state: a partition changes no column.
    fn schema(&self) -> Result<Arc<Schema>, Stop> {
        Ok(self.front.fragment.output().clone())
    }

    /// The key hash of each group. There are as many as groups, and they decide which task owns a key: what is computed once
    /// for all devices cannot differ between them.
    fn hashes(&self, keys: &[ArrayRef], groups: usize) -> Result<ArrayRef, Stop> {
        let spec = &self.groups.spec;
        let fields: Vec<Field> = spec
            .hashed
            .iter()
            .map(|key| Field::new(key.to_string(), keys[*key].data_type().clone(), true))
            .collect();
        let hashed = spec.hashed.iter().map(|key| keys[*key].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(groups));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), hashed, &options);
        let batch = batch.map_err(|error| bug(error.to_string()))?;
        let (all, mut hashes): (Vec<usize>, _) = ((0..batch.num_columns()).collect(), Vec::new());
        let hasher = KeyHasher::new(spec.seed);
        hasher.hash_batch_columns(&batch, &all, &mut hashes).map_err(|error| bug(error.to_string()))?;
        Ok(Arc::new(UInt64Array::from(hashes)))
    }

    /// The groups of each task, in the order of tasks; within one, in their own order.
    fn targets(&self, batch: RecordBatch) -> Result<Vec<(u32, RecordBatch)>, Failure> {
        let Some(spec) = self.partition.as_ref().filter(|spec| spec.parallelism > 1) else {
            return Ok(vec![(0, batch)]);
        };
        let hashes = batch.column(self.groups.keys.len()).to_data();
        let hashes = &hashes.buffers()[0].typed_data::<u64>()[..batch.num_rows()];
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); spec.parallelism as usize];
        for (row, hash) in (0u32..).zip(hashes) {
            let group = spec.key_groups.group_of(*hash);
            let target = spec.key_groups.task_of_group(group, spec.parallelism as usize);
            rows[target].push(row);
        }
        let mut parts = Vec::new();
        for (target, rows) in (0u32..).zip(rows) {
            if rows.len() == batch.num_rows() {
                return Ok(vec![(target, batch)]);
            }
            if !rows.is_empty() {
                let part = arrow::compute::take_record_batch(&batch, &UInt32Array::from(rows));
                parts.push((target, part.map_err(|error| Failure::Internal(error.to_string()))?));
            }
        }
        Ok(parts)
    }
}

/// The records of groups, in the order of their first rows.
struct Records<'a> {
    of: &'a GroupBy,
    words: &'a [u32],
    /// Where each begins.
    order: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(of: &'a GroupBy, words: &'a [u32], groups: usize) -> Self {
        let size = words.len() / groups;
        let mut order: Vec<usize> = (0..groups).map(|group| group * size).collect();
        // The complement of the first row.
        order.sort_unstable_by_key(|at| !words[*at]);
        Self { of, words, order }
    }

    fn word(&self, number: usize) -> impl Iterator<Item = u32> + '_ {
        self.order.iter().map(move |at| self.words[at + number])
    }

    fn offset(&self, accumulator: usize) -> usize {
        self.of.groups.grouping.offset(&self.of.front.source.program, accumulator)
    }

    /// Rows whose complements a word holds.
    fn rows(&self, number: usize) -> UInt32Array {
        self.word(number).map(|word| !word).collect::<Vec<u32>>().into()
    }

    /// Rows that an accumulator has found; null where it has found none.
    fn best(&self, accumulator: usize) -> UInt32Array {
        self.word(self.offset(accumulator)).map(|row| row.checked_sub(1)).collect()
    }

    fn counts(&self, accumulator: usize) -> ArrayRef {
        Arc::new(
            self.word(self.offset(accumulator)).map(|count| Some(i64::from(count))).collect::<Int64Array>(),
        )
    }

    /// Where a count is not zero.
    fn some(&self, count: usize) -> NullBuffer {
        let counts: Vec<u32> = self.word(self.offset(count)).collect();
        NullBuffer::new(BooleanBuffer::collect_bool(counts.len(), |group| counts[group] != 0))
    }

    fn sums(&self, sum: usize, count: usize, signed: bool) -> Result<ArrayRef, arrow::error::ArrowError> {
        let grouping = &self.of.groups.grouping;
        let words = grouping.words_of(&self.of.front.source.program, sum);
        let at = self.offset(sum);
        let value = |record: &usize| -> i128 {
            let high = self.words[record + at + words - 1];
            let sign = if signed { i128::from(high as i32) } else { i128::from(high) };
            (0..words - 1)
                .rev()
                .fold(sign, |value, word| value << 32 | i128::from(self.words[record + at + word]))
        };
        let values: Vec<i128> = self.order.iter().map(value).collect();
        let sums = Decimal128Array::new(values.into(), Some(self.some(count)));
        Ok(Arc::new(sums.with_precision_and_scale(38, 0)?))
    }

    fn floats(&self, sum: usize, count: usize) -> ArrayRef {
        let grouping = &self.of.groups.grouping;
        let at = grouping.words(&self.of.front.source.program) + 2 * grouping.float(sum);
        let values = self.word(at).zip(self.word(at + 1));
        let values: Vec<f64> =
            values.map(|(low, high)| f64::from_bits(u64::from(high) << 32 | u64::from(low))).collect();
        Arc::new(Float64Array::new(values.into(), Some(self.some(count))))
    }

    /// Values that the device has computed once more.
    fn recorded(
        &self,
        wanted: Recorded,
        data_type: &DataType,
        valid: Option<NullBuffer>,
    ) -> Result<ArrayRef, String> {
        let (grouping, program) = (&self.of.groups.grouping, &self.of.front.source.program);
        let number = grouping.recorded.iter().position(|recorded| *recorded == wanted);
        let number = number.ok_or("a value that is not recorded")?;
        let output = grouping.recorded_output(wanted).ok_or("a value of nothing")?;
        let output = program.outputs()[output];
        let mut at = grouping.recorded_at(program, number);
        let mut valid = valid;
        if matches!(wanted, Recorded::Key(_)) && output.valid.is_some() {
            valid = Some(NullBuffer::new(self.word(at).map(|word| word != 0).collect::<BooleanBuffer>()));
            at += 1;
        }
        if output.storage == Storage::Bit {
            let values = self.word(at).map(|word| word != 0).collect::<BooleanBuffer>();
            return Ok(Arc::new(BooleanArray::new(values, valid)));
        }
        let buffer = match output.storage.bits() {
            64 => {
                let pairs = self.word(at).zip(self.word(at + 1));
                Buffer::from_vec(pairs.flat_map(|(low, high)| [low, high]).collect::<Vec<u32>>())
            }
            32 => Buffer::from_vec(self.word(at).collect::<Vec<u32>>()),
            _ => narrowed(output.storage, &self.word(at).collect::<Vec<u32>>()),
        };
        let data =
            ArrayData::builder(data_type.clone()).len(self.order.len()).add_buffer(buffer).nulls(valid);
        data.build().map(make_array).map_err(|error| error.to_string())
    }
}
