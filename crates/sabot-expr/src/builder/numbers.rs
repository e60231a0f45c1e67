//! Functions of numbers and of their bits, and Rust's operators.

use std::ops;

use super::functions::{function, methods};
use super::{IntoExpr, binary, lit};
use crate::expr::{BinaryOp, Expr};

impl Expr {
    /// The logarithm to a base.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(100).log(10).constant(), Some(2.0.into()));
    /// ```
    pub fn log(self, base: impl IntoExpr) -> Expr {
        function("log", [base.into_expr(), self])
    }

    /// Integer sum modulo two to the width, instead of an overflow error.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(i32::MAX).wrapping_add(1).constant(), Some(i32::MIN.into()));
    /// assert_eq!((lit(i32::MAX) + 1).constant(), None); // an error of its row
    /// ```
    pub fn wrapping_add(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingAdd, self, other)
    }

    /// Integer difference modulo two to the width, instead of an overflow error.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(i32::MIN).wrapping_sub(1).constant(), Some(i32::MAX.into()));
    /// ```
    pub fn wrapping_sub(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingSub, self, other)
    }

    /// Integer product modulo two to the width, instead of an overflow error.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(i32::MAX).wrapping_mul(2).constant(), Some((-2).into()));
    /// ```
    pub fn wrapping_mul(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingMul, self, other)
    }
}

methods! {
    /// The number without its sign.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-3).abs().constant(), Some(3.into()));
    /// ```
    abs() => "abs";
    /// −1, 0 or 1.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-2.5).sign().constant(), Some((-1_i8).into()));
    /// ```
    sign() => "sign";
    /// The least whole number that is not less.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1.2).ceil().constant(), Some(2.0.into()));
    /// ```
    ceil() => "ceil";
    /// The greatest whole number that is not greater.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-1.2).floor().constant(), Some((-2.0).into()));
    /// ```
    floor() => "floor";
    /// The number without the digits after the point.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-1.8).trunc().constant(), Some((-1.0).into()));
    /// ```
    trunc() => "trunc";
    /// The nearest whole number, halves away from zero.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-2.5).round().constant(), Some((-3.0).into()));
    /// ```
    round() => "round";
    /// The nearest number with so many digits after the point, halves away from zero.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1234.567).round_to(-2).constant(), Some(1200.0.into()));
    /// ```
    round_to(digits) => "round";
    /// The square root; NaN for negative numbers.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(2.25).sqrt().constant(), Some(1.5.into()));
    /// ```
    sqrt() => "sqrt";
    /// The cube root.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-8.0).cbrt().constant(), Some((-2.0).into()));
    /// ```
    cbrt() => "cbrt";
    /// e to the power of the number.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0.0).exp().constant(), Some(1.0.into()));
    /// ```
    exp() => "exp";
    /// The natural logarithm; −∞ for zero, NaN for negative numbers.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1.0).ln().constant(), Some(0.0.into()));
    /// ```
    ln() => "ln";
    /// The logarithm to base 2.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(8).log2().constant(), Some(3.0.into()));
    /// ```
    log2() => "log2";
    /// The logarithm to base 10.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1000).log10().constant(), Some(3.0.into()));
    /// ```
    log10() => "log10";
    /// The number to the power of another.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(2).power(10).constant(), Some(1024.0.into()));
    /// ```
    power(exponent) => "power";
    /// The sine of an angle in radians.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).sin().constant(), Some(0.0.into()));
    /// ```
    sin() => "sin";
    /// The cosine of an angle in radians.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).cos().constant(), Some(1.0.into()));
    /// ```
    cos() => "cos";
    /// The tangent of an angle in radians.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).tan().constant(), Some(0.0.into()));
    /// ```
    tan() => "tan";
    /// The angle whose sine the number is; NaN beyond ±1.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).asin().constant(), Some(0.0.into()));
    /// ```
    asin() => "asin";
    /// The angle whose cosine the number is; NaN beyond ±1.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1).acos().constant(), Some(0.0.into()));
    /// ```
    acos() => "acos";
    /// The angle whose tangent the number is.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).atan().constant(), Some(0.0.into()));
    /// ```
    atan() => "atan";
    /// The angle between the x axis and the point whose y this is.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).atan2(1).constant(), Some(0.0.into()));
    /// ```
    atan2(x) => "atan2";
    /// The hyperbolic sine.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).sinh().constant(), Some(0.0.into()));
    /// ```
    sinh() => "sinh";
    /// The hyperbolic cosine.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).cosh().constant(), Some(1.0.into()));
    /// ```
    cosh() => "cosh";
    /// The hyperbolic tangent.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).tanh().constant(), Some(0.0.into()));
    /// ```
    tanh() => "tanh";
    /// Radians as degrees.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0).degrees().constant(), Some(0.0.into()));
    /// ```
    degrees() => "degrees";
    /// Degrees as radians.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(180).radians().constant(), Some(std::f64::consts::PI.into()));
    /// ```
    radians() => "radians";
    /// Whether the number is NaN.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(f64::NAN).is_nan().constant(), Some(true.into()));
    /// ```
    is_nan() => "is_nan";
    /// Whether the number is neither infinite nor NaN.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1.5).is_finite().constant(), Some(true.into()));
    /// ```
    is_finite() => "is_finite";
    /// Whether the number is infinite.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1.5).is_infinite().constant(), Some(false.into()));
    /// ```
    is_infinite() => "is_infinite";
    /// The bits that both integers have.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(6).bitwise_and(3).constant(), Some(2.into()));
    /// ```
    bitwise_and(other) => "bitwise_and";
    /// The bits that one of both integers has.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(6).bitwise_or(3).constant(), Some(7.into()));
    /// ```
    bitwise_or(other) => "bitwise_or";
    /// The bits that exactly one of both integers has.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(6).bitwise_xor(3).constant(), Some(5.into()));
    /// ```
    bitwise_xor(other) => "bitwise_xor";
    /// The bits that the integer does not have.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(5).bitwise_not().constant(), Some((-6).into()));
    /// ```
    bitwise_not() => "bitwise_not";
    /// The integer times two to the power of `bits`.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(3).shift_left(4).constant(), Some(48.into()));
    /// ```
    shift_left(bits) => "shift_left";
    /// The integer divided by two to the power of `bits`, floored.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-8).shift_right(1).constant(), Some((-4).into()));
    /// ```
    shift_right(bits) => "shift_right";
    /// The number of bits that are set.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(7).bit_count().constant(), Some(3_i8.into()));
    /// ```
    bit_count() => "bit_count";
}

macro_rules! operators {
    ($($trait:ident $method:ident => $op:ident),* $(,)?) => {$(
        impl<R: IntoExpr> ops::$trait<R> for Expr {
            type Output = Expr;
            fn $method(self, right: R) -> Expr {
                binary(BinaryOp::$op, self, right)
            }
        }
        // One integer and one float type, so that the type of a bare `10 / col("x")` can be inferred.
        operators!(@left $trait $method $op: i32, f64);
    )*};
    (@left $trait:ident $method:ident $op:ident: $($left:ty),*) => {$(
        impl ops::$trait<Expr> for $left {
            type Output = Expr;
            fn $method(self, right: Expr) -> Expr {
                binary(BinaryOp::$op, lit(self), right)
            }
        }
    )*};
}

operators!(Add add => Add, Sub sub => Sub, Mul mul => Mul, Div div => Div, Rem rem => Mod);

impl ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        Expr::Negate(Box::new(self))
    }
}

impl ops::Not for Expr {
    type Output = Expr;
    fn not(self) -> Expr {
        Expr::Not(Box::new(self))
    }
}
