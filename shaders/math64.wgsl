// Functions of floats of 64 bits, each within 2 units in the last place: WGSL has none for them, and of those for 32 bits bounds
// that are too wide. Polynomials are Chebyshev fits, or Taylor series where these converge fast; where digits cancel, a value
// is a pair of floats, of which the second is what the first has lost. Results pass through `sabot_apart_f64` where a rule that
// holds among real numbers would undo what was done about rounding.

struct SabotPair {
  hi: f64,
  lo: f64,
}

fn sabot_pow2_f64(n: i32) -> f64 {
  return bitcast<f64>(u64(u32(n + 1023)) << 52u);
}

fn sabot_is_infinite_f64(x: f64) -> bool {
  return (bitcast<u64>(x) & 0x7ffffffffffffffflu) == 0x7ff0000000000000lu;
}

// A float from bits that no compiler sees, so that none refuses to fold it.
fn sabot_float_f64(bits: u64) -> f64 {
  return bitcast<f64>(sabot_apart_u64(bits));
}

fn sabot_nan_f64() -> f64 {
  return sabot_float_f64(0x7ff8000000000000lu);
}

fn sabot_infinity_f64() -> f64 {
  return sabot_float_f64(0x7ff0000000000000lu);
}

fn sabot_size_f64(x: f64) -> f64 {
  return bitcast<f64>(bitcast<u64>(x) & 0x7ffffffffffffffflu);
}

fn sabot_with_sign_f64(x: f64, sign: f64) -> f64 {
  return bitcast<f64>((bitcast<u64>(x) & 0x7ffffffffffffffflu) | (bitcast<u64>(sign) & 0x8000000000000000lu));
}

fn sabot_is_negative_f64(x: f64) -> bool {
  return (bitcast<u64>(x) >> 63u) != 0lu;
}

// The sum of two floats and what it has lost (Knuth).
fn sabot_pair_sum(a: f64, b: f64) -> SabotPair {
  let sum = sabot_apart_f64(a + b);
  let other = sabot_apart_f64(sum - a);
  let rest = sabot_apart_f64(a - sabot_apart_f64(sum - other));
  return SabotPair(sum, sabot_apart_f64(rest + sabot_apart_f64(b - other)));
}

fn sabot_high_f64(x: f64) -> f64 {
  return bitcast<f64>(bitcast<u64>(x) & 0xfffffffff8000000lu);
}

// The product of two floats and what it has lost (Dekker).
fn sabot_pair_product(a: f64, b: f64) -> SabotPair {
  let product = sabot_apart_f64(a * b);
  let a_hi = sabot_high_f64(a);
  let b_hi = sabot_high_f64(b);
  let a_lo = sabot_apart_f64(a - a_hi);
  let b_lo = sabot_apart_f64(b - b_hi);
  var lost = sabot_apart_f64(sabot_apart_f64(a_hi * b_hi) - product);
  lost = sabot_apart_f64(lost + sabot_apart_f64(a_hi * b_lo));
  lost = sabot_apart_f64(lost + sabot_apart_f64(a_lo * b_hi));
  return SabotPair(product, sabot_apart_f64(lost + sabot_apart_f64(a_lo * b_lo)));
}

