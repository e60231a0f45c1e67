//! Columns added to a stream: expressions of the row, and values over the rows around it.

use sabot_plan::{ColumnExpr, IntoColumn};

use crate::{Result, Stream};

impl Stream {
    /// Adds columns, or replaces those of the same name. All see the columns there are. Beside expressions
    /// of the row there may be values over the rows around it, such as
    /// `sum(col("amount")).over(["card"], range(days(7)))`; of a list either one or the other,
    /// [`ColumnExpr`](crate::ColumnExpr) mixes them.
    ///
    /// On a stream with event time, values over the rows *before* a row need no end: it leaves when the watermark
    /// reaches its time, and [`split_late`](Stream::split_late) tells apart those that came too late. Values that look
    /// at rows behind a row, and all values where there is no event time, wait for the last row: of bounded streams only.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// let flights = Stream::read(csv("data/flights.csv"))?.with_columns([col("delay").gt(15).alias("late")])?;
    /// assert_eq!(flights.schema().fields().len(), 4);
    /// assert_eq!(flights.collect()?[0].num_columns(), 4);
    ///
    /// let before = Stream::read(csv("data/flights.csv"))?
    ///     .with_columns([lag("delay", 1).over(["origin"], whole()).order_by(["date"]).alias("before")])?;
    /// assert_eq!(before.collect()?[0].column(3).null_count(), 2, "the first flight of each origin");
    /// # Ok::<(), sabot::Error>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column, a type error, two new columns of one name; for values over rows also when an order or a
    /// frame cannot be, or the stream has no end and they would have to wait for it.
    pub fn with_columns(self, columns: impl IntoIterator<Item = impl IntoColumn>) -> Result<Self> {
        let columns: Vec<ColumnExpr> = columns.into_iter().map(IntoColumn::into_column).collect();
        let node = self.builder().with_over(self.node(), &columns)?;
        Ok(self.with_node(node))
    }
}
