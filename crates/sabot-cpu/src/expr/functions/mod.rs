//! Built-in functions over columns: one module a family, as in the table of functions.
//!
//! What all have in common is done here. A function that is null where an argument is computes only rows
//! without nulls; one whose arguments are constant computes one row; one that cannot fail and has one
//! argument that is no literal is computed once per value of a dictionary. Where a row has no result,
//! the kernel says so and goes on: see [`Call::fail`].

mod bits;
mod general;
mod math;
mod nested;
mod pattern;
mod text;
mod time;

pub(crate) use pattern::Patterns;

use arrow::array::{
    Array, ArrayRef, BooleanArray, GenericStringArray, Int64Array, OffsetSizeTrait, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Int64Type};
use sabot_common::DeviceId;
use sabot_expr::TypedExpr;
use sabot_expr::functions::{Function, Nulls, TEXT_BYTES_MAX};
use sabot_ops::{Failure, Retry};
use std::sync::Arc;

use super::text::Texts;
use super::value::{Operand, Value, is_valid};
use super::{Active, Scope, arrow_bug, wrong_type};

/// A call of a function with the values of its arguments.
struct Call<'a> {
    scope: &'a Scope<'a>,
    function: Function,
    args: &'a [Value],
    returns: &'a DataType,
    active: Active<'a>,
    /// Rows to compute: one if all arguments are constant.
    rows: usize,
    constant: bool,
    /// Where the result is null because an argument is; nothing if nulls mean something else.
    nulls: Option<NullBuffer>,
}

impl Scope<'_> {
    /// The result of a built-in function.
    pub(super) fn function(
        &self,
        function: Function,
        args: &[TypedExpr],
        returns: &DataType,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        if let Some(result) = self.function_of_dictionary(function, args, returns)? {
            return Ok(result);
        }
        let args = args.iter().map(|arg| self.value(arg, active)).collect::<Result<Vec<_>, _>>()?;
        self.apply(function, &args, returns, active)
    }

    /// The result for the values of a dictionary, handed to the rows by their keys: where one argument
    /// is a decoded dictionary column and the others are literals.
    fn function_of_dictionary(
        &self,
        function: Function,
        args: &[TypedExpr],
        returns: &DataType,
    ) -> Result<Option<Value>, Failure> {
        let entry = function.entry();
        let mut open = args.iter().enumerate().filter(|(_, arg)| arg.as_literal().is_none());
        let (Some((at, column)), None) = (open.next(), open.next()) else { return Ok(None) };
        // Values that no row uses must not fail, and a null key must give null.
        if (entry.errors.possible)(args) || entry.nulls != Nulls::AnyArgument {
            return Ok(None);
        }
        self.over_dictionary(column, |values| {
            let with_values = |(i, arg): (usize, &TypedExpr)| {
                if i == at { Ok(values.clone()) } else { self.value(arg, None) }
            };
            let args = args.iter().enumerate().map(with_values).collect::<Result<Vec<_>, _>>()?;
            self.apply(function, &args, returns, None)
        })
    }

    fn apply(
        &self,
        function: Function,
        args: &[Value],
        returns: &DataType,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let strict = function.entry().nulls == Nulls::AnyArgument;
        if strict && args.iter().any(Value::is_null_constant) {
            return Ok(Value::constant(new_null_array(returns, 1)));
        }
        let columns = || args.iter().filter(|arg| !arg.is_constant());
        let constant = columns().next().is_none();
        let mut nulls = None;
        for column in columns().filter(|_| strict) {
            nulls = NullBuffer::union(nulls.as_ref(), column.array().nulls());
        }
        let rows = columns().next().map_or(1, |column| column.array().len());
        let call = Call { scope: self, function, args, returns, active, rows, constant, nulls };
        let result = match function {
            Function::Text(text) => call.text_function(text),
            Function::Pattern(pattern) => call.pattern_function(pattern),
            Function::Math(math) => call.math_function(math),
            Function::Bits(bits) => call.bits_function(bits),
            Function::Time(time) => call.time_function(time),
            Function::Nested(nested) => call.nested_function(nested),
            Function::General(general) => call.general_function(general),
        }?;
        debug_assert_eq!((result.len(), result.data_type()), (call.rows, returns), "{function}");
        Ok(Value::of(result, constant))
    }
}

