//! The words users write expressions with: `col`, `lit`, operators, and methods named as in SQL.
//!
//! Wherever an operand is wanted a plain Rust value is taken as a literal, so `col("delay").gt(15)`
//! needs no `lit`. A string is always a literal; a column is always `col`.

mod case;
mod dates;
mod functions;
mod numbers;
#[cfg(test)]
mod tests;
mod text;

pub use case::{Case, When, when};
pub use functions::{concat, concat_ws, function, greatest, hash, least, pi};

use arrow::datatypes::DataType;

use crate::expr::{BinaryOp, CastMode, Expr};
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
///
/// ```
/// # use sabot_expr::{coalesce, lit, null};
/// assert!((lit(1) + null()).constant().is_some_and(|value| value.is_null()));
/// assert_eq!(coalesce([null(), lit(2)]).constant(), Some(2.into()));
/// ```
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
///
/// ```
/// # use arrow::datatypes::{DataType, Schema};
/// # use sabot_expr::{ClosureFunction, FunctionRegistry, call, lit, resolve};
/// let answer = call("answer", 1, [lit(6), lit(7)]);
/// assert_eq!(answer.to_string(), "answer(6, 7)");
///
/// let unknown = resolve(&answer, &Schema::empty(), &FunctionRegistry::new()).unwrap_err();
/// assert_eq!(unknown.to_string(), "unknown function answer version 1; functions: (none)");
/// ```
pub fn call(name: impl Into<String>, version: u32, args: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    Expr::Call { name: name.into(), version, args: args.into_iter().map(IntoExpr::into_expr).collect() }
}

/// What can stand as an operand: an expression, or a value that becomes a literal.
///
/// ```
/// # use sabot_expr::{IntoExpr, col, lit};
/// assert_eq!(15.into_expr(), lit(15));
/// assert_eq!("SFO".into_expr(), lit("SFO"));
/// assert_eq!((&col("delay")).into_expr(), col("delay"));
/// ```
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
    ///
    /// ```
    /// # use sabot_expr::{lit, null};
    /// assert_eq!(lit(2).eq(2.0).constant(), Some(true.into()));
    /// assert!(lit(2).eq(null()).constant().is_some_and(|value| value.is_null()));
    /// ```
    pub fn eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Eq, self, other)
    }

    /// Not equal. Null when an operand is null.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("SFO").not_eq("OAK").constant(), Some(true.into()));
    /// ```
    pub fn not_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::NotEq, self, other)
    }

    /// Less than.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(1).lt(f64::NAN).constant(), Some(true.into()));
    /// ```
    pub fn lt(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Lt, self, other)
    }

    /// Less than or equal.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(0.0).lt_eq(-0.0).constant(), Some(true.into()));
    /// ```
    pub fn lt_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::LtEq, self, other)
    }

    /// Greater than.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("b").gt("a").constant(), Some(true.into()));
    /// ```
    pub fn gt(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Gt, self, other)
    }

    /// Greater than or equal.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(15).gt_eq(15).constant(), Some(true.into()));
    /// ```
    pub fn gt_eq(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::GtEq, self, other)
    }

    /// Three-valued AND. `other` is not evaluated for rows where this is false.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// let never_divides = lit(false).and((lit(1) / 0).gt(0));
    /// assert_eq!(never_divides.constant(), Some(false.into()));
    /// ```
    pub fn and(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::And, self, other)
    }

    /// Three-valued OR. `other` is not evaluated for rows where this is true.
    ///
    /// ```
    /// # use sabot_expr::{lit, null};
    /// assert_eq!(lit(true).or(null()).constant(), Some(true.into()));
    /// ```
    pub fn or(self, other: impl IntoExpr) -> Expr {
        binary(BinaryOp::Or, self, other)
    }

    /// Three-valued NOT.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(false).not().constant(), Some(true.into()));
    /// assert_eq!((!lit(true)).constant(), Some(false.into()));
    /// ```
    pub fn not(self) -> Expr {
        Expr::Not(Box::new(self))
    }

    /// Whether the value is null.
    ///
    /// ```
    /// # use sabot_expr::{lit, null};
    /// assert_eq!((lit(1) + null()).is_null().constant(), Some(true.into()));
    /// ```
    pub fn is_null(self) -> Expr {
        Expr::IsNull(Box::new(self))
    }

    /// Whether the value is not null.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("").is_not_null().constant(), Some(true.into()));
    /// ```
    pub fn is_not_null(self) -> Expr {
        Expr::IsNotNull(Box::new(self))
    }

    /// Whether the value lies between two bounds, both included.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(60).between(15, 60).constant(), Some(true.into()));
    /// ```
    pub fn between(self, low: impl IntoExpr, high: impl IntoExpr) -> Expr {
        self.range(low, high, false)
    }

    /// The negation of [`between`](Expr::between).
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(60).not_between(15, 60).constant(), Some(false.into()));
    /// ```
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
    /// # use sabot_expr::{col, lit};
    /// assert_eq!(lit("SFO").in_list(["SFO", "OAK"]).constant(), Some(true.into()));
    /// assert_eq!(col("origin").in_list(["SFO", "OAK"]).to_string(), "origin IN ('SFO', 'OAK')");
    /// ```
    pub fn in_list(self, list: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
        self.listed(list, false)
    }

    /// The negation of [`in_list`](Expr::in_list).
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("JFK").not_in_list(["SFO", "OAK"]).constant(), Some(true.into()));
    /// ```
    pub fn not_in_list(self, list: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
        self.listed(list, true)
    }

    fn listed(self, list: impl IntoIterator<Item = impl IntoExpr>, negated: bool) -> Expr {
        let list = list.into_iter().map(IntoExpr::into_expr).collect();
        Expr::InList { expr: Box::new(self), list, negated }
    }

    /// The value as another type; a value that the type does not have is an error of its row.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("42").cast(DataType::Int64).constant(), Some(42_i64.into()));
    /// ```
    pub fn cast(self, to: DataType) -> Expr {
        Expr::Cast { expr: Box::new(self), to, mode: CastMode::Strict }
    }

    /// The value as another type; a value that the type does not have becomes null.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::lit;
    /// let nothing = lit("forty-two").try_cast(DataType::Int64).constant();
    /// assert!(nothing.is_some_and(|value| value.is_null()));
    /// ```
    pub fn try_cast(self, to: DataType) -> Expr {
        Expr::Cast { expr: Box::new(self), to, mode: CastMode::Try }
    }

    /// The expression under a name for the output.
    ///
    /// ```
    /// # use sabot_expr::col;
    /// let hours = (col("minutes") / 60).alias("hours");
    /// assert_eq!(hours.output_name(), "hours");
    /// ```
    pub fn alias(self, name: impl Into<String>) -> Expr {
        Expr::Alias { expr: Box::new(self), name: name.into() }
    }
}
