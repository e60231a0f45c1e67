//! Rows that stay rows: only the columns that expressions read go to the device, and bitmaps and computed columns come
//! back. A column that goes through as it is stays where it is.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use sabot_batch::{Morsel, Selection};
use sabot_codegen::ColumnSource;
use sabot_ops::Output;
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
        let options = RecordBatchOptions::new().with_row_count(Some(prepared.rows));
        let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
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
        let morsel = morsel.compact()?;
        let pieces = if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] };
        let morsels = pieces.into_iter().filter(|piece| piece.rows() > 0).map(|piece| (0, piece)).collect();
        Ok(Output { morsels, late: prepared.late, ..Output::default() })
    }
}
