//! The writer of one task.

use arrow::datatypes::SchemaRef;
use sabot_batch::Morsel;
use sabot_common::Epoch;
use sabot_connect::{Committable, ConnectError, SinkWriter, check_schema, dense_rows};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Encoder, Shared};

/// Writes the part of the current epoch, which is begun with its first row.
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    schema: SchemaRef,
    task: u32,
    part: Option<Part>,
}

struct Part {
    name: String,
    path: PathBuf,
    rows: u64,
    encoder: Box<dyn Encoder>,
}

impl FileWriter {
    pub(super) fn new(shared: Arc<Shared>, schema: SchemaRef, task: u32) -> Self {
        Self { shared, schema, task, part: None }
    }

    fn part(&mut self) -> Result<&mut Part, ConnectError> {
        match &mut self.part {
            Some(part) => Ok(part),
            none => {
                let (name, path) = self.shared.new_part(self.task);
                let encoder = self.shared.encoder(&path, &self.schema)?;
                Ok(none.insert(Part { name, path, rows: 0, encoder }))
            }
        }
    }
}

impl SinkWriter for FileWriter {
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, morsel: &Morsel) -> Result<(), ConnectError> {
        let batch = dense_rows(&self.shared.name, morsel)?;
        check_schema(&self.shared.name, &self.schema, batch.schema_ref())?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let part = self.part()?;
        part.encoder.write(&batch)?;
        part.rows += batch.num_rows() as u64;
        // Whoever reads the other end of a pipe should not wait for a buffer to fill.
        if self.shared.is_live() { self.part()?.encoder.flush() } else { Ok(()) }
    }

    fn stage(&mut self, epoch: Epoch) -> Result<Committable, ConnectError> {
        let mut staged = Committable { epoch, task: self.task, rows: 0, parts: Vec::new() };
        if self.shared.is_live() {
            // There is one output, and its end is that of the process.
            staged.rows = self.part.as_mut().map_or(0, |part| std::mem::take(&mut part.rows));
        } else if let Some(part) = self.part.take() {
            let written = part.encoder.finish()?;
            written.finish().map_err(|error| ConnectError::io("flush", &part.path, error))?;
            staged.rows = part.rows;
            staged.parts.push(part.name);
        }
        Ok(staged)
    }

    fn close(&mut self) {}
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Some(Part { name, encoder, .. }) = self.part.take() {
            drop(encoder);
            // As with the sink: the next job with this output removes what this could not.
            let _ = self.shared.drop_part(&name);
        }
    }
}
