//! The words users write expressions with: `col`, `lit`, operators, and methods named as in SQL.
//!
//! Wherever an operand is wanted a plain Rust value is taken as a literal, so `col("delay").gt(15)`
//! needs no `lit`. A string is always a literal; a column is always `col`.

use arrow::datatypes::DataType;
use std::ops;

use crate::expr::{BinaryOp, CastMode, DatePart, Expr, MathFunc, StringMatchKind, TruncUnit};
use crate::scalar::Scalar;

/// The value of a column.
///
/// ```
/// use sabot_expr::col;
/// assert_eq!((col("distance") / 2 + 1).to_string(), "distance / 2 + 1");
/// ```
pub fn col(name: impl Into<String>) -> Expr {
    Expr::Column(name.into())
}

/// A value. Integers and NULL take the type of what they are combined with when they fit it; see
/// [`types::rules`](crate::types::rules).
///
/// ```
/// use sabot_expr::lit;
/// assert_eq!((lit(1) + 2).to_string(), "1 + 2");
/// ```
pub fn lit(value: impl Into<Scalar>) -> Expr {
    Expr::Literal(value.into())
}

/// The NULL whose type follows from what it is combined with.
pub fn null() -> Expr {
    Expr::Literal(Scalar::Null(DataType::Null))
}

/// The first of the values that is not null.
///
/// ```
/// use sabot_expr::{IntoExpr, coalesce, col};
/// assert_eq!(coalesce([col("a"), col("b"), 0.into_expr()]).to_string(), "coalesce(a, b, 0)");
/// ```
pub fn coalesce(values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    Expr::Coalesce(values.into_iter().map(IntoExpr::into_expr).collect())
}

/// Calls the user function that is registered by this name and version.
pub fn call(name: impl Into<String>, version: u32, args: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    Expr::Call { name: name.into(), version, args: args.into_iter().map(IntoExpr::into_expr).collect() }
}

/// Starts a CASE: `when(condition).then(value).otherwise(value)`.
///
/// ```
/// use sabot_expr::{col, when};
/// let class = when(col("delay").gt(60)).then("very late").when(col("delay").gt(15)).then("late").otherwise("on time");
/// assert_eq!(
///     class.to_string(),
///     "CASE WHEN delay > 60 THEN 'very late' WHEN delay > 15 THEN 'late' ELSE 'on time' END"
/// );
/// ```
pub fn when(condition: impl IntoExpr) -> When {
    When { whens: Vec::new(), condition: condition.into_expr() }
}

/// A CASE whose last condition waits for its value.
#[derive(Clone, Debug)]
#[must_use = "a condition without `then` does nothing"]
pub struct When {
    whens: Vec<(Expr, Expr)>,
    condition: Expr,
}

impl When {
    /// The value for the rows that meet the condition.
    pub fn then(mut self, value: impl IntoExpr) -> Case {
        self.whens.push((self.condition, value.into_expr()));
        Case { whens: self.whens }
    }
}

/// A CASE that can take further branches. As an operand it is complete: without `otherwise` the
/// value is null where no condition is true.
#[derive(Clone, Debug)]
#[must_use = "end it with `otherwise` or `end`"]
pub struct Case {
    whens: Vec<(Expr, Expr)>,
}

impl Case {
    /// A further branch, tried when no earlier condition was true.
    pub fn when(self, condition: impl IntoExpr) -> When {
        When { whens: self.whens, condition: condition.into_expr() }
    }

    /// The value for the rows that meet no condition.
    pub fn otherwise(self, value: impl IntoExpr) -> Expr {
        Expr::Case { whens: self.whens, otherwise: Some(Box::new(value.into_expr())) }
    }

    /// Null for the rows that meet no condition.
    pub fn end(self) -> Expr {
        Expr::Case { whens: self.whens, otherwise: None }
    }
}

/// What can stand as an operand: an expression, or a value that becomes a literal.
pub trait IntoExpr {
    /// The operand as an expression.
    fn into_expr(self) -> Expr;
}

