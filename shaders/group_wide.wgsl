// The wide words of groups in the table of the launch, for sums.
@group(0) @binding(4) var<storage, read_write> sabot_wide: array<atomic<u64>>;

fn sabot_read_wide(at: u32) -> u64 {
  return atomicLoad(&sabot_wide[at]);
}

// Nobody asks what stood there.
fn sabot_add_wide(at: u32, value: u64) {
  if (value != 0lu) {
    atomicAdd(&sabot_wide[at], value);
  }
}

fn sabot_joined(low: u32, high: u32) -> u64 {
  return (u64(high) << 32u) | u64(low);
}

// Adds a number that one wide word may be too small for, as a low half, which is signed, and a high one. The high half of
// small numbers is zero then, also of those below zero.
fn sabot_add_halves(at: u32, low: u32, high: u64) {
  sabot_add_wide(at, sabot_joined(low, 0u - (low >> 31u)));
  sabot_add_wide(at + 1u, high + u64(low >> 31u));
}

// What is above the lowest 32 bits of a number that was added as halves.
fn sabot_carried(low: u64, high: u64) -> u64 {
  return high + bitcast<u64>(bitcast<i64>(low) >> 32u);
}
