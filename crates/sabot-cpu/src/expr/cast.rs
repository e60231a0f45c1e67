//! Casts, by the rules of [`sabot_expr::cast`].
//!
//! Arrow's kernels do what those rules say for integers, floats, booleans and text. Dates, timestamps and decimals
//! are done here, because Arrow truncates where the rules floor, reads and prints other forms, and rounds
//! decimals by other rules. Rare casts go through the rule itself, value by value. A value without counterpart comes out of either as null, and is then an error (CAST) or stays
//! null (TRY_CAST).

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, LargeStringArray, PrimitiveArray, StringArray, UInt64Array,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options, take};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float32Type, Float64Type, Int64Type, UInt64Type, i256,
};
use sabot_batch::key_index::words;
use sabot_batch::run_values;
use sabot_expr::cast::cast_scalar;
use sabot_expr::decimal::{fits, precision_and_scale, rescale, to_f32, to_f64, truncate};
use sabot_expr::temporal::{Zone, convert_unit, format_date, format_timestamp, parse_date, parse_timestamp};
use sabot_expr::types::{is_decimal, is_integer, is_numeric};
use sabot_expr::{CastMode, Scalar};
use sabot_ops::Failure;
use std::sync::Arc;

use super::text::Texts;
use super::ticks::timestamps;
use super::value::Value;
use super::{Active, Scope, arrow_bug, does_not_fit, wrong_type};

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
        if array.data_type() == &DataType::Null {
            return Ok(Value::of(new_null_array(to, array.len()), plain.is_constant()));
        }
        let result = converted(array, to)?;
        if mode == CastMode::Strict && result.null_count() > array.null_count() {
            self.fail_where(active, plain.is_constant(), |row| array.is_valid(row) && result.is_null(row));
        }
        Ok(Value::of(result, plain.is_constant()))
    }
}

/// Every value as another type; null where there is no counterpart.
pub(crate) fn converted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Int32, Int64, LargeBinary, LargeUtf8, Timestamp, Utf8, Utf8View,
    };
    let from = array.data_type();
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8);
    let number = |t: &DataType| is_numeric(t) || *t == Boolean;
    match (from, to) {
        (Date32 | Timestamp(..) | Utf8 | LargeUtf8, Date32 | Timestamp(..)) => to_time(array, to),
        (Date32 | Timestamp(..), Utf8) => print::<StringArray>(array),
        (Date32 | Timestamp(..), LargeUtf8) => print::<LargeStringArray>(array),
        // Where Arrow's kernels do what the rules say.
        (a, b) if (number(a) || text(a)) && (number(b) || text(b)) => by_arrow(array, to),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => by_arrow(array, to),
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => by_arrow(array, to),
        (Int64, Timestamp(..)) | (Timestamp(..), Int64) | (Int32, Date32) | (Date32, Int32) => {
            by_arrow(array, to)
        }
        (a, b) if is_decimal(b) && (is_decimal(a) || is_integer(a)) => to_decimal(array, to),
        (a, b) if is_decimal(a) && is_numeric(b) => from_decimal(array, to),
        _ => by_value(array, to),
    }
}

fn by_arrow(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(arrow_bug)
}

/// One value at a time through the rule itself: for casts that nobody does by the million.
fn by_value(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let one = |row| {
        let value = Scalar::from_array(array.as_ref(), row).map_err(does_not_fit)?;
        Ok(cast_scalar(&value, to).unwrap_or_else(|| Scalar::Null(to.clone())))
    };
    let values = (0..array.len()).map(one).collect::<Result<Vec<_>, Failure>>()?;
    Scalar::collect(to, &values).map_err(does_not_fit)
}

/// The digits in a row.
type DigitsOf<'a> = Box<dyn Fn(usize) -> i256 + 'a>;

/// The digits of a decimal or an integer array, whatever its width, and their scale.
fn digits(array: &ArrayRef) -> Result<(DigitsOf<'_>, i8), Failure> {
    macro_rules! read {
        ($arrow:ty, $scale:expr) => {{
            let values = array.as_primitive::<$arrow>().values();
            (Box::new(move |row: usize| i256::from(values[row])) as DigitsOf<'_>, $scale)
        }};
    }
    Ok(match array.data_type() {
        DataType::Decimal32(_, scale) => read!(Decimal32Type, *scale),
        DataType::Decimal64(_, scale) => read!(Decimal64Type, *scale),
        DataType::Decimal128(_, scale) => read!(Decimal128Type, *scale),
        DataType::Decimal256(_, scale) => read!(Decimal256Type, *scale),
        DataType::Int64 => read!(Int64Type, 0),
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>().values();
            (Box::new(move |row: usize| i256::from(i128::from(values[row]))), 0)
        }
        narrow => {
            let words = words::encode(array.as_ref()).ok_or_else(|| wrong_type("digits", narrow))?;
            (Box::new(move |row: usize| i256::from(words.values[row])), 0)
        }
    })
}

