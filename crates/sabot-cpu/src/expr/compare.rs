//! Comparison of two values of one type, in the engine's total order.
//!
//! A column of 64-bit integers, timestamps or doubles against one value goes to the SIMD kernel; a
//! dictionary of strings against one value is compared once per dictionary value and then gathered by
//! key; everything else is a loop that the compiler vectorises as well as it can.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{
    ArrowPrimitiveType, ByteArrayType, DataType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Float32Type, Float64Type, GenericBinaryType, GenericStringType, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use sabot_batch::key_index::{ordered_rows, words};
use sabot_expr::{BinaryOp, TypedExpr, TypedKind};
use sabot_ops::Failure;
use std::cmp::Ordering;

use super::ticks::timestamps;
use super::value::{Operand, Value, booleans, both_valid};
use super::{Active, Scope, arrow_bug, wrong_type};
use crate::simd::compare::{Comparison, compare_f64, compare_i64};

impl Scope<'_> {
    /// `left op right`; null where an operand is null.
    pub(super) fn comparison(
        &self,
        op: BinaryOp,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let Some(op) = Comparison::of(op) else {
            return Err(wrong_type(op.symbol(), left.data_type()));
        };
        if right.as_literal().is_some() {
            let right = self.value(right, active)?;
            if let Some(result) = self.over_dictionary(left, |values| self.compare(op, values, &right))? {
                return Ok(result);
            }
            return self.compare(op, &self.value(left, active)?, &right);
        }
        if left.as_literal().is_some() {
            let left = self.value(left, active)?;
            if let Some(result) = self.over_dictionary(right, |values| self.compare(op, &left, values))? {
                return Ok(result);
            }
            return self.compare(op, &left, &self.value(right, active)?);
        }
        self.compare(op, &self.value(left, active)?, &self.value(right, active)?)
    }

    /// `left op right` of values of one type.
    pub(super) fn compare(&self, op: Comparison, left: &Value, right: &Value) -> Result<Value, Failure> {
        let constant = left.is_constant() && right.is_constant();
        if left.is_null_constant() || right.is_null_constant() {
            let bits = BooleanBuffer::new_unset(1);
            return Ok(Value::constant(booleans(bits, Some(arrow::buffer::NullBuffer::new_null(1)))));
        }
        let data_type = left.array().data_type();
        let found = match data_type {
            DataType::Boolean => Some(truths(op, left, right)),
            DataType::Int8 => primitives::<Int8Type>(op, left, right),
            DataType::Int16 => primitives::<Int16Type>(op, left, right),
            DataType::Int32 => primitives::<Int32Type>(op, left, right),
            DataType::Int64 => self.ticks(
                op,
                left.operand::<Int64Type>().ok_or_else(|| mismatch(left, right))?,
                right.operand::<Int64Type>().ok_or_else(|| mismatch(left, right))?,
            ),
            DataType::UInt8 => primitives::<UInt8Type>(op, left, right),
            DataType::UInt16 => primitives::<UInt16Type>(op, left, right),
            DataType::UInt32 => primitives::<UInt32Type>(op, left, right),
            DataType::UInt64 => primitives::<UInt64Type>(op, left, right),
            DataType::Date32 => primitives::<Date32Type>(op, left, right),
            DataType::Timestamp(..) => self.ticks(op, tick_operand(left)?, tick_operand(right)?),
            DataType::Float32 => floats::<Float32Type>(op, left, right, f32::is_nan),
            DataType::Float64 => self.doubles(op, left, right),
            DataType::Utf8 => strings::<GenericStringType<i32>>(op, left, right),
            DataType::LargeUtf8 => strings::<GenericStringType<i64>>(op, left, right),
            DataType::Binary => strings::<GenericBinaryType<i32>>(op, left, right),
            DataType::LargeBinary => strings::<GenericBinaryType<i64>>(op, left, right),
            DataType::Utf8View | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                views(op, left, right)
            }
            DataType::Decimal32(..) => primitives::<Decimal32Type>(op, left, right),
            DataType::Decimal64(..) => primitives::<Decimal64Type>(op, left, right),
            DataType::Decimal128(..) => primitives::<Decimal128Type>(op, left, right),
            DataType::Decimal256(..) => primitives::<Decimal256Type>(op, left, right),
            DataType::Interval(IntervalUnit::DayTime) => primitives::<IntervalDayTimeType>(op, left, right),
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                primitives::<IntervalMonthDayNanoType>(op, left, right)
            }
            nested if nested.is_nested() => Some(rows(op, left, right)?),
            _ => by_words(op, left, right),
        };
        let bits = found.ok_or_else(|| mismatch(left, right))?;
        Ok(Value::of(booleans(bits, both_valid(left, right)), constant))
    }

    fn ticks(
        &self,
        op: Comparison,
        left: Operand<'_, i64>,
        right: Operand<'_, i64>,
    ) -> Option<BooleanBuffer> {
        Some(match (left, right) {
            (Operand::Many(a), Operand::One(b)) => from_words(compare_i64(self.level, op, a, b), a.len()),
            (Operand::One(a), Operand::Many(b)) => {
                from_words(compare_i64(self.level, op.flipped(), b, a), b.len())
            }
            (a, b) => by_order(op, a, b, |a, b| a < b, |a, b| a == b),
        })
    }

    fn doubles(&self, op: Comparison, left: &Value, right: &Value) -> Option<BooleanBuffer> {
        match (left.operand::<Float64Type>()?, right.operand::<Float64Type>()?) {
            (Operand::Many(a), Operand::One(b)) => {
                Some(from_words(compare_f64(self.level, op, a, b), a.len()))
            }
            (Operand::One(a), Operand::Many(b)) => {
                Some(from_words(compare_f64(self.level, op.flipped(), b, a), b.len()))
            }
            _ => floats::<Float64Type>(op, left, right, f64::is_nan),
        }
    }

    /// Applies `f`, which gives truth values, to the values of a dictionary and hands each row the
    /// result of its key. `None` when `expr` is not a decoded dictionary column, or when the dictionary
    /// has more values than there are rows, so that decoding is less work.
    pub(super) fn over_dictionary(
        &self,
        expr: &TypedExpr,
        f: impl FnOnce(&Value) -> Result<Value, Failure>,
    ) -> Result<Option<Value>, Failure> {
        let TypedKind::Cast { input, .. } = expr.kind() else { return Ok(None) };
        let TypedKind::Column { index, name } = input.kind() else { return Ok(None) };
        let column = self.column(*index, name, input)?;
        let Some(dictionary) = column.array().as_any_dictionary_opt() else { return Ok(None) };
        if dictionary.values().len() > self.rows {
            return Ok(None);
        }
        let values = dictionary.values();
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8);
        let values = match values.data_type() {
            same if same == expr.data_type() => values.clone(),
            other if text(other) && text(expr.data_type()) => {
                cast(values, expr.data_type()).map_err(arrow_bug)?
            }
            _ => return Ok(None),
        };
        let outcomes = f(&Value::column(values))?;
        if outcomes.is_constant() {
            return Ok(Some(outcomes));
        }
        Ok(Some(Value::column(take(outcomes.array(), dictionary.keys(), None).map_err(arrow_bug)?)))
    }
}

