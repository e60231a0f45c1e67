//! Windows and grouping: the two steps between a stream and its aggregates.

use sabot_common::Span;
use sabot_expr::Expr;
use sabot_plan::{AggregateExpr, AggregateRequest, IntoKey, KeyedWindow};
use sabot_time::{
    CalendarUnit, CalendarWindow, CountWindow, CumulateWindow, HoppingWindow, SessionWindow, TimeError,
    TumblingWindow, Windows, Zone,
};

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
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Window {
    shape: Shape,
    offset: Option<Span>,
    zone: Option<String>,
    allowed_lateness: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Tumbling { size: Span },
    Hopping { size: Span, slide: Span },
    Cumulate { size: Span, step: Span },
    Calendar { unit: CalendarUnit },
    Session { gap: Span },
    Count { rows: u64 },
}

impl Shape {
    /// The word that users write.
    fn word(self) -> &'static str {
        match self {
            Shape::Tumbling { .. } => "tumbling",
            Shape::Hopping { .. } => "hopping",
            Shape::Cumulate { .. } => "cumulate",
            Shape::Calendar { .. } => "calendar",
            Shape::Session { .. } => "session",
            Shape::Count { .. } => "count",
        }
    }
}

const fn window(shape: Shape) -> Window {
    Window { shape, offset: None, zone: None, allowed_lateness: Span::ZERO }
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
    window(Shape::Tumbling { size })
}

/// Windows of one size, one of which starts every `slide`; they are aligned to 1970-01-01T00:00 UTC plus
/// the offset. With a slide below the size they overlap, and a row counts in each that it lies in; the
/// slide need not divide the size. With a slide above the size rows between two windows are left out.
///
/// ```
/// use sabot::prelude::*;
/// # use std::sync::Arc;
/// # use sabot::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
/// # let hour = 3_600_000_000;
/// # let date = TimestampMicrosecondArray::from(vec![5 * hour, 5 * hour + 1, 6 * hour]);
/// # let flights = RecordBatch::try_from_iter([
/// #     ("date", Arc::new(date) as ArrayRef),
/// #     ("origin", Arc::new(StringArray::from(vec!["SFO", "SFO", "SFO"]))),
/// # ])?;
/// // Flights at 5, 5 and 6 o'clock, in windows of three hours every hour.
/// let flights = Stream::from_batches([flights])?
///     .event_time("date", in_order())?
///     .window(hopping(hours(3), hours(1)))?
///     .group_by(["origin"])?
///     .aggregate([count().alias("flights")])?;
/// let table = sabot::arrow::util::pretty::pretty_format_batches(&flights.collect()?)?.to_string();
/// assert_eq!(table, "\
/// +---------------------+---------------------+--------+---------+
/// | window_start        | window_end          | origin | flights |
/// +---------------------+---------------------+--------+---------+
/// | 1970-01-01T03:00:00 | 1970-01-01T06:00:00 | SFO    | 2       |
/// | 1970-01-01T04:00:00 | 1970-01-01T07:00:00 | SFO    | 3       |
/// | 1970-01-01T05:00:00 | 1970-01-01T08:00:00 | SFO    | 3       |
/// | 1970-01-01T06:00:00 | 1970-01-01T09:00:00 | SFO    | 1       |
/// +---------------------+---------------------+--------+---------+");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const fn hopping(size: Span, slide: Span) -> Window {
    window(Shape::Hopping { size, slide })
}

/// Windows that start together and end one `step` apart, up to `size`; then the next ones start. They
/// are aligned to 1970-01-01T00:00 UTC plus the offset. The step must divide the size.
///
/// ```
/// # use sabot::prelude::*;
/// // What has come since midnight, every hour: from 8 o'clock on, because the first flight is at 07:05.
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
/// let so_far = flights.window(cumulate(days(1), hours(1)))?.aggregate([count()])?.collect()?;
/// assert_eq!(so_far[0].num_rows(), 17);
/// # Ok::<(), sabot::Error>(())
/// ```
pub const fn cumulate(size: Span, step: Span) -> Window {
    window(Shape::Cumulate { size, step })
}

/// Windows of the calendar, in UTC unless a [`zone`](Window::zone) is given: days have 23 to 25 hours
/// where clocks change. Weeks begin on Monday.
///
/// ```
/// # use sabot::prelude::*;
/// use sabot::CalendarUnit;
/// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
/// let yearly = flights.window(calendar(CalendarUnit::Year))?.aggregate([count()])?.collect()?;
/// assert_eq!(yearly[0].num_rows(), 1);
/// # Ok::<(), sabot::Error>(())
/// ```
pub const fn calendar(unit: CalendarUnit) -> Window {
    window(Shape::Calendar { unit })
}

