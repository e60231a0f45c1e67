//! Rows that stay rows: only the columns that expressions read go to the device, and bitmaps and computed columns come
//! back, of the rows that are kept. A column that goes through as it is stays where it is.

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use sabot_batch::{Morsel, RowKinds, Selection, unpaired};
use sabot_codegen::ColumnSource;
use sabot_ops::{Output, PartitionSpec};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::backend::Shared;
use crate::device::{DeviceBuffer, Finished, WorkStep};
use crate::front::{Front, Prepared};
use crate::memory::Held;
use crate::results::Results;
use crate::slab::Layout;
use crate::source::{CLAIMED, STATUS};
use crate::tickets::{Next, Operation, Stop, Work, bug};

/// A compiled fragment whose rows stay rows.
#[derive(Debug)]
pub(crate) struct FilterProject {
    pub(crate) front: Front,
    /// Where the columns of the output come from.
    pub(crate) columns: Vec<ColumnSource>,
    /// The output that says which task owns a row's key, and how many tasks there are.
    pub(crate) partition: Option<(usize, PartitionSpec)>,
    /// Words of chunks for [`SHARE`] rows, as the last morsel had them.
    pub(crate) claimed: AtomicUsize,
}

/// How finely it is remembered how many rows are kept.
const SHARE: usize = 1_024;

/// Words that are fetched without knowing that they are needed: 32 KiB are less than a microsecond on a link, a second way to the device
/// and back is ten.
const SPARE: usize = 8 << 10;

/// A morsel whose rows lie on the device.
struct Launched {
    input: Morsel,
    prepared: Prepared,
    layout: Layout,
    output: Arc<dyn DeviceBuffer>,
    rows_max: usize,
    /// Words of the output that are fetched.
    words: usize,
    /// How long the device has taken so far, where it says so.
    elapsed: Option<Duration>,
}

impl Operation for FilterProject {
    fn start(self: Arc<Self>, shared: &Shared, input: &Morsel, rows_max: usize) -> Result<Next, Stop> {
        let prepared = self.front.prepare(input, rows_max)?;
        let source = &self.front.source;
        let layout = Layout::new(source, &prepared.columns, prepared.rows, prepared.live.is_some());
        let (bindings, buffers, mut steps) = self.front.fill(shared, &prepared, &layout)?;
        let device = &shared.device;
        let groups =
            (prepared.rows as u32).div_ceil(source.tile_rows()).min(device.limits().workgroups_max).max(1);
        let (status, output) = (bindings.status.buffer.clone(), bindings.output.buffer.clone());
        steps.push(WorkStep::Launch { kernel: self.front.loaded.clone(), entry: 0, bindings, groups });
        steps.push(WorkStep::Download { from: status, words: STATUS, to: device.slab(STATUS)? });
        let words = self.expected_words(&layout, prepared.rows);
        let to = device.slab(words)?;
        steps.push(WorkStep::Download { from: output.clone(), words, to });
        let work = device.submit(steps)?;
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        let input = input.clone();
        let launched = Launched { input, prepared, layout, output, rows_max, words, elapsed: None };
        Ok(Next::Work(Work {
            work,
            buffers,
            then: Box::new(move |shared, finished, buffers| self.answer(shared, launched, finished, buffers)),
        }))
    }
}

impl FilterProject {
    /// Words of the output that are fetched before it is known how many rows are kept: somewhat more than the last time.
    fn expected_words(&self, layout: &Layout, rows: usize) -> usize {
        if !self.front.source.is_packed() {
            return layout.output_words;
        }
        let expected = self.claimed.load(Ordering::Relaxed) * rows.div_ceil(SHARE);
        (layout.head_words + expected + expected / 8 + SPARE).min(layout.output_words)
    }

    /// What the device has left: all of it, or as much as was expected.
    fn answer(
        self: Arc<Self>,
        shared: &Shared,
        mut launched: Launched,
        finished: Finished,
        buffers: Vec<Held>,
    ) -> Result<Next, Stop> {
        let [status, output] = &finished.downloaded[..] else {
            return Err(bug("a device gave back too few slabs"));
        };
        launched.elapsed = finished.elapsed;
        let status = status.words();
        if status[0] != 0 {
            let elapsed = launched.elapsed;
            return Ok(Next::Done(Output { elapsed, ..self.front.by_hand(shared, &launched.input)? }));
        }
        if self.front.source.is_packed() {
            let claimed = status[CLAIMED] as usize;
            let words = launched.layout.head_words + claimed;
            if words > launched.layout.output_words {
                return Err(bug(format!("{claimed} words of chunks were claimed")));
            }
            self.claimed.store(claimed.div_ceil(launched.prepared.rows.div_ceil(SHARE)), Ordering::Relaxed);
            if words > launched.words {
                return self.fetch(shared, launched, words, buffers);
            }
        }
        Ok(Next::Done(self.output(launched, output.words())?))
    }

    /// Fetches the output once more, so many words of it.
    fn fetch(
        self: Arc<Self>,
        shared: &Shared,
        mut launched: Launched,
        words: usize,
        buffers: Vec<Held>,
    ) -> Result<Next, Stop> {
        let (from, to) = (launched.output.clone(), shared.device.slab(words)?);
        let work = shared.device.submit(vec![WorkStep::Download { from, words, to }])?;
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        launched.words = words;
        Ok(Next::Work(Work {
            work,
            buffers,
            then: Box::new(move |_, finished, _| {
                launched.elapsed = launched.elapsed.map(|first| first + finished.elapsed.unwrap_or_default());
                let [output] = &finished.downloaded[..] else {
                    return Err(bug("a device gave back too few slabs"));
                };
                Ok(Next::Done(self.output(launched, output.words())?))
            }),
        }))
    }