/// Selection words as a bitmap.
fn from_words(words: Vec<u64>, rows: usize) -> BooleanBuffer {
    BooleanBuffer::new(Buffer::from_vec(words), 0, rows)
}

fn mismatch(left: &Value, right: &Value) -> Failure {
    Failure::Internal(format!(
        "comparison of {} with {}: the resolver lets no such expression pass",
        left.array().data_type(),
        right.array().data_type()
    ))
}

fn tick_operand(value: &Value) -> Result<Operand<'_, i64>, Failure> {
    let ticks = timestamps(value.array())?;
    Ok(if value.is_constant() { Operand::One(ticks[0]) } else { Operand::Many(ticks) })
}

/// The bits of a comparison by what is less and what is equal.
fn by_order<T: Copy>(
    op: Comparison,
    a: Operand<'_, T>,
    b: Operand<'_, T>,
    less: impl Fn(T, T) -> bool,
    equal: impl Fn(T, T) -> bool,
) -> BooleanBuffer {
    match op {
        Comparison::Eq => a.zip_bits(b, equal),
        Comparison::NotEq => a.zip_bits(b, |a, b| !equal(a, b)),
        Comparison::Lt => a.zip_bits(b, less),
        Comparison::LtEq => a.zip_bits(b, |a, b| !less(b, a)),
        Comparison::Gt => a.zip_bits(b, |a, b| less(b, a)),
        Comparison::GtEq => a.zip_bits(b, |a, b| !less(a, b)),
    }
}

fn primitives<T: ArrowPrimitiveType>(op: Comparison, left: &Value, right: &Value) -> Option<BooleanBuffer> {
    Some(by_order(op, left.operand::<T>()?, right.operand::<T>()?, |a, b| a < b, |a, b| a == b))
}

fn floats<T: ArrowPrimitiveType>(
    op: Comparison,
    left: &Value,
    right: &Value,
    is_nan: impl Fn(T::Native) -> bool,
) -> Option<BooleanBuffer> {
    // IEEE comparison has −0.0 equal to 0.0 already; only NaN needs a word of its own.
    let less = |a, b| a < b || (is_nan(b) && !is_nan(a));
    let equal = |a, b| a == b || (is_nan(a) && is_nan(b));
    Some(by_order(op, left.operand::<T>()?, right.operand::<T>()?, less, equal))
}

