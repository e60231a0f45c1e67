//! Casts, by the rules of [`sabot_expr::cast`].

use arrow::datatypes::{DataType, TimeUnit};
use sabot_expr::temporal::{MILLIS_PER_DAY, units_per_day, units_per_second};
use sabot_expr::{CastMode, TypedExpr, type_name};

use super::time::utc_unit;
use super::{Lowering, Refused, Value, refused, storage_of, unknown_type};
use crate::ir::{Binary, Kind, Reg, Storage, Unary};

/// What a value becomes, and whether it has a counterpart, where not all have.
type Counterpart = (Reg, Option<Reg>);

impl Lowering {
    pub(super) fn cast(
        &mut self,
        expr: &TypedExpr,
        input: &TypedExpr,
        mode: CastMode,
    ) -> Result<Value, Refused> {
        let (from, to) = (input.data_type(), expr.data_type());
        let value = self.value(input)?;
        if from == to {
            return Ok(value);
        }
        let none = || {
            refused(expr, format!("the cast from {} to {} has no kernel yet", type_name(from), type_name(to)))
        };
        let (Some(source), Some(target)) = (storage_of(from), storage_of(to)) else {
            return Err(unknown_type(expr, to));
        };
        let is_number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Boolean;
        let (reg, fits) = if is_number(from) && is_number(to) {
            self.number(source, target, value.reg)
        } else {
            self.time(from, to, value.reg).ok_or_else(none)?
        };
        let Some(fits) = fits else { return Ok(Value { reg, ..value }) };
        if mode == CastMode::Try {
            return Ok(Value { reg, valid: self.both(value.valid, Some(fits)) });
        }
        let misfits = self.builder.not(fits);
        self.fail(misfits, value.valid);
        Ok(Value { reg, ..value })
    }

    fn number(&mut self, source: Storage, target: Storage, value: Reg) -> Counterpart {
        match (source.kind(), target.kind()) {
            (from, Kind::Bool) => {
                let zero = self.builder.number(from, 0);
                let is_zero = self.builder.binary(Binary::Eq, value, zero);
                (self.builder.not(is_zero), None)
            }
            (Kind::Bool, to) => (self.builder.convert(to, value), None),
            (_, to) if to.is_float() => (self.builder.convert(to, value), None),
            (from, _) if from.is_float() => self.truncated(target, value),
            _ => self.integer(source, target, value),
        }
    }

    fn truncated(&mut self, target: Storage, value: Reg) -> Counterpart {
        let b = &mut self.builder;
        let kind = b.kind(value);
        let whole = b.unary(Unary::Trunc, value);
        let (least, above) = float_range(target);
        let bits = |value: f64| match kind {
            Kind::F32 => u64::from((value as f32).to_bits()),
            _ => value.to_bits(),
        };
        let (least, above) = (b.constant(kind, bits(least)), b.constant(kind, bits(above)));
        // NaN is greater than every number.
        let (enough, little) = (b.binary(Binary::Le, least, whole), b.binary(Binary::Lt, whole, above));
        let fits = b.and(enough, little);
        let zero = b.number(kind, 0);
        let safe = b.select(fits, whole, zero);
        (b.convert(target.kind(), safe), Some(fits))
    }

    fn integer(&mut self, source: Storage, target: Storage, value: Reg) -> Counterpart {
        let ((least, greatest), (from_least, from_greatest)) = (range(target), range(source));
        let b = &mut self.builder;
        let kind = source.kind();
        let mut fits: Option<Reg> = None;
        if from_least < least {
            let bound = b.constant(kind, masked(kind, least));
            fits = Some(b.binary(Binary::Le, bound, value));
        }
        if from_greatest > greatest {
            let bound = b.constant(kind, masked(kind, greatest));
            let below = b.binary(Binary::Le, value, bound);
            fits = Some(fits.map_or(below, |above| b.and(above, below)));
        }
        (b.convert(target.kind(), value), fits)
    }

