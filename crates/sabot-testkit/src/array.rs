//! Random arrays of every type.

mod nested;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, Date32Array, Date64Array,
    DictionaryArray, FixedSizeBinaryArray, GenericBinaryArray, GenericStringArray, Int64Array, NullArray,
    OffsetSizeTrait, PrimitiveArray, StringViewArray, make_array,
};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type, UnionFields, UnionMode,
    i256,
};
use rand::Rng;
use rand::seq::IndexedRandom;
use sabot_expr::Float16;
use std::sync::Arc;

/// How far the values of an array go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Small numbers, dates near 1970 and short texts, so that arithmetic mostly succeeds and values repeat.
    Narrow,
    /// The whole range of the type, with its ends and special values in plenty.
    Wide,
}

/// Every type; of the composite ones several.
pub fn types() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let dictionary = |key: DataType, value: DataType| DataType::Dictionary(Box::new(key), Box::new(value));
    let mut all = vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal32(9, 4),
        DataType::Decimal64(18, -2),
        DataType::Decimal128(10, 2),
        DataType::Decimal128(38, 0),
        DataType::Decimal256(50, 6),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(5),
        DataType::Date32,
        DataType::Date64,
        DataType::Time32(Second),
        DataType::Time32(Millisecond),
        DataType::Time64(Microsecond),
        DataType::Time64(Nanosecond),
        DataType::Timestamp(Second, None),
        DataType::Timestamp(Millisecond, Some("UTC".into())),
        DataType::Timestamp(Microsecond, None),
        DataType::Timestamp(Microsecond, Some("Europe/Zurich".into())),
        DataType::Timestamp(Nanosecond, Some("+00:00".into())),
        DataType::Duration(Second),
        DataType::Duration(Millisecond),
        DataType::Duration(Microsecond),
        DataType::Duration(Nanosecond),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Interval(IntervalUnit::MonthDayNano),
        dictionary(DataType::Int8, DataType::Utf8),
        dictionary(DataType::Int32, DataType::Utf8),
        dictionary(DataType::UInt16, DataType::LargeUtf8),
        dictionary(DataType::UInt8, DataType::Int64),
        dictionary(DataType::Int32, DataType::Utf8View),
    ];
    all.extend(nested_types());
    all
}

/// Types that hold values of other types, and null, which holds none.
pub fn nested_types() -> Vec<DataType> {
    let item = |data_type: DataType| Arc::new(Field::new_list_field(data_type, true));
    let point = || {
        DataType::Struct(
            vec![Field::new("x", DataType::Float64, true), Field::new("name", DataType::Utf8, false)].into(),
        )
    };
    let entries = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)].into(),
    );
    let union = |mode| {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
        DataType::Union(UnionFields::from_fields(fields), mode)
    };
    let runs = |ends: DataType, values: DataType| {
        DataType::RunEndEncoded(
            Arc::new(Field::new("run_ends", ends, false)),
            Arc::new(Field::new("values", values, true)),
        )
    };
    vec![
        DataType::Null,
        DataType::List(item(DataType::Int32)),
        DataType::List(item(DataType::Utf8)),
        DataType::List(item(DataType::List(item(DataType::Int16)))),
        DataType::LargeList(item(DataType::Float64)),
        DataType::ListView(item(DataType::Int64)),
        DataType::LargeListView(item(DataType::Utf8)),
        DataType::FixedSizeList(item(DataType::Int16), 3),
        point(),
        DataType::List(item(point())),
        DataType::Struct(vec![Field::new("list", DataType::List(item(DataType::Date32)), true)].into()),
        DataType::Map(Arc::new(Field::new("entries", entries, false)), false),
        union(UnionMode::Sparse),
        union(UnionMode::Dense),
        runs(DataType::Int32, DataType::Utf8),
        runs(DataType::Int64, DataType::Int64),
    ]
}

