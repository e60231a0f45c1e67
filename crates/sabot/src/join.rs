//! Joins: what belongs together, and how it is joined.

use sabot_common::Span;
use sabot_expr::Expr;
use sabot_ops::{Direction, JoinKind};
use sabot_plan::{IntoKey, JoinRequest, JoinStrategy, PlanError};

use crate::{Result, Stream, Table};

/// Which rows of two streams belong together, and which are given: what stands in a join.
///
/// [`on`] makes one from a pair of keys. Keys are equal as in `group_by`: `−0.0` equals `0.0`, NaN equals
/// NaN; but a null equals nothing, as in SQL, not even a null.
///
/// ```
/// use sabot::prelude::*;
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int64Array, TimestampSecondArray};
/// # let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
/// # let times = |values: Vec<i64>| Arc::new(TimestampSecondArray::from(values)) as ArrayRef;
/// # let orders = RecordBatch::try_from_iter([
/// #     ("item", numbers(vec![1, 2, 9])), ("shop", numbers(vec![1, 1, 1])), ("n", numbers(vec![5, 6, 7])),
/// #     ("at", times(vec![10, 20, 30])),
/// # ])?;
/// # let stock = RecordBatch::try_from_iter([
/// #     ("id", numbers(vec![1, 2, 3])), ("shop", numbers(vec![1, 1, 1])), ("n", numbers(vec![4, 8, 8])),
/// #     ("since", times(vec![5, 25, 5])),
/// # ])?;
/// let orders = Stream::from_batches([orders])?;    // item, shop, n, at
/// let stock = Stream::from_batches([stock])?;      // id, shop, n, since
/// let rows = |on: sabot::On| -> sabot::Result<usize> {
///     Ok(orders.clone().join(&stock, on)?.collect()?.iter().map(|b| b.num_rows()).sum())
/// };
/// // Both sides have a column n: the right one is called n_stock.
/// let key = || on("item", "id").and("shop", "shop").suffix("_stock");
/// assert_eq!(rows(key().inner())?, 2);
/// assert_eq!(rows(key().left())?, 3);
/// assert_eq!(rows(key().right())?, 3);
/// assert_eq!(rows(key().full())?, 4);
/// assert_eq!(rows(key().semi())?, 2);
/// assert_eq!(rows(key().anti())?, 1);
/// assert_eq!(rows(key().filter(col("n").lt_eq(col("n_stock"))))?, 1);
/// assert_eq!(rows(key().unique().broadcast())?, 2);
///
/// let nearest = |on: sabot::On| orders.clone().asof_join(&stock, ("at", "since"), on.inner())?.collect();
/// let count = |rows: Vec<RecordBatch>| rows.iter().map(RecordBatch::num_rows).sum::<usize>();
/// assert_eq!(count(nearest(key().backward().within(minutes(1)))?), 1);
/// assert_eq!(count(nearest(key().forward().within(minutes(1)))?), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct On {
    keys: Vec<(Expr, Expr)>,
    kind: Option<JoinKind>,
    condition: Option<Expr>,
    suffix: Option<String>,
    unique: bool,
    broadcast: bool,
    nearest: Option<(Expr, Expr)>,
    direction: Direction,
    tolerance: Option<Span>,
}

/// Rows whose keys are equal: a column or expression of the left side, and one of the right side.
///
/// ```
/// use sabot::prelude::*;
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int64Array};
/// # let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
/// # let a = RecordBatch::try_from_iter([("a", numbers(vec![10, 25, 31]))])?;
/// # let b = RecordBatch::try_from_iter([("b", numbers(vec![1, 2]))])?;
/// let joined = Stream::from_batches([a])?.join(&Stream::from_batches([b])?, on(col("a") / lit(10), "b"))?;
/// assert_eq!(joined.collect()?.iter().map(|b| b.num_rows()).sum::<usize>(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn on(left: impl IntoKey, right: impl IntoKey) -> On {
    On { keys: vec![(left.into_key(), right.into_key())], ..On::everything() }
}