// e to the power of a pair, times a power of two.
fn sabot_exp_pair(x: SabotPair, scale: i32) -> f64 {
  if (x.hi > 1000.0lf) {
    return sabot_infinity_f64();
  }
  if (x.hi < -1000.0lf) {
    return 0.0lf;
  }
  let whole = sabot_round_f64(x.hi * 1.4426950408889634lf);
  let near = sabot_apart_f64(x.hi - sabot_apart_f64(whole * 0.6931471803691238lf));
  let less = sabot_apart_f64(sabot_apart_f64(whole * 1.9082149292705877e-10lf) - x.lo);
  let z = sabot_apart_f64(near - less);
  let lost = sabot_apart_f64(sabot_apart_f64(near - z) - less);
  var p = 1.6059043836821613e-10lf;
  p = p * z + 2.08767569878681e-09lf;
  p = p * z + 2.505210838544172e-08lf;
  p = p * z + 2.755731922398589e-07lf;
  p = p * z + 2.7557319223985893e-06lf;
  p = p * z + 2.48015873015873e-05lf;
  p = p * z + 0.0001984126984126984lf;
  p = p * z + 0.001388888888888889lf;
  p = p * z + 0.008333333333333333lf;
  p = p * z + 0.041666666666666664lf;
  p = p * z + 0.16666666666666666lf;
  p = p * z + 0.5lf;
  let value = sabot_apart_f64(1.0lf + sabot_apart_f64(z + sabot_apart_f64(z * z * p + lost)));
  let n = i32(whole) + scale;
  if (n > 1023) {
    return sabot_apart_f64(sabot_apart_f64(value * sabot_pow2_f64(1023)) * sabot_pow2_f64(n - 1023));
  }
  if (n >= -1021) {
    return sabot_apart_f64(value * sabot_pow2_f64(n));
  }
  if (n < -1100) {
    return 0.0lf;
  }
  // Rounded once, where it becomes a subnormal number.
  return sabot_apart_f64(sabot_apart_f64(value * sabot_pow2_f64(n + 100)) * sabot_pow2_f64(-100));
}

fn sabot_exp_f64(x: f64) -> f64 {
  if (sabot_is_nan_f64(x)) {
    return x;
  }
  return sabot_exp_pair(SabotPair(x, 0.0lf), 0);
}

// A positive number as one between the roots of one half and of two, times a power of two.
struct SabotParts {
  number: f64,
  exponent: i32,
}

fn sabot_parts_f64(x: f64) -> SabotParts {
  var bits = bitcast<u64>(x);
  var exponent = 0;
  if (bits < 0x0010000000000000lu) {
    bits = bitcast<u64>(sabot_apart_f64(x * 18014398509481984.0lf));
    exponent = -54;
  }
  exponent += i32(u32(bits >> 52u)) - 1023;
  var number = bitcast<f64>((bits & 0xffffffffffffflu) | 0x3ff0000000000000lu);
  if (number > 1.4142135623730951lf) {
    number = number * 0.5lf;
    exponent += 1;
  }
  return SabotParts(number, exponent);
}

// What all logarithms are of numbers that are none of the positive and finite ones.
fn sabot_log_edge_f64(x: f64) -> f64 {
  if (sabot_is_nan_f64(x)) {
    return x;
  }
  if ((bitcast<u64>(x) & 0x7ffffffffffffffflu) == 0lu) {
    return sabot_float_f64(0xfff0000000000000lu);
  }
  return select(x, sabot_nan_f64(), sabot_is_negative_f64(x));
}

fn sabot_is_log_edge_f64(x: f64) -> bool {
  let bits = bitcast<u64>(x);
  return bits == 0lu || bits >= 0x7ff0000000000000lu;
}

// The series of 2 atanh s in z = s * s, from the term of 2 / 23 to that of 2 / 5, with what is behind them.
fn sabot_log_series_f64(behind: f64, z: f64) -> f64 {
  var p = behind * z + 0.08695652173913043lf;
  p = p * z + 0.09523809523809523lf;
  p = p * z + 0.10526315789473684lf;
  p = p * z + 0.11764705882352941lf;
  p = p * z + 0.13333333333333333lf;
  p = p * z + 0.15384615384615385lf;
  p = p * z + 0.18181818181818182lf;
  p = p * z + 0.2222222222222222lf;
  p = p * z + 0.2857142857142857lf;
  p = p * z + 0.4lf;
  return p;
}