/// An array of a type. About `null_share` of the rows are null, with values of the type under them. It
/// is a slice of a longer array, at an offset that is zero half of the time. Null, and the nulls of unions
/// and of runs, which have none of their own, are values that are null.
///
/// # Panics
/// For a type that is not well-formed.
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
        DataType::Float16 => {
            let values = (0..length).map(|_| Float16::from_f64(float(rng, spread))).collect();
            primitive::<Float16Type>(values, nulls)
        }
        DataType::Float32 => {
            primitive::<Float32Type>((0..length).map(|_| float(rng, spread) as f32).collect(), nulls)
        }
        DataType::Float64 => {
            primitive::<Float64Type>((0..length).map(|_| float(rng, spread)).collect(), nulls)
        }
        DataType::Decimal32(precision, _) => {
            let draw = |_| digits(rng, *precision, spread).as_i128() as i32;
            decimal::<Decimal32Type>(data_type, (0..length).map(draw).collect(), nulls)
        }
        DataType::Decimal64(precision, _) => {
            let draw = |_| digits(rng, *precision, spread).as_i128() as i64;
            decimal::<Decimal64Type>(data_type, (0..length).map(draw).collect(), nulls)
        }
        DataType::Decimal128(precision, _) => {
            let draw = |_| digits(rng, *precision, spread).as_i128();
            decimal::<Decimal128Type>(data_type, (0..length).map(draw).collect(), nulls)
        }
        DataType::Decimal256(precision, _) => {
            let draw = |_| digits(rng, *precision, spread);
            decimal::<Decimal256Type>(data_type, (0..length).map(draw).collect(), nulls)
        }
        DataType::Utf8 => Arc::new(strings::<i32>(rng, length, nulls, spread)),
        DataType::LargeUtf8 => Arc::new(strings::<i64>(rng, length, nulls, spread)),
        DataType::Utf8View => {
            let plain = StringViewArray::from_iter_values((0..length).map(|_| text(rng, spread)));
            with_nulls(Arc::new(plain), nulls)
        }
        DataType::Binary => Arc::new(binaries::<i32>(rng, length, nulls, spread)),
        DataType::LargeBinary => Arc::new(binaries::<i64>(rng, length, nulls, spread)),
        DataType::BinaryView => {
            let plain = BinaryViewArray::from_iter_values((0..length).map(|_| bytes(rng, spread)));
            with_nulls(Arc::new(plain), nulls)
        }
        DataType::FixedSizeBinary(size) => {
            let width = usize::try_from(*size).expect("checked sizes are not negative");
            let values: Vec<u8> = (0..length * width).map(|_| byte(rng, spread)).collect();
            Arc::new(FixedSizeBinaryArray::new(*size, Buffer::from_vec(values), nulls))
        }
        DataType::Null => Arc::new(NullArray::new(length)),
        DataType::Date64 => {
            let values = (0..length).map(|_| i64::from(days(rng, spread)) * 86_400_000).collect();
            Arc::new(Date64Array::new(values, nulls))
        }
        DataType::Time32(TimeUnit::Second) => {
            primitive::<Time32SecondType>(clock(rng, length, 1, spread).map(|t| t as i32).collect(), nulls)
        }
        DataType::Time32(_) => primitive::<Time32MillisecondType>(
            clock(rng, length, 1_000, spread).map(|t| t as i32).collect(),
            nulls,
        ),
        DataType::Time64(TimeUnit::Microsecond) => {
            primitive::<Time64MicrosecondType>(clock(rng, length, 1_000_000, spread).collect(), nulls)
        }
        DataType::Time64(_) => {
            primitive::<Time64NanosecondType>(clock(rng, length, 1_000_000_000, spread).collect(), nulls)
        }
        DataType::Duration(unit) => {
            let values = (0..length).map(|_| ticks(rng, *unit, spread)).collect();
            cast(&Int64Array::new(values, nulls), data_type).expect("durations are int64 inside")
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitive::<IntervalYearMonthType>((0..length).map(|_| small(rng, spread)).collect(), nulls)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let draw = |_| IntervalDayTime::new(small(rng, spread), small(rng, spread));
            primitive::<IntervalDayTimeType>((0..length).map(draw).collect(), nulls)
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let draw = |_| {
                let nanoseconds = ticks(rng, TimeUnit::Nanosecond, spread);
                IntervalMonthDayNano::new(small(rng, spread), small(rng, spread), nanoseconds)
            };
            primitive::<IntervalMonthDayNanoType>((0..length).map(draw).collect(), nulls)
        }
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
        other => nested::array(rng, other, length, nulls, spread),
    }
}

