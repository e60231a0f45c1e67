// Sums of floats in wide words: WGSL has no addition of floats that is atomic.
fn sabot_add_float(at: u32, value: f64) {
  var held = atomicLoad(&sabot_wide[at]);
  loop {
    let sum = bitcast<u64>(sabot_apart_f64(bitcast<f64>(held) + value));
    let swapped = atomicCompareExchangeWeak(&sabot_wide[at], held, sum);
    if (swapped.exchanged) {
      return;
    }
    held = swapped.old_value;
  }
}
