//! Windows and grouping: the two steps between a stream and its aggregates.

use sabot_common::Span;
use sabot_expr::Expr;
use sabot_plan::{AggregateExpr, AggregateRequest, IntoKey, KeyedWindow};
use sabot_time::TumblingWindow;

use crate::{Result, Stream};

/// Which windows rows are put into.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
/// let hourly = tumbling(hours(1)).offset(minutes(30)).allowed_lateness(minutes(10));
/// let counts = flights.window(hourly)?.aggregate([count()])?.collect()?;
/// assert_eq!(counts[0].num_rows(), 2); // 06:30 to 07:30, and 07:30 to 08:30
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Window {
    size: Span,
    offset: Span,
    allowed_lateness: Span,
}

/// Windows of one size, one after the other; each row is in exactly one. They are aligned to
/// 1970-01-01T00:00 UTC plus the offset.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
/// let daily = flights.window(tumbling(days(1)))?.aggregate([count()])?;
/// assert_eq!(daily.collect()?[0].num_rows(), 1);
/// # Ok::<(), sabot::Error>(())
/// ```
pub const fn tumbling(size: Span) -> Window {
    Window { size, offset: Span::ZERO, allowed_lateness: Span::ZERO }
}

impl Window {
    /// Shifts all windows by a span.
    pub const fn offset(mut self, offset: Span) -> Self {
        self.offset = offset;
        self
    }

    /// How far behind its source's bound a row may be and still count; windows wait that long. Rows
    /// behind that are dropped, counted, and given by [`Stream::split_late`].
    pub const fn allowed_lateness(mut self, lateness: Span) -> Self {
        self.allowed_lateness = lateness;
        self
    }

    pub(crate) fn keyed(self) -> Result<KeyedWindow> {
        let window = TumblingWindow::new(self.size, self.offset)?;
        Ok(KeyedWindow { window, allowed_lateness: self.allowed_lateness })
    }
}

/// A stream whose rows are put into windows: say what to group by, or aggregate over all rows.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
/// let hourly = flights.window(tumbling(hours(1)))?;
/// assert_eq!(hourly.clone().aggregate([count()])?.collect()?[0].num_rows(), 2);
/// assert_eq!(hourly.group_by(["origin"])?.aggregate([count()])?.collect()?[0].num_rows(), 3);
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Windowed {
    pub(crate) stream: Stream,
    pub(crate) window: KeyedWindow,
}

impl Windowed {
    /// Groups by columns or expressions. A name is a column.
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) for an unknown column, a type error, or a type that cannot be a key.
    pub fn group_by<K: IntoKey>(self, keys: impl IntoIterator<Item = K>) -> Result<Grouped> {
        Grouped::new(self.stream, Some(self.window), keys)
    }

    /// Aggregates all rows of a window.
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) for an unknown column or a type error.
    pub fn aggregate(self, aggregates: impl IntoIterator<Item = AggregateExpr>) -> Result<Stream> {
        self.group_by::<&str>([])?.aggregate(aggregates)
    }
}

/// A stream whose rows are grouped: say what to compute.
///
/// ```
/// # use sabot::prelude::*;
/// let flights = Stream::read(csv("data/flights.csv"))?;
/// let counts = flights.group_by(["origin"])?.aggregate([count().alias("flights")])?;
/// assert_eq!(counts.schema().field(1).name(), "flights");
/// # Ok::<(), sabot::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Grouped {
    stream: Stream,
    window: Option<KeyedWindow>,
    keys: Vec<Expr>,
}

impl Grouped {
    pub(crate) fn new<K: IntoKey>(
        stream: Stream,
        window: Option<KeyedWindow>,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Self> {
        let keys: Vec<Expr> = keys.into_iter().map(IntoKey::into_key).collect();
        stream.builder().check_group_by(stream.node(), window.as_ref(), &keys)?;
        Ok(Self { stream, window, keys })
    }

    /// Computes aggregates: one row a group (and window), with the keys first. Of windows, the columns
    /// `window_start` and `window_end` (exclusive) come before the keys.
    ///
    /// # Errors
    /// [`PlanError`](crate::PlanError) for an unknown column, a type error, or two columns of one name.
    pub fn aggregate(self, aggregates: impl IntoIterator<Item = AggregateExpr>) -> Result<Stream> {
        let Grouped { stream, window, keys } = self;
        let aggregates = aggregates.into_iter().collect();
        let request = AggregateRequest { window, keys, aggregates };
        let node = stream.builder().aggregate(stream.node(), &request)?;
        Ok(stream.with_node(node))
    }
}
