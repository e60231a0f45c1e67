//! Functions of numbers.
//!
//! Which function it is is known outside the loops, so that what the processor has an instruction for
//! becomes a vector loop.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Float64Array, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type};
use sabot_expr::functions::{MathFunction, round_integer, round_to_digits};
use sabot_ops::Failure;
use std::sync::Arc;

use super::super::value::Operand;
use super::{Call, for_integers};

/// The functions that give a float of the argument's own type; `None` for the others.
macro_rules! float_functions {
    ($name:ident, $arrow:ty, $native:ident) => {
        fn $name(call: &Call<'_>, function: MathFunction) -> Option<Vec<$native>> {
            use MathFunction as F;
            let a = call.args.first()?.operand::<$arrow>()?;
            if let Some(b) = call.args.get(1) {
                let b = b.operand::<$arrow>()?;
                return Some(match function {
                    F::Log => a.zip(b, |base, v| v.log10() / base.log10()),
                    F::Power => a.zip(b, $native::powf),
                    F::Atan2 => a.zip(b, $native::atan2),
                    _ => return None,
                });
            }
            Some(match function {
                F::Abs => map(a, $native::abs),
                F::Ceil => map(a, $native::ceil),
                F::Floor => map(a, $native::floor),
                F::Trunc => map(a, $native::trunc),
                F::Round => map(a, $native::round),
                F::Sqrt => map(a, $native::sqrt),
                F::Cbrt => map(a, $native::cbrt),
                F::Exp => map(a, $native::exp),
                F::Ln => map(a, $native::ln),
                F::Log2 => map(a, $native::log2),
                F::Log10 => map(a, $native::log10),
                F::Sin => map(a, $native::sin),
                F::Cos => map(a, $native::cos),
                F::Tan => map(a, $native::tan),
                F::Asin => map(a, $native::asin),
                F::Acos => map(a, $native::acos),
                F::Atan => map(a, $native::atan),
                F::Sinh => map(a, $native::sinh),
                F::Cosh => map(a, $native::cosh),
                F::Tanh => map(a, $native::tanh),
                F::Degrees => map(a, |v| v * (180.0 / std::$native::consts::PI)),
                F::Radians => map(a, |v| v * (std::$native::consts::PI / 180.0)),
                _ => return None,
            })
        }
    };
}

float_functions!(float32, Float32Type, f32);
float_functions!(float64, Float64Type, f64);

fn map<T: Copy, U>(operand: Operand<'_, T>, f: impl Fn(T) -> U) -> Vec<U> {
    match operand {
        Operand::Many(values) => values.iter().map(|v| f(*v)).collect(),
        Operand::One(value) => vec![f(value)],
    }
}

impl Call<'_> {
    pub(super) fn math_function(&self, function: MathFunction) -> Result<ArrayRef, Failure> {
        let result = match function {
            MathFunction::Pi => Some(Arc::new(Float64Array::from(vec![std::f64::consts::PI])) as ArrayRef),
            MathFunction::Sign => self.sign(),
            MathFunction::Abs if self.returns.is_integer() => self.abs(),
            MathFunction::Round if self.args.len() > 1 => self.round()?,
            MathFunction::IsNan => self.test(f32::is_nan, f64::is_nan),
            MathFunction::IsFinite => self.test(f32::is_finite, f64::is_finite),
            MathFunction::IsInfinite => self.test(f32::is_infinite, f64::is_infinite),
            _ => match self.returns {
                DataType::Float32 => {
                    float32(self, function).map(|values| self.primitive::<Float32Type>(values))
                }
                _ => float64(self, function).map(|values| self.primitive::<Float64Type>(values)),
            },
        };
        result.ok_or_else(|| self.wrong_type())
    }

    /// Values with the nulls of the arguments.
    pub(super) fn primitive<T: ArrowPrimitiveType>(&self, values: Vec<T::Native>) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values.into(), self.nulls.clone()))
    }

    /// Results that some rows do not have, row by row.
    pub(super) fn checked<T: ArrowPrimitiveType>(
        &self,
        value: impl Fn(usize) -> Option<T::Native>,
    ) -> ArrayRef {
        let value = |row: usize| {
            if !self.is_valid(row) {
                return T::Native::default();
            }
            value(row).unwrap_or_else(|| {
                self.fail(row);
                T::Native::default()
            })
        };
        self.primitive::<T>((0..self.rows).map(value).collect())
    }

    fn abs(&self) -> Option<ArrayRef> {
        let number = self.args.first()?;
        for_integers!(number.array().data_type(), T => {
            let operand = number.operand::<T>()?;
            self.checked::<T>(|row| i128::from(operand.get(row)).abs().try_into().ok())
        })
    }

    fn sign(&self) -> Option<ArrayRef> {
        let number = self.args.first()?;
        let signs = match number.array().data_type() {
            DataType::Float32 => {
                map(number.operand::<Float32Type>()?, |v| i8::from(v > 0.0) - i8::from(v < 0.0))
            }
            DataType::Float64 => {
                map(number.operand::<Float64Type>()?, |v| i8::from(v > 0.0) - i8::from(v < 0.0))
            }
            integer => for_integers!(integer, T => {
                map(number.operand::<T>()?, |v| i128::from(v).signum() as i8)
            })?,
        };
        Some(self.primitive::<Int8Type>(signs))
    }

    fn round(&self) -> Result<Option<ArrayRef>, Failure> {
        let (number, digits) = (self.arg(0)?, self.count(1)?);
        Ok(match number.array().data_type() {
            DataType::Float32 => number.operand::<Float32Type>().map(|operand| {
                let round = |row| round_to_digits(f64::from(operand.get(row)), digits.get(row)) as f32;
                self.primitive::<Float32Type>((0..self.rows).map(round).collect())
            }),
            DataType::Float64 => number.operand::<Float64Type>().map(|operand| {
                let round = |row| round_to_digits(operand.get(row), digits.get(row));
                self.primitive::<Float64Type>((0..self.rows).map(round).collect())
            }),
            integer => for_integers!(integer, T => {
                let operand = number.operand::<T>().ok_or_else(|| self.wrong_type())?;
                self.checked::<T>(|row| {
                    round_integer(i128::from(operand.get(row)), digits.get(row)).try_into().ok()
                })
            }),
        })
    }

    fn test(&self, narrow: fn(f32) -> bool, wide: fn(f64) -> bool) -> Option<ArrayRef> {
        let number = self.args.first()?;
        let bits: BooleanBuffer = match number.array().data_type() {
            DataType::Float32 => map(number.operand::<Float32Type>()?, narrow).into(),
            _ => map(number.operand::<Float64Type>()?, wide).into(),
        };
        Some(Arc::new(BooleanArray::new(bits, self.nulls.clone())))
    }
}
