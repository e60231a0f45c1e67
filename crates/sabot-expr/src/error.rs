//! What can be wrong with an expression: when it is built ([`ExprError`]) and on a row ([`RowError`]).
//!
//! The two never mix. An [`ExprError`] says that the plan is wrong and no row needs to be read to know
//! it; a [`RowError`] says that one row cannot be computed and names the row, the expression and the
//! values, so that a user can find it in the data.

use arrow::datatypes::DataType;
use std::fmt;

use crate::types::type_name;

/// Why an expression was refused when it was built.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_expr::{ExprError, FunctionRegistry, col, resolve};
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int64, false)]);
/// let error = resolve(&col("delay").like("1%"), &schema, &FunctionRegistry::new()).unwrap_err();
/// assert!(matches!(error, ExprError::WrongType { .. }));
/// assert_eq!(error.to_string(), "`delay LIKE '1%'` needs a string, got int64");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExprError {
    /// A column that the input does not have.
    #[error("{}", unknown_column(name, context.as_deref(), suggestion.as_deref(), columns))]
    UnknownColumn {
        /// The name as written.
        name: String,
        /// Where it was written, such as `filter`; set by [`ExprError::in_context`].
        context: Option<String>,
        /// The column that was most likely meant.
        suggestion: Option<String>,
        /// The columns there are, as text for the message.
        columns: String,
    },
    /// A column name that the input has more than once.
    #[error("column \"{name}\" is ambiguous: the input has {count} columns of that name; rename them first")]
    AmbiguousColumn {
        /// The name as written.
        name: String,
        /// How many columns have it.
        count: usize,
    },
    /// Two operands whose types have no common type.
    #[error("cannot combine {left} and {right} in `{expression}`; {hint}")]
    TypeMismatch {
        /// Name of the left (or first) type.
        left: String,
        /// Name of the right (or other) type.
        right: String,
        /// The expression as text.
        expression: String,
        /// What would be right.
        hint: String,
    },
    /// An operand whose type the operation does not take.
    #[error("`{expression}` needs {expected}, got {actual}")]
    WrongType {
        /// The expression as text.
        expression: String,
        /// What the operation takes, in words.
        expected: String,
        /// Name of the type it was given.
        actual: String,
    },
    /// An operation that is known but not supported for this type yet.
    #[error("`{expression}` is not supported: {reason}")]
    Unsupported {
        /// The expression as text.
        expression: String,
        /// Why, and what to use instead.
        reason: String,
    },
    /// What is no type, although it can be written as one.
    #[error("type {data_type} is not supported: {reason}")]
    UnsupportedType {
        /// Name of the type.
        data_type: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A cast between two types that have none.
    #[error("cannot cast {from} to {to} in `{expression}`")]
    UnsupportedCast {
        /// Name of the type before.
        from: String,
        /// Name of the type after.
        to: String,
        /// The expression as text.
        expression: String,
    },
    /// A user function that is not registered.
    #[error("{}", unknown_function(name, *version, suggestion.as_deref(), functions))]
    UnknownFunction {
        /// The name as written.
        name: String,
        /// The version as written.
        version: u32,
        /// The name and version that was most likely meant.
        suggestion: Option<String>,
        /// The functions there are, as text for the message.
        functions: String,
    },
    /// A name that no built-in function has.
    #[error("{}", unknown_built_in(name, suggestion.as_deref(), functions))]
    UnknownBuiltIn {
        /// The name as written.
        name: String,
        /// The name that was most likely meant.
        suggestion: Option<String>,
        /// The functions there are, as text for the message.
        functions: String,
    },
    /// A call of a built-in function with too few or too many arguments.
    #[error("`{expression}` has {count} arguments; the function is {signature}")]
    WrongArguments {
        /// The expression as text.
        expression: String,
        /// How many arguments it has.
        count: usize,
        /// The function with its parameters; those in brackets may be left out.
        signature: String,
    },
    /// A user function that is registered twice, or does not keep what it promised.
    #[error("function {name} version {version}: {message}")]
    InvalidFunction {
        /// Name of the function.
        name: String,
        /// Version of the function.
        version: u32,
        /// What is wrong.
        message: String,
    },
    /// A literal that does not stand for a value of the type that is needed.
    #[error("literal {literal} is not a valid {expected}: {reason}")]
    InvalidLiteral {
        /// The literal as text.
        literal: String,
        /// Name of the type that is needed.
        expected: String,
        /// Why.
        reason: String,
    },
    /// An expression that lacks a part it needs, such as a CASE without WHEN.
    #[error("`{expression}` is incomplete: {reason}")]
    Incomplete {
        /// The expression as text.
        expression: String,
        /// What is missing.
        reason: String,
    },
    /// An expression that is nested too deeply to be evaluated or stored.
    #[error(
        "expression is nested {depth} levels deep; at most {limit} are allowed (use in_list for long chains of or)"
    )]
    TooDeep {
        /// Levels found.
        depth: usize,
        /// Levels allowed.
        limit: usize,
    },
}

impl ExprError {
    /// The error with the place where it was written, such as `filter`. Only messages about columns carry it.
    ///
    /// ```
    /// # use sabot_expr::ExprError;
    /// let error = ExprError::unknown_column("delay", ["date"]).in_context("filter");
    /// assert_eq!(error.to_string(), "unknown column \"delay\" in filter; columns: date");
    /// ```
    #[must_use]
    pub fn in_context(self, place: impl Into<String>) -> Self {
        match self {
            ExprError::UnknownColumn { name, suggestion, columns, .. } => {
                ExprError::UnknownColumn { name, context: Some(place.into()), suggestion, columns }
            }
            other => other,
        }
    }