// What the natural logarithm of 1 + f is less than f.
fn sabot_log_less_f64(f: f64) -> f64 {
  let s = f / (2.0lf + f);
  let z = s * s;
  let p = sabot_log_series_f64(0.0lf, z) * z + 0.6666666666666666lf;
  let half = 0.5lf * f * f;
  return sabot_apart_f64(half - sabot_apart_f64(s * sabot_apart_f64(half + p * z)));
}

fn sabot_log_f64(x: f64) -> f64 {
  if (sabot_is_log_edge_f64(x)) {
    return sabot_log_edge_f64(x);
  }
  let parts = sabot_parts_f64(x);
  let f = sabot_apart_f64(parts.number - 1.0lf);
  let k = f64(parts.exponent);
  let less = sabot_apart_f64(sabot_log_less_f64(f) - k * 1.9082149292705877e-10lf);
  return sabot_apart_f64(k * 0.6931471803691238lf - sabot_apart_f64(less - f));
}

// A logarithm of 1 + f to another base, whose own is a pair.
fn sabot_log_to_f64(f: f64, by: SabotPair) -> f64 {
  let less = sabot_log_less_f64(f);
  let high = sabot_high_f64(sabot_apart_f64(f - less));
  let low = sabot_apart_f64(sabot_apart_f64(f - high) - less);
  return sabot_apart_f64(high * by.hi + sabot_apart_f64(low * by.hi + (high + low) * by.lo));
}

fn sabot_log2_f64(x: f64) -> f64 {
  if (sabot_is_log_edge_f64(x)) {
    return sabot_log_edge_f64(x);
  }
  let parts = sabot_parts_f64(x);
  let by = SabotPair(1.4426950216293335lf, 1.9259629911266175e-08lf);
  return sabot_apart_f64(f64(parts.exponent) + sabot_log_to_f64(sabot_apart_f64(parts.number - 1.0lf), by));
}

fn sabot_log10_f64(x: f64) -> f64 {
  if (sabot_is_log_edge_f64(x)) {
    return sabot_log_edge_f64(x);
  }
  let parts = sabot_parts_f64(x);
  let by = SabotPair(0.4342944622039795lf, 1.9699272335463627e-08lf);
  let k = f64(parts.exponent);
  let rest = k * 1.1451100898021838e-10lf + sabot_log_to_f64(sabot_apart_f64(parts.number - 1.0lf), by);
  return sabot_apart_f64(k * 0.3010299955494702lf + sabot_apart_f64(rest));
}

// The natural logarithm of a positive finite number, to some seventy bits.
fn sabot_log_pair(x: f64) -> SabotPair {
  let parts = sabot_parts_f64(x);
  let f = sabot_apart_f64(parts.number - 1.0lf);
  let below = sabot_pair_sum(parts.number, 1.0lf);
  // ln m = 2 atanh s, where s = f / (m + 1).
  let s = sabot_apart_f64(f / below.hi);
  let back = sabot_pair_product(s, below.hi);
  let missing = sabot_apart_f64(sabot_apart_f64(f - back.hi) - back.lo);
  let s_lo = sabot_apart_f64(sabot_apart_f64(missing - sabot_apart_f64(s * below.lo)) / below.hi);
  let square = sabot_pair_product(s, s);
  let z = square.hi;
  let z_lo = sabot_apart_f64(square.lo + 2.0lf * s * s_lo);
  let cube = sabot_pair_product(s, z);
  let cube_lo = sabot_apart_f64(cube.lo + sabot_apart_f64(s * z_lo + s_lo * z));
  let third = sabot_pair_product(cube.hi, 0.6666666666666666lf);
  let third_lo = third.lo + cube_lo * 0.6666666666666666lf + cube.hi * 3.700743415417188e-17lf;
  let rest = s * z * z * sabot_log_series_f64(0.08lf, z);
  let first = sabot_pair_sum(2.0lf * s, third.hi);
  let small = sabot_apart_f64(sabot_apart_f64(first.lo + 2.0lf * s_lo) + sabot_apart_f64(third_lo + rest));
  let k = f64(parts.exponent);
  let sum = sabot_pair_sum(k * 0.6931471803691238lf, first.hi);
  let lost = sabot_apart_f64(sabot_apart_f64(sum.lo + k * 1.9082149292705877e-10lf) + small);
  return sabot_pair_sum(sum.hi, lost);
}

