//! `+ − × ÷ %` and the change of sign.
//!
//! Integers are computed with overflow flags and without branches; only when some row raised a flag is
//! there a second pass that looks for the first active row among them. Garbage under nulls and in
//! inactive rows may raise flags too, which costs that pass and nothing else. Floats follow IEEE 754
//! and never fail.

use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use sabot_expr::BinaryOp;
use sabot_ops::Failure;
use std::sync::Arc;

use super::value::{Operand, Value, both_valid, is_valid};
use super::{Active, Scope, wrong_type};

/// An integer type's operations, each with a flag that says that there is no result.
pub(super) trait Integer: Copy {
    fn add(self, other: Self) -> (Self, bool);
    fn sub(self, other: Self) -> (Self, bool);
    fn mul(self, other: Self) -> (Self, bool);
    fn div(self, other: Self) -> (Self, bool);
    fn rem(self, other: Self) -> (Self, bool);
    fn neg(self) -> (Self, bool);
}

// Sums and differences find overflow in the sign bits: the compiler makes vector code of that, which it
// does not of the processor's overflow flag.
macro_rules! integers {
    ($($native:ty: $add_overflows:expr, $sub_overflows:expr;)*) => {$(
        impl Integer for $native {
            fn add(self, other: Self) -> (Self, bool) {
                let sum = self.wrapping_add(other);
                (sum, $add_overflows(self, other, sum))
            }
            fn sub(self, other: Self) -> (Self, bool) {
                let difference = self.wrapping_sub(other);
                (difference, $sub_overflows(self, other, difference))
            }
            fn mul(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }
            fn div(self, other: Self) -> (Self, bool) {
                if other == 0 { (0, true) } else { self.overflowing_div(other) }
            }
            fn rem(self, other: Self) -> (Self, bool) {
                if other == 0 { (0, true) } else { self.overflowing_rem(other) }
            }
            fn neg(self) -> (Self, bool) {
                self.overflowing_neg()
            }
        }
    )*};
}

macro_rules! signed {
    ($($native:ty),*) => {
        integers! {$(
            $native: |a: $native, b: $native, sum: $native| (a ^ sum) & (b ^ sum) < 0,
            |a: $native, b: $native, difference: $native| (a ^ b) & (a ^ difference) < 0;
        )*}
    };
}

macro_rules! unsigned {
    ($($native:ty),*) => {
        integers! {$(
            $native: |a: $native, _: $native, sum: $native| sum < a,
            |a: $native, b: $native, _: $native| a < b;
        )*}
    };
}

signed!(i8, i16, i32, i64);
unsigned!(u8, u16, u32, u64);

