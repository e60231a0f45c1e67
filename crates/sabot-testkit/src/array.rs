//! Random arrays of every type that expressions support.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    GenericStringArray, Int64Array, OffsetSizeTrait, PrimitiveArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, DataType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use rand::Rng;
use rand::seq::IndexedRandom;
use std::sync::Arc;

/// How far the values of an array go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Small numbers, dates near 1970 and short texts, so that arithmetic mostly succeeds and values repeat.
    Narrow,
    /// The whole range of the type, with its ends and special values in plenty.
    Wide,
}

/// Every type that expressions support; of the composite ones several.
pub fn types() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let dictionary = |key: DataType, value: DataType| DataType::Dictionary(Box::new(key), Box::new(value));
    vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Decimal128(38, 0),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Date32,
        DataType::Timestamp(Second, None),
        DataType::Timestamp(Millisecond, Some("UTC".into())),
        DataType::Timestamp(Microsecond, None),
        DataType::Timestamp(Microsecond, Some("Europe/Zurich".into())),
        DataType::Timestamp(Nanosecond, Some("+00:00".into())),
        dictionary(DataType::Int8, DataType::Utf8),
        dictionary(DataType::Int32, DataType::Utf8),
        dictionary(DataType::UInt16, DataType::LargeUtf8),
    ]
}

/// An array of a type. About `null_share` of the rows are null, with values of the type under them. It
/// is a slice of a longer array, at an offset that is zero half of the time.
///
/// # Panics
/// For a type that expressions do not support.
pub fn random_array(
    rng: &mut impl Rng,
    data_type: &DataType,
    rows: usize,
    null_share: f64,
    spread: Spread,
) -> ArrayRef {
    let before = if rng.random_bool(0.5) { 0 } else { rng.random_range(1..70) };
    let length = before + rows + rng.random_range(0..3);
    let nulls = random_nulls(rng, length, null_share);
    whole_array(rng, data_type, length, nulls, spread).slice(before, rows)
}

fn random_nulls(rng: &mut impl Rng, length: usize, share: f64) -> Option<NullBuffer> {
    (share > 0.0).then(|| NullBuffer::from_iter((0..length).map(|_| !rng.random_bool(share))))
}

