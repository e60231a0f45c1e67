// The sums of floats of groups.
@group(0) @binding(4) var<storage, read_write> sabot_floats: array<atomic<u64>>;

fn sabot_add_float(at: u32, value: f64) {
  var held = atomicLoad(&sabot_floats[at]);
  loop {
    let sum = bitcast<u64>(sabot_apart_f64(bitcast<f64>(held) + value));
    let swapped = atomicCompareExchangeWeak(&sabot_floats[at], held, sum);
    if (swapped.exchanged) {
      return;
    }
    held = swapped.old_value;
  }
}

fn sabot_float_word(at: u32, half: u32) -> u32 {
  return u32((atomicLoad(&sabot_floats[at]) >> (32u * half)) & 0xfffffffflu);
}
