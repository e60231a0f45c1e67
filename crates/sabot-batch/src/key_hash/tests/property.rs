//! The vectorised form equals the reference on random columns of every type, sliced, with rubbish under
//! their nulls.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, DictionaryArray, LargeStringArray,
    NullArray, PrimitiveArray, StringArray, StringViewArray, UInt16Array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{
    Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use rand::distr::{Distribution, StandardUniform};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use sabot_testkit::array::{Spread, random_array};

use super::super::{KeyValue, reference_hash, supports_key};
use super::hash;

/// Block edges, word edges of null bitmaps, and nothing.
const LENGTHS: [usize; 12] = [0, 1, 31, 32, 33, 64, 65, 1023, 1024, 1025, 2048, 3001];
const KINDS: usize = 22;

fn nulls(rng: &mut ChaCha8Rng, len: usize) -> Option<NullBuffer> {
    let share = [0.0, 0.02, 0.5, 1.0][rng.random_range(0..4usize)];
    (share > 0.0).then(|| NullBuffer::new(BooleanBuffer::collect_bool(len, |_| !rng.random_bool(share))))
}

fn numbers<T: ArrowPrimitiveType>(rng: &mut ChaCha8Rng, len: usize, special: &[T::Native]) -> ArrayRef
where
    StandardUniform: Distribution<T::Native>,
{
    let value = |rng: &mut ChaCha8Rng| match special {
        [_, ..] if rng.random_bool(0.3) => special[rng.random_range(0..special.len())],
        _ => rng.random(),
    };
    // Values are made before the nulls, so what lies under a null is as random as the rest.
    let values: Vec<T::Native> = (0..len).map(|_| value(rng)).collect();
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls(rng, len)))
}

fn decimals(rng: &mut ChaCha8Rng, len: usize) -> ArrayRef {
    let value = |rng: &mut ChaCha8Rng| {
        let zeros = 10i128.pow(rng.random_range(0..19));
        let digits = i128::from(rng.next_u64().cast_signed() >> rng.random_range(0..64));
        digits * zeros / if rng.random_bool(0.5) { 10i128.pow(18) } else { 1 }
    };
    let values: Vec<i128> = (0..len).map(|_| value(rng)).collect();
    let array = Decimal128Array::new(values.into(), nulls(rng, len));
    Arc::new(array.with_precision_and_scale(38, rng.random_range(-5..=38)).unwrap())
}

fn words(rng: &mut ChaCha8Rng, len: usize) -> Vec<String> {
    let longest = [3, 8, 12, 40][rng.random_range(0..4usize)];
    let word = |rng: &mut ChaCha8Rng| {
        let letters = rng.random_range(0..=longest);
        (0..letters).map(|_| ['a', 'b', '\0', 'ü', '日'][rng.random_range(0..5usize)]).collect()
    };
    (0..len).map(|_| word(rng)).collect()
}

fn strings(rng: &mut ChaCha8Rng, len: usize, kind: usize) -> ArrayRef {
    let words = words(rng, len);
    let nulls = nulls(rng, len);
    match kind {
        0 => {
            let (offsets, bytes, _) = StringArray::from(words).into_parts();
            Arc::new(StringArray::new(offsets, bytes, nulls))
        }
        1 => {
            let (offsets, bytes, _) = LargeStringArray::from(words).into_parts();
            Arc::new(LargeStringArray::new(offsets, bytes, nulls))
        }
        _ => {
            let (views, buffers, _) = StringViewArray::from(words).into_parts();
            Arc::new(StringViewArray::new(views, buffers, nulls))
        }
    }
}

/// A dictionary whose null keys point anywhere, also outside it, and whose values may be null too.
fn dictionary(rng: &mut ChaCha8Rng, len: usize, values: ArrayRef) -> ArrayRef {
    let nulls = match values.len() {
        0 => Some(NullBuffer::new_null(len)),
        _ => nulls(rng, len),
    };
    let key = |rng: &mut ChaCha8Rng, i: usize| match &nulls {
        Some(nulls) if nulls.is_null(i) => u16::MAX,
        _ => u16::try_from(rng.random_range(0..values.len())).unwrap(),
    };
    let keys: Vec<u16> = (0..len).map(|i| key(rng, i)).collect();
    Arc::new(DictionaryArray::new(UInt16Array::new(keys.into(), nulls.clone()), values))
}

