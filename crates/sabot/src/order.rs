//! Sort, limit, top-k, top-N, unique and distinct.

use sabot_plan::{IntoKey, IntoSort, Keep, SortExpr, TopNRequest};

use crate::{Result, Stream};

/// Where nothing else is said, rows stand in the **order of the stream**: that in which ordered sinks,
/// [`Stream::collect`] among them, see them. It is the order of event time, then of source partitions and
/// of rows in them; a row that came too late for its partition's watermark stands where it came. It does
/// not depend on workers, parallelism or how rows are cut into batches.
impl Stream {
    /// Puts all rows in the order of some keys: names of columns or expressions, ascending, or
    /// [`asc`](crate::asc) and [`desc`](crate::desc). Nulls stand last unless
    /// [`nulls_first`](SortExpr::nulls_first) is said; −0.0 equals 0.0, and NaN is greater than every
    /// number. Equal rows keep the order of the stream.
    ///
    /// The result has this order for everything that follows, and no event time any more.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array, StringArray};
    /// # let rows = RecordBatch::try_from_iter([
    /// #     ("origin", Arc::new(StringArray::from(vec!["SFO", "JFK", "ORD"])) as ArrayRef),
    /// #     ("delay", Arc::new(Int64Array::from(vec![Some(5), None, Some(40)]))),
    /// # ])?;
    /// let worst = Stream::from_batches([rows])?.sort([desc("delay"), asc("origin")])?;
    /// let origins = worst.collect()?.remove(0).column(0).clone();
    /// assert_eq!(origins.as_ref(), &StringArray::from(vec!["ORD", "SFO", "JFK"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) without a key, for an unknown column, a type without order, or an
    /// unbounded stream.
    pub fn sort<K: IntoSort>(self, keys: impl IntoIterator<Item = K>) -> Result<Self> {
        let node = self.builder().sort(self.node(), &sort_keys(keys))?;
        Ok(self.with_node(node))
    }

    /// The first rows in the order of some keys: [`sort`](Stream::sort), then [`limit`](Stream::limit),
    /// holding no more rows than it takes.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array};
    /// # let delays: ArrayRef = Arc::new(Int64Array::from(vec![5, 90, 40, 70]));
    /// # let rows = RecordBatch::try_from_iter([("delay", delays)])?;
    /// let worst = Stream::from_batches([rows])?.top_k(2, [desc("delay")])?;
    /// assert_eq!(worst.collect()?[0].column(0).as_ref(), &Int64Array::from(vec![90, 70]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::sort`].
    pub fn top_k<K: IntoSort>(self, rows: u64, keys: impl IntoIterator<Item = K>) -> Result<Self> {
        self.sort(keys)?.limit(rows)
    }

    /// At most so many rows, the first in the order of the stream.
    ///
    /// Of a stream with event time they come as the watermark passes them. One without end then ends here,
    /// and is not read any further unless somebody else reads it: `stream.limit(10)?.show()` shows ten rows
    /// of a stream that goes on.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array};
    /// # let n: ArrayRef = Arc::new(Int64Array::from(vec![5, 90, 40, 70]));
    /// # let rows = RecordBatch::try_from_iter([("n", n)])?;
    /// let first = Stream::from_batches([rows])?.limit(3)?;
    /// assert_eq!(first.collect()?[0].column(0).as_ref(), &Int64Array::from(vec![5, 90, 40]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) for an unbounded stream without event time, of which nothing says
    /// which rows are the first.
    pub fn limit(self, rows: u64) -> Result<Self> {
        self.slice(0, rows)
    }

    /// At most so many rows behind the first `offset`, in the order of the stream.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array};
    /// # let n: ArrayRef = Arc::new(Int64Array::from(vec![5, 90, 40, 70]));
    /// # let rows = RecordBatch::try_from_iter([("n", n)])?;
    /// let page = Stream::from_batches([rows])?.sort(["n"])?.slice(1, 2)?;
    /// assert_eq!(page.collect()?[0].column(0).as_ref(), &Int64Array::from(vec![40, 70]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::limit`].
    pub fn slice(self, offset: u64, rows: u64) -> Result<Self> {
        let node = self.builder().limit(self.node(), offset, Some(rows))?;
        Ok(self.with_node(node))
    }