impl On {
    fn everything() -> Self {
        On {
            keys: Vec::new(),
            kind: None,
            condition: None,
            suffix: None,
            unique: false,
            broadcast: false,
            nearest: None,
            direction: Direction::Backward,
            tolerance: None,
        }
    }

    /// A further pair of keys that must be equal.
    pub fn and(mut self, left: impl IntoKey, right: impl IntoKey) -> Self {
        self.keys.push((left.into_key(), right.into_key()));
        self
    }

    fn kind(self, kind: JoinKind) -> Self {
        Self { kind: Some(kind), ..self }
    }

    /// Gives each pair of rows that match.
    pub fn inner(self) -> Self {
        self.kind(JoinKind::Inner)
    }

    /// Gives each pair, and each left row that matches nothing, with nulls on the right.
    pub fn left(self) -> Self {
        self.kind(JoinKind::Left)
    }

    /// Gives each pair, and behind all others each right row that matches nothing, with nulls on the
    /// left. The result has no event time.
    pub fn right(self) -> Self {
        self.kind(JoinKind::Right)
    }

    /// Gives each pair, each left row that matches nothing, and behind all others each right row that
    /// matches nothing. The result has no event time.
    pub fn full(self) -> Self {
        self.kind(JoinKind::Full)
    }

    /// Gives each left row that matches something, once, with its own columns only: SQL's EXISTS.
    pub fn semi(self) -> Self {
        self.kind(JoinKind::Semi)
    }

    /// Gives each left row that matches nothing, with its own columns only: SQL's NOT EXISTS. A left row
    /// with a null in its key is given; a null on the right keeps nobody out, as it would with NOT IN.
    pub fn anti(self) -> Self {
        self.kind(JoinKind::Anti)
    }

    /// What must be true for a pair besides equal keys. It sees the columns of both sides under the names
    /// that they have in the result; null is not true.
    pub fn filter(mut self, condition: Expr) -> Self {
        self.condition = Some(match self.condition {
            Some(before) => before.and(condition),
            None => condition,
        });
        self
    }

    /// Puts `suffix` behind the name of a right column where the left side has one of the same name.
    /// Without it such a name is refused; a key of one name on both sides stands once in any case.
    pub fn suffix(self, suffix: impl Into<String>) -> Self {
        Self { suffix: Some(suffix.into()), ..self }
    }

    /// Says that no two right rows have the same key: if two do, the job fails and names the key. The
    /// result then keeps the left side's [`upsert_key`](Stream::upsert_key).
    pub fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    /// Gives every task a share in one table of the whole right side, instead of sending the rows of both
    /// sides to the owners of their keys. For a right side that is small; for inner, left, semi and anti
    /// joins. The result is the same.
    pub fn broadcast(self) -> Self {
        Self { broadcast: true, ..self }
    }

    /// Of an as-of join: how far the two times may be apart, that far included.
    pub fn within(self, tolerance: Span) -> Self {
        Self { tolerance: Some(tolerance), ..self }
    }

    /// Of an as-of join: the last right row that is not later than the left one, which is the default.
    pub fn backward(self) -> Self {
        Self { direction: Direction::Backward, ..self }
    }

    /// Of an as-of join: the first right row that is not earlier than the left one.
    pub fn forward(self) -> Self {
        Self { direction: Direction::Forward, ..self }
    }

    /// What only an as-of join has is refused elsewhere.
    fn refuse_times(&self, operator: &'static str) -> Result<()> {
        match (self.tolerance, self.direction) {
            (None, Direction::Backward) => Ok(()),
            (tolerance, _) => Err(PlanError::JoinOption {
                operator: operator.to_owned(),
                option: if tolerance.is_some() { "within(…)" } else { "forward()" }.to_owned(),
                instead: "asof_join",
            }
            .into()),
        }
    }