fn decimal<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()))
}

/// An array without nulls, with nulls.
fn with_nulls(plain: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    make_array(
        plain.to_data().into_builder().nulls(nulls).build().expect("the nulls are as many as the values"),
    )
}

/// The digits of a decimal; the wide ones reach both ends of what the precision allows.
pub fn digits(rng: &mut impl Rng, precision: u8, spread: Spread) -> i256 {
    let limit = i256::from(10).wrapping_pow(u32::from(precision)).wrapping_sub(i256::ONE);
    let below = i256::from_parts(rng.random(), rng.random::<i128>()).wrapping_rem(limit);
    match spread {
        Spread::Narrow => i256::from(rng.random_range(-12..200)).wrapping_rem(limit),
        Spread::Wide => {
            [i256::ZERO, i256::ONE, limit, limit.wrapping_neg(), below, below][rng.random_range(0..6)]
        }
    }
}

/// Times of day in a unit of `per_second` ticks.
fn clock(rng: &mut impl Rng, length: usize, per_second: i64, spread: Spread) -> impl Iterator<Item = i64> {
    let day = 86_400 * per_second;
    (0..length).map(move |_| match spread {
        Spread::Narrow => rng.random_range(0..24) * 3_600 * per_second,
        Spread::Wide => [0, day - 1, rng.random_range(0..day)][rng.random_range(0..3)],
    })
}

/// A number of days, months or milliseconds in 32 bits.
pub fn small(rng: &mut impl Rng, spread: Spread) -> i32 {
    match spread {
        Spread::Narrow => rng.random_range(-30..40),
        Spread::Wide => [i32::MIN, i32::MAX, 0, rng.random()][rng.random_range(0..4)],
    }
}

fn byte(rng: &mut impl Rng, spread: Spread) -> u8 {
    match spread {
        Spread::Narrow => rng.random_range(0..2),
        Spread::Wide => [0, 0xff, b'a', rng.random()][rng.random_range(0..4)],
    }
}

/// Some bytes, which need not be text; the lengths are on both sides of what a view holds itself.
pub fn bytes(rng: &mut impl Rng, spread: Spread) -> Vec<u8> {
    let length = match spread {
        Spread::Narrow => rng.random_range(0..3),
        Spread::Wide => [0, 1, 8, 12, 13, 40][rng.random_range(0..6)],
    };
    (0..length).map(|_| byte(rng, spread)).collect()
}

fn binaries<O: OffsetSizeTrait>(
    rng: &mut impl Rng,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> GenericBinaryArray<O> {
    let plain = GenericBinaryArray::<O>::from_iter_values((0..length).map(|_| bytes(rng, spread)));
    let (offsets, values, _) = plain.into_parts();
    GenericBinaryArray::new(offsets, values, nulls)
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
                let nulls = array.logical_null_count();
                let expected = if data_type == DataType::Null { 200..201 } else { 40..160 };
                assert!(expected.contains(&nulls), "{data_type}: {nulls}");
                array.to_data().validate_full().unwrap();
                let full = random_array(&mut rng, &data_type, 33, 0.0, spread);
                assert_eq!(full.logical_null_count(), if data_type == DataType::Null { 33 } else { 0 });
                assert_eq!(random_array(&mut rng, &data_type, 0, 0.5, spread).len(), 0);
            }
        }
    }

    /// Every type of Arrow is among them, by the variants of its enum.
    #[test]
    fn no_type_is_missing() {
        let all = types();
        let heads: std::collections::BTreeSet<String> =
            all.iter().map(|t| format!("{t:?}").split('(').next().unwrap_or_default().to_owned()).collect();
        assert_eq!(heads.len(), 41, "{heads:?}");
    }

    #[test]
    fn a_seed_repeats_everything() {
        for data_type in types() {
            let draw = || random_array(&mut ChaCha8Rng::seed_from_u64(9), &data_type, 50, 0.3, Spread::Wide);
            assert_eq!(draw().to_data(), draw().to_data());
        }
    }
}
