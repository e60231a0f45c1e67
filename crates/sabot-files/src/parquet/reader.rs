//! Reading one Parquet file: which row groups to read, how far ahead, and in which order to deliver.

use arrow::datatypes::{DataType, Schema};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::RowGroupMetaData;
use sabot_connect::{
    ConnectError, Cutter, PartitionReader, PauseGate, Position, ReadCounters, ReadRequest, SourceItem,
    Spawner,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::group::{GroupDecoder, GroupPlan};
use super::parquet_error;
use super::source::{ParquetFile, with_schema};
use super::stats::{GroupStats, Verdict};
use crate::ahead::{Ahead, Budget, Front, Piece};

/// Rows that are decoded at once even if morsels are smaller: decoding a handful of rows at a time costs
/// far more per row than cutting.
const DECODE_ROWS_MIN: usize = 4096;

pub(super) struct ParquetReader {
    decode: Arc<GroupPlan>,
    budget: Arc<Budget>,
    spawner: Arc<dyn Spawner>,
    /// Row groups that have not been begun.
    steps: VecDeque<Step>,
    /// Row groups that are decoded or left out, in the order of the file.
    begun: VecDeque<Begun>,
    /// Estimated decoded bytes of the row groups begun and not yet delivered.
    begun_bytes: u64,
    cutter: Cutter,
    row: u64,
    gate: PauseGate,
    counters: ReadCounters,
}

/// What is to be done with a row group.
#[derive(Debug)]
struct Step {
    group: usize,
    first_row: u64,
    /// Rows from `first_row` to the end of the group.
    rows: u64,
    /// Rows before `first_row` in the group.
    skip_rows: u64,
    verdict: Verdict,
    decoded_bytes: u64,
    stored_bytes: u64,
}

enum Begun {
    Skipped { first_row: u64, rows: u64, event_time_max: Option<i64> },
    Group { ahead: Arc<Ahead>, decoded_bytes: u64 },
}

impl ParquetReader {
    pub(super) fn new(
        file: &ParquetFile,
        from_row: u64,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Self, ConnectError> {
        let stored = file.metadata.schema();
        let wanted = request.columns(file.id.as_str(), stored)?;
        let metadata = with_schema(&file.path, &file.metadata, delivered_schema(stored, request))?;
        let mut columns = wanted.clone();
        columns.sort_unstable();
        columns.dedup();
        let order = wanted.iter().map(|column| columns.partition_point(|c| c < column)).collect();
        let steps = steps(file, from_row, request, &columns)?;
        let batch_rows = request.morsel_rows.max(DECODE_ROWS_MIN);
        let decode = GroupPlan {
            path: file.path.clone(),
            blob: file.blob.clone(),
            metadata,
            columns,
            order,
            batch_rows,
        };
        Ok(Self {
            decode: Arc::new(decode),
            budget: Budget::new(file.path.clone(), "Parquet", request.look_ahead_bytes),
            spawner,
            steps,
            begun: VecDeque::new(),
            begun_bytes: 0,
            cutter: Cutter::new(request.morsel_rows),
            row: from_row,
            gate: PauseGate::default(),
            counters: ReadCounters::default(),
        })
    }

    /// Begins row groups while their estimated size fits the look-ahead and there are threads to decode
    /// them, one more than that so that no thread runs dry. One is always begun.
    fn begin_groups(&mut self) {
        let (limit, threads) = (self.budget.bytes(), self.spawner.threads());
        while let Some(step) = self.steps.front() {
            let fits = self.begun_bytes.saturating_add(step.decoded_bytes) <= limit;
            if !self.begun.is_empty() && (!fits || self.begun.len() > threads) {
                return;
            }
            let Some(step) = self.steps.pop_front() else { return };
            self.begin(step);
        }
    }

    fn begin(&mut self, step: Step) {
        let Step { group, first_row, rows, skip_rows, verdict, decoded_bytes, stored_bytes } = step;
        match verdict {
            Verdict::Prune(event_time_max) => {
                self.counters.row_groups_pruned += 1;
                self.begun.push_back(Begun::Skipped { first_row, rows, event_time_max });
            }
            Verdict::Read => {
                self.counters.row_groups_read += 1;
                self.counters.bytes += stored_bytes;
                self.begun_bytes += decoded_bytes;
                let skip_rows = usize::try_from(skip_rows).unwrap_or(usize::MAX);
                let decoder = GroupDecoder::new(self.decode.clone(), group, skip_rows, first_row);
                let ahead = Ahead::new(self.budget.clone(), Box::new(decoder));
                let job = ahead.start();
                self.begun.push_back(Begun::Group { ahead, decoded_bytes });
                if let Some(job) = job {
                    self.spawner.spawn(job);
                }
            }
        }
    }

    /// Starts parked row groups again when there is room.
    fn continue_groups(&self) {
        if !self.budget.has_room() {
            return;
        }
        for begun in &self.begun {
            if let Begun::Group { ahead, .. } = begun
                && let Some(job) = ahead.start()
            {
                self.spawner.spawn(job);
            }
        }
    }

    fn deliver(&mut self) -> Option<SourceItem> {
        let batch = self.cutter.cut()?;
        let first_row = self.row;
        self.row += batch.num_rows() as u64;
        self.counters.rows += batch.num_rows() as u64;
        Some(SourceItem::Rows { batch, first_row })
    }
}

impl PartitionReader for ParquetReader {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<SourceItem>, ConnectError>> {
        if self.gate.holds(cx) {
            return Poll::Pending;
        }
        loop {
            if let Some(item) = self.deliver() {
                return Poll::Ready(Ok(Some(item)));
            }
            self.begin_groups();
            match self.begun.front() {
                None => return Poll::Ready(Ok(None)),
                Some(Begun::Skipped { first_row, rows, event_time_max }) => {
                    let (first_row, rows, event_time_max) = (*first_row, *rows, *event_time_max);
                    self.begun.pop_front();
                    self.row = first_row + rows;
                    return Poll::Ready(Ok(Some(SourceItem::Skipped { first_row, rows, event_time_max })));
                }
                Some(Begun::Group { ahead, decoded_bytes }) => match ahead.poll_front(cx)? {
                    Front::Piece(Piece::Rows(batch), _) => {
                        self.cutter.put(batch);
                        self.continue_groups();
                    }
                    // Parquet has no records that could be told apart from their row group.
                    Front::Piece(Piece::Rejected(_), _) => self.continue_groups(),
                    Front::End => {
                        self.begun_bytes -= decoded_bytes;
                        self.begun.pop_front();
                    }
                    Front::Wait(None) => return Poll::Pending,
                    // The job may have run already; looking again costs nothing.
                    Front::Wait(Some(job)) => self.spawner.spawn(job),
                },
            }
        }
    }

    fn position(&self) -> Position {
        Position::at_row(self.row)
    }

    fn pause(&mut self) {
        self.gate.pause();
    }

    fn resume(&mut self) {
        self.gate.resume();
    }

    fn counters(&self) -> ReadCounters {
        self.counters
    }
}

impl Drop for ParquetReader {
    fn drop(&mut self) {
        self.budget.cancel();
    }
}

/// The file's schema with the types that the request wants delivered.
fn delivered_schema(stored: &Schema, request: &ReadRequest) -> Arc<Schema> {
    let fields: Vec<_> = stored
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let wanted = request.delivered_type(i, field.data_type());
            field.as_ref().clone().with_data_type(wanted)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, stored.metadata().clone()))
}

