//! Types by the table, values against known results and against integers.

use super::*;
use DataType::{Decimal128, Decimal256};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn number(text: &str) -> i256 {
    i256::from_string(text).unwrap()
}

/// `10^exponent`.
fn ten(exponent: u32) -> i256 {
    power_of_ten(exponent).unwrap()
}

#[test]
fn results_have_the_types_of_the_table() {
    use BinaryOp::{Add, Div, Mod, Mul, Sub, WrappingAdd};
    for (op, left, right, result) in [
        (Add, Decimal128(10, 2), Decimal128(10, 2), Decimal128(11, 2)),
        (Sub, Decimal128(10, 2), Decimal128(4, 4), Decimal128(13, 4)),
        (Add, Decimal128(38, 0), Decimal128(1, 0), Decimal128(38, 0)),
        (Add, Decimal128(38, 10), Decimal128(38, 0), Decimal128(38, 6)),
        (Add, Decimal128(38, 2), Decimal128(38, 0), Decimal128(38, 2)),
        (Mul, Decimal128(20, 10), Decimal128(20, 10), Decimal128(38, 18)),
        (Mul, Decimal128(38, 4), Decimal128(38, 1), Decimal128(38, 5)),
        (Mul, Decimal128(10, -20), Decimal128(10, -20), Decimal128(22, -38)),
        (Div, Decimal128(10, 2), Decimal128(10, 2), Decimal128(23, 13)),
        (Div, Decimal128(38, 10), Decimal128(38, 10), Decimal128(38, 6)),
        (Div, Decimal128(3, 0), Decimal128(2, 0), Decimal128(9, 6)),
        (Mod, Decimal128(10, 2), Decimal128(5, 4), Decimal128(5, 4)),
        (Add, Decimal256(50, 2), Decimal128(10, 2), Decimal256(51, 2)),
        (Mul, Decimal256(76, 38), Decimal256(76, 38), Decimal256(76, 6)),
        (Add, DataType::Decimal32(9, 2), DataType::Decimal64(18, 3), Decimal128(19, 3)),
    ] {
        assert_eq!(result_type(op, &left, &right).as_ref(), Some(&result), "{left} {op:?} {right}");
    }
    assert_eq!(result_type(WrappingAdd, &Decimal128(5, 2), &Decimal128(5, 2)), None);
    assert_eq!(result_type(Add, &Decimal128(5, 2), &DataType::Int32), None);
}

#[test]
fn every_result_type_is_a_type() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let drawn = |rng: &mut ChaCha8Rng| {
        let wide = rng.random_bool(0.3);
        let most = if wide { 76u8 } else { 38 };
        let precision = rng.random_range(1..=most);
        let low = -i8::try_from(most).unwrap();
        let scale = rng.random_range(low..=i8::try_from(precision).unwrap());
        if wide { Decimal256(precision, scale) } else { Decimal128(precision, scale) }
    };
    for _ in 0..20_000 {
        let (left, right) = (drawn(&mut rng), drawn(&mut rng));
        for op in [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Mod] {
            let result = result_type(op, &left, &right).unwrap();
            assert!(crate::types::is_supported(&result), "{left} {op:?} {right}: {result}");
        }
        if let Some(common) = common_decimal(&left, &right) {
            assert!(crate::types::is_supported(&common), "{left} with {right}: {common}");
        }
    }
}

#[test]
fn decimals_meet_without_a_loss_or_not_at_all() {
    for (left, right, common) in [
        (Decimal128(10, 2), Decimal128(10, 2), Some(Decimal128(10, 2))),
        (Decimal128(10, 2), Decimal128(5, 4), Some(Decimal128(12, 4))),
        (Decimal128(38, 0), Decimal128(38, 38), Some(Decimal256(76, 38))),
        (Decimal256(76, 0), Decimal256(76, 1), None),
        (Decimal256(50, 2), Decimal128(5, 4), Some(Decimal256(52, 4))),
        (Decimal128(5, -3), Decimal128(5, 2), Some(Decimal128(10, 2))),
        (DataType::Decimal32(5, 1), DataType::Decimal32(6, 1), Some(Decimal128(6, 1))),
    ] {
        assert_eq!(common_decimal(&left, &right), common, "{left} with {right}");
        assert_eq!(common_decimal(&right, &left), common, "{right} with {left}");
    }
}

#[test]
fn results_are_exact_and_then_rounded_away_from_zero() {
    use BinaryOp::{Add, Div, Mod, Mul, Sub};
    let n = |value: i64| i256::from(value);
    for (op, left, right, scale, result) in [
        (Add, (n(150), 2), (n(5), 1), 2, n(200)),
        (Sub, (n(1), 0), (n(1), 2), 2, n(99)),
        (Mul, (n(-15), 1), (n(15), 1), 2, n(-225)),
        (Mul, (n(-15), 1), (n(15), 1), 1, n(-23)),
        (Div, (n(1), 0), (n(3), 0), 6, n(333_333)),
        (Div, (n(2), 0), (n(3), 0), 6, n(666_667)),
        (Div, (n(-1), 0), (n(8), 0), 2, n(-13)),
        (Div, (n(1), 0), (n(-8), 0), 2, n(-13)),
        (Div, (n(7), -2), (n(2), 0), 0, n(350)),
        (Mod, (n(-75), 1), (n(2), 0), 1, n(-15)),
        (Mod, (n(75), 1), (n(-2), 0), 1, n(15)),
        (Add, (ten(37), 0), (n(1), 38), 0, ten(37)),
    ] {
        assert_eq!(compute(op, left, right, scale), Some(result), "{left:?} {op:?} {right:?}");
    }
    assert_eq!(compute(Div, (n(1), 0), (n(0), 0), 6), None);
    // Steps that 256 bits do not hold: the product has 152 digits, of which 76 stay.
    let most = ten(76).wrapping_sub(i256::ONE);
    assert_eq!(compute(Mul, (most, 76), (most, 76), 76), Some(ten(76).wrapping_sub(n(2))));
    assert_eq!(compute(Mul, (most, 0), (most, 0), 0), None);
    assert_eq!(compute(Div, (most, 0), (ten(75), 75), 0), Some(most));
    assert_eq!(compute(Add, (ten(75), 0), (n(5), 76), 6), None);
    assert_eq!(compute(Sub, (most, -76), (most, -76), 76), Some(i256::ZERO));
}

