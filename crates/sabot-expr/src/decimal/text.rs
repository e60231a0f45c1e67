//! Decimals as text and as floats.

use arrow::datatypes::i256;

/// Digits that 256 bits can hold, and one more.
const DIGITS_MAX: i64 = 78;

/// Digits and scale as text: `-123.45`, `0.5`, `1200`. As many digits stand after the point as the scale says.
pub fn format_decimal(digits: i256, scale: i8) -> String {
    let text = digits.to_string();
    let (sign, magnitude) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let shift = usize::from(scale.unsigned_abs());
    if scale <= 0 {
        let zeros = if magnitude == "0" { 0 } else { shift };
        return format!("{sign}{magnitude}{}", "0".repeat(zeros));
    }
    let padded = format!("{magnitude:0>width$}", width = shift + 1);
    let (whole, fraction) = padded.split_at(padded.len() - shift);
    format!("{sign}{whole}.{fraction}")
}

/// The digits of a number `[sign]digits[.digits][e[sign]digits]`, with digits on one side of the point at least, at
/// a scale: rounded, halves away from zero. `None` for any other text and beyond 256 bits.
///
/// ```
/// use arrow::datatypes::i256;
/// use sabot_expr::decimal::parse_decimal;
/// assert_eq!(parse_decimal("-1.255", 2), Some(i256::from(-126)));
/// assert_eq!(parse_decimal("12e-1", 2), Some(i256::from(120)));
/// assert_eq!(parse_decimal("1.2.3", 2), None);
/// ```
pub fn parse_decimal(text: &str, scale: i8) -> Option<i256> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (number, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(i256::ZERO);
    }
    // The digits of the text count units of ten to `shift`, seen from the wanted scale.
    let shift = exponent - i64::try_from(fraction.len()).ok()? + i64::from(scale);
    let length = i64::try_from(digits.len()).ok()?;
    if length + shift > DIGITS_MAX {
        return None;
    }
    if shift >= 0 {
        return i256::from_string(&format!("{sign}{digits}{}", "0".repeat(usize::try_from(shift).ok()?)));
    }
    // What is cut off decides by its first digit alone: halves go away from zero.
    let kept = length + shift;
    if kept < 0 {
        return Some(i256::ZERO);
    }
    let (kept, cut) = digits.split_at(usize::try_from(kept).ok()?);
    let magnitude = if kept.is_empty() { i256::ZERO } else { i256::from_string(kept)? };
    let rounded = match cut.as_bytes().first() {
        Some(b'5'..=b'9') => magnitude.checked_add(i256::ONE)?,
        _ => magnitude,
    };
    Some(if sign == "-" { rounded.wrapping_neg() } else { rounded })
}

/// An exponent; beyond what counts it is as good as any other.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// The nearest float64, ties to even.
pub fn to_f64(digits: i256, scale: i8) -> f64 {
    // Both are exact, and a division rounds once.
    if let (Some(small), Some(power)) = (exact_below(digits, 53), exact_power(scale)) {
        return small as f64 / power;
    }
    format!("{digits}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN)
}

/// The nearest float32, ties to even.
pub fn to_f32(digits: i256, scale: i8) -> f32 {
    if let (Some(small), 0..=10) = (exact_below(digits, 24), scale) {
        return small as f32 / exact_power(scale).unwrap_or(1.0) as f32;
    }
    format!("{digits}e{}", -i32::from(scale)).parse().unwrap_or(f32::NAN)
}

fn exact_below(digits: i256, bits: u32) -> Option<i64> {
    let small = i64::try_from(digits.to_i128()?).ok()?;
    (small.unsigned_abs() <= 1 << bits).then_some(small)
}

/// Ten to the scale as a float that is exact: up to 10²².
fn exact_power(scale: i8) -> Option<f64> {
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    POWERS.get(usize::try_from(scale).ok()?).copied()
}