    /// The error for a type and what is wrong with it.
    ///
    /// ```
    /// # use arrow::datatypes::DataType;
    /// # use sabot_expr::ExprError;
    /// let error = ExprError::unsupported_type(&DataType::FixedSizeBinary(-1), "its size is negative");
    /// assert_eq!(error.to_string(), "type fixed_size_binary(-1) is not supported: its size is negative");
    /// ```
    pub fn unsupported_type(data_type: &DataType, reason: &str) -> Self {
        ExprError::UnsupportedType { data_type: type_name(data_type), reason: reason.to_owned() }
    }

    /// The error for a column `name` that is not among `columns`, with its near miss.
    ///
    /// ```
    /// let e = sabot_expr::ExprError::unknown_column("orgin", ["date", "delay", "origin"]).in_context("filter");
    /// assert_eq!(
    ///     e.to_string(),
    ///     "unknown column \"orgin\" in filter; did you mean \"origin\"? columns: date, delay, origin"
    /// );
    /// ```
    pub fn unknown_column<'a>(name: &str, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns: Vec<&str> = columns.into_iter().collect();
        ExprError::UnknownColumn {
            name: name.to_owned(),
            context: None,
            suggestion: sabot_common::did_you_mean(name, columns.iter().copied()).map(str::to_owned),
            columns: sabot_common::list_names(columns),
        }
    }
}

fn unknown_column(name: &str, context: Option<&str>, suggestion: Option<&str>, columns: &str) -> String {
    let place = context.map(|c| format!(" in {c}")).unwrap_or_default();
    match suggestion {
        Some(near) => {
            format!("unknown column \"{name}\"{place}; did you mean \"{near}\"? columns: {columns}")
        }
        None => format!("unknown column \"{name}\"{place}; columns: {columns}"),
    }
}

fn unknown_built_in(name: &str, suggestion: Option<&str>, functions: &str) -> String {
    match suggestion {
        Some(near) => format!("unknown function {name}; did you mean {near}? functions: {functions}"),
        None => format!("unknown function {name}; functions: {functions}"),
    }
}

fn unknown_function(name: &str, version: u32, suggestion: Option<&str>, functions: &str) -> String {
    match suggestion {
        Some(near) => {
            format!("unknown function {name} version {version}; did you mean {near}? functions: {functions}")
        }
        None => format!("unknown function {name} version {version}; functions: {functions}"),
    }
}

/// A row that an expression cannot be computed for.
///
/// `Display` prints the cause and the expression; the caller adds where the row came from, because only
/// it knows the source.
///
/// ```
/// # use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// # use sabot_expr::{FunctionRegistry, RowErrorKind, col, interpret_batch, resolve};
/// # let x: ArrayRef = std::sync::Arc::new(Int32Array::from(vec![1, 0]));
/// # let batch = RecordBatch::try_from_iter([("x", x)])?;
/// let divide = resolve(&(1 / col("x")), &batch.schema(), &FunctionRegistry::new())?;
/// let error = interpret_batch(&divide, &batch).unwrap_err();
/// assert_eq!(error.row, 1);
/// assert!(matches!(error.error, RowErrorKind::DivisionByZero { .. }));
/// assert_eq!(error.to_string(), "division by zero: 1 / 0 in `1 / x`");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Row number inside the batch, from 0.
    pub row: usize,
    /// The innermost expression that failed, as text.
    pub expression: String,
    /// What went wrong.
    pub error: RowErrorKind,
}

/// What went wrong on a row. Values are text, because they are for messages only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowErrorKind {
    /// The result does not fit the type.
    Overflow {
        /// The operation: `+`, `abs`, `date_trunc`.
        op: &'static str,
        /// The left or only operand.
        left: String,
        /// The right operand, for operations that have one.
        right: Option<String>,
        /// The type that is too narrow.
        data_type: DataType,
    },
    /// An integer was divided by zero, or a remainder by zero was asked for.
    DivisionByZero {
        /// The operation: `/` or `%`.
        op: &'static str,
        /// The dividend.
        left: String,
    },
    /// A value has no counterpart in the type it was cast to.
    CastFailed {
        /// The value.
        value: String,
        /// Type before the cast.
        from: DataType,
        /// Type after the cast.
        to: DataType,
    },
    /// A built-in function has no result for its arguments.
    Function {
        /// Name of the function.
        name: &'static str,
        /// Why.
        message: String,
    },
    /// A user function reported an error.
    UserFunction {
        /// Name of the function.
        name: String,
        /// What it reported.
        message: String,
    },
    /// The batch does not have the column that the expression was resolved against: a bug of the caller.
    BadInput {
        /// What does not fit.
        message: String,
    },
}

impl fmt::Display for RowErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowErrorKind::Overflow { op, left, right: Some(right), data_type } => {
                write!(f, "{left} {op} {right} does not fit {}", type_name(data_type))
            }
            RowErrorKind::Overflow { op, left, right: None, data_type } => {
                write!(f, "{op}({left}) does not fit {}", type_name(data_type))
            }
            RowErrorKind::DivisionByZero { op, left } => write!(f, "division by zero: {left} {op} 0"),
            RowErrorKind::CastFailed { value, from, to } => {
                write!(
                    f,
                    "cannot cast {value} from {} to {}; try_cast gives null instead",
                    type_name(from),
                    type_name(to)
                )
            }
            RowErrorKind::Function { name, message } => write!(f, "{name}: {message}"),
            RowErrorKind::UserFunction { name, message } => write!(f, "function {name} failed: {message}"),
            RowErrorKind::BadInput { message } => write!(f, "batch does not fit the expression: {message}"),
        }
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in `{}`", self.error, self.expression)
    }
}

impl std::error::Error for RowError {}
