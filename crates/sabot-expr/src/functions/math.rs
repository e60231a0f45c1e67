//! Functions of numbers. Whatever is not exact says by how many units in the last place it may be off.

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one, optional};
use crate::typed::TypedExpr;
use crate::types::{is_integer, is_signed_integer};

fn is_signed(args: &[TypedExpr]) -> bool {
    args.first().is_none_or(|number| is_signed_integer(number.data_type()))
}

fn is_whole(args: &[TypedExpr]) -> bool {
    args.first().is_none_or(|number| is_integer(number.data_type()))
}

/// A function that keeps integers and floats in their own type.
const NUMBER: Entry = Entry {
    name: "",
    about: "",
    parameters: &[one("number", Takes::Number)],
    returns: Returns::SameAs(0),
    nulls: Nulls::AnyArgument,
    errors: Errors::NEVER,
    ulp: 0,
    example: example!(0 => 0),
};

/// A function of floats that backends compute with libraries of their own.
const FLOAT: Entry = Entry { parameters: &[one("number", Takes::Float)], ulp: 4, ..NUMBER };

/// A test of a float.
const TEST: Entry = Entry { returns: Returns::Boolean, ulp: 0, ..FLOAT };

family! {
    /// Functions of numbers.
    pub enum MathFunction {
        Abs => Entry {
            name: "abs",
            about: "Without its sign.",
            errors: Errors { when: "the smallest signed integer", possible: is_signed },
            example: example!(-7 => 7),
            ..NUMBER
        },
        Sign => Entry {
            name: "sign",
            about: "-1, 0 or 1; 0 for NaN.",
            returns: Returns::Int8,
            example: example!(-2.5 => -1i8),
            ..NUMBER
        },
        Ceil => Entry {
            name: "ceil",
            about: "The least whole number that is not less; integers stay.",
            example: example!(-1.5 => -1.0),
            ..NUMBER
        },
        Floor => Entry {
            name: "floor",
            about: "The greatest whole number that is not greater; integers stay.",
            example: example!(-1.5 => -2.0),
            ..NUMBER
        },
        Trunc => Entry {
            name: "trunc",
            about: "Without the digits after the point; integers stay.",
            example: example!(-1.5 => -1.0),
            ..NUMBER
        },
        Round => Entry {
            name: "round",
            about: "The nearest number with so many digits after the point (0), before it if negative; \
                    halves away from zero. Of a float x that is round(x · 10ⁿ) / 10ⁿ, computed in float64.",
            parameters: &[one("number", Takes::Number), optional("digits", Takes::Count)],
            errors: Errors { when: "an integer does not fit its type", possible: |args| args.len() > 1 && is_whole(args) },
            example: example!(1250, -2 => 1300),
            ..NUMBER
        },
        Sqrt => Entry {
            name: "sqrt",
            about: "The square root; NaN for negative numbers.",
            ulp: 0,
            example: example!(2.25 => 1.5),
            ..FLOAT
        },
        Cbrt => Entry {
            name: "cbrt",
            about: "The cube root.",
            example: example!(-8 => -2.0),
            ..FLOAT
        },
        Exp => Entry {
            name: "exp",
            about: "e to the power of the number.",
            example: example!(0 => 1.0),
            ..FLOAT
        },
        Ln => Entry {
            name: "ln",
            about: "The natural logarithm; −∞ for zero, NaN for negative numbers.",
            example: example!(1 => 0.0),
            ..FLOAT
        },
        Log2 => Entry {
            name: "log2",
            about: "The logarithm to base 2; −∞ for zero, NaN for negative numbers.",
            example: example!(8 => 3.0),
            ..FLOAT
        },
        Log10 => Entry {
            name: "log10",
            about: "The logarithm to base 10; −∞ for zero, NaN for negative numbers.",
            example: example!(1000 => 3.0),
            ..FLOAT
        },
        Log => Entry {
            name: "log",
            about: "The logarithm to a base: log10(number) / log10(base).",
            parameters: &[one("base", Takes::Float), one("number", Takes::Float)],
            ulp: 16,
            example: example!(10, 100 => 2.0),
            ..FLOAT
        },
        Power => Entry {
            name: "power",
            about: "The number to the power of another.",
            parameters: &[one("number", Takes::Float), one("exponent", Takes::Float)],
            example: example!(2, 10 => 1024.0),
            ..FLOAT
        },
        Sin => Entry { name: "sin", about: "The sine of an angle in radians.", example: example!(0 => 0.0), ..FLOAT },
        Cos => Entry { name: "cos", about: "The cosine of an angle in radians.", example: example!(0 => 1.0), ..FLOAT },
        Tan => Entry { name: "tan", about: "The tangent of an angle in radians.", example: example!(0 => 0.0), ..FLOAT },
        Asin => Entry {
            name: "asin",
            about: "The angle whose sine the number is; NaN beyond ±1.",
            example: example!(0 => 0.0),
            ..FLOAT
        },
        Acos => Entry {
            name: "acos",
            about: "The angle whose cosine the number is; NaN beyond ±1.",
            example: example!(1 => 0.0),
            ..FLOAT
        },
        Atan => Entry {
            name: "atan",
            about: "The angle whose tangent the number is.",
            example: example!(0 => 0.0),
            ..FLOAT
        },
        Atan2 => Entry {
            name: "atan2",
            about: "The angle between the x axis and the point (x, y), from −π to π.",
            parameters: &[one("y", Takes::Float), one("x", Takes::Float)],
            example: example!(0, 1 => 0.0),
            ..FLOAT
        },
        Sinh => Entry { name: "sinh", about: "The hyperbolic sine.", example: example!(0 => 0.0), ..FLOAT },
        Cosh => Entry { name: "cosh", about: "The hyperbolic cosine.", example: example!(0 => 1.0), ..FLOAT },
        Tanh => Entry { name: "tanh", about: "The hyperbolic tangent.", example: example!(0 => 0.0), ..FLOAT },
        Degrees => Entry {
            name: "degrees",
            about: "Radians as degrees.",
            ulp: 1,
            example: example!(std::f64::consts::PI => 180.0),
            ..FLOAT
        },
        Radians => Entry {
            name: "radians",
            about: "Degrees as radians.",
            ulp: 1,
            example: example!(180 => std::f64::consts::PI),
            ..FLOAT
        },
        Pi => Entry {
            name: "pi",
            about: "The number π.",
            parameters: &[],
            returns: Returns::Float64,
            ulp: 0,
            example: || (Vec::new(), std::f64::consts::PI.into()),
            ..FLOAT
        },
        IsNan => Entry {
            name: "is_nan",
            about: "Whether the number is NaN.",
            example: example!(f64::NAN => true),
            ..TEST
        },
        IsFinite => Entry {
            name: "is_finite",
            about: "Whether the number is neither infinite nor NaN.",
            example: example!(1.5 => true),
            ..TEST
        },
        IsInfinite => Entry {
            name: "is_infinite",
            about: "Whether the number is ∞ or −∞.",
            example: example!(f64::NEG_INFINITY => true),
            ..TEST
        },
    }
}

