//! A row of the reference: values, and what the order of results is made of.

use arrow::array::ArrayRef;
use arrow::datatypes::{SchemaRef, TimeUnit, i256};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use sabot_expr::{Float16, Scalar};
use std::cmp::Ordering;

/// A value, with how far a right answer may be from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The value.
    pub value: Scalar,
    /// The bound on float sums that is stated for the aggregates; 0 for everything else.
    pub slack: f64,
}

impl From<Scalar> for Cell {
    fn from(value: Scalar) -> Self {
        Cell { value, slack: 0.0 }
    }
}

/// One row on its way through the plan.
#[derive(Clone, Debug)]
pub struct Row {
    /// The user's columns.
    pub cells: Vec<Cell>,
    /// Event time in µs, where it is declared.
    pub time: Option<i64>,
    /// How far the row is behind the bound of its source partition, in µs.
    pub late: i64,
    /// The source partition, or the aggregation that the row is a result of.
    pub partition: u64,
    /// Its number there; for results the number among those of its key and time.
    pub number: u64,
    /// Its key, for results.
    pub key: Vec<Rank>,
}

impl Row {
    /// Where the row stands among others: event time, or where its partition's watermark stood when it
    /// came too late; then source partition, row number, key.
    pub fn place(&self) -> (i64, u64, u64, &[Rank]) {
        let time = self.time.map_or(0, |time| time.saturating_add(self.late));
        (time, self.partition, self.number, &self.key)
    }

    /// Where the row stands for aggregates that depend on order: as above, but a late row stands where its
    /// event time says.
    pub fn place_in_time(&self) -> (i64, u64, u64, Vec<Rank>) {
        (self.time.unwrap_or(0), self.partition, self.number, self.key.clone())
    }
}

/// A key value that can be compared: equal as keys, and in the order of keys, which has null last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Truth.
    Bool(bool),
    /// Integers, decimals of one scale in up to 128 bits, dates, times and durations in nanoseconds.
    Integer(i128),
    /// Decimals in 256 bits.
    Wide(i256),
    /// Months, days and nanoseconds.
    Interval(i32, i32, i64),
    /// A float, as an integer that is ordered like it.
    Float(i64),
    /// Text, ordered by its bytes, and bytes.
    Text(Vec<u8>),
    /// Items or fields, ordered by the first that differs.
    Values(Vec<Rank>),
    /// Null stands behind everything.
    Null,
}

impl Rank {
    /// The rank of a value.
    pub fn of(value: &Scalar) -> Rank {
        match value {
            Scalar::Null(_) => Rank::Null,
            Scalar::Boolean(value) => Rank::Bool(*value),
            Scalar::Float16(value) => Rank::float(value.to_f64()),
            Scalar::Float32(value) => Rank::float(f64::from(*value)),
            Scalar::Float64(value) => Rank::float(*value),
            Scalar::Decimal256 { value, .. } => Rank::Wide(*value),
            Scalar::Date32(days) => Rank::Integer(i128::from(*days)),
            Scalar::Date64(millis) => Rank::Integer(i128::from(*millis)),
            Scalar::Timestamp { value, unit, .. }
            | Scalar::Time { value, unit }
            | Scalar::Duration { value, unit } => {
                let nanos = match unit {
                    TimeUnit::Second => 1_000_000_000,
                    TimeUnit::Millisecond => 1_000_000,
                    TimeUnit::Microsecond => 1_000,
                    TimeUnit::Nanosecond => 1,
                };
                Rank::Integer(i128::from(*value) * nanos)
            }
            Scalar::IntervalYearMonth(months) => Rank::Interval(*months, 0, 0),
            Scalar::IntervalDayTime { days, milliseconds } => {
                Rank::Interval(0, *days, i64::from(*milliseconds))
            }
            Scalar::IntervalMonthDayNano { months, days, nanoseconds } => {
                Rank::Interval(*months, *days, *nanoseconds)
            }
            Scalar::List { items: values, .. } | Scalar::Struct { values, .. } => {
                Rank::Values(values.iter().map(Rank::of).collect())
            }
            other => match (other.as_str(), other.as_bytes(), other.as_integer(), other.as_decimal()) {
                (Some(text), ..) => Rank::Text(text.into()),
                (_, Some(bytes), ..) => Rank::Text(bytes.into()),
                (.., Some(integer), _) => Rank::Integer(integer),
                (.., Some((digits, _))) => Rank::Integer(digits.as_i128()),
                _ => panic!("{other} is no key"),
            },
        }
    }

