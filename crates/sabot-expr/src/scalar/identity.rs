//! Identity of scalars: same type and same value, floats by their bits.

use std::hash::{Hash, Hasher};

use super::Scalar;

/// Identity: same type and same value, floats by their bits.
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        use Scalar::*;
        match (self, other) {
            (Null(a), Null(b)) => a == b,
            (Boolean(a), Boolean(b)) => a == b,
            (Float16(a), Float16(b)) => a.to_bits() == b.to_bits(),
            (Float32(a), Float32(b)) => a.to_bits() == b.to_bits(),
            (Float64(a), Float64(b)) => a.to_bits() == b.to_bits(),
            (Utf8(a), Utf8(b)) | (LargeUtf8(a), LargeUtf8(b)) | (Utf8View(a), Utf8View(b)) => a == b,
            (Binary(a), Binary(b))
            | (LargeBinary(a), LargeBinary(b))
            | (BinaryView(a), BinaryView(b))
            | (FixedSizeBinary(a), FixedSizeBinary(b)) => a == b,
            (Date32(a), Date32(b)) => a == b,
            (Date64(a), Date64(b)) => a == b,
            (Time { value: a, unit: u }, Time { value: b, unit: v })
            | (Duration { value: a, unit: u }, Duration { value: b, unit: v }) => (a, u) == (b, v),
            (Timestamp { value: a, unit: u, zone: z }, Timestamp { value: b, unit: v, zone: y }) => {
                (a, u, z) == (b, v, y)
            }
            (IntervalYearMonth(a), IntervalYearMonth(b)) => a == b,
            (IntervalDayTime { days: a, milliseconds: m }, IntervalDayTime { days: b, milliseconds: n }) => {
                (a, m) == (b, n)
            }
            (
                IntervalMonthDayNano { months: a, days: d, nanoseconds: n },
                IntervalMonthDayNano { months: b, days: e, nanoseconds: o },
            ) => (a, d, n) == (b, e, o),
            (List { data_type: t, items: a }, List { data_type: u, items: b })
            | (Struct { data_type: t, values: a }, Struct { data_type: u, values: b }) => t == u && a == b,
            (Union { data_type: t, type_id: i, value: a }, Union { data_type: u, type_id: j, value: b }) => {
                t == u && i == j && a == b
            }
            _ => {
                std::mem::discriminant(self) == std::mem::discriminant(other)
                    && match (self.as_decimal(), other.as_decimal()) {
                        (Some(a), Some(b)) => a == b && self.data_type() == other.data_type(),
                        _ => self.as_integer().is_some() && self.as_integer() == other.as_integer(),
                    }
            }
        }
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Scalar::Null(data_type) => data_type.hash(state),
            Scalar::Boolean(value) => value.hash(state),
            Scalar::Float16(value) => value.to_bits().hash(state),
            Scalar::Float32(value) => value.to_bits().hash(state),
            Scalar::Float64(value) => value.to_bits().hash(state),
            Scalar::Utf8(text) | Scalar::LargeUtf8(text) | Scalar::Utf8View(text) => text.hash(state),
            Scalar::Binary(bytes)
            | Scalar::LargeBinary(bytes)
            | Scalar::BinaryView(bytes)
            | Scalar::FixedSizeBinary(bytes) => bytes.hash(state),
            Scalar::Date32(days) => days.hash(state),
            Scalar::Date64(value) => value.hash(state),
            Scalar::Time { value, unit } | Scalar::Duration { value, unit } => (value, unit).hash(state),
            Scalar::Timestamp { value, unit, zone } => (value, unit, zone).hash(state),
            Scalar::IntervalYearMonth(months) => months.hash(state),
            Scalar::IntervalDayTime { days, milliseconds } => (days, milliseconds).hash(state),
            Scalar::IntervalMonthDayNano { months, days, nanoseconds } => {
                (months, days, nanoseconds).hash(state);
            }
            Scalar::List { data_type, items: values } | Scalar::Struct { data_type, values } => {
                (data_type, values).hash(state);
            }
            Scalar::Union { data_type, type_id, value } => (data_type, type_id, value).hash(state),
            number => match number.as_decimal() {
                // The type says the rest; two decimals of different types may share a hash.
                Some((digits, scale)) => (digits.to_le_bytes(), scale).hash(state),
                None => number.as_integer().hash(state),
            },
        }
    }
}