// Whether a number is whole, and odd.
fn sabot_is_whole_f64(x: f64) -> bool {
  return bitcast<u64>(sabot_trunc_f64(x)) == bitcast<u64>(x);
}

fn sabot_is_odd_f64(x: f64) -> bool {
  let bits = bitcast<u64>(x);
  let exponent = i32(u32((bits >> 52u) & 0x7fflu)) - 1023;
  if (exponent < 0 || exponent > 52) {
    return false;
  }
  return ((((bits & 0xffffffffffffflu) | 0x10000000000000lu) >> u32(52 - exponent)) & 1lu) != 0lu;
}

fn sabot_pow_f64(x: f64, y: f64) -> f64 {
  let size = sabot_size_f64(x);
  let one = 0x3ff0000000000000lu;
  if ((bitcast<u64>(y) & 0x7ffffffffffffffflu) == 0lu || bitcast<u64>(x) == one) {
    return 1.0lf;
  }
  if (sabot_is_nan_f64(x) || sabot_is_nan_f64(y)) {
    return sabot_nan_f64();
  }
  let grows = !sabot_is_negative_f64(y);
  if (sabot_is_infinite_f64(y)) {
    if (bitcast<u64>(size) == one) {
      return 1.0lf;
    }
    return select(0.0lf, sabot_infinity_f64(), (bitcast<u64>(size) > one) == grows);
  }
  let is_whole = sabot_is_whole_f64(y);
  let sign = select(1.0lf, x, is_whole && sabot_is_odd_f64(y));
  if (bitcast<u64>(size) == 0lu || sabot_is_infinite_f64(x)) {
    let vanishes = (bitcast<u64>(size) == 0lu) == grows;
    return sabot_with_sign_f64(select(sabot_infinity_f64(), 0.0lf, vanishes), sign);
  }
  if (sabot_is_negative_f64(x) && !is_whole) {
    return sabot_nan_f64();
  }
  let log = sabot_log_pair(size);
  // Beyond this even the smallest logarithm is too much, and products would not fit.
  if (sabot_size_f64(y) > 1.0e25lf) {
    if (bitcast<u64>(size) == one) {
      return 1.0lf;
    }
    return select(0.0lf, sabot_infinity_f64(), (log.hi > 0.0lf) == grows);
  }
  let product = sabot_pair_product(y, log.hi);
  let lo = sabot_apart_f64(product.lo + sabot_apart_f64(y * log.lo));
  return sabot_with_sign_f64(sabot_exp_pair(sabot_pair_sum(product.hi, lo), 0), sign);
}

fn sabot_cbrt_f64(x: f64) -> f64 {
  let bits = bitcast<u64>(x) & 0x7ffffffffffffffflu;
  if (bits == 0lu || bits >= 0x7ff0000000000000lu) {
    return x;
  }
  let parts = sabot_parts_f64(sabot_size_f64(x));
  // A whole third of the exponent, and a number from 0.7 to 5.7.
  let third = (parts.exponent + 3000) / 3 - 1000;
  let number = parts.number * sabot_pow2_f64(parts.exponent - 3 * third);
  var root = 0.62lf + 0.36lf * number - 0.022lf * number * number;
  for (var step = 0; step < 3; step++) {
    let cube = root * root * root;
    root = sabot_apart_f64(root * ((cube + 2.0lf * number) / (2.0lf * cube + number)));
  }
  root = sabot_apart_f64(root + sabot_apart_f64(sabot_apart_f64(number / (root * root)) - root) / 3.0lf);
  return sabot_with_sign_f64(sabot_apart_f64(root * sabot_pow2_f64(third)), x);
}

