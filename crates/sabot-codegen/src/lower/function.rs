//! Built-in functions.

use sabot_expr::functions::{BitsFunction, Function, GeneralFunction, MathFunction};
use sabot_expr::{BinaryOp, TypedExpr};

use super::{Lowering, Refused, Value, refused, storage_of, unknown_type};
use crate::ir::{Binary, Kind, Math, Reg, Storage, Unary};

impl Lowering {
    pub(super) fn function(
        &mut self,
        expr: &TypedExpr,
        function: Function,
        args: &[TypedExpr],
    ) -> Result<Value, Refused> {
        let none = || refused(expr, format!("{} has no kernel yet", function.name()));
        if let (Function::Time(function), Some(time)) = (function, args.get(1)) {
            let time = self.value(time)?;
            return self.time_function(function, args, time).ok_or_else(none);
        }
        if !matches!(function, Function::Math(_) | Function::Bits(_) | Function::General(_)) {
            return Err(none());
        }
        let values = args.iter().map(|arg| self.value(arg)).collect::<Result<Vec<_>, _>>()?;
        let storage = match args.first() {
            Some(arg) => storage_of(arg.data_type()).ok_or_else(|| unknown_type(arg, arg.data_type()))?,
            None => Storage::F64,
        };
        let result = match function {
            Function::Math(function) => self.math(function, storage, &values),
            Function::Bits(function) => self.bits(function, storage, &values),
            Function::General(function) => self.general(function, &values),
            _ => None,
        };
        result.ok_or_else(none)
    }

    fn math(&mut self, function: MathFunction, storage: Storage, args: &[Value]) -> Option<Value> {
        let kind = storage.kind();
        if function == MathFunction::Pi {
            let reg = self.builder.constant(Kind::F64, std::f64::consts::PI.to_bits());
            return Some(Value { reg, valid: None });
        }
        let value = *args.first()?;
        let b = &mut self.builder;
        let of = |reg: Reg| Some(Value { reg, ..value });
        match (function, args.get(1)) {
            (MathFunction::Abs, _) => return Some(self.absolute(storage, value)),
            (MathFunction::Sign, _) => {
                let zero = b.number(kind, 0);
                let below = b.binary(Binary::Lt, value.reg, zero);
                let mut above = b.binary(Binary::Lt, zero, value.reg);
                if kind.is_float() {
                    let nan = b.unary(Unary::IsNan, value.reg);
                    let number = b.not(nan);
                    above = b.and(above, number);
                }
                let (above, below) = (b.convert(Kind::I32, above), b.convert(Kind::I32, below));
                return of(b.binary(Binary::Sub, above, below));
            }
            (MathFunction::Ceil | MathFunction::Floor | MathFunction::Trunc, None)
            | (MathFunction::Round, None)
                if !kind.is_float() =>
            {
                return Some(value);
            }
            (MathFunction::IsNan, _) => return of(b.unary(Unary::IsNan, value.reg)),
            (MathFunction::IsFinite | MathFunction::IsInfinite, _) => {
                let infinity = match kind {
                    Kind::F32 => u64::from(f32::INFINITY.to_bits()),
                    _ => f64::INFINITY.to_bits(),
                };
                let infinity = b.constant(kind, infinity);
                let size = b.unary(Unary::Abs, value.reg);
                // NaN is greater than infinity.
                let op = if function == MathFunction::IsFinite { Binary::Lt } else { Binary::Eq };
                return of(b.binary(op, size, infinity));
            }
            (MathFunction::Power | MathFunction::Atan2, Some(second)) => {
                let op = if function == MathFunction::Power { Binary::Pow } else { Binary::Atan2 };
                let reg = b.binary(op, value.reg, second.reg);
                return Some(Value { reg, valid: self.both(value.valid, second.valid) });
            }
            (MathFunction::Log, Some(number)) => {
                let base = b.unary(Unary::Math(Math::Log10), value.reg);
                let log = b.unary(Unary::Math(Math::Log10), number.reg);
                let reg = b.binary(Binary::Div, log, base);
                return Some(Value { reg, valid: self.both(value.valid, number.valid) });
            }
            (_, Some(_)) => return None,
            _ => {}
        }
        if let Some(factor) = match function {
            MathFunction::Degrees => Some((180.0 / std::f32::consts::PI, 180.0 / std::f64::consts::PI)),
            MathFunction::Radians => Some((std::f32::consts::PI / 180.0, std::f64::consts::PI / 180.0)),
            _ => None,
        } {
            let bits = if kind == Kind::F32 { u64::from(factor.0.to_bits()) } else { factor.1.to_bits() };
            let factor = b.constant(kind, bits);
            return of(b.binary(Binary::Mul, value.reg, factor));
        }
        let op = match function {
            MathFunction::Ceil => Unary::Ceil,
            MathFunction::Floor => Unary::Floor,
            MathFunction::Trunc => Unary::Trunc,
            MathFunction::Round => Unary::Round,
            MathFunction::Sqrt => Unary::Sqrt,
            MathFunction::Cbrt => Unary::Math(Math::Cbrt),
            MathFunction::Exp => Unary::Math(Math::Exp),
            MathFunction::Ln => Unary::Math(Math::Log),
            MathFunction::Log2 => Unary::Math(Math::Log2),
            MathFunction::Log10 => Unary::Math(Math::Log10),
            MathFunction::Sin => Unary::Math(Math::Sin),
            MathFunction::Cos => Unary::Math(Math::Cos),
            MathFunction::Tan => Unary::Math(Math::Tan),
            MathFunction::Asin => Unary::Math(Math::Asin),
            MathFunction::Acos => Unary::Math(Math::Acos),
            MathFunction::Atan => Unary::Math(Math::Atan),
            MathFunction::Sinh => Unary::Math(Math::Sinh),
            MathFunction::Cosh => Unary::Math(Math::Cosh),
            MathFunction::Tanh => Unary::Math(Math::Tanh),
            _ => return None,
        };
        of(b.unary(op, value.reg))
    }

