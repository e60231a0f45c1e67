//! Functions of one number: abs, round, sqrt, ln, exp.

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use sabot_expr::MathFunc;
use sabot_ops::Failure;

use super::value::Value;
use super::{Active, Scope, wrong_type};

/// The float operations that the functions need, under one name for both widths.
trait Float: Copy {
    fn apply(self, func: MathFunc) -> Self;
}

macro_rules! floats {
    ($($native:ty),*) => {$(
        impl Float for $native {
            fn apply(self, func: MathFunc) -> Self {
                match func {
                    MathFunc::Abs => self.abs(),
                    MathFunc::Round => self.round(),
                    MathFunc::Sqrt => self.sqrt(),
                    MathFunc::Ln => self.ln(),
                    MathFunc::Exp => self.exp(),
                }
            }
        }
    )*};
}

floats!(f32, f64);

impl Scope<'_> {
    /// A function of a number.
    pub(super) fn math(&self, func: MathFunc, input: &Value, active: Active<'_>) -> Result<Value, Failure> {
        let data_type = input.array().data_type();
        let unchanged = match func {
            MathFunc::Round => data_type.is_integer(),
            MathFunc::Abs => data_type.is_unsigned_integer(),
            _ => false,
        };
        if unchanged || input.is_null_constant() {
            return Ok(input.clone());
        }
        let found = match (data_type, func) {
            (DataType::Int8, MathFunc::Abs) => {
                self.checked_unary::<Int8Type>(input, active, i8::overflowing_abs)
            }
            (DataType::Int16, MathFunc::Abs) => {
                self.checked_unary::<Int16Type>(input, active, i16::overflowing_abs)
            }
            (DataType::Int32, MathFunc::Abs) => {
                self.checked_unary::<Int32Type>(input, active, i32::overflowing_abs)
            }
            (DataType::Int64, MathFunc::Abs) => {
                self.checked_unary::<Int64Type>(input, active, i64::overflowing_abs)
            }
            (DataType::Float32, _) => self.float::<Float32Type>(func, input),
            (DataType::Float64, _) => self.float::<Float64Type>(func, input),
            _ => None,
        };
        found.ok_or_else(|| wrong_type(func.name(), data_type))
    }

    fn float<T: ArrowPrimitiveType<Native: Float>>(&self, func: MathFunc, input: &Value) -> Option<Value> {
        // The function is known outside the loop, so that sqrt, abs and round become vector loops.
        macro_rules! each {
            ($func:expr) => {
                self.checked_unary::<T>(input, None, |v| (v.apply($func), false))
            };
        }
        match func {
            MathFunc::Abs => each!(MathFunc::Abs),
            MathFunc::Round => each!(MathFunc::Round),
            MathFunc::Sqrt => each!(MathFunc::Sqrt),
            MathFunc::Ln => each!(MathFunc::Ln),
            MathFunc::Exp => each!(MathFunc::Exp),
        }
    }
}
