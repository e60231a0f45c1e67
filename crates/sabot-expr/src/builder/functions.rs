//! Built-in functions by name, and those that are no method of an operand.

use super::IntoExpr;
use crate::expr::Expr;

/// Calls a built-in function by its name; the methods of [`Expr`] are shorter. A name that is no
/// function is refused when the expression is resolved.
///
/// ```
/// use sabot_expr::{col, function};
/// assert_eq!(function("lower", [col("city")]), col("city").lower());
/// ```
pub fn function(name: impl Into<String>, args: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    Expr::Function { name: name.into(), args: args.into_iter().map(IntoExpr::into_expr).collect() }
}

/// The values as text, one after the other; nulls are passed over.
///
/// ```
/// use sabot_expr::{concat, lit, null};
/// assert_eq!(concat([lit("A"), lit(320), null()]).constant(), Some("A320".into()));
/// ```
pub fn concat(values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    function("concat", values)
}

/// The values as text with a separator in between; nulls are passed over.
///
/// ```
/// use sabot_expr::{concat_ws, lit, null};
/// assert_eq!(concat_ws("-", [lit("SFO"), null(), lit("JFK")]).constant(), Some("SFO-JFK".into()));
/// ```
pub fn concat_ws(separator: impl IntoExpr, values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    let values = values.into_iter().map(IntoExpr::into_expr);
    function("concat_ws", std::iter::once(separator.into_expr()).chain(values))
}

/// The greatest of the values that are not null.
///
/// ```
/// use sabot_expr::{greatest, lit, null};
/// assert_eq!(greatest([lit(3), null(), lit(7)]).constant(), Some(7.into()));
/// ```
pub fn greatest(values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    function("greatest", values)
}

/// The least of the values that are not null.
///
/// ```
/// use sabot_expr::{least, lit, null};
/// assert_eq!(least([lit(3), null(), lit(7)]).constant(), Some(3.into()));
/// ```
pub fn least(values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    function("least", values)
}

/// A 64-bit hash of the values together, the same in every version of Sabot.
///
/// ```
/// use sabot_expr::{hash, lit};
/// assert_eq!(hash([lit(7i8)]).constant(), hash([lit(7i64)]).constant());
/// ```
pub fn hash(values: impl IntoIterator<Item = impl IntoExpr>) -> Expr {
    function("hash", values)
}

/// The number π.
///
/// ```
/// use sabot_expr::pi;
/// assert_eq!(pi().constant(), Some(std::f64::consts::PI.into()));
/// ```
pub fn pi() -> Expr {
    Expr::Function { name: "pi".to_owned(), args: Vec::new() }
}

/// Methods that are functions of `self` and some other operands.
macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident($($operand:ident),*) => $name:literal;)*) => {
        impl Expr {$(
            $(#[$doc])*
            pub fn $method(self $(, $operand: impl IntoExpr)*) -> Expr {
                Expr::Function { name: $name.to_owned(), args: vec![self $(, $operand.into_expr())*] }
            }
        )*}
    };
}

pub(super) use methods;

methods! {
    /// The value, or null where it equals another.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("SFO").nullif("NA").constant(), Some("SFO".into()));
    /// assert!(lit("NA").nullif("NA").constant().is_some_and(|value| value.is_null()));
    /// ```
    nullif(other) => "nullif";
}