    fn bits(&mut self, function: BitsFunction, storage: Storage, args: &[Value]) -> Option<Value> {
        let value = *args.first()?;
        let pair = |op: Binary, this: &mut Self| {
            let second = *args.get(1)?;
            let reg = this.builder.binary(op, value.reg, second.reg);
            Some(Value { reg, valid: this.both(value.valid, second.valid) })
        };
        match function {
            BitsFunction::BitwiseAnd => pair(Binary::And, self),
            BitsFunction::BitwiseOr => pair(Binary::Or, self),
            BitsFunction::BitwiseXor => pair(Binary::Xor, self),
            BitsFunction::BitwiseNot => {
                let turned = self.builder.unary(Unary::Not, value.reg);
                let reg =
                    self.low_bits(storage, turned, storage.bounds().is_some_and(|(least, _)| least == 0));
                Some(Value { reg, ..value })
            }
            BitsFunction::BitCount => {
                let bits = self.low_bits(storage, value.reg, storage.bounds().is_some());
                let bits = self.builder.bitcast(storage.kind().unsigned(), bits);
                let count = self.builder.unary(Unary::BitCount, bits);
                Some(Value { reg: self.builder.convert(Kind::I32, count), ..value })
            }
            BitsFunction::ShiftLeft => self.shift_left(storage, value, *args.get(1)?),
            BitsFunction::ShiftRight => {
                let (bits, inside) = self.distance(storage, args.get(1)?.reg);
                let shifted = self.builder.binary(Binary::Shr, value.reg, bits);
                let zero = self.builder.number(storage.kind(), 0);
                let reg = self.builder.select(inside, shifted, zero);
                Some(Value { reg, valid: self.both(value.valid, args.get(1)?.valid) })
            }
        }
    }

