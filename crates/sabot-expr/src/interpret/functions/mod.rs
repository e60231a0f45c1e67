//! What built-in functions give, one row at a time.

mod bits;
mod general;
mod math;
mod nested;
mod pattern;
mod text;
mod time;

use arrow::datatypes::DataType;

use crate::error::RowErrorKind;
use crate::functions::{Function, Nulls, TEXT_BYTES_MAX};
use crate::scalar::Scalar;

/// A call of a function with the values of its arguments.
struct Call<'a> {
    function: Function,
    args: &'a [Scalar],
    returns: &'a DataType,
}

/// The result of a function.
pub(super) fn apply(function: Function, args: &[Scalar], returns: &DataType) -> Result<Scalar, RowErrorKind> {
    let call = Call { function, args, returns };
    let null = match function.entry().nulls {
        Nulls::AnyArgument => args.iter().any(Scalar::is_null),
        Nulls::AllArguments => args.iter().all(Scalar::is_null),
        Nulls::FirstArgument | Nulls::Also(_) => args.first().is_some_and(Scalar::is_null),
        Nulls::Never => false,
    };
    if null {
        return Ok(call.null());
    }
    match function {
        Function::Text(text) => call.text_function(text),
        Function::Pattern(pattern) => call.pattern_function(pattern),
        Function::Math(math) => call.math_function(math),
        Function::Bits(bits) => call.bits_function(bits),
        Function::Time(time) => call.time_function(time),
        Function::Nested(nested) => call.nested_function(nested),
        Function::General(general) => call.general_function(general),
    }
}

impl Call<'_> {
    fn null(&self) -> Scalar {
        Scalar::Null(self.returns.clone())
    }

    /// The argument at a position.
    fn arg(&self, at: usize) -> Result<&Scalar, RowErrorKind> {
        self.args.get(at).ok_or_else(|| self.bug(format!("there is no argument {at}")))
    }

    /// The string at a position.
    fn text(&self, at: usize) -> Result<&str, RowErrorKind> {
        self.arg(at)?.as_str().ok_or_else(|| self.bug(format!("argument {at} is no string")))
    }

    /// The string at a position, if there are so many arguments.
    fn optional_text(&self, at: usize) -> Result<Option<&str>, RowErrorKind> {
        if at < self.args.len() { self.text(at).map(Some) } else { Ok(None) }
    }

    /// The integer at a position.
    fn integer(&self, at: usize) -> Result<i128, RowErrorKind> {
        self.arg(at)?.as_integer().ok_or_else(|| self.bug(format!("argument {at} is no integer")))
    }

    /// A string result of a function that makes more of what it is given: it must not be too long.
    fn bounded_string(&self, text: String) -> Result<Scalar, RowErrorKind> {
        if text.len() > TEXT_BYTES_MAX { Err(self.too_long()) } else { self.string(text) }
    }

    /// A string result.
    fn string(&self, text: String) -> Result<Scalar, RowErrorKind> {
        Ok(match self.returns {
            DataType::LargeUtf8 => Scalar::LargeUtf8(text.into()),
            _ => Scalar::Utf8(text.into()),
        })
    }

    fn too_long(&self) -> RowErrorKind {
        self.failed(format!("the result has more than {} MiB", TEXT_BYTES_MAX >> 20))
    }

    fn failed(&self, message: impl Into<String>) -> RowErrorKind {
        RowErrorKind::Function { name: self.function.name(), message: message.into() }
    }

    /// An integer result, which has to fit its type.
    fn fitting(&self, value: Option<i128>) -> Result<Scalar, RowErrorKind> {
        value.and_then(|value| Scalar::from_integer(value, self.returns)).ok_or_else(|| {
            RowErrorKind::Overflow {
                op: self.function.name(),
                left: self.args.iter().map(Scalar::to_string).collect::<Vec<_>>().join(", "),
                right: None,
                data_type: self.returns.clone(),
            }
        })
    }

    /// Arguments that the resolver does not let pass.
    fn bug(&self, message: String) -> RowErrorKind {
        RowErrorKind::BadInput { message: format!("{}: {message}", self.function.name()) }
    }
}