#[test]
fn small_numbers_agree_with_integers() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..20_000 {
        let (a, b) = (rng.random_range(-1_000_000..1_000_000i128), rng.random_range(-1_000..1_000i128));
        let (s1, s2) = (rng.random_range(0..5i8), rng.random_range(0..5i8));
        let scale = rng.random_range(0..9i8);
        let power = |exponent: i8| 10i128.pow(u32::try_from(exponent).unwrap());
        let (x, y, one) = (a * power(s2), b * power(s1), power(s1) * power(s2));
        // Everything as a fraction of integers, rounded once.
        for (op, num, den) in [
            (BinaryOp::Add, x + y, one),
            (BinaryOp::Sub, x - y, one),
            (BinaryOp::Mul, a * b, one),
            (BinaryOp::Div, x, y),
            (BinaryOp::Mod, x.checked_rem(y).unwrap_or(0), if b == 0 { 0 } else { one }),
        ] {
            let result = compute(op, (i256::from(a), s1), (i256::from(b), s2), scale);
            if den == 0 {
                assert_eq!(result, None);
                continue;
            }
            let scaled = num * power(scale);
            let rounded = (scaled.abs() * 2 + den.abs()) / (den.abs() * 2) * scaled.signum() * den.signum();
            assert_eq!(result, Some(i256::from(rounded)), "{a}e-{s1} {op:?} {b}e-{s2} at {scale}");
        }
    }
}

#[test]
fn additions_that_cannot_overflow_do_not() {
    for (left, right, safe) in [
        (Decimal128(10, 2), Decimal128(10, 2), true),
        (Decimal128(37, 2), Decimal128(37, 2), true),
        (Decimal128(38, 2), Decimal128(10, 2), false),
    ] {
        assert_eq!(never_overflows(BinaryOp::Add, &left, &right), safe, "{left} + {right}");
    }
    assert!(never_overflows(BinaryOp::Mul, &Decimal128(19, 2), &Decimal128(19, 2)));
    assert!(!never_overflows(BinaryOp::Mul, &Decimal128(20, 2), &Decimal128(19, 2)));
    assert!(!never_overflows(BinaryOp::Div, &Decimal128(5, 2), &Decimal128(5, 2)));
}

#[test]
fn texts_are_read_and_rounded() {
    for (text, scale, digits) in [
        ("0", 2, Some("0")),
        ("-0.00", 2, Some("0")),
        ("1", 2, Some("100")),
        ("+1.5", 2, Some("150")),
        (".5", 1, Some("5")),
        ("5.", 1, Some("50")),
        ("1.005", 2, Some("101")),
        ("-1.005", 2, Some("-101")),
        ("1.00499999", 2, Some("100")),
        ("0.005", 2, Some("1")),
        ("0.0049", 2, Some("0")),
        ("1e3", 0, Some("1000")),
        ("1E-2", 2, Some("1")),
        ("1e-99999999999999999999", 2, Some("0")),
        ("1e99999999999999999999", 2, None),
        ("150", -2, Some("2")),
        ("49", -2, Some("0")),
        ("", 2, None),
        (".", 2, None),
        ("-", 2, None),
        ("1e", 2, None),
        ("1.2.3", 2, None),
        ("1 2", 2, None),
        ("0x10", 2, None),
        ("NaN", 2, None),
        ("١", 2, None),
    ] {
        assert_eq!(parse_decimal(text, scale), digits.map(number), "{text}");
    }
    let long = format!("{}1", "0".repeat(500));
    assert_eq!(parse_decimal(&long, 0), Some(i256::ONE));
    assert_eq!(parse_decimal(&"9".repeat(90), 0), None);
    for (digits, scale) in [("12345", 2), ("-5", 3), ("7", -3), ("0", -2), ("-100", 0)] {
        let text = format_decimal(number(digits), scale);
        assert_eq!(parse_decimal(&text, scale), Some(number(digits)), "{text}");
    }
}

#[test]
fn floats_are_the_nearest() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..20_000 {
        let digits = i256::from_i128(rng.random::<i128>() >> rng.random_range(0..127));
        let scale = rng.random_range(-38..=38);
        let text = format_decimal(digits, scale);
        assert_eq!(to_f64(digits, scale), text.parse::<f64>().unwrap(), "{text}");
        assert_eq!(to_f32(digits, scale), text.parse::<f32>().unwrap(), "{text}");
    }
}