fn to_decimal(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let (digits, from) = digits(array)?;
    let (precision, scale) = precision_and_scale(to).ok_or_else(|| wrong_type("decimal", to))?;
    let one = |row: usize| rescale(digits(row), from, scale).filter(|value| fits(*value, precision));
    let narrow = |row: usize| one(row)?.to_i128();
    fn typed<T: ArrowPrimitiveType>(array: PrimitiveArray<T>, to: &DataType) -> ArrayRef {
        Arc::new(array.with_data_type(to.clone()))
    }
    Ok(match to {
        DataType::Decimal32(..) => {
            typed(each::<Decimal32Type>(array, |row| i32::try_from(narrow(row)?).ok()), to)
        }
        DataType::Decimal64(..) => {
            typed(each::<Decimal64Type>(array, |row| i64::try_from(narrow(row)?).ok()), to)
        }
        DataType::Decimal128(..) => typed(each::<Decimal128Type>(array, narrow), to),
        _ => typed(each::<Decimal256Type>(array, one), to),
    })
}

fn from_decimal(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    let (digits, scale) = digits(array)?;
    match to {
        DataType::Float32 => Ok(Arc::new(each::<Float32Type>(array, |row| Some(to_f32(digits(row), scale))))),
        DataType::Float64 => Ok(Arc::new(each::<Float64Type>(array, |row| Some(to_f64(digits(row), scale))))),
        DataType::UInt64 => Ok(Arc::new(each::<UInt64Type>(array, |row| {
            u64::try_from(truncate(digits(row), scale)?.to_i128()?).ok()
        }))),
        _ => {
            let whole =
                each::<Int64Type>(array, |row| i64::try_from(truncate(digits(row), scale)?.to_i128()?).ok());
            let whole: ArrayRef = Arc::new(whole);
            by_arrow(&whole, to)
        }
    }
}

/// The value with a dictionary or runs looked up.
fn decoded(input: &Value) -> Result<Value, Failure> {
    let array = input.array();
    let plain = match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            take(dictionary.values(), dictionary.keys(), None).map_err(arrow_bug)?
        }
        DataType::RunEndEncoded(_, _) => {
            let Some((places, values)) = run_values(array.as_ref()) else {
                return Err(wrong_type("runs", array.data_type()));
            };
            let places = UInt64Array::from_iter_values(places.into_iter().map(|place| place as u64));
            take(values, &places, None).map_err(arrow_bug)?
        }
        _ => return Ok(input.clone()),
    };
    Ok(Value::of(plain, input.is_constant()))
}

/// Dates, timestamps and text as a date or timestamp; null where there is no counterpart.
fn to_time(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Failure> {
    match (array.data_type(), to) {
        (DataType::Date32, DataType::Timestamp(unit, zone)) => {
            let days = array.as_primitive::<Date32Type>().values();
            let zone = zone_of(zone.as_deref(), to)?;
            with_type(each::<Int64Type>(array, |row| zone.midnight(days[row], *unit)), to)
        }
        (from @ DataType::Timestamp(unit, zone), DataType::Date32) => {
            let (ticks, zone) = (timestamps(array)?, zone_of(zone.as_deref(), from)?);
            Ok(Arc::new(each::<Date32Type>(array, |row| zone.date(ticks[row], *unit))))
        }
        (DataType::Timestamp(from, _), DataType::Timestamp(unit, _)) => {
            let ticks = timestamps(array)?;
            with_type(each::<Int64Type>(array, |row| convert_unit(ticks[row], *from, *unit)), to)
        }
        (_, DataType::Timestamp(unit, zone)) => {
            let (texts, zone) = (Texts::new(array)?, zone_of(zone.as_deref(), to)?);
            let parse = |row| parse_timestamp(texts.value(row).trim_ascii(), *unit, &zone);
            with_type(each::<Int64Type>(array, parse), to)
        }
        _ => {
            let texts = Texts::new(array)?;
            Ok(Arc::new(each::<Date32Type>(array, |row| parse_date(texts.value(row).trim_ascii()))))
        }
    }
}

/// The zone of a timestamp type, which the resolver has seen to be one.
fn zone_of(name: Option<&str>, data_type: &DataType) -> Result<Zone, Failure> {
    Zone::of(name).ok_or_else(|| wrong_type("a timestamp", data_type))
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
        from @ DataType::Timestamp(unit, zone) => {
            let ticks = timestamps(array)?;
            let zone = zone.as_deref().map(|name| zone_of(Some(name), from)).transpose()?;
            Box::new(move |row| format_timestamp(ticks[row], *unit, zone.as_ref()))
        }
        _ => {
            let days = array.as_primitive::<Date32Type>().values();
            Box::new(move |row| format_date(days[row]))
        }
    };
    let texts: S = (0..array.len()).map(|row| array.is_valid(row).then(|| text(row))).collect();
    Ok(Arc::new(texts))
}