/// The row groups from a row on, and what becomes of each.
fn steps(
    file: &ParquetFile,
    from_row: u64,
    request: &ReadRequest,
    columns: &[usize],
) -> Result<VecDeque<Step>, ConnectError> {
    let tested = request.filter.iter().flat_map(|f| f.tests().iter().map(|test| test.column));
    let stats = GroupStats::new(&file.metadata, tested.chain(request.event_time))
        .map_err(|error| parquet_error(&file.path, "statistics", error))?;
    let mut steps = VecDeque::new();
    let mut start = 0u64;
    for (group, metadata) in file.metadata.metadata().row_groups().iter().enumerate() {
        let all_rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let skip_rows = from_row.saturating_sub(start).min(all_rows);
        let (first_row, rows) = (start + skip_rows, all_rows - skip_rows);
        start += all_rows;
        if rows == 0 {
            continue;
        }
        let verdict = match &request.filter {
            // The maximum over the rest of a row group is not known, only over all of it.
            Some(_) if skip_rows > 0 && request.event_time.is_some() => Verdict::Read,
            Some(filter) => stats.verdict(group, filter, request.event_time),
            None => Verdict::Read,
        };
        let decoded_bytes = decoded_bytes(&file.metadata, metadata, columns, request).max(1);
        let stored_bytes = columns
            .iter()
            .filter_map(|column| metadata.columns().get(*column))
            .map(|chunk| u64::try_from(chunk.compressed_size()).unwrap_or(0))
            .sum();
        steps.push_back(Step { group, first_row, rows, skip_rows, verdict, decoded_bytes, stored_bytes });
    }
    if from_row > start {
        let reason = format!("the file has {start} rows");
        return Err(ConnectError::BadPosition { name: file.id.to_string(), row: from_row, reason });
    }
    Ok(steps)
}

/// An estimate of the bytes that the columns of a row group take once they are decoded.
fn decoded_bytes(
    metadata: &ArrowReaderMetadata,
    group: &RowGroupMetaData,
    columns: &[usize],
    request: &ReadRequest,
) -> u64 {
    let rows = u64::try_from(group.num_rows()).unwrap_or(0);
    let of_column = |column: &usize| {
        let data_type = request.delivered_type(*column, metadata.schema().field(*column).data_type());
        let chunk = group.columns().get(*column);
        let stored = chunk.map_or(0, |c| u64::try_from(c.uncompressed_size()).unwrap_or(0));
        let text = chunk.and_then(|c| c.unencoded_byte_array_data_bytes());
        let text = text.map_or(stored, |bytes| u64::try_from(bytes).unwrap_or(0));
        match &data_type {
            DataType::Boolean => rows / 8,
            // A dictionary's strings are stored once, and so they are decoded.
            DataType::Dictionary(key, _) => rows * key.primitive_width().unwrap_or(4) as u64 + stored,
            DataType::Utf8 => rows * 4 + text,
            DataType::LargeUtf8 => rows * 8 + text,
            other => rows * other.primitive_width().unwrap_or(8) as u64,
        }
    };
    columns.iter().map(of_column).sum()
}