    fn request(self, operator: &'static str, default: JoinKind) -> JoinRequest {
        let lookup = self.broadcast || (self.keys.is_empty() && self.nearest.is_none());
        let kind = self.kind.unwrap_or(default);
        // Nobody who sees a part of the left side knows which right rows match nothing.
        let strategy =
            if lookup && !kind.keeps_build() { JoinStrategy::Lookup } else { JoinStrategy::Exchange };
        JoinRequest {
            operator,
            kind,
            strategy,
            keys: self.keys,
            nearest: self.nearest.map(|(left, right)| (left, right, self.direction, self.tolerance)),
            condition: self.condition,
            suffix: self.suffix,
            columns: None,
            unique: self.unique,
        }
    }
}

impl Stream {
    /// Adds columns of a table to each row, by key. A row that matches nothing is kept with nulls, unless
    /// the key says [`inner`](On::inner). Where several rows of the table have the key, each gives a row;
    /// [`unique`](On::unique) makes that an error.
    ///
    /// The table is read whole before the first row of the stream, is held in memory once, and is shared
    /// by all tasks. Columns are names, or `col("name").alias("airport")`. Rows stay in order and keep
    /// their event time.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, AsArray, StringArray};
    /// # let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    /// # let flights = RecordBatch::try_from_iter([("origin", text(vec!["SFO", "ZZZ"]))])?;
    /// # let airports = RecordBatch::try_from_iter([
    /// #     ("iata", text(vec!["SFO", "JFK"])),
    /// #     ("city", text(vec!["San Francisco", "New York"])),
    /// # ])?;
    /// let airports = Table::from_batches([airports])?;
    /// let flights = Stream::from_batches([flights])?;
    /// let named = flights.lookup_join(&airports, on("origin", "iata"), ["city"])?;
    /// let rows = named.collect()?;
    /// let cities: Vec<Option<&str>> = rows[0].column(1).as_string::<i32>().iter().collect();
    /// assert_eq!(cities, [Some("San Francisco"), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for an unknown column, keys without a common type, or a name that is there already.
    pub fn lookup_join<K: IntoKey>(
        self,
        table: &Table,
        on: On,
        columns: impl IntoIterator<Item = K>,
    ) -> Result<Self> {
        const OPERATOR: &str = "lookup_join";
        on.refuse_times(OPERATOR)?;
        let mut request = on.broadcast().request(OPERATOR, JoinKind::Left);
        if request.kind.keeps_build() || !request.kind.gives_build() {
            return Err(PlanError::JoinOption {
                operator: OPERATOR.to_owned(),
                option: format!("{}()", request.kind),
                instead: "join(table.stream(), …)",
            }
            .into());
        }
        request.columns = Some(columns.into_iter().map(IntoKey::into_key).collect());
        self.joined(&table.stream(), &request)
    }

    /// Joins rows of two streams: each pair with equal keys, or what [`On`] says.
    ///
    /// The right side, `other`, must end; it is read whole before the first row of the left. The result has
    /// the left columns, then the right ones, and the event time of the left side. A key that is a column
    /// of one name on both sides stands once; any other name on both sides is refused without
    /// [`suffix`](On::suffix). Results come in the order of the left rows, the matches of one in the order
    /// of the right rows.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array};
    /// # let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    /// # let orders = RecordBatch::try_from_iter([("item", numbers(vec![1, 2, 9])), ("n", numbers(vec![5, 6, 7]))])?;
    /// # let items = RecordBatch::try_from_iter([("item", numbers(vec![1, 2, 3])), ("price", numbers(vec![10, 20, 30]))])?;
    /// let orders = Stream::from_batches([orders])?;
    /// let items = Stream::from_batches([items])?;
    /// let rows = |stream: Stream| -> sabot::Result<usize> {
    ///     Ok(stream.collect()?.iter().map(|b| b.num_rows()).sum())
    /// };
    /// assert_eq!(rows(orders.clone().join(&items, on("item", "item"))?)?, 2);
    /// assert_eq!(rows(orders.clone().join(&items, on("item", "item").full())?)?, 4);
    /// assert_eq!(rows(orders.join(&items, on("item", "item").anti())?)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for an unknown column, keys without a common type, a name on both sides, or a right
    /// side that never ends.
    pub fn join(self, other: &Stream, on: On) -> Result<Self> {
        on.refuse_times("join")?;
        let request = on.request("join", JoinKind::Inner);
        self.joined(other, &request)
    }

