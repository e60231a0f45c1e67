//! Parts and starts of dates and timestamps by the clocks of UTC. Other zones have rules that change, and no kernel.

use arrow::datatypes::{DataType, TimeUnit};
use sabot_expr::functions::TimeFunction;
use sabot_expr::temporal::{SECONDS_PER_DAY, fixed_size, units_per_second};
use sabot_expr::types::is_utc;
use sabot_expr::{DatePart, Scalar, TruncUnit, TypedExpr};

use super::{Lowering, Value};
use crate::ir::{Binary, Kind, Reg};

/// The unit of a timestamp whose clocks are those of UTC.
pub(super) fn utc_unit(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, zone) if is_utc(zone.as_deref()) => Some(*unit),
        _ => None,
    }
}

impl Lowering {
    /// A function of a word and a time; `None` for what there is no kernel of.
    pub(super) fn time_function(
        &mut self,
        function: TimeFunction,
        args: &[TypedExpr],
        time: Value,
    ) -> Option<Value> {
        // A zone as last argument takes the place of the column's.
        let [word, of] = args else { return None };
        let word = word.as_literal().and_then(Scalar::as_str)?;
        match function {
            TimeFunction::DatePart => {
                let part = DatePart::from_name(word)?;
                let reg = match (of.data_type(), utc_unit(of.data_type())) {
                    (DataType::Date32, _) => {
                        let days = self.builder.convert(Kind::I64, time.reg);
                        self.part_of_days(part, days)?
                    }
                    (_, Some(unit)) => self.part_of_timestamp(part, time.reg, unit)?,
                    _ => return None,
                };
                Some(Value { reg, ..time })
            }
            TimeFunction::DateTrunc => {
                let size = fixed_size(TruncUnit::from_name(word)?, utc_unit(of.data_type())?)?;
                if size == 1 {
                    return Some(time);
                }
                let size = self.builder.number(Kind::I64, size);
                let rest = self.floor_rest(time.reg, size);
                let floored = self.builder.binary(Binary::Sub, time.reg, rest);
                // The rest is not negative: only what wraps is greater.
                let wraps = self.builder.binary(Binary::Lt, time.reg, floored);
                self.fail(wraps, time.valid);
                Some(Value { reg: floored, ..time })
            }
        }
    }

    /// What a division toward −∞ by a positive number leaves.
    pub(super) fn floor_rest(&mut self, value: Reg, divisor: Reg) -> Reg {
        let b = &mut self.builder;
        let rest = b.binary(Binary::Rem, value, divisor);
        let zero = b.number(Kind::I64, 0);
        let below = b.binary(Binary::Lt, rest, zero);
        let more = b.select(below, divisor, zero);
        b.binary(Binary::Add, rest, more)
    }

    fn scaled(&mut self, op: Binary, value: Reg, by: i64) -> Reg {
        let by = self.builder.number(Kind::I64, by);
        self.builder.binary(op, value, by)
    }

    fn part_of_timestamp(&mut self, part: DatePart, value: Reg, unit: TimeUnit) -> Option<Reg> {
        let ticks = units_per_second(unit);
        let per_second = self.builder.number(Kind::I64, ticks);
        let second = self.floor_divided(value, per_second);
        let day = self.builder.number(Kind::I64, SECONDS_PER_DAY);
        Some(match part {
            DatePart::Hour | DatePart::Minute | DatePart::Second => {
                let of_day = self.floor_rest(second, day);
                match part {
                    DatePart::Hour => self.scaled(Binary::Div, of_day, 3_600),
                    DatePart::Minute => {
                        let minutes = self.scaled(Binary::Div, of_day, 60);
                        self.scaled(Binary::Rem, minutes, 60)
                    }
                    _ => self.scaled(Binary::Rem, of_day, 60),
                }
            }
            DatePart::Millisecond | DatePart::Microsecond | DatePart::Nanosecond => {
                let below = self.floor_rest(value, per_second);
                let wanted = match part {
                    DatePart::Millisecond => 1_000,
                    DatePart::Microsecond => 1_000_000,
                    _ => 1_000_000_000,
                };
                let product = self.scaled(Binary::Mul, below, wanted);
                self.scaled(Binary::Div, product, ticks)
            }
            DatePart::Epoch => second,
            DatePart::UtcOffset => self.builder.number(Kind::I64, 0),
            date_part => {
                let days = self.floor_divided(second, day);
                self.part_of_days(date_part, days)?
            }
        })
    }

