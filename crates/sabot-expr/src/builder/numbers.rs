//! Functions of numbers, and Rust's operators.

use std::ops;

use super::{IntoExpr, binary, lit};
use crate::expr::{BinaryOp, Expr, MathFunc};

impl Expr {
    fn math(self, func: MathFunc) -> Expr {
        Expr::Math { func, expr: Box::new(self) }
    }

    /// The number without its sign.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-3).abs().constant(), Some(3.into()));
    /// ```
    pub fn abs(self) -> Expr {
        self.math(MathFunc::Abs)
    }

    /// The nearest whole number, halves away from zero.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(-2.5).round().constant(), Some((-3.0).into()));
    /// ```
    pub fn round(self) -> Expr {
        self.math(MathFunc::Round)
    }

    /// The square root; NaN for negative numbers.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(2.25).sqrt().constant(), Some(1.5.into()));
    /// ```
    pub fn sqrt(self) -> Expr {
        self.math(MathFunc::Sqrt)
    }

    /// The natural logarithm; −∞ for zero, NaN for negative numbers.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1.0).ln().constant(), Some(0.0.into()));
    /// ```
    pub fn ln(self) -> Expr {
        self.math(MathFunc::Ln)
    }

    /// e to the power of the number.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0.0).exp().constant(), Some(1.0.into()));
    /// ```
    pub fn exp(self) -> Expr {
        self.math(MathFunc::Exp)
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
