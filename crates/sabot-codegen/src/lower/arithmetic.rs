//! Arithmetic whose overflow is an error of the row.

use arrow::datatypes::DataType;
use sabot_expr::{BinaryOp, TypedExpr, type_name};

use super::{Lowering, Refused, Value, refused, storage_of, unknown_type};
use crate::ir::{Binary, Kind, Reg, Storage, Unary};

impl Lowering {
    pub(super) fn arithmetic(
        &mut self,
        expr: &TypedExpr,
        op: BinaryOp,
        a: Value,
        b: Value,
    ) -> Result<Value, Refused> {
        let valid = self.both(a.valid, b.valid);
        let storage = storage_of(expr.data_type()).ok_or_else(|| unknown_type(expr, expr.data_type()))?;
        if storage.kind().is_float() {
            let op = match op {
                BinaryOp::Add => Binary::Add,
                BinaryOp::Sub => Binary::Sub,
                BinaryOp::Mul => Binary::Mul,
                BinaryOp::Div => Binary::Div,
                BinaryOp::Mod => Binary::Rem,
                _ => return Err(refused(expr, "an operator of integers")),
            };
            return Ok(Value { reg: self.builder.binary(op, a.reg, b.reg), valid });
        }
        // Points in time and spans of time of one unit are counts; the same overflows are errors.
        let counts = matches!(expr.data_type(), DataType::Timestamp(_, _) | DataType::Duration(_))
            || expr.data_type().is_integer();
        let same = self.builder.kind(a.reg) == storage.kind() && self.builder.kind(b.reg) == storage.kind();
        if !counts || !same {
            let reason = format!("arithmetic of {} has no kernel yet", type_name(expr.data_type()));
            return Err(refused(expr, reason));
        }
        let (reg, overflows) = match op {
            BinaryOp::Add => self.add(storage, a.reg, b.reg),
            BinaryOp::Sub => self.subtract(storage, a.reg, b.reg),
            BinaryOp::Mul => self.multiply(storage, a.reg, b.reg),
            BinaryOp::Div | BinaryOp::Mod => self.divide(op, storage, a.reg, b.reg),
            _ => {
                let op = match op {
                    BinaryOp::WrappingAdd => Binary::Add,
                    BinaryOp::WrappingSub => Binary::Sub,
                    _ => Binary::Mul,
                };
                let low = self.builder.binary(op, a.reg, b.reg);
                return Ok(Value { reg: self.wrapped(storage, low), valid });
            }
        };
        self.fail(overflows, valid);
        Ok(Value { reg, valid })
    }

    /// Whether a value in 32 bits is none of its narrower type.
    fn out_of_bounds(&mut self, value: Reg, (least, greatest): (i32, i32)) -> Reg {
        let b = &mut self.builder;
        let (least, greatest) =
            (b.number(Kind::I32, i64::from(least)), b.number(Kind::I32, i64::from(greatest)));
        let (below, above) = (b.binary(Binary::Lt, value, least), b.binary(Binary::Lt, greatest, value));
        b.or(below, above)
    }

    /// The low bits of a value in 32 bits as its narrower type.
    fn wrapped(&mut self, storage: Storage, value: Reg) -> Reg {
        let Some((least, greatest)) = storage.bounds() else { return value };
        let b = &mut self.builder;
        if least == 0 {
            let mask = b.number(Kind::I32, i64::from(greatest));
            return b.and(value, mask);
        }
        let shift = b.number(Kind::I32, 32 - storage.bits() as i64);
        let high = b.binary(Binary::Shl, value, shift);
        b.binary(Binary::Shr, high, shift)
    }

    fn negative(&mut self, value: Reg) -> Reg {
        let zero = self.builder.number(self.builder.kind(value), 0);
        self.builder.binary(Binary::Lt, value, zero)
    }

    fn add(&mut self, storage: Storage, a: Reg, b: Reg) -> (Reg, Reg) {
        let sum = self.builder.binary(Binary::Add, a, b);
        let overflows = match storage.bounds() {
            Some(bounds) => self.out_of_bounds(sum, bounds),
            // The sign of both operands is not that of the sum.
            None if storage.kind().is_signed() => {
                let (x, y) =
                    (self.builder.binary(Binary::Xor, a, sum), self.builder.binary(Binary::Xor, b, sum));
                let both = self.builder.and(x, y);
                self.negative(both)
            }
            None => self.builder.binary(Binary::Lt, sum, a),
        };
        (sum, overflows)
    }

