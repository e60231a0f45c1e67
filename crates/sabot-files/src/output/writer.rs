//! The writer of one task.

use arrow::datatypes::SchemaRef;
use sabot_batch::Morsel;
use sabot_common::{Epoch, FailPoint};
use sabot_connect::{Committable, ConnectError, SinkWriter, check_schema, dense_rows};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Encoder, Shared};

/// Writes the part of the current epoch, which is begun with its first row. In a job with checkpoints the
/// first part of one file is there without rows too.
pub(super) struct FileWriter {
    shared: Arc<Shared>,
    schema: SchemaRef,
    task: u32,
    part: Option<Part>,
    /// Whether the job has checkpoints, so that parts must outlive its process.
    resumed: bool,
    /// Whether something was staged before.
    staged: bool,
}

struct Part {
    name: String,
    path: PathBuf,
    rows: u64,
    encoder: Box<dyn Encoder>,
}

impl FileWriter {
    pub(super) fn new(shared: Arc<Shared>, schema: SchemaRef, task: u32, resumed: bool) -> Self {
        Self { shared, schema, task, part: None, resumed, staged: false }
    }

    fn part(&mut self) -> Result<&mut Part, ConnectError> {
        match &mut self.part {
            Some(part) => Ok(part),
            none => {
                let (name, path) = self.shared.new_part(self.task)?;
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
        if self.resumed && !self.staged && self.shared.is_one_file() {
            // Where no part is committed, the file is there already: so one without rows needs a part too.
            self.part()?;
        }
        if self.shared.is_live() {
            // There is one output, and its end is that of the process.
            staged.rows = self.part.as_mut().map_or(0, |part| std::mem::take(&mut part.rows));
        } else if let Some(part) = self.part.take() {
            let written = part.encoder.finish()?;
            written.finish().map_err(|error| ConnectError::io("flush", &part.path, error))?;
            staged.rows = part.rows;
            if self.resumed {
                FailPoint::PartWritten.pass();
                // A checkpoint is going to name the part, which must be found even after a loss of power.
                self.shared.settle_staged()?;
            }
            staged.parts.push(part.name);
        }
        self.staged = true;
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