/// A float rounded to so many digits after the point, halves away from zero.
///
/// This is the definition and not an approximation of one: the product with the power of ten is rounded
/// to a float before it is rounded to a whole number, as everywhere in SQL, so that 1.005 becomes 1.0
/// with two digits (it is a little less than 1.005). What cannot be scaled stays, or becomes zero where
/// all of its digits are cut off.
pub fn round_to_digits(value: f64, digits: i64) -> f64 {
    if !value.is_finite() {
        return value;
    }
    // Beyond ±400 the power is infinite or zero, whatever the number is.
    let power = 10f64.powi(digits.unsigned_abs().min(400) as i32);
    if digits < 0 {
        let rounded = (value / power).round() * power;
        return if rounded.is_finite() { rounded } else { 0.0 };
    }
    let rounded = (value * power).round() / power;
    if rounded.is_finite() { rounded } else { value }
}

/// An integer rounded to a multiple of ten to the power of `-digits`, halves away from zero.
///
/// The result may be one that the integer's own type does not have.
pub fn round_integer(value: i128, digits: i64) -> i128 {
    if digits >= 0 {
        return value;
    }
    // No integer type has more than 20 digits, and 10^21 halves are beyond all of them.
    let power = 10i128.pow(digits.unsigned_abs().min(21) as u32);
    let (whole, rest) = (value / power, value % power);
    let away = if rest.abs() * 2 >= power { rest.signum() } else { 0 };
    (whole + away) * power
}
