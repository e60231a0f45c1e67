fn sabot_is_nan_f64(x: f64) -> bool {
  return (bitcast<u64>(x) & 0x7ffffffffffffffflu) > 0x7ff0000000000000lu;
}

// An integer in the order of floats, in which both zeros are one and all NaNs the greatest.
fn sabot_key_f64(x: f64) -> i64 {
  let bits = bitcast<u64>(x);
  if ((bits & 0x7ffffffffffffffflu) > 0x7ff0000000000000lu) {
    return 0x7fffffffffffffffli;
  }
  if (bits == 0x8000000000000000lu) {
    return 0li;
  }
  let signed = bitcast<i64>(bits);
  return signed ^ ((signed >> 63u) & 0x7fffffffffffffffli);
}

fn sabot_apart_f64(x: f64) -> f64 {
  return bitcast<f64>(bitcast<u64>(x) ^ u64(sabot_parameters[SABOT_ZERO]));
}

// Toward zero, by the bits: what lies after the point is cut off.
fn sabot_trunc_f64(x: f64) -> f64 {
  let bits = bitcast<u64>(x);
  let exponent = i32(u32((bits >> 52u) & 0x7fflu)) - 1023;
  if (exponent < 0) {
    return bitcast<f64>(bits & 0x8000000000000000lu);
  }
  if (exponent >= 52) {
    return x;
  }
  return bitcast<f64>(bits & ~(0xffffffffffffflu >> u32(exponent)));
}

fn sabot_floor_f64(x: f64) -> f64 {
  let whole = sabot_trunc_f64(x);
  if (sabot_key_f64(x) < sabot_key_f64(whole)) {
    return sabot_apart_f64(whole - 1.0lf);
  }
  return whole;
}

fn sabot_ceil_f64(x: f64) -> f64 {
  let whole = sabot_trunc_f64(x);
  if (sabot_key_f64(whole) < sabot_key_f64(x) && !sabot_is_nan_f64(x)) {
    // What lies between −1 and 0 becomes −0.
    return bitcast<f64>(bitcast<u64>(whole + 1.0lf) | (bitcast<u64>(x) & 0x8000000000000000lu));
  }
  return whole;
}

fn sabot_round_f64(x: f64) -> f64 {
  let whole = sabot_trunc_f64(x);
  let sign = bitcast<u64>(x) & 0x8000000000000000lu;
  let rest = bitcast<f64>(bitcast<u64>(x - whole) & 0x7ffffffffffffffflu);
  if (sabot_is_nan_f64(x) || sabot_key_f64(rest) < 0x3fe0000000000000li || sabot_is_nan_f64(rest)) {
    return whole;
  }
  return sabot_apart_f64(whole + bitcast<f64>(0x3ff0000000000000lu | sign));
}