    fn float(value: f64) -> Rank {
        let one = if value == 0.0 {
            0.0
        } else if value.is_nan() {
            f64::NAN.abs()
        } else {
            value
        };
        // Negative floats are ordered backwards by their bits.
        let bits = one.to_bits().cast_signed();
        Rank::Float(if bits < 0 { i64::MIN - bits } else { bits })
    }
}

/// Orders two values as `min` and `max` do; nulls are not asked for.
pub(super) fn order(a: &Scalar, b: &Scalar) -> Ordering {
    Rank::of(a).cmp(&Rank::of(b))
}

/// A value as a key shows it: one zero, one NaN, encodings looked up.
pub(super) fn canonical(value: &Scalar) -> Scalar {
    let all = |values: &[Scalar]| values.iter().map(canonical).collect();
    match value {
        Scalar::Float16(x) if x.to_f64() == 0.0 => Scalar::Float16(Float16::ZERO),
        Scalar::Float16(x) if x.is_nan() => Scalar::Float16(Float16::NAN),
        Scalar::Float32(x) if *x == 0.0 => Scalar::Float32(0.0),
        Scalar::Float32(x) if x.is_nan() => Scalar::Float32(f32::NAN),
        Scalar::Float64(x) if *x == 0.0 => Scalar::Float64(0.0),
        Scalar::Float64(x) if x.is_nan() => Scalar::Float64(f64::NAN),
        Scalar::List { data_type, items } => Scalar::List { data_type: data_type.clone(), items: all(items) },
        Scalar::Struct { data_type, values } => {
            Scalar::Struct { data_type: data_type.clone(), values: all(values) }
        }
        other => other.clone(),
    }
}

/// The rows as a batch of the columns of `schema`, for the interpreter.
pub(super) fn to_batch(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    let column = |index: usize| -> ArrayRef {
        let wanted = schema.field(index).data_type();
        let values: Vec<Scalar> = rows.iter().map(|row| row.cells[index].value.clone()).collect();
        Scalar::collect(wanted, &values).expect("cells have the type of their column")
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).expect("the columns fit the schema")
}

/// The cells of a batch, row by row.
pub fn cells(batch: &RecordBatch) -> Vec<Vec<Cell>> {
    let cell =
        |column: &ArrayRef, row| Scalar::from_array(column.as_ref(), row).expect("a supported type").into();
    (0..batch.num_rows())
        .map(|row| batch.columns().iter().map(|column| cell(column, row)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    #[test]
    fn ranks_order_keys_with_null_last_and_nan_greatest() {
        let floats = [f64::NEG_INFINITY, -1.5, -1.0, 0.0, 1.0, f64::INFINITY, f64::NAN];
        let ranks: Vec<Rank> = floats.iter().map(|x| Rank::of(&Scalar::Float64(*x))).collect();
        assert!(ranks.windows(2).all(|w| w[0] < w[1]), "{ranks:?}");
        assert_eq!(Rank::of(&Scalar::Float64(-0.0)), Rank::of(&Scalar::Float64(0.0)));
        assert_eq!(Rank::of(&Scalar::Float64(-f64::NAN)), Rank::of(&Scalar::Float64(f64::NAN)));
        assert!(ranks[6] < Rank::of(&Scalar::Null(DataType::Float64)));
    }
}
