//! Every variant that the machine has, in one process, against the definition of each comparison.

use super::*;
use crate::simd::SimdVariant;

const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 1023, 1025];

fn levels() -> Vec<Level> {
    SimdVariant::ALL.into_iter().filter_map(|v| v.level().ok()).collect()
}

fn wanted<T: Copy>(values: &[T], test: impl Fn(T) -> bool) -> Vec<u64> {
    let mut words = vec![0u64; values.len().div_ceil(64)];
    for (i, v) in values.iter().enumerate() {
        words[i / 64] |= u64::from(test(*v)) << (i % 64);
    }
    words
}

fn holds(op: Comparison, order: std::cmp::Ordering) -> bool {
    match op {
        Comparison::Eq => order.is_eq(),
        Comparison::NotEq => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::LtEq => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::GtEq => order.is_ge(),
    }
}

/// The engine's order of floats, said in another way than the kernels do: by keys that sort.
fn total(a: f64, b: f64) -> std::cmp::Ordering {
    let key = |v: f64| if v.is_nan() { f64::NAN.abs() } else { v + 0.0 };
    key(a).total_cmp(&key(b))
}

#[test]
fn integers_are_the_same_in_every_variant() {
    let pool = [i64::MIN, i64::MIN + 1, -1, 0, 1, 7, i64::MAX - 1, i64::MAX];
    let column: Vec<i64> = (0..1100).map(|i| pool[i * 7 % 11 % pool.len()]).collect();
    for level in levels() {
        for (size, offset) in SIZES.into_iter().flat_map(|s| [(s, 0), (s, 1), (s, 63)]) {
            let values = &column[offset..offset + size];
            for (op, literal) in Comparison::ALL.into_iter().flat_map(|op| pool.map(|l| (op, l))) {
                let words = compare_i64(level, op, values, literal);
                let expected = wanted(values, |v| holds(op, v.cmp(&literal)));
                assert_eq!(words, expected, "{level:?} {op:?} {literal} size {size} offset {offset}");
            }
        }
    }
}

#[test]
fn floats_are_the_same_in_every_variant() {
    let pool =
        [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 3.0, f64::INFINITY, f64::NAN, -f64::NAN];
    let column: Vec<f64> = (0..1100).map(|i| pool[i * 5 % 13 % pool.len()]).collect();
    for level in levels() {
        for (size, offset) in SIZES.into_iter().flat_map(|s| [(s, 0), (s, 1), (s, 63)]) {
            let values = &column[offset..offset + size];
            for (op, literal) in Comparison::ALL.into_iter().flat_map(|op| pool.map(|l| (op, l))) {
                let words = compare_f64(level, op, values, literal);
                let expected = wanted(values, |v| holds(op, total(v, literal)));
                assert_eq!(words, expected, "{level:?} {op:?} {literal} size {size} offset {offset}");
            }
        }
    }
}

#[test]
fn turning_the_operands_round_flips_the_comparison() {
    for op in Comparison::ALL {
        for (a, b) in [(1, 2), (2, 2), (3, 2)] {
            assert_eq!(holds(op, a.cmp(&b)), holds(op.flipped(), b.cmp(&a)));
        }
    }
}
