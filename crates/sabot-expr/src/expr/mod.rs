//! The untyped expression: what a user wrote, as data.
//!
//! An [`Expr`] refers to columns by name and knows no types, so it can be written before its input is
//! known, stored, compared and printed. [`resolve`](crate::resolve) turns it into a
//! [`TypedExpr`](crate::TypedExpr) against a schema, and all that can be wrong is found there.

mod display;

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::scalar::Scalar;
use crate::types::type_serde;

/// An expression over the columns of one input row.
///
/// Built with [`col`](crate::col), [`lit`](crate::lit) and the methods of this type; printed as SQL.
/// Stored, it nests as deeply as it was written, which a JSON reader may limit (serde_json: 128 levels,
/// two per operator); plans hold [`TypedExpr`](crate::TypedExpr), which is stored flat.
///
/// ```
/// use sabot_expr::col;
/// let late = col("delay").gt(15).and(col("origin").not_eq("SFO"));
/// assert_eq!(late.to_string(), "delay > 15 AND origin <> 'SFO'");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expr {
    /// The value of a column.
    Column(String),
    /// A value.
    Literal(Scalar),
    /// Two operands and an operator.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The operand that is evaluated first.
        left: Box<Expr>,
        /// The operand that is evaluated second, or not at all (AND, OR).
        right: Box<Expr>,
    },
    /// Three-valued NOT: null stays null.
    Not(Box<Expr>),
    /// The number with its sign turned.
    Negate(Box<Expr>),
    /// Whether the value is null; never null itself.
    IsNull(Box<Expr>),
    /// Whether the value is not null; never null itself.
    IsNotNull(Box<Expr>),
    /// The value of the first branch whose condition is true.
    Case {
        /// Conditions and values, tried in order.
        whens: Vec<(Expr, Expr)>,
        /// The value when no condition is true; null when absent.
        otherwise: Option<Box<Expr>>,
    },
    /// The value as another type.
    Cast {
        /// The value.
        expr: Box<Expr>,
        /// The type wanted.
        #[serde(with = "type_serde")]
        to: DataType,
        /// What happens to a value that the type does not have.
        mode: CastMode,
    },
    /// The first value that is not null.
    Coalesce(Vec<Expr>),
    /// `low <= expr AND expr <= high`.
    Between {
        /// The value.
        expr: Box<Expr>,
        /// The lower bound, included.
        low: Box<Expr>,
        /// The upper bound, included.
        high: Box<Expr>,
        /// NOT BETWEEN.
        negated: bool,
    },
    /// Whether the value equals one of a list.
    InList {
        /// The value.
        expr: Box<Expr>,
        /// The list, compared in order until one is equal.
        list: Vec<Expr>,
        /// NOT IN.
        negated: bool,
    },
    /// Whether a string matches a pattern with `%` and `_`.
    Like {
        /// The string.
        expr: Box<Expr>,
        /// The pattern.
        pattern: Box<Expr>,
        /// NOT LIKE.
        negated: bool,
        /// ILIKE: letter case does not count.
        insensitive: bool,
        /// The character that makes the next one stand for itself.
        escape: char,
    },
    /// A built-in function.
    Function {
        /// Its name in the table of [`functions`](crate::functions).
        name: String,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// A user function.
    Call {
        /// The name it is registered by.
        name: String,
        /// The version it is registered by.
        version: u32,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// The expression under a name for the output.
    Alias {
        /// The expression.
        expr: Box<Expr>,
        /// The name.
        name: String,
    },
}

/// An operator of two operands.
///
/// ```
/// # use sabot_expr::BinaryOp;
/// assert_eq!(BinaryOp::NotEq.symbol(), "<>");
/// assert!(BinaryOp::NotEq.is_comparison() && BinaryOp::And.is_logical());
/// assert!(BinaryOp::ALL.iter().filter(|op| op.is_arithmetic()).any(|op| op.is_wrapping()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryOp {
    /// Sum. Integer overflow is an error.
    Add,
    /// Difference. Integer overflow is an error.
    Sub,
    /// Product. Integer overflow is an error.
    Mul,
    /// Quotient. Integers truncate toward zero; an integer zero as divisor is an error.
    Div,
    /// Remainder with the sign of the dividend. An integer zero as divisor is an error.
    Mod,
    /// Integer sum modulo two to the width.
    WrappingAdd,
    /// Integer difference modulo two to the width.
    WrappingSub,
    /// Integer product modulo two to the width.
    WrappingMul,
    /// Equality.
    Eq,
    /// Inequality.
    NotEq,
    /// Less than.
    Lt,
    /// Less than or equal.
    LtEq,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    GtEq,
    /// Three-valued AND; the right operand is not evaluated when the left is false.
    And,
    /// Three-valued OR; the right operand is not evaluated when the left is true.
    Or,
}

impl BinaryOp {
    /// Every operator.
    pub const ALL: [BinaryOp; 16] = [
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::Div,
        BinaryOp::Mod,
        BinaryOp::WrappingAdd,
        BinaryOp::WrappingSub,
        BinaryOp::WrappingMul,
        BinaryOp::Eq,
        BinaryOp::NotEq,
        BinaryOp::Lt,
        BinaryOp::LtEq,
        BinaryOp::Gt,
        BinaryOp::GtEq,
        BinaryOp::And,
        BinaryOp::Or,
    ];