    /// Of results of windows the first rows of each window in the order of some keys, with their numbers
    /// from 1 in the column `rank`; they come when the window closes. Of other bounded streams the first
    /// rows of all, when the input ends.
    ///
    /// What the keys leave open is decided by the order of the stream: name enough keys, and it is you who
    /// decides.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, AsArray, Int64Array, StringArray, TimestampMicrosecondArray};
    /// # let hour = 3_600_000_000;
    /// # let flights = RecordBatch::try_from_iter([
    /// #     ("date", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2, 3, 4, 5, hour])) as ArrayRef),
    /// #     ("origin", Arc::new(StringArray::from(vec!["SFO", "SFO", "JFK", "ORD", "ORD", "ATL", "JFK"]))),
    /// # ])?;
    /// let busiest = Stream::from_batches([flights])?
    ///     .event_time("date", in_order())?
    ///     .window(tumbling(hours(1)))?
    ///     .group_by(["origin"])?
    ///     .aggregate([count().alias("flights")])?
    ///     .top_n(2, [desc("flights"), asc("origin")])?
    ///     .select([col("rank"), col("origin"), col("flights")])?;
    /// let rows = busiest.collect()?.remove(0);
    /// assert_eq!(rows.column(1).as_ref(), &StringArray::from(vec!["ORD", "SFO", "JFK"]));
    /// assert_eq!(rows.column(0).as_ref(), &Int64Array::from(vec![1, 2, 1]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) without a key, for an unknown column, a type without order, a stream
    /// that has a column `rank` already, or an unbounded stream without windows.
    pub fn top_n<K: IntoSort>(self, rows: u64, keys: impl IntoIterator<Item = K>) -> Result<Self> {
        self.top_n_by::<&str, K>([], rows, keys)
    }

    /// As [`Stream::top_n`], for each value of some columns or expressions by itself.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array, StringArray};
    /// # let rows = RecordBatch::try_from_iter([
    /// #     ("state", Arc::new(StringArray::from(vec!["CA", "NY", "CA"])) as ArrayRef),
    /// #     ("delay", Arc::new(Int64Array::from(vec![5, 90, 40]))),
    /// # ])?;
    /// let worst = Stream::from_batches([rows])?.top_n_by(["state"], 1, [desc("delay")])?;
    /// assert_eq!(worst.collect()?[0].column(1).as_ref(), &Int64Array::from(vec![40, 90]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Stream::top_n`], and for a type that cannot be a key.
    pub fn top_n_by<G: IntoKey, K: IntoSort>(
        self,
        groups: impl IntoIterator<Item = G>,
        rows: u64,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self> {
        let groups = groups.into_iter().map(IntoKey::into_key).collect();
        let request = TopNRequest { rows, groups, order: sort_keys(keys), number: "rank".to_owned() };
        let node = self.builder().top_n(self.node(), &request)?;
        Ok(self.with_node(node))
    }

    /// One row of each value of some columns or expressions: the first or the last in the order of the
    /// stream. Nulls are equal, as are −0.0 and 0.0, and all NaNs.
    ///
    /// Of a stream with event time the first rows come as the watermark passes them; keys that were seen are
    /// kept as long as it goes on. The last ones come at its end.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array, StringArray};
    /// # let rows = RecordBatch::try_from_iter([
    /// #     ("card", Arc::new(StringArray::from(vec!["a", "b", "a"])) as ArrayRef),
    /// #     ("amount", Arc::new(Int64Array::from(vec![5, 90, 40]))),
    /// # ])?;
    /// let latest = Stream::from_batches([rows])?.unique(["card"], Keep::Last)?;
    /// assert_eq!(latest.collect()?[0].column(1).as_ref(), &Int64Array::from(vec![90, 40]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) without a key, for an unknown column, a type that cannot be a key,
    /// or an unbounded stream, but for the first rows of one with event time.
    pub fn unique<K: IntoKey>(self, keys: impl IntoIterator<Item = K>, keep: Keep) -> Result<Self> {
        let keys: Vec<_> = keys.into_iter().map(IntoKey::into_key).collect();
        let node = self.builder().unique(self.node(), &keys, keep)?;
        Ok(self.with_node(node))
    }

    /// One row of those that are equal in all columns: the first in the order of the stream. Nulls are
    /// equal, as are −0.0 and 0.0, and all NaNs. Of a stream with event time they come as the watermark passes
    /// them; kinds that were seen are kept as long as it goes on.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, StringArray};
    /// # let origin: ArrayRef = Arc::new(StringArray::from(vec!["SFO", "JFK", "SFO"]));
    /// # let rows = RecordBatch::try_from_iter([("origin", origin)])?;
    /// let origins = Stream::from_batches([rows])?.distinct()?;
    /// assert_eq!(origins.collect()?[0].column(0).as_ref(), &StringArray::from(vec!["SFO", "JFK"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) for a column whose type cannot be a key, or an unbounded stream
    /// without event time.
    pub fn distinct(self) -> Result<Self> {
        let node = self.builder().distinct(self.node())?;
        Ok(self.with_node(node))
    }
}

fn sort_keys<K: IntoSort>(keys: impl IntoIterator<Item = K>) -> Vec<SortExpr> {
    keys.into_iter().map(IntoSort::into_sort).collect()
}
