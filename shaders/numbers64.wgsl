fn sabot_u64(at: u32, row: u32) -> u64 {
  return u64(sabot_input[at + 2u * row]) | (u64(sabot_input[at + 2u * row + 1u]) << 32u);
}

fn sabot_mul_high_u64(a: u64, b: u64) -> u64 {
  let a0 = a & 0xfffffffflu;
  let a1 = a >> 32u;
  let b0 = b & 0xfffffffflu;
  let b1 = b >> 32u;
  let low = a0 * b0;
  let middle = a1 * b0 + (low >> 32u);
  let carry = a0 * b1 + (middle & 0xfffffffflu);
  return a1 * b1 + (middle >> 32u) + (carry >> 32u);
}

fn sabot_mul_high_i64(a: i64, b: i64) -> i64 {
  let high = sabot_mul_high_u64(bitcast<u64>(a), bitcast<u64>(b));
  return bitcast<i64>(high - select(0lu, bitcast<u64>(b), a < 0li) - select(0lu, bitcast<u64>(a), b < 0li));
}

fn sabot_bit_count_u64(a: u64) -> u64 {
  return u64(countOneBits(u32(a & 0xfffffffflu)) + countOneBits(u32(a >> 32u)));
}

fn sabot_bit_count_i64(a: i64) -> i64 {
  return bitcast<i64>(sabot_bit_count_u64(bitcast<u64>(a)));
}

fn sabot_apart_u64(x: u64) -> u64 {
  return x ^ u64(sabot_parameters[SABOT_ZERO]);
}

fn sabot_apart_i64(x: i64) -> i64 {
  return bitcast<i64>(sabot_apart_u64(bitcast<u64>(x)));
}

