//! Rows that stay rows: only the columns that expressions read go to the device, and bitmaps and computed columns come
//! back. A column that goes through as it is stays where it is.

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use sabot_batch::{Morsel, RowKinds, Selection, unpaired};
use sabot_codegen::ColumnSource;
use sabot_ops::{Output, PartitionSpec};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::backend::Shared;
use crate::device::WorkStep;
use crate::front::{Front, Prepared};
use crate::slab::Layout;
use crate::source::TILE;
use crate::tickets::{Next, Operation, Stop, Work, bug};

/// A compiled fragment whose rows stay rows.
#[derive(Debug)]
pub(crate) struct FilterProject {
    pub(crate) front: Front,
    /// Where the columns of the output come from.
    pub(crate) columns: Vec<ColumnSource>,
    /// The output that says which task owns a row's key, and how many tasks there are.
    pub(crate) partition: Option<(usize, PartitionSpec)>,
}

impl Operation for FilterProject {
    fn start(self: Arc<Self>, shared: &Shared, input: &Morsel, rows_max: usize) -> Result<Next, Stop> {
        let prepared = self.front.prepare(input, rows_max)?;
        let source = &self.front.source;
        let layout = Layout::new(source, &prepared.columns, prepared.rows, prepared.live.is_some());
        let (bindings, buffers, mut steps) = self.front.fill(shared, &prepared, &layout, (1, 0))?;
        let device = &shared.device;
        let groups = (prepared.rows as u32).div_ceil(TILE).min(device.limits().workgroups_max).max(1);
        let (status, output) = (bindings.status.buffer.clone(), bindings.output.buffer.clone());
        steps.push(WorkStep::Launch { kernel: self.front.loaded.clone(), entry: 0, bindings, groups });
        steps.push(WorkStep::Download { from: status, words: 1, to: device.slab(1)? });
        let words = layout.output_words;
        steps.push(WorkStep::Download { from: output, words, to: device.slab(words)? });
        let work = device.submit(steps)?;
        shared.counters.started.fetch_add(1, Ordering::Relaxed);
        let input = input.clone();
        Ok(Next::Work(Work {
            work,
            buffers,
            then: Box::new(move |shared, finished, _| {
                let [status, output] = &finished.downloaded[..] else {
                    return Err(bug("a device gave back too few slabs"));
                };
                let result = if status.words()[0] == 0 {
                    self.output(&input, prepared, &layout, output.words(), rows_max)?
                } else {
                    self.front.by_hand(shared, &input)?
                };
                Ok(Next::Done(Output { elapsed: finished.elapsed, ..result }))
            }),
        }))
    }
}

impl FilterProject {
    /// The result of a morsel, from what the device has left in the slab.
    fn output(
        &self,
        input: &Morsel,
        prepared: Prepared,
        layout: &Layout,
        slab: &[u32],
        rows_max: usize,
    ) -> Result<Output, Stop> {
        let source = &self.front.source;
        let schema = self.front.fragment.output();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for (from, field) in self.columns.iter().zip(schema.fields()) {
            let column = match *from {
                ColumnSource::Passed(index) => {
                    let passed = prepared.columns.get(index).cloned();
                    passed.ok_or_else(|| format!("no column {index} to pass on"))
                }
                ColumnSource::Computed(number) => {
                    layout.unpack(source, number, (field.data_type(), field.is_nullable()), slab)
                }
            };
            columns.push(column.map_err(bug)?);
        }
        let mut schema = schema.clone();
        if let Some((number, _)) = &self.partition {
            let target = layout.unpack(source, *number, (&DataType::UInt32, false), slab).map_err(bug)?;
            columns.push(target);
            let target = Arc::new(Field::new("", DataType::UInt32, false));
            schema =
                Arc::new(Schema::new(schema.fields().iter().cloned().chain([target]).collect::<Vec<_>>()));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(prepared.rows));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)
            .map_err(|error| bug(error.to_string()))?;
        let mut morsel = Morsel::new(rows)
            .with_kinds(input.kinds().clone())?
            .with_time_bounds(input.time_bounds())
            .with_origin(input.origin().cloned());
        if let Some(live) = prepared.live {
            morsel = morsel.with_selection(live)?;
        }
        if let Some(kept) = layout.kept(source, slab) {
            let words = kept.bit_chunks().iter_padded().collect();
            morsel = morsel.with_selection(Selection::from_words(words, prepared.rows))?;
        }
        let mut morsels = Vec::new();
        for (target, morsel) in self.parts(morsel.compact()?)? {
            let pieces = if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] };
            morsels.extend(pieces.into_iter().filter(|piece| piece.rows() > 0).map(|piece| (target, piece)));
        }
        Ok(Output { morsels, late: prepared.late, ..Output::default() })
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