    fn subtract(&mut self, storage: Storage, a: Reg, b: Reg) -> (Reg, Reg) {
        let difference = self.builder.binary(Binary::Sub, a, b);
        let overflows = match storage.bounds() {
            Some(bounds) => self.out_of_bounds(difference, bounds),
            None if storage.kind().is_signed() => {
                let (x, y) =
                    (self.builder.binary(Binary::Xor, a, b), self.builder.binary(Binary::Xor, a, difference));
                let both = self.builder.and(x, y);
                self.negative(both)
            }
            None => self.builder.binary(Binary::Lt, a, b),
        };
        (difference, overflows)
    }

    fn multiply(&mut self, storage: Storage, a: Reg, b: Reg) -> (Reg, Reg) {
        let product = self.builder.binary(Binary::Mul, a, b);
        if let Some(bounds) = storage.bounds() {
            // Of narrow factors only two uint16 can leave int32. Their product fills 32 bits at most, so what left is negative.
            return (product, self.out_of_bounds(product, bounds));
        }
        let kind = storage.kind();
        let high = self.builder.binary(Binary::MulHigh, a, b);
        let expected = if kind.is_signed() {
            let shift = self.builder.number(kind, i64::from(kind.bits()) - 1);
            self.builder.binary(Binary::Shr, product, shift)
        } else {
            self.builder.number(kind, 0)
        };
        let fits = self.builder.binary(Binary::Eq, high, expected);
        let overflows = self.builder.not(fits);
        (product, overflows)
    }

    /// A quotient or a remainder, and whether the divisor is zero or the quotient does not fit.
    fn divide(&mut self, op: BinaryOp, storage: Storage, a: Reg, divisor: Reg) -> (Reg, Reg) {
        let kind = storage.kind();
        let b = &mut self.builder;
        let zero = b.number(kind, 0);
        let mut bad = b.binary(Binary::Eq, divisor, zero);
        // Only the least value by −1 has no quotient. Of a narrower type it has one, which is out of bounds; but a register may
        // hold anything in its 32 bits where the value is null or has failed.
        if kind.is_signed() {
            let least = b.constant(kind, 1 << (kind.bits() - 1));
            let minus_one = b.number(kind, -1);
            let (by, of) = (b.binary(Binary::Eq, divisor, minus_one), b.binary(Binary::Eq, a, least));
            let both = b.and(by, of);
            bad = b.or(bad, both);
        }
        let one = b.number(kind, 1);
        let divisor = b.select(bad, one, divisor);
        let quotient = b.binary(Binary::Div, a, divisor);
        let result = if op == BinaryOp::Div { quotient } else { b.binary(Binary::Rem, a, divisor) };
        if let Some(bounds) = storage.bounds() {
            let outside = self.out_of_bounds(quotient, bounds);
            bad = self.builder.or(bad, outside);
        }
        (result, bad)
    }

    pub(super) fn negate(&mut self, expr: &TypedExpr, value: Value) -> Result<Value, Refused> {
        let storage = storage_of(expr.data_type()).ok_or_else(|| unknown_type(expr, expr.data_type()))?;
        if matches!(expr.data_type(), DataType::Interval(_)) {
            return Err(refused(expr, "arithmetic of intervals has no kernel yet"));
        }
        if storage.kind().is_float() {
            return Ok(Value { reg: self.builder.unary(Unary::Neg, value.reg), ..value });
        }
        let zero = self.builder.number(storage.kind(), 0);
        let (reg, overflows) = self.subtract(storage, zero, value.reg);
        self.fail(overflows, value.valid);
        Ok(Value { reg, ..value })
    }

    /// Without its sign; the least signed integer is an error.
    pub(super) fn absolute(&mut self, storage: Storage, value: Value) -> Value {
        if storage.kind().is_float() {
            return Value { reg: self.builder.unary(Unary::Abs, value.reg), ..value };
        }
        if !storage.kind().is_signed() || storage.bounds().is_some_and(|(least, _)| least == 0) {
            return value;
        }
        let zero = self.builder.number(storage.kind(), 0);
        let (turned, overflows) = self.subtract(storage, zero, value.reg);
        self.fail(overflows, value.valid);
        let negative = self.negative(value.reg);
        Value { reg: self.builder.select(negative, turned, value.reg), ..value }
    }
}