impl Scope<'_> {
    /// `left op right` of two numbers of one type, or of decimals or times, which give `result`.
    pub(super) fn arithmetic(
        &self,
        op: BinaryOp,
        result: &DataType,
        left: &Value,
        right: &Value,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let data_type = left.array().data_type();
        if left.is_null_constant() || right.is_null_constant() {
            return Ok(Value::constant(new_null_array(result, 1)));
        }
        match result {
            DataType::Decimal128(..) | DataType::Decimal256(..) => {
                return self.decimals(op, result, left, right, active);
            }
            DataType::Timestamp(..) | DataType::Duration(_) | DataType::Interval(_) => {
                return self.spans(op, result, left, right, active);
            }
            _ => {}
        }
        let found = match data_type {
            DataType::Int8 => self.integers::<Int8Type>(op, left, right, active),
            DataType::Int16 => self.integers::<Int16Type>(op, left, right, active),
            DataType::Int32 => self.integers::<Int32Type>(op, left, right, active),
            DataType::Int64 => self.integers::<Int64Type>(op, left, right, active),
            DataType::UInt8 => self.integers::<UInt8Type>(op, left, right, active),
            DataType::UInt16 => self.integers::<UInt16Type>(op, left, right, active),
            DataType::UInt32 => self.integers::<UInt32Type>(op, left, right, active),
            DataType::UInt64 => self.integers::<UInt64Type>(op, left, right, active),
            DataType::Float32 => floats::<Float32Type>(op, left, right),
            DataType::Float64 => floats::<Float64Type>(op, left, right),
            _ => None,
        };
        found.ok_or_else(|| wrong_type(op.symbol(), data_type))
    }

    fn integers<T: ArrowPrimitiveType<Native: Integer>>(
        &self,
        op: BinaryOp,
        left: &Value,
        right: &Value,
        active: Active<'_>,
    ) -> Option<Value> {
        let (a, b) = (left.operand::<T>()?, right.operand::<T>()?);
        Some(match op {
            BinaryOp::Add => self.checked::<T>(a, b, left, right, active, Integer::add),
            BinaryOp::Sub => self.checked::<T>(a, b, left, right, active, Integer::sub),
            BinaryOp::Mul => self.checked::<T>(a, b, left, right, active, Integer::mul),
            BinaryOp::Div => self.checked::<T>(a, b, left, right, active, Integer::div),
            BinaryOp::Mod => self.checked::<T>(a, b, left, right, active, Integer::rem),
            BinaryOp::WrappingAdd => primitive::<T>(a.zip(b, |a, b| a.add(b).0), left, right),
            BinaryOp::WrappingSub => primitive::<T>(a.zip(b, |a, b| a.sub(b).0), left, right),
            BinaryOp::WrappingMul => primitive::<T>(a.zip(b, |a, b| a.mul(b).0), left, right),
            _ => return None,
        })
    }

    fn checked<T: ArrowPrimitiveType>(
        &self,
        a: Operand<'_, T::Native>,
        b: Operand<'_, T::Native>,
        left: &Value,
        right: &Value,
        active: Active<'_>,
        f: impl Fn(T::Native, T::Native) -> (T::Native, bool),
    ) -> Value {
        let mut flags = false;
        let values = a.zip(b, |a, b| {
            let (value, flag) = f(a, b);
            flags |= flag;
            value
        });
        let result = primitive::<T>(values, left, right);
        if flags {
            let nulls = result.array().nulls();
            self.fail_where(active, result.is_constant(), |row| {
                is_valid(nulls, row) && f(a.get(row), b.get(row)).1
            });
        }
        result
    }

    /// The number with its sign turned.
    pub(super) fn negate(&self, input: &Value, active: Active<'_>) -> Result<Value, Failure> {
        if input.is_null_constant() {
            return Ok(input.clone());
        }
        let data_type = input.array().data_type();
        let found = match data_type {
            DataType::Int8 => self.checked_unary::<Int8Type>(input, active, Integer::neg),
            DataType::Int16 => self.checked_unary::<Int16Type>(input, active, Integer::neg),
            DataType::Int32 => self.checked_unary::<Int32Type>(input, active, Integer::neg),
            DataType::Int64 => self.checked_unary::<Int64Type>(input, active, Integer::neg),
            DataType::Float32 => self.checked_unary::<Float32Type>(input, active, |v| (-v, false)),
            DataType::Float64 => self.checked_unary::<Float64Type>(input, active, |v| (-v, false)),
            // As many digits as before; what wraps is garbage under a null.
            DataType::Decimal128(..) => {
                self.checked_unary::<Decimal128Type>(input, active, |v| (v.wrapping_neg(), false))
            }
            DataType::Decimal256(..) => {
                self.checked_unary::<Decimal256Type>(input, active, |v| (v.wrapping_neg(), false))
            }
            DataType::Duration(_) | DataType::Interval(_) => return self.negate_span(input, active),
            _ => None,
        };
        found.ok_or_else(|| wrong_type("-", data_type))
    }

    /// `f` of every value, where the flag says that there is no result.
    pub(super) fn checked_unary<T: ArrowPrimitiveType>(
        &self,
        input: &Value,
        active: Active<'_>,
        f: impl Fn(T::Native) -> (T::Native, bool),
    ) -> Option<Value> {
        let operand = input.operand::<T>()?;
        Some(self.checked::<T>(operand, operand, input, input, active, |v, _| f(v)))
    }
}

fn floats<T>(op: BinaryOp, left: &Value, right: &Value) -> Option<Value>
where
    T: ArrowPrimitiveType,
    T::Native: std::ops::Add<Output = T::Native>
        + std::ops::Sub<Output = T::Native>
        + std::ops::Mul<Output = T::Native>
        + std::ops::Div<Output = T::Native>
        + std::ops::Rem<Output = T::Native>,
{
    let (a, b) = (left.operand::<T>()?, right.operand::<T>()?);
    let values = match op {
        BinaryOp::Add => a.zip(b, |a, b| a + b),
        BinaryOp::Sub => a.zip(b, |a, b| a - b),
        BinaryOp::Mul => a.zip(b, |a, b| a * b),
        BinaryOp::Div => a.zip(b, |a, b| a / b),
        BinaryOp::Mod => a.zip(b, |a, b| a % b),
        _ => return None,
    };
    Some(primitive::<T>(values, left, right))
}

/// The result of two operands from its values; null where one of them is. Neither is a null constant.
fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, left: &Value, right: &Value) -> Value {
    let constant = left.is_constant() && right.is_constant();
    let nulls = both_valid(left, right);
    // Of the operand's own type, so that a timestamp keeps its zone.
    let data_type = left.array().data_type().clone();
    let array: ArrayRef = Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type));
    Value::of(array, constant)
}
