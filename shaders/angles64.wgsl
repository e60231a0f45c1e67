// Functions of angles of 64 bits, and back; they stand on `math64.wgsl`.

// 2 / π behind 64 zeros, in bits: as many as the largest float needs (Payne and Hanek).
var<private> sabot_two_over_pi: array<u32, 40> = array<u32, 40>(
  0x00000000u, 0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u,
  0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu, 0xfe1deb1cu, 0xb129a73eu,
  0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u, 0x3991d639u, 0x835339f4u, 0x9c845f8bu, 0xbdf9283bu,
  0x1ff897ffu, 0xde05980fu, 0xef2f118bu, 0x5a0a6d1fu, 0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du,
  0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u, 0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu,
);

// An angle as a quarter of the circle and what is left of it, at most an eighth either way.
struct SabotAngle {
  quarter: u32,
  rest: SabotPair,
}

fn sabot_angle_f64(x: f64) -> SabotAngle {
  let bits = bitcast<u64>(x);
  let size = sabot_size_f64(x);
  if (size <= 0.7853981633974483lf) {
    return SabotAngle(0u, SabotPair(x, 0.0lf));
  }
  let exponent = i32(u32((bits >> 52u) & 0x7fflu)) - 1075;
  let whole = (bits & 0xffffffffffffflu) | 0x10000000000000lu;
  let low = whole & 0xfffffffflu;
  let high = whole >> 32u;
  // The product with 192 bits of 2 / π: those in front of them make whole turns.
  let from_bit = u32(exponent + 62);
  let at = from_bit / 32u;
  let shift = from_bit % 32u;
  var limbs = array<u64, 7>(0lu, 0lu, 0lu, 0lu, 0lu, 0lu, 0lu);
  for (var i = 0u; i < 6u; i++) {
    // From the lowest on.
    let place = at + 5u - i;
    let both = (u64(sabot_two_over_pi[place]) << 32u) | u64(sabot_two_over_pi[place + 1u]);
    let limb = (both >> (32u - shift)) & 0xfffffffflu;
    let first = limbs[i] + limb * low;
    limbs[i] = first & 0xfffffffflu;
    // What goes beyond the highest limb is whole turns as well.
    let second = limbs[i + 1u] + limb * high + (first >> 32u);
    limbs[i + 1u] = second & 0xfffffffflu;
    if (i < 5u) {
      limbs[i + 2u] = second >> 32u;
    }
  }
  var quarter = u32(limbs[5] >> 30u);
  limbs[5] = limbs[5] & 0x3ffffffflu;
  let is_past = (limbs[5] >> 29u) != 0lu;
  if (is_past) {
    quarter += 1u;
    for (var i = 0u; i < 6u; i++) {
      limbs[i] = limbs[i] ^ 0xfffffffflu;
    }
    limbs[5] = limbs[5] & 0x3ffffffflu;
  }
  let f5 = f64(limbs[5]) * sabot_pow2_f64(-30);
  let f4 = f64(limbs[4]) * sabot_pow2_f64(-62);
  let f3 = f64(limbs[3]) * sabot_pow2_f64(-94);
  let f2 = f64(limbs[2]) * sabot_pow2_f64(-126);
  let f1 = f64(limbs[1]) * sabot_pow2_f64(-158);
  let hi = sabot_apart_f64(f5 + sabot_apart_f64(f4 + sabot_apart_f64(f3 + sabot_apart_f64(f2 + f1))));
  var lo = sabot_apart_f64(sabot_apart_f64(f5 - hi) + f4);
  lo = sabot_apart_f64(sabot_apart_f64(sabot_apart_f64(lo + f3) + f2) + f1);
  let product = sabot_pair_product(hi, 1.5707963267948966lf);
  let rest = sabot_apart_f64(product.lo + sabot_apart_f64(hi * 6.123233995736766e-17lf + lo * 1.5707963267948966lf));
  let sum = sabot_pair_sum(product.hi, rest);
  let turns = is_past != sabot_is_negative_f64(x);
  if (sabot_is_negative_f64(x)) {
    quarter = 4u - (quarter & 3u);
  }
  if (turns) {
    return SabotAngle(quarter & 3u, SabotPair(-sum.hi, -sum.lo));
  }
  return SabotAngle(quarter & 3u, sum);
}

fn sabot_sin_pair(x: SabotPair) -> SabotPair {
  let z = x.hi * x.hi;
  var p = 2.8114572543455206e-15lf;
  p = p * z + -7.647163731819816e-13lf;
  p = p * z + 1.6059043836821613e-10lf;
  p = p * z + -2.505210838544172e-08lf;
  p = p * z + 2.7557319223985893e-06lf;
  p = p * z + -0.0001984126984126984lf;
  p = p * z + 0.008333333333333333lf;
  p = p * z + -0.16666666666666666lf;
  let more = sabot_apart_f64(x.hi * z * p + x.lo * (1.0lf - 0.5lf * z));
  let sum = sabot_apart_f64(x.hi + more);
  return SabotPair(sum, sabot_apart_f64(sabot_apart_f64(x.hi - sum) + more));
}