fn column(rng: &mut ChaCha8Rng, len: usize, kind: usize) -> ArrayRef {
    match kind {
        0 => numbers::<Int8Type>(rng, len, &[]),
        1 => numbers::<Int16Type>(rng, len, &[]),
        2 => numbers::<Int32Type>(rng, len, &[0, -1, i32::MIN]),
        3 => numbers::<Int64Type>(rng, len, &[0, -1, i64::MIN, i64::MAX]),
        4 => numbers::<UInt8Type>(rng, len, &[]),
        5 => numbers::<UInt16Type>(rng, len, &[]),
        6 => numbers::<UInt32Type>(rng, len, &[0, u32::MAX]),
        7 => numbers::<UInt64Type>(rng, len, &[0, 1 << 63, u64::MAX]),
        8 => numbers::<Float32Type>(rng, len, &[0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY]),
        9 => numbers::<Float64Type>(rng, len, &[0.0, -0.0, f64::NAN, -f64::NAN, f64::MIN_POSITIVE / 2.0]),
        10 => numbers::<Date32Type>(rng, len, &[0, -1]),
        11 => numbers::<TimestampSecondType>(rng, len, &[0, -1, i64::MIN, i64::MAX]),
        12 => numbers::<TimestampMillisecondType>(rng, len, &[0, -1, i64::MIN, i64::MAX]),
        13 => numbers::<TimestampMicrosecondType>(rng, len, &[0, -1, i64::MIN, i64::MAX]),
        14 => numbers::<TimestampNanosecondType>(rng, len, &[0, -1, 1000, i64::MIN, i64::MAX]),
        15 => {
            let bits = BooleanBuffer::collect_bool(len, |_| rng.random());
            Arc::new(BooleanArray::new(bits, nulls(rng, len)))
        }
        16 => decimals(rng, len),
        17..=19 => strings(rng, len, kind - 17),
        20 => Arc::new(NullArray::new(len)),
        _ => {
            // Both fewer and more values than rows; any plain type inside.
            let values = if len == 0 { 3 } else { rng.random_range(0..2 * len.min(500)) };
            let kind = rng.random_range(0..KINDS - 1);
            let values = column(rng, values, kind);
            dictionary(rng, len, values)
        }
    }
}

fn check(rng: &mut ChaCha8Rng, columns: &[ArrayRef], rows: usize) {
    let seed = rng.next_u64();
    let hashes = hash(seed, columns);
    assert_eq!(hashes.len(), rows);
    // The reference is slow: all rows of small batches, a sample of large ones.
    let every = (rows / 100).max(1);
    for row in (0..rows).step_by(every).chain(rows.checked_sub(1)) {
        let key: Vec<KeyValue> = columns.iter().map(|c| KeyValue::from_array(c, row).unwrap()).collect();
        let types: Vec<_> = columns.iter().map(|c| c.data_type()).collect();
        assert_eq!(hashes[row], reference_hash(seed, &key), "row {row} of {rows}: {key:?} in {types:?}");
    }
}

#[test]
fn every_type_at_every_length_equals_the_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5ab0);
    for kind in 0..KINDS {
        for len in LENGTHS {
            // Cut from a longer array, so that values, bitmaps and string offsets start in the middle.
            let before = rng.random_range(0..70);
            let whole = column(&mut rng, before + len + 5, kind);
            check(&mut rng, &[whole.slice(before, len)], len);
        }
    }
}

/// The types of the test kit, nested ones among them, in whatever way it stores them.
#[test]
fn every_type_of_the_test_kit_equals_the_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5ab3);
    for data_type in sabot_testkit::array::types().iter().filter(|t| supports_key(t)) {
        for len in [0, 1, 31, 32, 33, 65, 1023, 1025] {
            for spread in [Spread::Narrow, Spread::Wide] {
                let null_share = [0.0, 0.1, 1.0][rng.random_range(0..3usize)];
                let array = random_array(&mut rng, data_type, len, null_share, spread);
                check(&mut rng, &[array], len);
            }
        }
    }
}

#[test]
fn random_keys_of_several_columns_equal_the_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5ab1);
    for _ in 0..200 {
        let len = [7, 40, 130, 1100][rng.random_range(0..4usize)];
        let columns: Vec<ArrayRef> = (0..rng.random_range(1..6usize))
            .map(|_| {
                let kind = rng.random_range(0..KINDS);
                column(&mut rng, len, kind)
            })
            .collect();
        check(&mut rng, &columns, len);
    }
}

#[test]
fn what_lies_under_a_null_does_not_matter() {
    let mut rng = ChaCha8Rng::seed_from_u64(0x5ab2);
    let validity = NullBuffer::new(BooleanBuffer::collect_bool(2000, |i| i % 3 != 0));
    let mut poisoned = || {
        let values: Vec<i64> = (0..2000i64).map(|i| if i % 3 == 0 { rng.random() } else { i }).collect();
        let array: ArrayRef =
            Arc::new(PrimitiveArray::<Int64Type>::new(values.into(), Some(validity.clone())));
        array
    };
    assert_eq!(hash(3, &[poisoned()]), hash(3, &[poisoned()]));
}