impl IntoExpr for Expr {
    fn into_expr(self) -> Expr {
        self
    }
}

impl IntoExpr for &Expr {
    fn into_expr(self) -> Expr {
        self.clone()
    }
}

impl IntoExpr for Case {
    fn into_expr(self) -> Expr {
        self.end()
    }
}

macro_rules! literals {
    ($($literal:ty),* $(,)?) => {$(
        impl IntoExpr for $literal {
            fn into_expr(self) -> Expr {
                lit(self)
            }
        }
    )*};
}

literals!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, &str, String, Scalar);

fn binary(op: BinaryOp, left: Expr, right: impl IntoExpr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right.into_expr()) }
}

#[allow(clippy::should_implement_trait, reason = "`not` is the SQL word; the operator is implemented too")]
impl Expr {
    /// Equal. Null when an operand is null.
    pub fn eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Eq, self, other)
    }

    /// Not equal. Null when an operand is null.
    pub fn not_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::NotEq, self, other)
    }

    /// Less than.
    pub fn lt(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Lt, self, other)
    }

    /// Less than or equal.
    pub fn lt_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::LtEq, self, other)
    }

    /// Greater than.
    pub fn gt(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Gt, self, other)
    }

    /// Greater than or equal.
    pub fn gt_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::GtEq, self, other)
    }

    /// Three-valued AND. `other` is not evaluated for rows where this is false.
    pub fn and(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::And, self, other)
    }

    /// Three-valued OR. `other` is not evaluated for rows where this is true.
    pub fn or(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Or, self, other)
    }

    /// Three-valued NOT.
    pub fn not(self) -> Expr {
        Expr::Not(Box::new(self))
    }

    /// Whether the value is null.
    pub fn is_null(self) -> Expr {
        Expr::IsNull(Box::new(self))
    }

    /// Whether the value is not null.
    pub fn is_not_null(self) -> Expr {
        Expr::IsNotNull(Box::new(self))
    }

    /// Whether the value lies between two bounds, both included.
    pub fn between(self, low: impl IntoExpr, high: impl IntoExpr) -> Expr {
        self.range(low, high, false)
    }

    /// The negation of [`between`](Expr::between).
    pub fn not_between(self, low: impl IntoExpr, high: impl IntoExpr) -> Expr {
        self.range(low, high, true)
    }

    fn range(self, low: impl IntoExpr, high: impl IntoExpr, negated: bool) -> Expr {
        let (low, high) = (Box::new(low.into_expr()), Box::new(high.into_expr()));
        Expr::Between { expr: Box::new(self), low, high, negated }
    }

    /// Whether the value equals one of the list. Null when nothing is equal and a null took part.
    ///
    /// ```
    /// use sabot_expr::col;
    /// assert_eq!(col("origin").in_list(["SFO", "OAK"]).to_string(), "origin IN ('SFO', 'OAK')");
    /// ```
    pub fn in_list(self, list: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
        self.listed(list, false)
    }

    /// The negation of [`in_list`](Expr::in_list).
    pub fn not_in_list(self, list: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
        self.listed(list, true)
    }

    fn listed(self, list: impl IntoIterator<Item = impl IntoExpr>, negated: bool) -> Expr {
        let list = list.into_iter().map(IntoExpr::into_expr).collect();
        Expr::InList { expr: Box::new(self), list, negated }
    }

    /// Whether a string matches a pattern: `%` stands for any characters, `_` for one, `\` makes the
    /// next character stand for itself.
    pub fn like(self, pattern: impl IntoExpr) -> Expr {
        self.like_escaped(pattern, '\\')
    }

    /// [`like`](Expr::like) with another escape character.
    pub fn like_escaped(self, pattern: impl IntoExpr, escape: char) -> Expr {
        Expr::Like { expr: Box::new(self), pattern: Box::new(pattern.into_expr()), negated: false, escape }
    }

    /// The negation of [`like`](Expr::like).
    pub fn not_like(self, pattern: impl IntoExpr) -> Expr {
        Expr::Like {
            expr: Box::new(self),
            pattern: Box::new(pattern.into_expr()),
            negated: true,
            escape: '\\',
        }
    }

    /// Whether a string starts with another.
    pub fn starts_with(self, needle: impl IntoExpr) -> Expr {
        self.matches(StringMatchKind::StartsWith, needle)
    }

    /// Whether a string ends with another.
    pub fn ends_with(self, needle: impl IntoExpr) -> Expr {
        self.matches(StringMatchKind::EndsWith, needle)
    }

    /// Whether a string contains another.
    pub fn contains(self, needle: impl IntoExpr) -> Expr {
        self.matches(StringMatchKind::Contains, needle)
    }

    fn matches(self, kind: StringMatchKind, needle: impl IntoExpr) -> Expr {
        Expr::StringMatch { kind, expr: Box::new(self), needle: Box::new(needle.into_expr()) }
    }

    /// The value as another type; a value that the type does not have is an error of its row.
    pub fn cast(self, to: DataType) -> Expr {
        Expr::Cast { expr: Box::new(self), to, mode: CastMode::Strict }
    }

    /// The value as another type; a value that the type does not have becomes null.
    pub fn try_cast(self, to: DataType) -> Expr {
        Expr::Cast { expr: Box::new(self), to, mode: CastMode::Try }
    }

    /// The expression under a name for the output.
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::Alias { expr: Box::new(self), name: name.into() }
    }

    fn math(self, func: MathFunc) -> Expr {
        Expr::Math { func, expr: Box::new(self) }
    }

    /// The number without its sign.
    pub fn abs(self) -> Expr {
        self.math(MathFunc::Abs)
    }

    /// The nearest whole number, halves away from zero.
    pub fn round(self) -> Expr {
        self.math(MathFunc::Round)
    }

    /// The square root; NaN for negative numbers.
    pub fn sqrt(self) -> Expr {
        self.math(MathFunc::Sqrt)
    }

    /// The natural logarithm; −∞ for zero, NaN for negative numbers.
    pub fn ln(self) -> Expr {
        self.math(MathFunc::Ln)
    }

    /// e to the power of the number.
    pub fn exp(self) -> Expr {
        self.math(MathFunc::Exp)
    }

    /// Integer sum modulo two to the width, instead of an overflow error.
    pub fn wrapping_add(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingAdd, self, other)
    }

    /// Integer difference modulo two to the width, instead of an overflow error.
    pub fn wrapping_sub(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingSub, self, other)
    }

    /// Integer product modulo two to the width, instead of an overflow error.
    pub fn wrapping_mul(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::WrappingMul, self, other)
    }

    /// A part of a date or timestamp.
    pub fn date_part(self, part: DatePart) -> Expr {
        Expr::DatePart { part, expr: Box::new(self) }
    }

    /// A date or timestamp floored to a unit.
    pub fn date_trunc(self, unit: TruncUnit) -> Expr {
        Expr::DateTrunc { unit, expr: Box::new(self) }
    }
}

macro_rules! date_parts {
    ($($(#[$doc:meta])* $method:ident => $part:ident),* $(,)?) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $method(self) -> Expr {
                self.date_part(DatePart::$part)
            }
        )*}
    };
}

date_parts! {
    /// The year of a date or timestamp.
    year => Year,
    /// The quarter, 1 to 4.
    quarter => Quarter,
    /// The month, 1 to 12.
    month => Month,
    /// The ISO week, 1 to 53.
    week => Week,
    /// The day of the month, 1 to 31.
    day => Day,
    /// The day of the week, 1 (Monday) to 7 (Sunday).
    day_of_week => DayOfWeek,
    /// The day of the year, 1 to 366.
    day_of_year => DayOfYear,
    /// The hour, 0 to 23.
    hour => Hour,
    /// The minute, 0 to 59.
    minute => Minute,
    /// The second, 0 to 59.
    second => Second,
    /// The millisecond of the second, 0 to 999.
    millisecond => Millisecond,
    /// The microsecond of the second, 0 to 999,999.
    microsecond => Microsecond,
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

#[cfg(test)]
mod tests;