fn sabot_cos_pair(x: SabotPair) -> SabotPair {
  let z = x.hi * x.hi;
  var p = -1.5619206968586225e-16lf;
  p = p * z + 4.779477332387385e-14lf;
  p = p * z + -1.1470745597729725e-11lf;
  p = p * z + 2.08767569878681e-09lf;
  p = p * z + -2.755731922398589e-07lf;
  p = p * z + 2.48015873015873e-05lf;
  p = p * z + -0.001388888888888889lf;
  p = p * z + 0.041666666666666664lf;
  let square = sabot_pair_product(x.hi, x.hi);
  let half = 0.5lf * square.hi;
  let first = sabot_apart_f64(1.0lf - half);
  let lost = sabot_apart_f64(sabot_apart_f64(1.0lf - first) - half);
  let more = sabot_apart_f64(lost + sabot_apart_f64(z * z * p - x.hi * x.lo - 0.5lf * square.lo));
  let sum = sabot_apart_f64(first + more);
  return SabotPair(sum, sabot_apart_f64(sabot_apart_f64(first - sum) + more));
}

fn sabot_sin_f64(x: f64) -> f64 {
  if (sabot_is_nan_f64(x) || sabot_is_infinite_f64(x)) {
    return sabot_nan_f64();
  }
  if (sabot_size_f64(x) < 1.0e-9lf) {
    return x;
  }
  let angle = sabot_angle_f64(x);
  var value = sabot_sin_pair(angle.rest).hi;
  if ((angle.quarter & 1u) != 0u) {
    value = sabot_cos_pair(angle.rest).hi;
  }
  return select(value, -value, (angle.quarter & 2u) != 0u);
}

fn sabot_cos_f64(x: f64) -> f64 {
  if (sabot_is_nan_f64(x) || sabot_is_infinite_f64(x)) {
    return sabot_nan_f64();
  }
  let angle = sabot_angle_f64(x);
  var value = sabot_cos_pair(angle.rest).hi;
  if ((angle.quarter & 1u) != 0u) {
    value = sabot_sin_pair(angle.rest).hi;
  }
  return select(value, -value, ((angle.quarter + 1u) & 2u) != 0u);
}

fn sabot_tan_f64(x: f64) -> f64 {
  if (sabot_is_nan_f64(x) || sabot_is_infinite_f64(x)) {
    return sabot_nan_f64();
  }
  if (sabot_size_f64(x) < 1.0e-9lf) {
    return x;
  }
  let angle = sabot_angle_f64(x);
  var above = sabot_sin_pair(angle.rest);
  var below = sabot_cos_pair(angle.rest);
  if ((angle.quarter & 1u) != 0u) {
    let sine = above;
    above = SabotPair(-below.hi, -below.lo);
    below = sine;
  }
  let quotient = sabot_apart_f64(above.hi / below.hi);
  let back = sabot_pair_product(quotient, below.hi);
  let missing = sabot_apart_f64(sabot_apart_f64(above.hi - back.hi) - back.lo);
  let rest = sabot_apart_f64(missing + sabot_apart_f64(above.lo - quotient * below.lo));
  return sabot_apart_f64(quotient + sabot_apart_f64(rest / below.hi));
}

// What the arc tangent of a number, at most 7 / 16 either way, is less than the number.
fn sabot_atan_less_f64(x: f64) -> f64 {
  let z = x * x;
  var p = 0.017532113156295312lf;
  p = p * z + -0.037811433728840424lf;
  p = p * z + 0.050334100681188744lf;
  p = p * z + -0.058476110682958674lf;
  p = p * z + 0.0666322469211867lf;
  p = p * z + -0.07692086190940757lf;
  p = p * z + 0.09090900139910674lf;
  p = p * z + -0.11111110899031107lf;
  p = p * z + 0.14285714283127404lf;
  p = p * z + -0.19999999999987655lf;
  p = p * z + 0.33333333333333326lf;
  return sabot_apart_f64(x * z * p);
}

fn sabot_atan_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x) || size < 1.0e-9lf) {
    return x;
  }
  if (size < 0.4375lf) {
    return sabot_apart_f64(x - sabot_atan_less_f64(x));
  }
  // The arc tangent of a number nearby is known.
  var known = SabotPair(1.5707963267948966lf, 6.123233995736766e-17lf);
  var t = -1.0lf / size;
  if (size < 0.6875lf) {
    known = SabotPair(0.4636476090008061lf, 2.2698777452961687e-17lf);
    t = (2.0lf * size - 1.0lf) / (2.0lf + size);
  } else if (size < 1.1875lf) {
    known = SabotPair(0.7853981633974483lf, 3.061616997868383e-17lf);
    t = (size - 1.0lf) / (size + 1.0lf);
  } else if (size < 2.4375lf) {
    known = SabotPair(0.982793723247329lf, 1.3903311031230998e-17lf);
    t = (size - 1.5lf) / (1.0lf + 1.5lf * size);
  } else if (size > 1.0e17lf) {
    t = 0.0lf;
  }
  let less = sabot_apart_f64(sabot_apart_f64(sabot_atan_less_f64(t) - known.lo) - t);
  return sabot_with_sign_f64(sabot_apart_f64(known.hi - less), x);
}

