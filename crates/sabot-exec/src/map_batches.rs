//! A user's function over batches, as a program like any other.
//!
//! The function sees the user's columns only. Hidden columns go around it: when it returns as many
//! rows as it was given, row i keeps the place of row i; when it returns another number, every row
//! takes the place of the last row that went in, so a function that changes the number of rows makes
//! results depend on how rows are cut into morsels, which its own contract allows.

use arrow::array::{Array, ArrayRef, RecordBatchOptions, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_batch::{Morsel, hidden};
use sabot_ops::{Failure, Kernel, Output, Program, Progress, TaskContext, Ticket};
use sabot_plan::MapBatchesStage;
use std::collections::BTreeMap;

use crate::bindings::BatchFunction;

/// The function and what it promises.
pub(crate) struct MapProgram {
    pub(crate) function: BatchFunction,
    pub(crate) stage: MapBatchesStage,
    /// Physical output: some of the returned columns, then hidden columns.
    pub(crate) output: SchemaRef,
}

impl Program for MapProgram {
    fn kernel(&self) -> Box<dyn Kernel> {
        Box::new(MapKernel {
            function: self.function.clone(),
            stage: self.stage.clone(),
            output: self.output.clone(),
            next: 0,
            done: BTreeMap::new(),
        })
    }
}

struct MapKernel {
    function: BatchFunction,
    stage: MapBatchesStage,
    output: SchemaRef,
    next: u64,
    done: BTreeMap<Ticket, Result<Output, String>>,
}

impl MapKernel {
    fn run(&self, input: Morsel) -> Result<Output, String> {
        let bounds = input.time_bounds();
        let batch = input.into_dense_host().map_err(|e| e.to_string())?;
        if batch.num_rows() == 0 {
            return Ok(Output::default());
        }
        let mut columns = Vec::with_capacity(self.stage.input.fields().len());
        for field in self.stage.input.fields() {
            let column = batch.column_by_name(field.name());
            columns.push(column.cloned().ok_or_else(|| format!("column \"{}\" is missing", field.name()))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let given = RecordBatch::try_new_with_options(self.stage.input.clone(), columns, &options);
        let returned = (self.function)(given.map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
        self.check(&returned)?;
        if returned.num_rows() == 0 {
            return Ok(Output::default());
        }
        let result = self.with_hidden(&batch, &returned)?;
        let morsels = vec![(0, Morsel::new(result).with_time_bounds(bounds))];
        Ok(Output { morsels, ..Output::default() })
    }

    fn check(&self, returned: &RecordBatch) -> Result<(), String> {
        let (promised, got) = (&self.stage.returned, returned.schema());
        let fits = promised.fields().len() == got.fields().len()
            && promised
                .fields()
                .iter()
                .zip(got.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if !fits {
            return Err(format!("it returned {got}; it was declared to return {promised}"));
        }
        for (field, column) in promised.fields().iter().zip(returned.columns()) {
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(format!(
                    "it returned nulls in column \"{}\", which was declared without",
                    field.name()
                ));
            }
        }
        Ok(())
    }

    fn with_hidden(&self, before: &RecordBatch, returned: &RecordBatch) -> Result<RecordBatch, String> {
        let rows = returned.num_rows();
        let last = UInt64Array::from(vec![before.num_rows() as u64 - 1; rows]);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.output.fields().len());
        for field in self.output.fields() {
            let name = field.name();
            let source = if hidden::is_hidden(name) { before } else { returned };
            let column =
                source.column_by_name(name).ok_or_else(|| format!("column \"{name}\" is missing"))?;
            columns.push(match hidden::is_hidden(name) && rows != before.num_rows() {
                true => take(column, &last, None).map_err(|e| e.to_string())?,
                false => column.clone(),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.output.clone(), columns, &options).map_err(|e| e.to_string())
    }
}

impl Kernel for MapKernel {
    fn submit(&mut self, input: Morsel, _cx: &mut TaskContext<'_>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let result = self.run(input);
        self.done.insert(ticket, result);
        ticket
    }

    fn poll(&mut self, ticket: Ticket, _cx: &mut TaskContext<'_>) -> Progress {
        match self.done.remove(&ticket) {
            Some(Ok(output)) => Progress::Done(output),
            Some(Err(message)) => Progress::Failed(Failure::Internal(message)),
            None => Progress::Done(Output::default()),
        }
    }

    fn flush(&mut self, _cx: &mut TaskContext<'_>) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        ticket
    }
}