    /// The operator as SQL writes it; the wrapping ones have a mark of their own.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::WrappingAdd => "+%",
            BinaryOp::WrappingSub => "-%",
            BinaryOp::WrappingMul => "*%",
            BinaryOp::Eq => "=",
            BinaryOp::NotEq => "<>",
            BinaryOp::Lt => "<",
            BinaryOp::LtEq => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::GtEq => ">=",
            BinaryOp::And => "AND",
            BinaryOp::Or => "OR",
        }
    }

    /// Whether the operator compares and gives a truth value.
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | NotEq | Lt | LtEq | Gt | GtEq)
    }

    /// Whether the operator is AND or OR.
    pub fn is_logical(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or)
    }

    /// Whether the operator computes a number, checked or wrapping.
    pub fn is_arithmetic(self) -> bool {
        !self.is_comparison() && !self.is_logical()
    }

    /// Whether the operator is one of the wrapping variants.
    pub fn is_wrapping(self) -> bool {
        matches!(self, BinaryOp::WrappingAdd | BinaryOp::WrappingSub | BinaryOp::WrappingMul)
    }
}

/// What a cast does with a value that the wanted type does not have.
///
/// ```
/// # use arrow::datatypes::DataType;
/// # use sabot_expr::{CastMode, Expr, col};
/// let cast = col("text").try_cast(DataType::Int64);
/// assert!(matches!(cast, Expr::Cast { mode: CastMode::Try, .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastMode {
    /// The row is an error.
    Strict,
    /// The result is null.
    Try,
}

/// A part of a date or timestamp. Weeks and days of the week are those of ISO 8601.
///
/// ```
/// # use sabot_expr::DatePart;
/// assert_eq!(DatePart::from_name("year"), Some(DatePart::Year));
/// assert_eq!(DatePart::DayOfWeek.name(), "day_of_week");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year; the year before year 1 is 0.
    Year,
    /// 1 to 4.
    Quarter,
    /// 1 to 12.
    Month,
    /// ISO week, 1 to 53. The first days of January may lie in the last week of the year before.
    Week,
    /// Day of the month, 1 to 31.
    Day,
    /// 1 (Monday) to 7 (Sunday).
    DayOfWeek,
    /// 1 to 366.
    DayOfYear,
    /// 0 to 23.
    Hour,
    /// 0 to 59.
    Minute,
    /// 0 to 59.
    Second,
    /// Millisecond of the second, 0 to 999.
    Millisecond,
    /// Microsecond of the second, 0 to 999,999.
    Microsecond,
    /// Nanosecond of the second, 0 to 999,999,999.
    Nanosecond,
    /// The year that the ISO week belongs to.
    IsoYear,
    /// The year divided by ten, floored: 199 from 1990 to 1999.
    Decade,
    /// The century: 20 from 1901 to 2000, −1 for the hundred years before year 1.
    Century,
    /// The millennium: 2 from 1001 to 2000, −1 for the thousand years before year 1.
    Millennium,
    /// Whole seconds since 1970-01-01T00:00:00 UTC, floored.
    Epoch,
    /// Seconds that the zone's clocks are ahead of UTC.
    UtcOffset,
}

impl DatePart {
    /// Every part.
    pub const ALL: [DatePart; 19] = [
        DatePart::Year,
        DatePart::Quarter,
        DatePart::Month,
        DatePart::Week,
        DatePart::Day,
        DatePart::DayOfWeek,
        DatePart::DayOfYear,
        DatePart::Hour,
        DatePart::Minute,
        DatePart::Second,
        DatePart::Millisecond,
        DatePart::Microsecond,
        DatePart::Nanosecond,
        DatePart::IsoYear,
        DatePart::Decade,
        DatePart::Century,
        DatePart::Millennium,
        DatePart::Epoch,
        DatePart::UtcOffset,
    ];

    /// The part of this name.
    pub fn from_name(name: &str) -> Option<DatePart> {
        DatePart::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The part's name in printed expressions.
    pub fn name(self) -> &'static str {
        match self {
            DatePart::Year => "year",
            DatePart::Quarter => "quarter",
            DatePart::Month => "month",
            DatePart::Week => "week",
            DatePart::Day => "day",
            DatePart::DayOfWeek => "day_of_week",
            DatePart::DayOfYear => "day_of_year",
            DatePart::Hour => "hour",
            DatePart::Minute => "minute",
            DatePart::Second => "second",
            DatePart::Millisecond => "millisecond",
            DatePart::Microsecond => "microsecond",
            DatePart::Nanosecond => "nanosecond",
            DatePart::IsoYear => "iso_year",
            DatePart::Decade => "decade",
            DatePart::Century => "century",
            DatePart::Millennium => "millennium",
            DatePart::Epoch => "epoch",
            DatePart::UtcOffset => "utc_offset",
        }
    }
}