    /// The low bits of a value in 32 bits that belong to its type, if only these are to be there.
    fn low_bits(&mut self, storage: Storage, value: Reg, only: bool) -> Reg {
        if !only {
            return value;
        }
        let mask = self.builder.number(Kind::I32, (1 << storage.bits()) - 1);
        self.builder.and(value, mask)
    }

    /// A count of bits as an operand of shifts, and whether the type has so many.
    fn distance(&mut self, storage: Storage, count: Reg) -> (Reg, Reg) {
        let b = &mut self.builder;
        let width = b.number(Kind::I64, storage.bits() as i64);
        let zero = b.number(Kind::I64, 0);
        let (enough, little) = (b.binary(Binary::Le, zero, count), b.binary(Binary::Lt, count, width));
        let inside = b.and(enough, little);
        let safe = b.select(inside, count, zero);
        (b.convert(storage.kind(), safe), inside)
    }

    /// The product with a power of two; an error where an operand is negative or the result does not fit.
    fn shift_left(&mut self, storage: Storage, value: Value, count: Value) -> Option<Value> {
        let valid = self.both(value.valid, count.valid);
        let (bits, inside) = self.distance(storage, count.reg);
        let b = &mut self.builder;
        let kind = storage.kind();
        let (zero, count_zero) = (b.number(kind, 0), b.number(Kind::I64, 0));
        let negative = b.binary(Binary::Lt, value.reg, zero);
        let backwards = b.binary(Binary::Lt, count.reg, count_zero);
        let shifted = b.binary(Binary::Shl, value.reg, bits);
        // What comes back is what went in, and it did not reach the sign.
        let back = b.binary(Binary::Shr, shifted, bits);
        let same = b.binary(Binary::Eq, back, value.reg);
        let reached = b.binary(Binary::Lt, shifted, zero);
        let unreached = b.not(reached);
        let mut fits = b.and(same, unreached);
        if let Some((_, greatest)) = storage.bounds() {
            let greatest = b.number(Kind::I32, i64::from(greatest));
            let little = b.binary(Binary::Le, shifted, greatest);
            fits = b.and(fits, little);
        }
        fits = b.and(fits, inside);
        // Zero stays zero, however far it is shifted.
        let is_zero = b.binary(Binary::Eq, value.reg, zero);
        fits = b.or(fits, is_zero);
        let misfits = b.not(fits);
        let wrong = b.or(negative, backwards);
        let wrong = b.or(wrong, misfits);
        let reg = b.select(is_zero, zero, shifted);
        self.fail(wrong, valid);
        Some(Value { reg, valid })
    }

    fn general(&mut self, function: GeneralFunction, args: &[Value]) -> Option<Value> {
        let first = *args.first()?;
        let op = match function {
            GeneralFunction::Nullif => {
                let other = *args.get(1)?;
                let equal = self.compare(BinaryOp::Eq, first.reg, other.reg);
                let equal = self.is_true(Value { reg: equal, valid: other.valid });
                let differs = self.builder.not(equal);
                return Some(Value { valid: self.both(first.valid, Some(differs)), ..first });
            }
            GeneralFunction::Greatest => BinaryOp::Gt,
            GeneralFunction::Least => BinaryOp::Lt,
            GeneralFunction::Hash => return None,
        };
        let mut best = first;
        for value in &args[1..] {
            let better = self.compare(op, value.reg, best.reg);
            let better = match best.valid {
                Some(valid) => {
                    let missing = self.builder.not(valid);
                    self.builder.or(missing, better)
                }
                None => better,
            };
            let better = self.is_true(Value { reg: better, valid: value.valid });
            let reg = self.builder.select(better, value.reg, best.reg);
            let valid = match (best.valid, value.valid) {
                (Some(a), Some(b)) => Some(self.builder.or(a, b)),
                _ => None,
            };
            best = Value { reg, valid };
        }
        Some(best)
    }
}
