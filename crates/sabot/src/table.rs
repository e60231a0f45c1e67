//! Tables: bounded rows that can be read again and again.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_expr::Expr;

use crate::read::ReadFrom;
use crate::{Error, Result, Stream};

/// Bounded rows: a file, or batches in memory.
///
/// A table has no event time and no windows; [`Table::stream`] makes a stream of its rows.
#[derive(Clone, Debug)]
#[must_use]
pub struct Table {
    stream: Stream,
}

impl Table {
    /// Reads a bounded source: `csv("airports.csv")`.
    ///
    /// # Errors
    /// As [`Stream::read`], and for an unbounded source.
    pub fn read(source: impl ReadFrom) -> Result<Self> {
        Self::of(Stream::read(source)?)
    }

    /// Rows that are in memory already.
    ///
    /// # Errors
    /// As [`Stream::from_batches`].
    pub fn from_batches(batches: impl IntoIterator<Item = RecordBatch>) -> Result<Self> {
        Self::of(Stream::from_batches(batches)?)
    }

    fn of(stream: Stream) -> Result<Self> {
        match stream.is_bounded() {
            true => Ok(Self { stream }),
            false => Err(Error::UnboundedTable { source_name: stream.node().describe() }),
        }
    }

    /// The rows as a stream.
    pub fn stream(&self) -> Stream {
        self.stream.clone()
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.stream.schema()
    }

    /// Keeps the rows for which a boolean expression is true; null is not true.
    ///
    /// # Errors
    /// As [`Stream::filter`].
    pub fn filter(self, predicate: Expr) -> Result<Self> {
        Ok(Self { stream: self.stream.filter(predicate)? })
    }

    /// Computes the columns of a new table.
    ///
    /// # Errors
    /// As [`Stream::select`].
    pub fn select(self, columns: impl IntoIterator<Item = Expr>) -> Result<Self> {
        Ok(Self { stream: self.stream.select(columns)? })
    }

    /// Adds columns, or replaces those of the same name.
    ///
    /// # Errors
    /// As [`Stream::with_columns`].
    pub fn with_columns(self, columns: impl IntoIterator<Item = Expr>) -> Result<Self> {
        Ok(Self { stream: self.stream.with_columns(columns)? })
    }

    /// All rows.
    ///
    /// # Errors
    /// Whatever the job fails with.
    pub fn collect(&self) -> Result<Vec<RecordBatch>> {
        self.stream.collect()
    }

    /// Prints all rows.
    ///
    /// # Errors
    /// Whatever the job fails with.
    pub fn show(&self) -> Result<()> {
        self.stream.show()
    }
}