    /// The result of a morsel, from what the device has left in the slab.
    fn output(&self, launched: Launched, slab: &[u32]) -> Result<Output, Stop> {
        let Launched { input, prepared, layout, rows_max, words, elapsed, .. } = launched;
        let source = &self.front.source;
        let slab = slab.get(..words).ok_or_else(|| bug("a device gave back too few words"))?;
        let results = Results::new(source, &layout, slab).map_err(bug)?;
        let schema = self.front.fragment.output();
        let mut wanted: Vec<(ColumnSource, Arc<Field>)> =
            self.columns.iter().copied().zip(schema.fields().iter().cloned()).collect();
        if let Some((number, _)) = &self.partition {
            let target = Field::new("", DataType::UInt32, false);
            wanted.push((ColumnSource::Computed(*number), Arc::new(target)));
        }
        let computed = |number: usize, field: &Field| {
            results.column(number, (field.data_type(), field.is_nullable())).map_err(bug)
        };
        // Where the device has dropped rows of what it computed, the host drops the same of all other columns.
        let mut loose: Vec<(ArrayRef, Arc<Field>)> = Vec::with_capacity(wanted.len());
        for (from, field) in &wanted {
            let column = match *from {
                ColumnSource::Passed(index) => {
                    let passed = prepared.columns.get(index).cloned();
                    passed.ok_or_else(|| bug(format!("no column {index} to pass on")))?
                }
                ColumnSource::Computed(_) if source.is_packed() => continue,
                ColumnSource::Computed(number) => computed(number, field)?,
            };
            loose.push((column, field.clone()));
        }
        let mut morsel = Morsel::new(self.batch(loose, prepared.rows)?)
            .with_kinds(input.kinds().clone())?
            .with_time_bounds(input.time_bounds())
            .with_origin(input.origin().cloned());
        if let Some(live) = prepared.live {
            morsel = morsel.with_selection(live)?;
        }
        if let Some(kept) = results.kept() {
            let words = kept.values().bit_chunks().iter_padded().collect();
            morsel = morsel.with_selection(Selection::from_words(words, prepared.rows))?;
        }
        let mut morsel = morsel.compact()?;
        if source.is_packed() {
            let dense = morsel.to_host()?;
            let mut passed = dense.columns().iter().cloned();
            let mut columns = Vec::with_capacity(wanted.len());
            for (from, field) in wanted {
                let column = match from {
                    ColumnSource::Passed(_) => passed.next().ok_or_else(|| bug("a column was lost"))?,
                    ColumnSource::Computed(number) => computed(number, &field)?,
                };
                columns.push((column, field));
            }
            morsel = Morsel::new(self.batch(columns, dense.num_rows())?)
                .with_kinds(morsel.kinds().clone())?
                .with_time_bounds(morsel.time_bounds())
                .with_origin(morsel.origin().cloned());
        }
        let mut morsels = Vec::new();
        for (target, morsel) in self.parts(morsel)? {
            let pieces = if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] };
            morsels.extend(pieces.into_iter().filter(|piece| piece.rows() > 0).map(|piece| (target, piece)));
        }
        Ok(Output { morsels, late: prepared.late, elapsed, ..Output::default() })
    }

    /// Some columns of the output, of so many rows.
    fn batch(&self, columns: Vec<(ArrayRef, Arc<Field>)>, rows: usize) -> Result<RecordBatch, Stop> {
        let (columns, fields): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let schema = Schema::new_with_metadata(fields, self.front.fragment.output().metadata().clone());
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
            .map_err(|error| bug(error.to_string()))
    }

    /// Dense rows by the task that their last column names, without that column; within one task in their own order.
    /// The device says which, and the host moves them: it is where most columns are.
    fn parts(&self, morsel: Morsel) -> Result<Vec<(u32, Morsel)>, Stop> {
        let Some((_, spec)) = &self.partition else { return Ok(vec![(0, morsel)]) };
        let batch = morsel.to_host()?;
        let (names, columns) = batch.columns().split_last().ok_or_else(|| bug("no column of tasks"))?;
        let targets = names.as_primitive::<UInt32Type>().values();
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); spec.parallelism as usize];
        for (row, target) in (0u32..).zip(targets) {
            rows.get_mut(*target as usize).ok_or_else(|| bug(format!("no task {target}")))?.push(row);
        }
        let arrow = |error: arrow::error::ArrowError| bug(error.to_string());
        let mut parts = Vec::new();
        for (target, rows) in (0u32..).zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            let kinds = match morsel.kinds() {
                RowKinds::AllInsert => RowKinds::AllInsert,
                // An update pair stays one only if both halves go to one task.
                RowKinds::PerRow(kinds) => {
                    let same = |row: usize, other: usize| targets[other] == targets[row];
                    let kind = |row: &u32| unpaired(kinds, *row as usize, |other| same(*row as usize, other));
                    RowKinds::PerRow(rows.iter().map(kind).collect())
                }
            };
            let all = rows.len() == batch.num_rows();
            let indices = UInt32Array::from(rows);
            let columns = columns.iter().map(|column| match all {
                true => Ok(column.clone()),
                false => take(column, &indices, None),
            });
            let columns = columns.collect::<Result<Vec<_>, _>>().map_err(arrow)?;
            let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
            let schema = self.front.fragment.output().clone();
            let part = RecordBatch::try_new_with_options(schema, columns, &options).map_err(arrow)?;
            let origin = morsel.origin().filter(|_| all).cloned();
            let bounds = morsel.time_bounds();
            let part = Morsel::new(part).with_kinds(kinds)?.with_time_bounds(bounds).with_origin(origin);
            parts.push((target, part));
        }
        Ok(parts)
    }
}