fn whole_array(
    rng: &mut impl Rng,
    data_type: &DataType,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    macro_rules! integers {
        ($arrow:ty, $native:ty) => {{
            let values: Vec<$native> = (0..length)
                .map(|_| match spread {
                    Spread::Narrow => rng.random_range(0..12) as $native,
                    Spread::Wide => wide_integer!(rng, $native),
                })
                .collect();
            primitive::<$arrow>(values, nulls)
        }};
    }
    macro_rules! wide_integer {
        ($rng:expr, $native:ty) => {
            match $rng.random_range(0..6) {
                0 => <$native>::MIN,
                1 => <$native>::MAX,
                2 => <$native>::MAX / 2,
                3 => $rng.random_range(0..3),
                4 => (0 as $native).wrapping_sub($rng.random_range(0..3)),
                _ => $rng.random(),
            }
        };
    }
    match data_type {
        DataType::Boolean => {
            let values = (0..length).map(|_| rng.random_bool(0.5)).collect();
            Arc::new(BooleanArray::new(values, nulls))
        }
        DataType::Int8 => integers!(Int8Type, i8),
        DataType::Int16 => integers!(Int16Type, i16),
        DataType::Int32 => integers!(Int32Type, i32),
        DataType::Int64 => integers!(Int64Type, i64),
        DataType::UInt8 => integers!(UInt8Type, u8),
        DataType::UInt16 => integers!(UInt16Type, u16),
        DataType::UInt32 => integers!(UInt32Type, u32),
        DataType::UInt64 => integers!(UInt64Type, u64),
        DataType::Float32 => {
            primitive::<Float32Type>((0..length).map(|_| float(rng, spread) as f32).collect(), nulls)
        }
        DataType::Float64 => {
            primitive::<Float64Type>((0..length).map(|_| float(rng, spread)).collect(), nulls)
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10i128.pow(u32::from(*precision)) - 1;
            let values: Vec<i128> = (0..length)
                .map(|_| [0, 1, -1, limit, -limit, rng.random_range(-limit..=limit)][rng.random_range(0..6)])
                .collect();
            let array = Decimal128Array::new(values.into(), nulls);
            Arc::new(array.with_precision_and_scale(*precision, *scale).expect("precision and scale fit"))
        }
        DataType::Utf8 => Arc::new(strings::<i32>(rng, length, nulls, spread)),
        DataType::LargeUtf8 => Arc::new(strings::<i64>(rng, length, nulls, spread)),
        DataType::Date32 => {
            Arc::new(Date32Array::new((0..length).map(|_| days(rng, spread)).collect(), nulls))
        }
        DataType::Timestamp(unit, _) => {
            let values = (0..length).map(|_| ticks(rng, *unit, spread)).collect();
            cast(&Int64Array::new(values, nulls), data_type).expect("timestamps are int64 inside")
        }
        DataType::Dictionary(key, value) => match key.as_ref() {
            DataType::Int8 => dictionary::<Int8Type>(rng, value, length, nulls, spread),
            DataType::Int16 => dictionary::<Int16Type>(rng, value, length, nulls, spread),
            DataType::Int32 => dictionary::<Int32Type>(rng, value, length, nulls, spread),
            DataType::Int64 => dictionary::<Int64Type>(rng, value, length, nulls, spread),
            DataType::UInt8 => dictionary::<UInt8Type>(rng, value, length, nulls, spread),
            DataType::UInt16 => dictionary::<UInt16Type>(rng, value, length, nulls, spread),
            DataType::UInt32 => dictionary::<UInt32Type>(rng, value, length, nulls, spread),
            DataType::UInt64 => dictionary::<UInt64Type>(rng, value, length, nulls, spread),
            other => panic!("no dictionary has keys of {other}"),
        },
        other => panic!("the test kit draws no arrays of {other}"),
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// A float; among the wide ones are both zeros, NaNs of both signs, infinities and the ends of integers.
pub fn float(rng: &mut impl Rng, spread: Spread) -> f64 {
    const SPECIAL: [f64; 14] = [
        0.0,
        -0.0,
        f64::NAN,
        -f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MAX,
        f64::MIN_POSITIVE,
        -9_223_372_036_854_775_808.0,
        9_223_372_036_854_775_807.0,
        127.5,
        -128.5,
        0.5,
        1e-310,
    ];
    match spread {
        Spread::Narrow => f64::from(rng.random_range(-8..24i32)) / 4.0,
        Spread::Wide if rng.random_bool(0.6) => SPECIAL.choose(rng).copied().unwrap_or(0.0),
        Spread::Wide => f64::from_bits(rng.random()),
    }
}

/// A text; among them are numbers, dates and truth values, so that casts succeed now and then.
pub fn text(rng: &mut impl Rng, spread: Spread) -> String {
    const SHORT: [&str; 10] = ["", "a", "b", "SFO", "SEA", "7", "12", "true", "2001-02-03", "1.5"];
    const ODD: [&str; 22] = [
        " 42 ",
        "-7",
        "+3",
        "300",
        "99999999999999999999",
        "1e3",
        "NaN",
        "inf",
        "-0",
        "no",
        "ON",
        "100%",
        "a_b",
        "a\\%b",
        "Zürich",
        "🦀🦀",
        "e\u{301}",
        "1969-12-31",
        "1970-01-01T00:00:00.000001Z",
        "2001-02-29",
        "+12345-01-01",
        "2020-06-30T12:00:00+02:00",
    ];
    match spread {
        Spread::Narrow => SHORT.choose(rng).map_or(String::new(), |t| (*t).to_owned()),
        Spread::Wide if rng.random_bool(0.7) => ODD.choose(rng).map_or(String::new(), |t| (*t).to_owned()),
        Spread::Wide => "xy%_".repeat(rng.random_range(0..12)),
    }
}

/// A day; the wide ones reach both ends of the range.
pub fn days(rng: &mut impl Rng, spread: Spread) -> i32 {
    match spread {
        Spread::Narrow => rng.random_range(-400..12_000),
        Spread::Wide => match rng.random_range(0..4) {
            0 => i32::MIN,
            1 => i32::MAX,
            2 => rng.random_range(-1_000_000..1_000_000),
            _ => rng.random(),
        },
    }
}

/// A timestamp in a unit; the wide ones reach both ends of the range, the narrow ones span some days.
pub fn ticks(rng: &mut impl Rng, unit: TimeUnit, spread: Spread) -> i64 {
    let second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    match spread {
        Spread::Narrow => rng.random_range(-100_000 * second..1_000_000 * second),
        Spread::Wide => match rng.random_range(0..5) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => rng.random_range(-2..2),
            3 => rng.random_range(-3_000_000_000 * second..3_000_000_000 * second),
            _ => rng.random(),
        },
    }
}

fn strings<O: OffsetSizeTrait>(
    rng: &mut impl Rng,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> GenericStringArray<O> {
    let plain = GenericStringArray::<O>::from_iter_values((0..length).map(|_| text(rng, spread)));
    // Put together again, so that there is text under the nulls.
    let (offsets, values, _) = plain.into_parts();
    GenericStringArray::new(offsets, values, nulls)
}

/// Some dictionary values are never used, some stand there twice, and now and then one is null.
fn dictionary<K: ArrowDictionaryKeyType>(
    rng: &mut impl Rng,
    value: &DataType,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    let count = rng.random_range(1..20);
    let null_share = if nulls.is_some() && rng.random_bool(0.3) { 0.2 } else { 0.0 };
    let values = random_array(rng, value, count, null_share, spread);
    let key = |_| K::Native::from_usize(rng.random_range(0..count)).expect("below 20");
    let keys = PrimitiveArray::<K>::new((0..length).map(key).collect(), nulls);
    Arc::new(DictionaryArray::new(keys, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn every_type_is_drawn_as_asked() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for data_type in types() {
            sabot_expr::check_type(&data_type).unwrap();
            for spread in [Spread::Narrow, Spread::Wide] {
                let array = random_array(&mut rng, &data_type, 200, 0.5, spread);
                assert_eq!((array.data_type(), array.len()), (&data_type, 200));
                assert!((40..160).contains(&array.null_count()), "{data_type}: {}", array.null_count());
                array.to_data().validate_full().unwrap();
                let full = random_array(&mut rng, &data_type, 33, 0.0, spread);
                assert_eq!(full.logical_null_count(), 0);
                assert_eq!(random_array(&mut rng, &data_type, 0, 0.5, spread).len(), 0);
            }
        }
    }

    #[test]
    fn a_seed_repeats_everything() {
        let draw = || random_array(&mut ChaCha8Rng::seed_from_u64(9), &DataType::Utf8, 50, 0.3, Spread::Wide);
        assert_eq!(&draw(), &draw());
    }
}