impl Call<'_> {
    fn arg(&self, at: usize) -> Result<&Value, Failure> {
        self.args.get(at).ok_or_else(|| wrong_type(self.function.name(), &DataType::Null))
    }

    /// The strings of an argument.
    fn text(&self, at: usize) -> Result<Texts<'_>, Failure> {
        Texts::of(self.arg(at)?)
    }

    /// The strings of an argument that may be left out.
    fn optional_text(&self, at: usize) -> Result<Option<Texts<'_>>, Failure> {
        self.args.get(at).map(Texts::of).transpose()
    }

    /// The one string of an argument that is always a literal, and may be left out.
    fn literal_text(&self, at: usize) -> Result<Option<&str>, Failure> {
        Ok(self.optional_text(at)?.and_then(|texts| texts.constant()))
    }

    /// The integers of an argument that takes counts.
    fn count(&self, at: usize) -> Result<Operand<'_, i64>, Failure> {
        let arg = self.arg(at)?;
        arg.operand::<Int64Type>().ok_or_else(|| wrong_type(self.function.name(), arg.array().data_type()))
    }

    fn wrong_type(&self) -> Failure {
        let data_type = self.args.first().map_or(&DataType::Null, |arg| arg.array().data_type());
        wrong_type(self.function.name(), data_type)
    }

    /// Whether no argument is null in a row, for functions that are null where one is.
    fn is_valid(&self, row: usize) -> bool {
        is_valid(self.nulls.as_ref(), row)
    }

    /// Notes that a row has no result. If it is not active that means nothing.
    fn fail(&self, row: usize) {
        if self.constant {
            self.scope.fail_where(self.active, true, |_| true);
        } else if self.active.is_none_or(|active| active.value(row)) {
            self.scope.fail(row);
        }
    }

    /// Strings, appended row by row; `None` for a row without result.
    fn texts(&self, append: impl FnMut(usize, &mut String) -> Option<()>) -> Result<ArrayRef, Failure> {
        match self.returns {
            DataType::LargeUtf8 => self.texts_of::<i64>(append),
            _ => self.texts_of::<i32>(append),
        }
    }

    /// [`Call::texts`] for functions that make more of what they are given: too long a string is no result.
    fn bounded_texts(
        &self,
        mut append: impl FnMut(usize, &mut String) -> Option<()>,
    ) -> Result<ArrayRef, Failure> {
        self.texts(|row, out| {
            let start = out.len();
            append(row, out)?;
            (out.len() - start <= TEXT_BYTES_MAX).then_some(())
        })
    }

    fn texts_of<O: OffsetSizeTrait>(
        &self,
        mut append: impl FnMut(usize, &mut String) -> Option<()>,
    ) -> Result<ArrayRef, Failure> {
        let mut text = String::new();
        let mut offsets = Vec::with_capacity(self.rows + 1);
        offsets.push(O::default());
        for row in 0..self.rows {
            let start = text.len();
            if self.is_valid(row) && append(row, &mut text).is_none() {
                text.truncate(start);
                self.fail(row);
            }
            offsets.push(O::from_usize(text.len()).ok_or_else(too_much)?);
        }
        let (offsets, bytes) = (OffsetBuffer::new(offsets.into()), Buffer::from_vec(text.into_bytes()));
        let array = GenericStringArray::<O>::try_new(offsets, bytes, self.nulls.clone());
        Ok(Arc::new(array.map_err(arrow_bug)?))
    }

    /// Truth values; `None` for a row without result.
    fn truths(&self, mut test: impl FnMut(usize) -> Option<bool>) -> ArrayRef {
        let bits = BooleanBuffer::collect_bool(self.rows, |row| {
            self.is_valid(row)
                && test(row).unwrap_or_else(|| {
                    self.fail(row);
                    false
                })
        });
        Arc::new(BooleanArray::new(bits, self.nulls.clone()))
    }

    /// int64 values, computed for rows without nulls.
    fn counts(&self, mut value: impl FnMut(usize) -> i64) -> ArrayRef {
        let values: Vec<i64> =
            (0..self.rows).map(|row| if self.is_valid(row) { value(row) } else { 0 }).collect();
        Arc::new(Int64Array::new(values.into(), self.nulls.clone()))
    }
}

/// The strings of all rows together are longer than offsets of 32 bits can say. Half as many rows may do.
fn too_much() -> Failure {
    let reason = "the strings of one morsel have more than 2 GiB".to_owned();
    Failure::Device { device: DeviceId::cpu(), reason, retry: Retry::Smaller }
}

/// Runs a body for the Arrow type of an integer type; `None` for any other type.
macro_rules! for_integers {
    ($data_type:expr, $arrow:ident => $body:expr) => {
        for_integers!(@ $data_type, $arrow => $body,
            Int8 Int8Type, Int16 Int16Type, Int32 Int32Type, Int64 Int64Type,
            UInt8 UInt8Type, UInt16 UInt16Type, UInt32 UInt32Type, UInt64 UInt64Type)
    };
    (@ $data_type:expr, $arrow:ident => $body:expr, $($variant:ident $type:ident),*) => {
        match $data_type {
            $(arrow::datatypes::DataType::$variant => {
                type $arrow = arrow::datatypes::$type;
                Some($body)
            })*
            _ => None,
        }
    };
}
use for_integers;