    /// A part of a date, given as days since the epoch in 64 bits.
    fn part_of_days(&mut self, part: DatePart, days: Reg) -> Option<Reg> {
        Some(match part {
            DatePart::Year => self.civil(days)[0],
            DatePart::Quarter => {
                let month = self.civil(days)[1];
                let before = self.scaled(Binary::Add, month, 2);
                self.scaled(Binary::Div, before, 3)
            }
            DatePart::Month => self.civil(days)[1],
            DatePart::Day => self.civil(days)[2],
            DatePart::DayOfWeek => {
                // The epoch was a Thursday.
                let shifted = self.scaled(Binary::Add, days, 3);
                let week = self.builder.number(Kind::I64, 7);
                let rest = self.floor_rest(shifted, week);
                self.scaled(Binary::Add, rest, 1)
            }
            DatePart::Epoch => self.scaled(Binary::Mul, days, SECONDS_PER_DAY),
            DatePart::Hour
            | DatePart::Minute
            | DatePart::Second
            | DatePart::Millisecond
            | DatePart::Microsecond
            | DatePart::Nanosecond
            | DatePart::UtcOffset => self.builder.number(Kind::I64, 0),
            _ => return None,
        })
    }

    /// Year, month and day of days since the epoch: the algorithm of Hinnant (*chrono-Compatible Low-Level Date
    /// Algorithms*), which counts years from March and in eras of 400, so that the leap day is the last.
    fn civil(&mut self, days: Reg) -> [Reg; 3] {
        let shifted = self.scaled(Binary::Add, days, 719_468);
        let era_days = self.builder.number(Kind::I64, 146_097);
        let era = self.floor_divided(shifted, era_days);
        let of_era = self.floor_rest(shifted, era_days);
        let (by_1460, by_36524, by_146096) = (
            self.scaled(Binary::Div, of_era, 1_460),
            self.scaled(Binary::Div, of_era, 36_524),
            self.scaled(Binary::Div, of_era, 146_096),
        );
        let without = self.builder.binary(Binary::Sub, of_era, by_1460);
        let without = self.builder.binary(Binary::Add, without, by_36524);
        let without = self.builder.binary(Binary::Sub, without, by_146096);
        let year_of_era = self.scaled(Binary::Div, without, 365);
        let (years, leap, centuries) = (
            self.scaled(Binary::Mul, year_of_era, 365),
            self.scaled(Binary::Div, year_of_era, 4),
            self.scaled(Binary::Div, year_of_era, 100),
        );
        let before = self.builder.binary(Binary::Add, years, leap);
        let before = self.builder.binary(Binary::Sub, before, centuries);
        let day_of_year = self.builder.binary(Binary::Sub, of_era, before);
        let fifths = self.scaled(Binary::Mul, day_of_year, 5);
        let fifths = self.scaled(Binary::Add, fifths, 2);
        let month_from_march = self.scaled(Binary::Div, fifths, 153);
        let days_before = self.scaled(Binary::Mul, month_from_march, 153);
        let days_before = self.scaled(Binary::Add, days_before, 2);
        let days_before = self.scaled(Binary::Div, days_before, 5);
        let day = self.builder.binary(Binary::Sub, day_of_year, days_before);
        let day = self.scaled(Binary::Add, day, 1);
        let ten = self.builder.number(Kind::I64, 10);
        let this_year = self.builder.binary(Binary::Lt, month_from_march, ten);
        let (later, earlier) =
            (self.scaled(Binary::Add, month_from_march, 3), self.scaled(Binary::Sub, month_from_march, 9));
        let month = self.builder.select(this_year, later, earlier);
        let of_eras = self.scaled(Binary::Mul, era, 400);
        let year = self.builder.binary(Binary::Add, of_eras, year_of_era);
        let next = self.scaled(Binary::Add, year, 1);
        let year = self.builder.select(this_year, year, next);
        [year, month, day]
    }
}
