//! Parts of dates and timestamps, and what they are floored to.

use super::functions::function;
use super::lit;
use crate::expr::{DatePart, Expr, TruncUnit};

impl Expr {
    /// A part of a date or timestamp, by the clocks of its zone; without zone it is in UTC.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::{DatePart, lit};
    /// let day = lit("2001-01-01").cast(DataType::Date32);
    /// assert_eq!(day.date_part(DatePart::DayOfWeek).constant(), Some(1_i64.into()));
    /// ```
    pub fn date_part(self, part: DatePart) -> Expr {
        function("date_part", [lit(part.name()), self])
    }

    /// A part of a timestamp by the clocks of another zone: `Europe/Zurich` or `+01:00`.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::{DatePart, lit};
    /// let noon = lit("2001-07-01T12:00:00").cast(DataType::Timestamp(TimeUnit::Second, None));
    /// assert_eq!(noon.date_part_in(DatePart::Hour, "Europe/Zurich").constant(), Some(14_i64.into()));
    /// ```
    pub fn date_part_in(self, part: DatePart, zone: &str) -> Expr {
        function("date_part", [lit(part.name()), self, lit(zone)])
    }

    /// A date or timestamp floored to a unit, by the clocks of its zone.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::{TruncUnit, lit};
    /// let day = lit("2001-08-15").cast(DataType::Date32);
    /// let quarter = day.date_trunc(TruncUnit::Quarter).constant();
    /// assert_eq!(quarter.map(|value| value.to_string()).as_deref(), Some("DATE '2001-07-01'"));
    /// ```
    pub fn date_trunc(self, unit: TruncUnit) -> Expr {
        function("date_trunc", [lit(unit.name()), self])
    }

    /// A timestamp floored to a unit by the clocks of another zone.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::{TruncUnit, lit};
    /// let noon = lit("2001-07-01T12:00:00").cast(DataType::Timestamp(TimeUnit::Second, None));
    /// let day = noon.date_trunc_in(TruncUnit::Day, "Europe/Zurich").constant();
    /// assert_eq!(day.map(|value| value.to_string()).as_deref(), Some("TIMESTAMP '2001-06-30T22:00:00'"));
    /// ```
    pub fn date_trunc_in(self, unit: TruncUnit, zone: &str) -> Expr {
        function("date_trunc", [lit(unit.name()), self, lit(zone)])
    }
}

macro_rules! date_parts {
    ($($(#[$doc:meta])* $method:ident => $part:ident),* $(,)?) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $method(self) -> Expr {
                self.date_part(DatePart::$part)
            }
        )*}
    };
}

date_parts! {
    /// The year of a date or timestamp.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.year().constant(), Some(2001_i64.into()));
    /// ```
    year => Year,
    /// The quarter, 1 to 4.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.quarter().constant(), Some(1_i64.into()));
    /// ```
    quarter => Quarter,
    /// The month, 1 to 12.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.month().constant(), Some(2_i64.into()));
    /// ```
    month => Month,
    /// The ISO week, 1 to 53.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.week().constant(), Some(5_i64.into()));
    /// ```
    week => Week,
    /// The day of the month, 1 to 31.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.day().constant(), Some(3_i64.into()));
    /// ```
    day => Day,
    /// The day of the week, 1 (Monday) to 7 (Sunday).
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.day_of_week().constant(), Some(6_i64.into()));
    /// ```
    day_of_week => DayOfWeek,
    /// The day of the year, 1 to 366.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.day_of_year().constant(), Some(34_i64.into()));
    /// ```
    day_of_year => DayOfYear,
    /// The hour, 0 to 23.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.hour().constant(), Some(4_i64.into()));
    /// ```
    hour => Hour,
    /// The minute, 0 to 59.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.minute().constant(), Some(5_i64.into()));
    /// ```
    minute => Minute,
    /// The second, 0 to 59.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.second().constant(), Some(6_i64.into()));
    /// ```
    second => Second,
    /// The millisecond of the second, 0 to 999.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.millisecond().constant(), Some(789_i64.into()));
    /// ```
    millisecond => Millisecond,
    /// The microsecond of the second, 0 to 999,999.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("2001-02-03T04:05:06.789012").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.microsecond().constant(), Some(789012_i64.into()));
    /// ```
    microsecond => Microsecond,
    /// Whole seconds since 1970-01-01T00:00:00 UTC.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, TimeUnit};
    /// # use sabot_expr::lit;
    /// let time = lit("1970-01-02T00:00:01.5").cast(DataType::Timestamp(TimeUnit::Microsecond, None));
    /// assert_eq!(time.epoch().constant(), Some(86_401_i64.into()));
    /// ```
    epoch => Epoch,
}
