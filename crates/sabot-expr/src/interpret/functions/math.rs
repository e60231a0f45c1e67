//! Functions of numbers.

use arrow::datatypes::DataType;

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::{MathFunction, round_integer, round_to_digits};
use crate::scalar::Scalar;

/// The functions of one float that give a float, in the float's own width.
macro_rules! of_one {
    ($function:expr, $v:expr, $native:ident) => {
        Some(match $function {
            MathFunction::Abs => $v.abs(),
            MathFunction::Ceil => $v.ceil(),
            MathFunction::Floor => $v.floor(),
            MathFunction::Trunc => $v.trunc(),
            MathFunction::Round => $v.round(),
            MathFunction::Sqrt => $v.sqrt(),
            MathFunction::Cbrt => $v.cbrt(),
            MathFunction::Exp => $v.exp(),
            MathFunction::Ln => $v.ln(),
            MathFunction::Log2 => $v.log2(),
            MathFunction::Log10 => $v.log10(),
            MathFunction::Sin => $v.sin(),
            MathFunction::Cos => $v.cos(),
            MathFunction::Tan => $v.tan(),
            MathFunction::Asin => $v.asin(),
            MathFunction::Acos => $v.acos(),
            MathFunction::Atan => $v.atan(),
            MathFunction::Sinh => $v.sinh(),
            MathFunction::Cosh => $v.cosh(),
            MathFunction::Tanh => $v.tanh(),
            MathFunction::Degrees => $v * (180.0 / std::$native::consts::PI),
            MathFunction::Radians => $v * (std::$native::consts::PI / 180.0),
            _ => return None,
        })
    };
}

/// The functions of two floats.
macro_rules! of_two {
    ($function:expr, $a:expr, $b:expr) => {
        Some(match $function {
            MathFunction::Log => $b.log10() / $a.log10(),
            MathFunction::Power => $a.powf($b),
            MathFunction::Atan2 => $a.atan2($b),
            _ => return None,
        })
    };
}

fn one32(function: MathFunction, v: f32) -> Option<f32> {
    of_one!(function, v, f32)
}

fn one64(function: MathFunction, v: f64) -> Option<f64> {
    of_one!(function, v, f64)
}

fn two32(function: MathFunction, a: f32, b: f32) -> Option<f32> {
    of_two!(function, a, b)
}

fn two64(function: MathFunction, a: f64, b: f64) -> Option<f64> {
    of_two!(function, a, b)
}

impl Call<'_> {
    pub(super) fn math_function(&self, function: MathFunction) -> Result<Scalar, RowErrorKind> {
        if function == MathFunction::Pi {
            return Ok(Scalar::Float64(std::f64::consts::PI));
        }
        let number = self.arg(0)?;
        match function {
            MathFunction::IsNan => return self.test(f64::is_nan),
            MathFunction::IsFinite => return self.test(f64::is_finite),
            MathFunction::IsInfinite => return self.test(f64::is_infinite),
            MathFunction::Sign => return self.sign(number),
            MathFunction::Round if self.args.len() > 1 => return self.round(number),
            _ => {}
        }
        let result = match (number, self.args.get(1)) {
            (Scalar::Float32(v), None) => one32(function, *v).map(Scalar::Float32),
            (Scalar::Float64(v), None) => one64(function, *v).map(Scalar::Float64),
            (Scalar::Float32(a), Some(Scalar::Float32(b))) => two32(function, *a, *b).map(Scalar::Float32),
            (Scalar::Float64(a), Some(Scalar::Float64(b))) => two64(function, *a, *b).map(Scalar::Float64),
            (integer, None) if function == MathFunction::Abs => {
                return self.fitting(integer.as_integer().map(i128::abs));
            }
            _ => None,
        };
        result.ok_or_else(|| self.bug(format!("of {}", crate::types::type_name(&number.data_type()))))
    }

    fn test(&self, test: fn(f64) -> bool) -> Result<Scalar, RowErrorKind> {
        let number = self.arg(0)?.as_float();
        number.map(|number| Scalar::Boolean(test(number))).ok_or_else(|| self.bug("of no float".to_owned()))
    }

    fn sign(&self, number: &Scalar) -> Result<Scalar, RowErrorKind> {
        let sign = match (number.as_float(), number.as_integer()) {
            (Some(float), _) => i8::from(float > 0.0) - i8::from(float < 0.0),
            (None, Some(integer)) => integer.signum() as i8,
            (None, None) => return Err(self.bug("of no number".to_owned())),
        };
        Ok(Scalar::Int8(sign))
    }

    fn round(&self, number: &Scalar) -> Result<Scalar, RowErrorKind> {
        // An argument that takes counts is an int64.
        let digits = self.integer(1)? as i64;
        match (number.as_float(), self.returns) {
            (Some(float), DataType::Float32) => Ok(Scalar::Float32(round_to_digits(float, digits) as f32)),
            (Some(float), _) => Ok(Scalar::Float64(round_to_digits(float, digits))),
            (None, _) => self.fitting(number.as_integer().map(|value| round_integer(value, digits))),
        }
    }
}