/// What a date or timestamp is floored to. Weeks start on Monday.
///
/// ```
/// # use sabot_expr::TruncUnit;
/// assert_eq!(TruncUnit::ALL.first(), Some(&TruncUnit::Millennium));
/// assert_eq!(TruncUnit::from_name("quarter"), Some(TruncUnit::Quarter));
/// assert_eq!(TruncUnit::Quarter.name(), "quarter");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TruncUnit {
    /// 1 January of the years that 1000 divides.
    Millennium,
    /// 1 January of the years that 100 divides.
    Century,
    /// 1 January of the years that ten divides.
    Decade,
    /// 1 January.
    Year,
    /// 1 January, April, July or October.
    Quarter,
    /// The first of the month.
    Month,
    /// Monday.
    Week,
    /// Midnight.
    Day,
    /// The full hour.
    Hour,
    /// The full minute.
    Minute,
    /// The full second.
    Second,
    /// The full millisecond.
    Millisecond,
    /// The full microsecond.
    Microsecond,
}

impl TruncUnit {
    /// Every unit, longest first.
    pub const ALL: [TruncUnit; 13] = [
        TruncUnit::Millennium,
        TruncUnit::Century,
        TruncUnit::Decade,
        TruncUnit::Year,
        TruncUnit::Quarter,
        TruncUnit::Month,
        TruncUnit::Week,
        TruncUnit::Day,
        TruncUnit::Hour,
        TruncUnit::Minute,
        TruncUnit::Second,
        TruncUnit::Millisecond,
        TruncUnit::Microsecond,
    ];

    /// The unit of this name.
    pub fn from_name(name: &str) -> Option<TruncUnit> {
        TruncUnit::ALL.into_iter().find(|unit| unit.name() == name)
    }

    /// The unit's name in printed expressions.
    pub fn name(self) -> &'static str {
        match self {
            TruncUnit::Millennium => "millennium",
            TruncUnit::Century => "century",
            TruncUnit::Decade => "decade",
            TruncUnit::Year => "year",
            TruncUnit::Quarter => "quarter",
            TruncUnit::Month => "month",
            TruncUnit::Week => "week",
            TruncUnit::Day => "day",
            TruncUnit::Hour => "hour",
            TruncUnit::Minute => "minute",
            TruncUnit::Second => "second",
            TruncUnit::Millisecond => "millisecond",
            TruncUnit::Microsecond => "microsecond",
        }
    }
}

impl Expr {
    /// The operands, in the order in which they are evaluated.
    ///
    /// ```
    /// # use sabot_expr::{col, lit};
    /// assert_eq!((col("a") + 1).children(), [&col("a"), &lit(1)]);
    /// ```
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(_) | Expr::Literal(_) => Vec::new(),
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Not(expr) | Expr::Negate(expr) | Expr::IsNull(expr) | Expr::IsNotNull(expr) => vec![expr],
            Expr::Cast { expr, .. } | Expr::Alias { expr, .. } => vec![expr],
            Expr::Case { whens, otherwise } => {
                whens.iter().flat_map(|(when, then)| [when, then]).chain(otherwise.as_deref()).collect()
            }
            Expr::Coalesce(args) | Expr::Function { args, .. } | Expr::Call { args, .. } => {
                args.iter().collect()
            }
            Expr::Between { expr, low, high, .. } => vec![expr, low, high],
            Expr::InList { expr, list, .. } => std::iter::once(&**expr).chain(list).collect(),
            Expr::Like { expr, pattern, .. } => vec![expr, pattern],
        }
    }

    /// Names of the columns that the expression reads.
    ///
    /// ```
    /// # use sabot_expr::col;
    /// assert_eq!((col("b") + col("a") * col("b")).columns().len(), 2);
    /// ```
    pub fn columns(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![self];
        while let Some(expr) = open.pop() {
            if let Expr::Column(name) = expr {
                found.insert(name.as_str());
            }
            open.extend(expr.children());
        }
        found
    }

    /// The name of the expression as an output column: its alias, else its column, else its text.
    ///
    /// ```
    /// use sabot_expr::col;
    /// assert_eq!(col("delay").output_name(), "delay");
    /// assert_eq!((col("delay") + 1).output_name(), "delay + 1");
    /// assert_eq!((col("delay") + 1).alias("more").output_name(), "more");
    /// ```
    pub fn output_name(&self) -> String {
        match self {
            Expr::Alias { name, .. } | Expr::Column(name) => name.clone(),
            other => other.to_string(),
        }
    }

    /// Levels of nesting: 1 for a column or literal. Found without recursion, so that any expression can be asked.
    ///
    /// ```
    /// # use sabot_expr::col;
    /// assert_eq!(col("a").depth(), 1);
    /// assert_eq!((col("a") + 1).gt(0).depth(), 3);
    /// ```
    pub fn depth(&self) -> usize {
        let mut deepest = 0;
        let mut open = vec![(self, 1)];
        while let Some((expr, depth)) = open.pop() {
            deepest = deepest.max(depth);
            open.extend(expr.children().into_iter().map(|child| (child, depth + 1)));
        }
        deepest
    }
}
