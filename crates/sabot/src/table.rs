//! Tables: bounded rows that can be read again and again.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_expr::Expr;

use crate::read::ReadFrom;
use crate::{Error, Result, Stream};

/// Bounded rows: a file, or batches in memory.
///
/// A table has no event time and no windows; [`Table::stream`] makes a stream of its rows.
///
/// ```
/// # use sabot::prelude::*;
/// let airports = Table::read(csv("data/airports.csv"))?.filter(col("iata").not_eq("OAK"))?;
/// let names = airports.with_columns([col("name").contains("Intl").alias("short")])?.select([col("name"), col("short")])?;
/// assert_eq!(names.schema().fields().len(), 2);
/// assert_eq!(names.collect()?[0].num_rows(), 2);
/// names.show()?;
/// # Ok::<(), sabot::Error>(())
/// ```
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
    /// ```
    /// # use sabot::prelude::*;
    /// let rows = Stream::read(csv("data/airports.csv"))?.collect()?;
    /// assert_eq!(Table::from_batches(rows)?.schema().field(0).name(), "iata");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::from_batches`].
    pub fn from_batches(batches: impl IntoIterator<Item = RecordBatch>) -> Result<Self> {
        Self::of(Stream::from_batches(batches)?)
    }

    /// The rows of a stream that ends.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, StringArray};
    /// # let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    /// # let flights = RecordBatch::try_from_iter([("origin", text(vec!["SFO", "JFK", "SFO"]))])?;
    /// let flights = Stream::from_batches([flights])?;
    /// let totals = Table::from_stream(flights.group_by(["origin"])?.aggregate([count().alias("flights")])?)?;
    /// assert_eq!(totals.schema().fields().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// For a stream that never ends.
    pub fn from_stream(stream: Stream) -> Result<Self> {
        Self::of(stream)
    }

    fn of(stream: Stream) -> Result<Self> {
        match stream.is_bounded() {
            true => Ok(Self { stream }),
            false => Err(Error::UnboundedTable { source_name: stream.node().describe() }),
        }
    }

    /// The rows as a stream.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let airports = Table::read(csv("data/airports.csv"))?;
    /// assert!(airports.stream().is_bounded());
    /// # Ok::<(), sabot::Error>(())
    /// ```
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