/// Whether a comparison holds for an order.
fn holds(op: Comparison, order: Ordering) -> bool {
    match op {
        Comparison::Eq => order.is_eq(),
        Comparison::NotEq => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::LtEq => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::GtEq => order.is_ge(),
    }
}

/// Rows of a result, and the row of an operand that result row `i` reads.
fn rows_of(left: &Value, right: &Value) -> (usize, impl Fn(&Value, usize) -> usize) {
    let rows = match (left.is_constant(), right.is_constant()) {
        (true, false) => right.array().len(),
        _ => left.array().len(),
    };
    (rows, |value: &Value, row: usize| if value.is_constant() { 0 } else { row })
}

fn truths(op: Comparison, left: &Value, right: &Value) -> BooleanBuffer {
    let (a, b): (&ArrayRef, &ArrayRef) = (left.array(), right.array());
    let (a, b) = (a.as_boolean().values(), b.as_boolean().values());
    let (rows, at) = rows_of(left, right);
    BooleanBuffer::collect_bool(rows, |i| holds(op, a.value(at(left, i)).cmp(&b.value(at(right, i)))))
}

fn strings<T: ByteArrayType>(op: Comparison, left: &Value, right: &Value) -> Option<BooleanBuffer> {
    let (a, b) = (left.array().as_bytes_opt::<T>()?, right.array().as_bytes_opt::<T>()?);
    let (rows, at) = rows_of(left, right);
    let (a, b) = (
        |row: usize| -> &[u8] { a.value(at(left, row)).as_ref() },
        |row: usize| -> &[u8] { b.value(at(right, row)).as_ref() },
    );
    Some(bytes(op, rows, a, b))
}

fn bytes<'a>(
    op: Comparison,
    rows: usize,
    a: impl Fn(usize) -> &'a [u8],
    b: impl Fn(usize) -> &'a [u8],
) -> BooleanBuffer {
    match op {
        // Equality can tell by the length alone; order cannot.
        Comparison::Eq => BooleanBuffer::collect_bool(rows, |i| a(i) == b(i)),
        Comparison::NotEq => BooleanBuffer::collect_bool(rows, |i| a(i) != b(i)),
        _ => BooleanBuffer::collect_bool(rows, |i| holds(op, a(i).cmp(b(i)))),
    }
}

/// Strings of bytes in views, or all of one size.
fn views(op: Comparison, left: &Value, right: &Value) -> Option<BooleanBuffer> {
    fn reader<'a>(array: &'a ArrayRef) -> Option<Box<dyn Fn(usize) -> &'a [u8] + 'a>> {
        Some(match array.data_type() {
            DataType::Utf8View => {
                let texts = array.as_string_view_opt()?;
                Box::new(move |row| texts.value(row).as_bytes())
            }
            DataType::BinaryView => {
                let values = array.as_binary_view_opt()?;
                Box::new(move |row| values.value(row))
            }
            _ => {
                let values = array.as_fixed_size_binary_opt()?;
                Box::new(move |row| values.value(row))
            }
        })
    }
    let (a, b) = (reader(left.array())?, reader(right.array())?);
    let (rows, at) = rows_of(left, right);
    Some(bytes(op, rows, |row| a(at(left, row)), |row| b(at(right, row))))
}

/// Everything that is a word of 64 bits in the order of its values: dates, times of day, durations, months.
fn by_words(op: Comparison, left: &Value, right: &Value) -> Option<BooleanBuffer> {
    let (a, b) = (words::encode(left.array().as_ref())?, words::encode(right.array().as_ref())?);
    let (a, b) = (operand(left, &a.values), operand(right, &b.values));
    Some(by_order(op, a, b, |a, b| a < b, |a, b| a == b))
}

fn operand<'a>(value: &Value, words: &'a [i64]) -> Operand<'a, i64> {
    if value.is_constant() { Operand::One(words[0]) } else { Operand::Many(words) }
}

/// Lists and structs, through rows of bytes that are ordered as they are.
fn rows(op: Comparison, left: &Value, right: &Value) -> Result<BooleanBuffer, Failure> {
    let (a, b) =
        (ordered_rows(left.array()).map_err(arrow_bug)?, ordered_rows(right.array()).map_err(arrow_bug)?);
    let (rows, at) = rows_of(left, right);
    Ok(BooleanBuffer::collect_bool(rows, |i| holds(op, a.row(at(left, i)).cmp(&b.row(at(right, i))))))
}