fn sabot_sinh_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x) || size < 1.0e-9lf) {
    return x;
  }
  if (size < 1.0lf) {
    let z = x * x;
    var p = 8.22063524662433e-18lf;
    p = p * z + 2.8114572543455206e-15lf;
    p = p * z + 7.647163731819816e-13lf;
    p = p * z + 1.6059043836821613e-10lf;
    p = p * z + 2.505210838544172e-08lf;
    p = p * z + 2.7557319223985893e-06lf;
    p = p * z + 0.0001984126984126984lf;
    p = p * z + 0.008333333333333333lf;
    p = p * z + 0.16666666666666666lf;
    return sabot_apart_f64(x + sabot_apart_f64(x * z * p));
  }
  let half = sabot_exp_pair(SabotPair(size, 0.0lf), -1);
  if (size > 40.0lf) {
    return sabot_with_sign_f64(half, x);
  }
  return sabot_with_sign_f64(sabot_apart_f64(half - 0.25lf / half), x);
}

fn sabot_cosh_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x)) {
    return x;
  }
  let half = sabot_exp_pair(SabotPair(size, 0.0lf), -1);
  if (size > 40.0lf) {
    return half;
  }
  return sabot_apart_f64(half + 0.25lf / half);
}

fn sabot_tanh_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x) || size < 1.0e-9lf) {
    return x;
  }
  if (size < 0.55lf) {
    let z = x * x;
    var p = 2.0598556673275166e-05lf;
    p = p * z + -8.510707927354112e-05lf;
    p = p * z + 0.00023463104528300406lf;
    p = p * z + -0.0005889348072447028lf;
    p = p * z + 0.0014556615775702365lf;
    p = p * z + -0.003592110347096177lf;
    p = p * z + 0.008863234395418095lf;
    p = p * z + -0.021869488493563037lf;
    p = p * z + 0.05396825396743174lf;
    p = p * z + -0.13333333333332714lf;
    p = p * z + 0.3333333333333333lf;
    return sabot_apart_f64(x - sabot_apart_f64(x * z * p));
  }
  if (size > 22.0lf) {
    return sabot_with_sign_f64(1.0lf, x);
  }
  let e = sabot_exp_pair(SabotPair(2.0lf * size, 0.0lf), 0);
  return sabot_with_sign_f64(sabot_apart_f64(1.0lf - 2.0lf / (e + 1.0lf)), x);
}

// What is left of a division toward zero: exact, some bits of the quotient at a time.
fn sabot_rem_f64(x: f64, y: f64) -> f64 {
  let a = bitcast<u64>(x) & 0x7ffffffffffffffflu;
  let b = bitcast<u64>(y) & 0x7ffffffffffffffflu;
  if (a >= 0x7ff0000000000000lu || b > 0x7ff0000000000000lu || b == 0lu) {
    return sabot_nan_f64();
  }
  if (a < b) {
    return x;
  }
  let a_exponent = max(u32(a >> 52u), 1u);
  let b_exponent = max(u32(b >> 52u), 1u);
  var left = (a & 0xffffffffffffflu) | select(0lu, 0x10000000000000lu, (a >> 52u) != 0lu);
  let by = (b & 0xffffffffffffflu) | select(0lu, 0x10000000000000lu, (b >> 52u) != 0lu);
  left = left % by;
  var distance = a_exponent - b_exponent;
  while (distance > 0u && left != 0lu) {
    let bits = min(distance, 11u);
    left = (left << bits) % by;
    distance -= bits;
  }
  var exponent = b_exponent;
  while (exponent > 1u && left != 0lu && (left >> 52u) == 0lu) {
    left = left << 1u;
    exponent -= 1u;
  }
  var bits = left;
  if ((left >> 52u) != 0lu) {
    bits = (left & 0xffffffffffffflu) | (u64(exponent) << 52u);
  }
  return sabot_with_sign_f64(bitcast<f64>(bits), x);
}
