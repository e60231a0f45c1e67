fn sabot_bit(at: u32, row: u32) -> bool {
  return ((sabot_input[at + (row >> 5u)] >> (row & 31u)) & 1u) != 0u;
}

fn sabot_is_valid(at: u32, row: u32) -> bool {
  if (at == SABOT_NOWHERE) {
    return true;
  }
  return sabot_bit(at, row);
}

fn sabot_u8(at: u32, row: u32) -> i32 {
  return bitcast<i32>((sabot_input[at + (row >> 2u)] >> ((row & 3u) * 8u)) & 0xffu);
}

fn sabot_i8(at: u32, row: u32) -> i32 {
  return (sabot_u8(at, row) << 24u) >> 24u;
}

fn sabot_u16(at: u32, row: u32) -> i32 {
  return bitcast<i32>((sabot_input[at + (row >> 1u)] >> ((row & 1u) * 16u)) & 0xffffu);
}

fn sabot_i16(at: u32, row: u32) -> i32 {
  return (sabot_u16(at, row) << 16u) >> 16u;
}

fn sabot_mul_high_u32(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 16u);
  let carry = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16u) + (carry >> 16u);
}

fn sabot_mul_high_i32(a: i32, b: i32) -> i32 {
  let high = sabot_mul_high_u32(bitcast<u32>(a), bitcast<u32>(b));
  return bitcast<i32>(high - select(0u, bitcast<u32>(b), a < 0) - select(0u, bitcast<u32>(a), b < 0));
}

fn sabot_is_nan_f32(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// An integer in the order of floats, in which both zeros are one and all NaNs the greatest.
fn sabot_key_f32(x: f32) -> i32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    return 0x7fffffff;
  }
  if (bits == 0x80000000u) {
    return 0;
  }
  let signed = bitcast<i32>(bits);
  return signed ^ ((signed >> 31u) & 0x7fffffff);
}

// The same value, of which no compiler knows that it is: what is done with it cannot be joined with how it was made.
fn sabot_apart_i32(x: i32) -> i32 {
  return x ^ bitcast<i32>(sabot_parameters[SABOT_ZERO]);
}

fn sabot_apart_u32(x: u32) -> u32 {
  return x ^ sabot_parameters[SABOT_ZERO];
}

fn sabot_apart_f32(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ sabot_parameters[SABOT_ZERO]);
}

// Toward zero, by the bits: what lies after the point is cut off.
fn sabot_trunc_f32(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let exponent = bitcast<i32>((bits >> 23u) & 0xffu) - 127;
  if (exponent < 0) {
    return bitcast<f32>(bits & 0x80000000u);
  }
  if (exponent >= 23) {
    return x;
  }
  return bitcast<f32>(bits & ~(0x7fffffu >> u32(exponent)));
}

fn sabot_floor_f32(x: f32) -> f32 {
  let whole = sabot_trunc_f32(x);
  if (sabot_key_f32(x) < sabot_key_f32(whole)) {
    return sabot_apart_f32(whole - 1.0);
  }
  return whole;
}

fn sabot_ceil_f32(x: f32) -> f32 {
  let whole = sabot_trunc_f32(x);
  if (sabot_key_f32(whole) < sabot_key_f32(x) && !sabot_is_nan_f32(x)) {
    // What lies between −1 and 0 becomes −0.
    return bitcast<f32>(bitcast<u32>(whole + 1.0) | (bitcast<u32>(x) & 0x80000000u));
  }
  return whole;
}

fn sabot_round_f32(x: f32) -> f32 {
  let whole = sabot_trunc_f32(x);
  let sign = bitcast<u32>(x) & 0x80000000u;
  let rest = bitcast<f32>(bitcast<u32>(x - whole) & 0x7fffffffu);
  if (sabot_is_nan_f32(x) || sabot_key_f32(rest) < 0x3f000000 || sabot_is_nan_f32(rest)) {
    return whole;
  }
  return sabot_apart_f32(whole + bitcast<f32>(0x3f800000u | sign));
}