    /// Joins every row with every row of another stream, which must end.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Int64Array};
    /// # let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    /// # let a = RecordBatch::try_from_iter([("a", numbers(vec![1, 2, 3]))])?;
    /// # let b = RecordBatch::try_from_iter([("b", numbers(vec![10, 20]))])?;
    /// let pairs = Stream::from_batches([a])?.cross_join(&Stream::from_batches([b])?)?;
    /// assert_eq!(pairs.collect()?.iter().map(|b| b.num_rows()).sum::<usize>(), 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for a name on both sides, or an `other` that never ends.
    pub fn cross_join(self, other: &Stream) -> Result<Self> {
        let request = On::everything().request("cross_join", JoinKind::Inner);
        self.joined(other, &request)
    }

    /// Joins each row with the one of another stream that is nearest to it in time, among those with equal
    /// keys: the price as of an order. `times` are the two time columns, of the left and of the right side;
    /// [`on`] says the keys, the direction and the tolerance.
    ///
    /// A row that finds nothing is kept with nulls, unless the key says [`inner`](On::inner). A row without
    /// time, on either side, matches nothing. The right side must end; it need not be sorted. Of several
    /// right rows at one time [`backward`](On::backward) takes the last and [`forward`](On::forward) the
    /// first, in the order in which the right side is read.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampSecondArray};
    /// # use arrow::datatypes::Int64Type;
    /// # let times = |values: Vec<i64>| Arc::new(TimestampSecondArray::from(values)) as ArrayRef;
    /// # let numbers = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    /// # let orders = RecordBatch::try_from_iter([("at", times(vec![10, 20, 90])), ("item", numbers(vec![1, 1, 1]))])?;
    /// # let prices = RecordBatch::try_from_iter([
    /// #     ("since", times(vec![5, 15])), ("item", numbers(vec![1, 1])), ("price", numbers(vec![100, 110])),
    /// # ])?;
    /// let orders = Stream::from_batches([orders])?;
    /// let prices = Stream::from_batches([prices])?;
    /// let priced = orders.asof_join(&prices, ("at", "since"), on("item", "item").within(minutes(1)))?;
    /// let rows = priced.select([col("price")])?.collect()?;
    /// let prices: Vec<Option<i64>> = rows[0].column(0).as_primitive::<Int64Type>().iter().collect();
    /// assert_eq!(prices, [Some(100), Some(110), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] for an unknown column, times that are no timestamps, a name on both sides, a kind of
    /// join that has no meaning here (right, full), or a right side that never ends.
    pub fn asof_join<L: IntoKey, R: IntoKey>(self, other: &Stream, times: (L, R), on: On) -> Result<Self> {
        const OPERATOR: &str = "asof_join";
        let on = On { nearest: Some((times.0.into_key(), times.1.into_key())), ..on };
        let request = on.request(OPERATOR, JoinKind::Left);
        if request.kind.keeps_build() {
            return Err(PlanError::JoinOption {
                operator: OPERATOR.to_owned(),
                option: format!("{}()", request.kind),
                instead: "left() or inner(), or exchange the two sides",
            }
            .into());
        }
        self.joined(other, &request)
    }

    fn joined(self, other: &Stream, request: &JoinRequest) -> Result<Self> {
        let node = self.builder().join(self.node(), other.node(), request)?;
        Ok(self.with_node(node).with_bindings_of(other))
    }
}
