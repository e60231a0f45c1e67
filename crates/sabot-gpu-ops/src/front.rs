//! What happens on the host before a morsel travels: columns that it computes, rows that are late, and the way into memory
//! that a device can read.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use sabot_batch::key_index::{KeyBatch, KeyIndex, canonical_type};
use sabot_batch::{Morsel, Selection};
use sabot_codegen::{Derived, Late};
use sabot_ops::{Failure, Fragment, reference};
use std::sync::Arc;

use crate::backend::Shared;
use crate::device::{Bindings, Fault, LoadedKernel, Part, Slab, WorkStep};
use crate::memory::Held;
use crate::slab::Layout;
use crate::source::KernelSource;
use crate::tickets::{Stop, bug};

/// Seed of the hashes by which keys are numbered; nobody sees them.
const CODES_SEED: u64 = 0x5ab0_7c0d;

/// A fragment up to its last step, and its kernel.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) fragment: Fragment,
    pub(crate) source: KernelSource,
    pub(crate) loaded: Arc<dyn LoadedKernel>,
    /// Columns that the host computes, behind those of the input.
    pub(crate) derived: Vec<Derived>,
    pub(crate) late: Option<Late>,
}

/// A morsel that is ready to travel.
pub(crate) struct Prepared {
    /// The columns of the input, and those that the host has computed.
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
    /// The rows that count; all do without.
    pub(crate) live: Option<Selection>,
    /// Rows that are late, as they look before the window.
    pub(crate) late: Vec<Morsel>,
}

impl Prepared {
    /// How many rows count.
    pub(crate) fn live_rows(&self) -> usize {
        self.live.as_ref().map_or(self.rows, Selection::alive)
    }
}

impl Front {
    /// Computes what the host has to. Late rows have at most `rows_max` rows a morsel.
    pub(crate) fn prepare(&self, input: &Morsel, rows_max: usize) -> Result<Prepared, Stop> {
        let batch = input.to_host()?;
        self.fragment.check(&batch)?;
        let mut live = input.selection().filter(|s| s.alive() < s.rows()).cloned();
        let mut late = Vec::new();
        if let Some(rule) = &self.late {
            let behind = batch.column(rule.column).as_primitive::<Int64Type>().values();
            let is_late = BooleanBuffer::collect_bool(behind.len(), |row| behind[row] > rule.allowed);
            if is_late.count_set_bits() > 0 {
                let select = |bits: BooleanBuffer| {
                    let selection = Selection::from_predicate(&BooleanArray::new(bits, None));
                    live.as_ref().map_or_else(|| selection.clone(), |live| live.and(&selection))
                };
                let (on_time, behind) = (select(!&is_late), select(is_late));
                live = Some(on_time);
                if behind.alive() > 0 {
                    late = self.late_rows(input, behind, rule, rows_max)?;
                }
            }
        }
        let mut columns = batch.columns().to_vec();
        for derived in &self.derived {
            columns.push(derive(derived, &batch).map_err(bug)?);
        }
        Ok(Prepared { columns, rows: batch.num_rows(), live, late })
    }

    /// The rows that are late, as the steps before the window leave them. There are few, or a stream that waits too
    /// little: the reference implementation serves.
    fn late_rows(
        &self,
        input: &Morsel,
        rows: Selection,
        rule: &Late,
        rows_max: usize,
    ) -> Result<Vec<Morsel>, Stop> {
        let host = Morsel::new(input.to_host()?)
            .with_kinds(input.kinds().clone())?
            .with_time_bounds(input.time_bounds())
            .with_origin(input.origin().cloned())
            .with_selection(rows)?;
        let morsels = if rule.steps_before == 0 {
            vec![host.compact()?]
        } else {
            let steps = self.fragment.steps()[..rule.steps_before].to_vec();
            let before =
                Fragment::new(self.fragment.input().clone(), steps).map_err(|e| bug(e.to_string()))?;
            match reference::run(&before, &host) {
                Ok(output) => output.morsels.into_iter().map(|(_, morsel)| morsel).collect(),
                // An earlier row may fail as well; of that the whole fragment knows.
                Err(failure) => {
                    return Err(reference::run(&self.fragment, input).err().unwrap_or(failure).into());
                }
            }
        };
        let mut late = Vec::new();
        for morsel in morsels.into_iter().filter(|morsel| morsel.rows() > 0) {
            late.extend(if morsel.rows() > rows_max { morsel.split(rows_max)? } else { vec![morsel] });
        }
        Ok(late)
    }

