//! The decoder of one row group.

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use sabot_connect::{Blob, ConnectError, Position};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::chunks::Chunks;
use super::{corrupt, parquet_error};
use crate::ahead::{Decode, Piece};

/// What all row groups of a reader have in common.
#[derive(Debug)]
pub(super) struct GroupPlan {
    pub(super) path: Arc<Path>,
    pub(super) blob: Arc<dyn Blob>,
    pub(super) metadata: ArrowReaderMetadata,
    /// The columns to read, which come out in the order of the file.
    pub(super) columns: Vec<usize>,
    /// For each column to deliver, its place among those read.
    pub(super) order: Vec<usize>,
    pub(super) batch_rows: usize,
}

/// Decodes a row group from a row on.
pub(super) struct GroupDecoder {
    plan: Arc<GroupPlan>,
    group: usize,
    skip_rows: usize,
    /// Row of the file that comes next.
    row: u64,
    reader: Option<ParquetRecordBatchReader>,
}

impl GroupDecoder {
    /// For row group `group`, without its first `skip_rows` rows; the next one is `first_row` of the file.
    pub(super) fn new(plan: Arc<GroupPlan>, group: usize, skip_rows: usize, first_row: u64) -> Self {
        Self { plan, group, skip_rows, row: first_row, reader: None }
    }

    fn open(&self) -> Result<ParquetRecordBatchReader, ConnectError> {
        let plan = &self.plan;
        let chunks = Chunks::of_ranges(&*plan.blob, &self.ranges())?;
        let mask = ProjectionMask::roots(plan.metadata.parquet_schema(), plan.columns.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, plan.metadata.clone())
            .with_row_groups(vec![self.group])
            .with_projection(mask)
            .with_offset(self.skip_rows)
            .with_batch_size(plan.batch_rows)
            .build()
            .map_err(|error| parquet_error(&plan.path, &self.place(), error))
    }

    /// Where the columns to read lie.
    fn ranges(&self) -> Vec<Range<u64>> {
        let Self { plan, group, .. } = self;
        let schema = plan.metadata.parquet_schema();
        let chunks = plan.metadata.metadata().row_group(*group).columns().iter().enumerate();
        chunks
            .filter(|(leaf, _)| plan.columns.contains(&schema.get_column_root_idx(*leaf)))
            .map(|(_, chunk)| {
                let (start, bytes) = chunk.byte_range();
                start..start.saturating_add(bytes)
            })
            .collect()
    }

    fn place(&self) -> String {
        format!("row group {}", self.group)
    }
}

impl Decode for GroupDecoder {
    fn next(&mut self) -> Result<Option<(Piece, Position)>, ConnectError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open()?,
        };
        let Some(batch) = reader.next() else { return Ok(None) };
        self.reader = Some(reader);
        let batch = batch
            .and_then(|batch| batch.project(&self.plan.order))
            .map_err(|error| corrupt(&self.plan.path, &self.place(), &error.to_string()))?;
        self.row += batch.num_rows() as u64;
        Ok(Some((Piece::Rows(batch), Position::at_row(self.row))))
    }
}
