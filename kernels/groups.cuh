// Words of groups, which many threads change at once, in the memory of a block or of the device.

// What stands there now; some other thread may change it at once.
SABOT_DEVICE sabot_u32 sabot_peek(const sabot_u32* at) {
  return *reinterpret_cast<const volatile sabot_u32*>(at);
}

// Raises a word to a value. Reading is cheap, and only the first rows of a group raise it.
SABOT_DEVICE void sabot_first(sabot_u32* at, sabot_u32 value) {
  if (sabot_peek(at) < value) {
    atomicMax(at, value);
  }
}

// Adds to a word of a sum, and gives what is carried to the next one: two at most.
SABOT_DEVICE sabot_u32 sabot_add(sabot_u32* at, sabot_u32 word, sabot_u32 carry) {
  sabot_u32 carried = 0;
  if (word != 0) {
    carried += atomicAdd(at, word) > ~word ? 1u : 0u;
  }
  if (carry != 0) {
    carried += atomicAdd(at, carry) > ~carry ? 1u : 0u;
  }
  return carried;
}

// Wide words are in the memory of the device, which adds to them by itself: nobody asks what stood there.
SABOT_DEVICE void sabot_add_wide(sabot_u64* at, sabot_u64 value) {
  if (value != 0) {
    atomicAdd(at, value);
  }
}

SABOT_DEVICE sabot_u64 sabot_joined(sabot_u32 low, sabot_u32 high) {
  return static_cast<sabot_u64>(high) << 32u | low;
}

// Adds a number that one wide word may be too small for, as a low half, which is signed, and a high one. The high half of
// small numbers is zero then, also of those below zero.
SABOT_DEVICE void sabot_add_halves(sabot_u64* at, sabot_u32 low, sabot_u64 high) {
  sabot_add_wide(at, sabot_joined(low, 0u - (low >> 31u)));
  sabot_add_wide(at + 1, high + (low >> 31u));
}

// What is above the lowest 32 bits of a number that was added as halves.
SABOT_DEVICE sabot_u64 sabot_carried(sabot_u64 low, sabot_u64 high) {
  return high + static_cast<sabot_u64>(static_cast<sabot_i64>(low) >> 32u);
}

SABOT_DEVICE void sabot_add_float(sabot_u64* at, double value) {
  atomicAdd(reinterpret_cast<double*>(at), value);
}

// The sum of what the threads of a warp have, for the first of them.
template <typename T>
SABOT_DEVICE T sabot_sum_of_warp(T value) {
  SABOT_UNROLL
  for (sabot_u32 delta = 16; delta > 0; delta /= 2) {
    value += __shfl_down_sync(0xffffffffu, value, delta);
  }
  return value;
}

// Puts a value in the place of the one that was held, unless another one is there; gives what was there.
SABOT_DEVICE sabot_u32 sabot_swap(sabot_u32* at, sabot_u32 held, sabot_u32 value) {
  return atomicCAS(at, held, value);
}

// A hash of the words of a key: only for tables of one launch, where nobody else sees it.
SABOT_DEVICE sabot_u32 sabot_mix(sabot_u32 hash, sabot_u32 word) {
  const sabot_u32 turned = hash << 5u | hash >> 27u;
  return (turned ^ word) * 0x9e3779b1u;
}

SABOT_DEVICE sabot_u32 sabot_mixed(sabot_u32 hash) {
  hash ^= hash >> 16u;
  hash *= 0x7feb352du;
  hash ^= hash >> 15u;
  hash *= 0x846ca68bu;
  return hash ^ hash >> 16u;
}