/// Sessions: rows of a key (or all rows, where there are no keys) belong together as long as each comes
/// less than `gap` after the one before. `window_start` is the time of the first row, `window_end` that of
/// the last one plus the gap.
///
/// ```
/// use sabot::prelude::*;
/// # use std::sync::Arc;
/// # use sabot::arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray};
/// # let minute = 60_000_000;
/// # let at = TimestampMicrosecondArray::from(vec![0, 10 * minute, 15 * minute, 60 * minute]);
/// # let clicks = RecordBatch::try_from_iter([
/// #     ("at", Arc::new(at) as ArrayRef),
/// #     ("user", Arc::new(StringArray::from(vec!["ada", "bob", "ada", "ada"]))),
/// # ])?;
/// // Ada clicks at 0:00, 0:15 and 1:00, Bob at 0:10.
/// let sessions = Stream::from_batches([clicks])?
///     .event_time("at", in_order())?
///     .window(session(minutes(30)))?
///     .group_by(["user"])?
///     .aggregate([count().alias("clicks")])?;
/// let table = sabot::arrow::util::pretty::pretty_format_batches(&sessions.collect()?)?.to_string();
/// assert_eq!(table, "\
/// +---------------------+---------------------+------+--------+
/// | window_start        | window_end          | user | clicks |
/// +---------------------+---------------------+------+--------+
/// | 1970-01-01T00:10:00 | 1970-01-01T00:40:00 | bob  | 1      |
/// | 1970-01-01T00:00:00 | 1970-01-01T00:45:00 | ada  | 2      |
/// | 1970-01-01T01:00:00 | 1970-01-01T01:30:00 | ada  | 1      |
/// +---------------------+---------------------+------+--------+");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const fn session(gap: Span) -> Window {
    window(Shape::Session { gap })
}

/// Windows of so many rows of a key (or of all rows, where there are no keys), in order of event time;
/// rows of one time are in the order of their source. `window_start` is the time of the first row,
/// `window_end` is 1 µs after that of the last one. Rows that are left over at the end of the input, too
/// few for a window, have no result.
///
/// ```
/// use sabot::prelude::*;
/// # use std::sync::Arc;
/// # use sabot::arrow::array::{ArrayRef, Int64Array, TimestampSecondArray};
/// # let readings = RecordBatch::try_from_iter([
/// #     ("at", Arc::new(TimestampSecondArray::from(vec![1, 4, 2, 3, 5])) as ArrayRef),
/// #     ("level", Arc::new(Int64Array::from(vec![10, 40, 20, 30, 50]))),
/// # ])?;
/// let pairs = Stream::from_batches([readings])?
///     .event_time("at", out_of_orderness(seconds(10)))?
///     .window(count_window(2))?
///     .aggregate([sum(col("level")).alias("level")])?
///     .select([col("level")])?;
/// let levels = sabot::arrow::util::pretty::pretty_format_batches(&pairs.collect()?)?.to_string();
/// assert_eq!(levels, "\
/// +-------+
/// | level |
/// +-------+
/// | 30    |
/// | 70    |
/// +-------+");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const fn count_window(rows: u64) -> Window {
    window(Shape::Count { rows })
}

impl Window {
    /// Shifts all windows by a span; those of the calendar on the local clock.
    pub const fn offset(mut self, offset: Span) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The time zone of calendar windows: a name such as `Europe/Zurich`, or an offset such as `+05:30`.
    ///
    /// ```
    /// # use sabot::prelude::*;
    /// use sabot::CalendarUnit;
    /// // Flights from 07:05 to 08:10 UTC: midnight on the west coast is between them.
    /// let flights = Stream::read(csv("data/flights.csv"))?.event_time("date", in_order())?;
    /// let days = calendar(CalendarUnit::Day).zone("America/Los_Angeles");
    /// assert_eq!(flights.clone().window(days)?.aggregate([count()])?.collect()?[0].num_rows(), 2);
    /// // The day begins at 6 o'clock on the local clock.
    /// let shifts = calendar(CalendarUnit::Day).zone("America/Los_Angeles").offset(hours(6));
    /// assert_eq!(flights.window(shifts)?.aggregate([count()])?.collect()?[0].num_rows(), 1);
    /// # Ok::<(), sabot::Error>(())
    /// ```
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// How far behind its source's bound a row may be and still count, in all windows that it lies in;
    /// windows wait that long. Rows behind that are dropped, counted, and given by
    /// [`Stream::split_late`].
    pub const fn allowed_lateness(mut self, lateness: Span) -> Self {
        self.allowed_lateness = lateness;
        self
    }

    pub(crate) fn keyed(self) -> Result<KeyedWindow> {
        let offset = self.offset.unwrap_or(Span::ZERO);
        let refuse = |what| Err(TimeError::NotOf { windows: self.shape.word(), what });
        let fits = match self.shape {
            Shape::Session { .. } | Shape::Count { .. } if self.offset.is_some() => refuse("offset"),
            Shape::Calendar { .. } => Ok(()),
            _ if self.zone.is_some() => refuse("zone"),
            _ => Ok(()),
        };
        fits?;
        let window: Windows = match self.shape {
            Shape::Tumbling { size } => TumblingWindow::new(size, offset)?.into(),
            Shape::Hopping { size, slide } => HoppingWindow::new(size, slide, offset)?.into(),
            Shape::Cumulate { size, step } => CumulateWindow::new(size, step, offset)?.into(),
            Shape::Calendar { unit } => {
                let zone = self.zone.map_or(Ok(Zone::UTC), |zone| zone.parse())?;
                CalendarWindow::new(unit, zone, offset)?.into()
            }
            Shape::Session { gap } => SessionWindow::new(gap)?.into(),
            Shape::Count { rows } => CountWindow::new(rows)?.into(),
        };
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