    /// Dates, times and spans as their counts, and the other way round; units of one another.
    fn time(&mut self, from: &DataType, to: &DataType, value: Reg) -> Option<Counterpart> {
        use DataType::{Date32, Date64, Duration, Int32, Int64, Time32, Time64, Timestamp};
        match (from, to) {
            (Date32 | Time32(_), Int32)
            | (Int32, Date32 | Time32(_))
            | (Date64 | Time64(_) | Timestamp(_, _) | Duration(_), Int64)
            | (Int64, Date64 | Time64(_) | Timestamp(_, _) | Duration(_)) => Some((value, None)),
            (Timestamp(from, _), Timestamp(to, _)) | (Duration(from), Duration(to)) => {
                Some(self.unit(*from, *to, value))
            }
            (Date32, Date64) => {
                let wide = self.builder.convert(Kind::I64, value);
                let day = self.builder.number(Kind::I64, MILLIS_PER_DAY);
                Some((self.builder.binary(Binary::Mul, wide, day), None))
            }
            (Date64, Date32) => {
                let day = self.builder.number(Kind::I64, MILLIS_PER_DAY);
                let days = self.floor_divided(value, day);
                Some(self.integer(Storage::I64, Storage::I32, days))
            }
            (Date32, Timestamp(..)) => {
                let wide = self.builder.convert(Kind::I64, value);
                Some(self.times(wide, units_per_day(utc_unit(to)?)))
            }
            (Date64, Timestamp(..)) => Some(self.unit(TimeUnit::Millisecond, utc_unit(to)?, value)),
            (Timestamp(..), Date32 | Date64) => {
                let day = self.builder.number(Kind::I64, units_per_day(utc_unit(from)?));
                let days = self.floor_divided(value, day);
                Some(match to {
                    Date32 => self.integer(Storage::I64, Storage::I32, days),
                    _ => self.times(days, MILLIS_PER_DAY),
                })
            }
            (Timestamp(..), Time32(wanted) | Time64(wanted)) => {
                let unit = utc_unit(from)?;
                let day = self.builder.number(Kind::I64, units_per_day(unit));
                let clock = self.floor_rest(value, day);
                let (clock, fits) = self.unit(unit, *wanted, clock);
                Some((self.builder.convert(storage_of(to)?.kind(), clock), fits))
            }
            _ => None,
        }
    }

    /// A product with a constant, and whether it fits 64 bits.
    fn times(&mut self, value: Reg, factor: i64) -> Counterpart {
        let b = &mut self.builder;
        let factor = b.number(Kind::I64, factor);
        let product = b.binary(Binary::Mul, value, factor);
        let high = b.binary(Binary::MulHigh, value, factor);
        let shift = b.number(Kind::I64, 63);
        let sign = b.binary(Binary::Shr, product, shift);
        let fits = b.binary(Binary::Eq, high, sign);
        (product, Some(fits))
    }

    /// A count in another unit: floored when the unit is coarser.
    fn unit(&mut self, from: TimeUnit, to: TimeUnit, value: Reg) -> Counterpart {
        let (from, to) = (units_per_second(from), units_per_second(to));
        if to >= from {
            return if to == from { (value, None) } else { self.times(value, to / from) };
        }
        let factor = self.builder.number(Kind::I64, from / to);
        (self.floor_divided(value, factor), None)
    }

    /// An int64 divided by a positive one, toward −∞.
    pub(super) fn floor_divided(&mut self, value: Reg, divisor: Reg) -> Reg {
        let b = &mut self.builder;
        let quotient = b.binary(Binary::Div, value, divisor);
        let rest = b.binary(Binary::Rem, value, divisor);
        let zero = b.number(Kind::I64, 0);
        let below = b.binary(Binary::Lt, rest, zero);
        let one = b.convert(Kind::I64, below);
        b.binary(Binary::Sub, quotient, one)
    }
}

/// The least and the greatest value of an integer type.
fn range(storage: Storage) -> (i128, i128) {
    match (storage.bounds(), storage.kind()) {
        (Some((least, greatest)), _) => (i128::from(least), i128::from(greatest)),
        (None, Kind::I32) => (i128::from(i32::MIN), i128::from(i32::MAX)),
        (None, Kind::U32) => (0, i128::from(u32::MAX)),
        (None, Kind::U64) => (0, i128::from(u64::MAX)),
        (None, _) => (i128::from(i64::MIN), i128::from(i64::MAX)),
    }
}

/// The least value of an integer type, and the first above all of them: both are floats of either width.
fn float_range(storage: Storage) -> (f64, f64) {
    let (least, greatest) = range(storage);
    (least as f64, (greatest + 1) as f64)
}

fn masked(kind: Kind, value: i128) -> u64 {
    if kind.bits() == 32 { u64::from(value as u32) } else { value as u64 }
}