    /// What the reference implementation makes of a morsel in which some row has failed: it says which.
    pub(crate) fn by_hand(&self, shared: &Shared, input: &Morsel) -> Result<sabot_ops::Output, Failure> {
        shared.counters.row_errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        reference::run(&self.fragment, input)
    }

    /// Buffers for a launch over a morsel, and the steps that fill and clear them.
    pub(crate) fn fill(
        &self,
        shared: &Shared,
        prepared: &Prepared,
        layout: &Layout,
    ) -> Result<(Bindings, Vec<Held>, Vec<WorkStep>), Fault> {
        let (device, memory) = (&shared.device, &shared.memory);
        let bytes_max = device.limits().buffer_bytes_max;
        let (status, wide) = self.source.cleared(layout.slots());
        let most = layout.input_words.max(layout.output_words).max(status).max(wide);
        if most * 4 > bytes_max {
            return Err(Fault::OutOfMemory { bytes: most * 4 });
        }
        let mut held = Vec::with_capacity(5);
        let mut part = |words: usize| -> Result<Part, Fault> {
            let buffer = memory.take(words * 4)?;
            let part = Part { buffer: Arc::clone(&buffer), words };
            held.push(buffer);
            Ok(part)
        };
        let bindings = Bindings {
            input: part(layout.input_words)?,
            output: part(layout.output_words)?,
            parameters: part(layout.parameters.len())?,
            status: part(status)?,
            wide: (wide > 0).then(|| part(wide)).transpose()?,
        };
        let mut columns = device.slab(layout.input_words)?;
        layout.pack(&self.source, &prepared.columns, prepared.live.as_ref(), columns.words_mut());
        let upload = |from: Box<dyn Slab>, to: &Part| WorkStep::Upload {
            from,
            words: to.words,
            to: to.buffer.clone(),
        };
        let mut parameters = device.slab(layout.parameters.len())?;
        parameters.words_mut()[..layout.parameters.len()].copy_from_slice(&layout.parameters);
        let mut steps = vec![upload(parameters, &bindings.parameters), upload(columns, &bindings.input)];
        steps.extend(bindings.clear());
        Ok((bindings, held, steps))
    }
}

/// A column that the host computes.
fn derive(derived: &Derived, batch: &RecordBatch) -> Result<ArrayRef, String> {
    let rows = batch.num_rows();
    match derived {
        Derived::Valid { column } => {
            let nulls = batch.column(*column).logical_nulls();
            let valid = nulls.map_or_else(|| BooleanBuffer::new_set(rows), |nulls| nulls.into_inner());
            Ok(Arc::new(BooleanArray::new(valid, None)))
        }
        Derived::Slices { column, windows } => {
            let mut starts = Vec::with_capacity(rows);
            windows.assign(batch.column(*column).as_primitive::<Int64Type>().values(), &mut starts);
            Ok(Arc::new(Int64Array::from(starts)))
        }
        Derived::Codes { column } => {
            let column = batch.column(*column);
            let types = [canonical_type(column.data_type())];
            let columns = std::slice::from_ref(column);
            let mut index = KeyIndex::new(&types).map_err(|error| error.to_string())?;
            let keys = KeyBatch::new(&types, columns, rows).map_err(|error| error.to_string())?;
            let (mut hashes, mut codes) = (Vec::new(), Vec::new());
            keys.quick_hashes(CODES_SEED, &mut hashes);
            index.upsert_rows(&keys, 0..rows, &hashes, &mut codes).map_err(|error| error.to_string())?;
            Ok(Arc::new(UInt32Array::from(codes)))
        }
    }
}