fn sabot_atan2_f64(y: f64, x: f64) -> f64 {
  if (sabot_is_nan_f64(x) || sabot_is_nan_f64(y)) {
    return sabot_nan_f64();
  }
  let left = sabot_is_negative_f64(x);
  let rise = sabot_size_f64(y);
  let run = sabot_size_f64(x);
  let zero_y = bitcast<u64>(rise) == 0lu;
  let zero_x = bitcast<u64>(run) == 0lu;
  var angle = 0.0lf;
  if (zero_y) {
    angle = select(0.0lf, 3.141592653589793lf, left);
  } else if (zero_x) {
    angle = 1.5707963267948966lf;
  } else if (sabot_is_infinite_f64(x) && sabot_is_infinite_f64(y)) {
    angle = select(0.7853981633974483lf, 2.356194490192345lf, left);
  } else if (sabot_is_infinite_f64(x)) {
    angle = select(0.0lf, 3.141592653589793lf, left);
  } else if (sabot_is_infinite_f64(y)) {
    angle = 1.5707963267948966lf;
  } else {
    let above = i32(u32(bitcast<u64>(rise) >> 52u)) - i32(u32(bitcast<u64>(run) >> 52u));
    if (above > 64) {
      return sabot_with_sign_f64(1.5707963267948966lf, y);
    }
    if (left && above < -64) {
      return sabot_with_sign_f64(3.141592653589793lf, y);
    }
    angle = sabot_atan_f64(sabot_apart_f64(rise / run));
    if (left) {
      angle = sabot_apart_f64(3.141592653589793lf - sabot_apart_f64(angle - 1.2246467991473532e-16lf));
    }
  }
  return sabot_with_sign_f64(angle, y);
}

// What the arc sine of a number, at most one half either way, is more than the number: a share of it, from the square.
fn sabot_asin_more_f64(z: f64) -> f64 {
  var p = 0.02877844261259304lf;
  p = p * z + -0.014881409392818066lf;
  p = p * z + 0.017419357964884856lf;
  p = p * z + 0.00545087818772055lf;
  p = p * z + 0.010324318288744113lf;
  p = p * z + 0.011478952690257387lf;
  p = p * z + 0.013971235301124539lf;
  p = p * z + 0.017352391265909227lf;
  p = p * z + 0.022372173002005596lf;
  p = p * z + 0.030381944137085216lf;
  p = p * z + 0.04464285714637338lf;
  p = p * z + 0.07499999999998425lf;
  p = p * z + 0.16666666666666669lf;
  return sabot_apart_f64(z * p);
}

fn sabot_asin_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x) || size > 1.0lf) {
    return sabot_nan_f64();
  }
  if (size < 1.0e-9lf) {
    return x;
  }
  if (size < 0.5lf) {
    return sabot_apart_f64(x + sabot_apart_f64(x * sabot_asin_more_f64(x * x)));
  }
  // asin x = π/2 − 2 asin √((1 − x) / 2).
  let z = (1.0lf - size) * 0.5lf;
  let root = sabot_apart_f64(sqrt(z));
  let high = sabot_high_f64(root);
  let low = select((z - high * high) / (root + high), 0.0lf, bitcast<u64>(root) == 0lu);
  let more = sabot_apart_f64(2.0lf * root * sabot_asin_more_f64(z));
  let less = sabot_apart_f64(more - sabot_apart_f64(6.123233995736766e-17lf - 2.0lf * low));
  let known = sabot_apart_f64(0.7853981633974483lf - 2.0lf * high);
  return sabot_with_sign_f64(sabot_apart_f64(0.7853981633974483lf - sabot_apart_f64(less - known)), x);
}

fn sabot_acos_f64(x: f64) -> f64 {
  let size = sabot_size_f64(x);
  if (sabot_is_nan_f64(x) || size > 1.0lf) {
    return sabot_nan_f64();
  }
  if (size < 0.5lf) {
    let more = sabot_apart_f64(6.123233995736766e-17lf - x * sabot_asin_more_f64(x * x));
    return sabot_apart_f64(1.5707963267948966lf - sabot_apart_f64(x - more));
  }
  let z = (1.0lf - size) * 0.5lf;
  let root = sabot_apart_f64(sqrt(z));
  let more = root * sabot_asin_more_f64(z);
  if (sabot_is_negative_f64(x)) {
    return sabot_apart_f64(3.141592653589793lf - 2.0lf * sabot_apart_f64(root + sabot_apart_f64(more - 6.123233995736766e-17lf)));
  }
  let high = sabot_high_f64(root);
  let low = select((z - high * high) / (root + high), 0.0lf, bitcast<u64>(root) == 0lu);
  return sabot_apart_f64(2.0lf * sabot_apart_f64(high + sabot_apart_f64(more + low)));
}
