//! Casts, by the rules of [`sabot_expr::cast`].
//!
//! Arrow's kernels do what those rules say for numbers, booleans and plain text; everything with a date
//! or a timestamp is done here, because Arrow truncates where the rules floor and reads and prints other
//! forms. A value without counterpart comes out of either as null, and is then an error (CAST) or stays
//! null (TRY_CAST).

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, LargeStringArray, PrimitiveArray, StringArray, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Date32Type, Int64Type};
use sabot_expr::CastMode;
use sabot_expr::temporal::{
    convert_unit, date_to_timestamp, format_date, format_timestamp, parse_date, parse_timestamp,
    timestamp_to_date,
};
use sabot_ops::Failure;
use std::sync::Arc;

use super::text::Texts;
use super::ticks::timestamps;
use super::value::Value;
use super::{Active, Scope, arrow_bug};

impl Scope<'_> {
    /// The values as another type.
    pub(super) fn cast(
        &self,
        input: &Value,
        to: &DataType,
        mode: CastMode,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let plain = decoded(input)?;
        let array = plain.array();
        if array.data_type() == to {
            return Ok(plain);
        }
        if plain.is_null_constant() {
            return Ok(Value::constant(new_null_array(to, 1)));
        }
        let result = match (array.data_type(), to) {
            (from, DataType::Date32 | DataType::Timestamp(..)) if !from.is_integer() => to_time(array, to)?,
            (DataType::Date32 | DataType::Timestamp(..), DataType::Utf8) => print::<StringArray>(array)?,
            (DataType::Date32 | DataType::Timestamp(..), DataType::LargeUtf8) => {
                print::<LargeStringArray>(array)?
            }
            _ => {
                let options = CastOptions { safe: true, ..CastOptions::default() };
                cast_with_options(array, to, &options).map_err(arrow_bug)?
            }
        };
        if mode == CastMode::Strict && result.null_count() > array.null_count() {
            self.fail_where(active, plain.is_constant(), |row| array.is_valid(row) && result.is_null(row));
        }
        Ok(Value::of(result, plain.is_constant()))
    }
}

/// The value with a dictionary looked up.
fn decoded(input: &Value) -> Result<Value, Failure> {
    match input.array().as_any_dictionary_opt() {
        Some(dictionary) => {
            let plain = cast(input.array(), dictionary.values().data_type()).map_err(arrow_bug)?;
            Ok(Value::of(plain, input.is_constant()))
        }
        None => Ok(input.clone()),
    }
}

/// Dates, timestamps and text as a date or timestamp; null where there is no counterpart.
fn to_time(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    match (array.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(unit, _)) => {
            let days = array.as_primitive::<Date32Type>().values();
            with_type(each::<Int64Type>(array, |row| date_to_timestamp(days[row], *unit)), to)
        }
        (DataType::Timestamp(unit, _), DataType::Date32) => {
            let ticks = timestamps(array)?;
            Ok(Arc::new(each::<Date32Type>(array, |row| timestamp_to_date(ticks[row], *unit))))
        }
        (DataType::Timestamp(from, _), DataType::Timestamp(unit, _)) => {
            let ticks = timestamps(array)?;
            with_type(each::<Int64Type>(array, |row| convert_unit(ticks[row], *from, *unit)), to)
        }
        (_, DataType::Timestamp(unit, _)) => {
            let texts = Texts::new(array)?;
            with_type(
                each::<Int64Type>(array, |row| parse_timestamp(texts.value(row).trim_ascii(), *unit)),
                to,
            )
        }
        _ => {
            let texts = Texts::new(array)?;
            Ok(Arc::new(each::<Date32Type>(array, |row| parse_date(texts.value(row).trim_ascii()))))
        }
    }
}

/// `f` of every row that is not null; null where that gives nothing.
fn each<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    f: impl Fn(usize) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    let mut gaps = Vec::new();
    let value = |row: usize| {
        if array.is_null(row) {
            return T::Native::default();
        }
        f(row).unwrap_or_else(|| {
            gaps.push(row);
            T::Native::default()
        })
    };
    let values: Vec<T::Native> = (0..array.len()).map(value).collect();
    let mut nulls = array.nulls().cloned();
    if !gaps.is_empty() {
        let mut valid = vec![true; array.len()];
        gaps.into_iter().for_each(|row| valid[row] = false);
        nulls = NullBuffer::union(nulls.as_ref(), Some(&NullBuffer::from(valid)));
    }
    PrimitiveArray::new(values.into(), nulls)
}

/// Ticks as a timestamp type, which has the same representation.
fn with_type(ticks: Int64Array, to: &DataType) -> Result<ArrayRef, Failure> {
    cast(&ticks, to).map_err(arrow_bug)
}

/// Dates and timestamps as text.
fn print<S: FromIterator<Option<String>> + Array + 'static>(array: &ArrayRef) -> Result<ArrayRef, Failure> {
    let text: Box<dyn Fn(usize) -> String> = match array.data_type() {
        DataType::Timestamp(unit, zone) => {
            let ticks = timestamps(array)?;
            Box::new(move |row| format_timestamp(ticks[row], *unit, zone.as_deref()))
        }
        _ => {
            let days = array.as_primitive::<Date32Type>().values();
            Box::new(move |row| format_date(days[row]))
        }
    };
    let texts: S = (0..array.len()).map(|row| array.is_valid(row).then(|| text(row))).collect();
    Ok(Arc::new(texts))
}
