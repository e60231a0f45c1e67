// A group-by: rows are folded by key, first in a table of the block, then in one of the launch.
//
// Tables are open addressing over rows: a slot holds the number of a row of its group, and one; a key is compared by
// computing that row's key once more, so that keys of all types and widths are alike and a slot is one word. The table of
// the launch lies behind the head of `status`: slots, then the words of each slot's group; the wide words of groups lie in
// `wide`. A block gives its own groups to it when it has no more rows. What finds no place in the few slots of the block goes
// there at once. A warp of which all rows that are taken are of one group adds them up in registers first.

// The slot of a key in the table of the launch; none if the table is full, which is then known.
SABOT_DEVICE sabot_u32 sabot_find(const sabot_u32* input, const sabot_u32* parameters, sabot_u32* status,
                                  const SabotKeys& keys, sabot_u32 row) {
  // Once it is full, what it holds is thrown away.
  if (sabot_peek(status + SABOT_FULL) != 0) {
    return SABOT_NOWHERE;
  }
  const sabot_u32 last = parameters[SABOT_SLOTS] - 1;
  sabot_u32* slots = status + SABOT_HEAD;
  sabot_u32 slot = sabot_hash(input, parameters, keys) & last;
  // In a table that is too small all slots may be taken.
  for (sabot_u32 probe = 0; probe <= last; ++probe) {
    sabot_u32 held = sabot_peek(slots + slot);
    if (held == 0) {
      held = atomicCAS(slots + slot, 0u, row + 1);
      if (held == 0) {
        // Only what was taken counts: of many threads with one new key one is counted.
        if (atomicAdd(status + SABOT_GROUPS, 1u) > last / 2) {
          atomicOr(status + SABOT_FULL, 1u);
        }
        return slot;
      }
    }
    if (sabot_same(input, parameters, keys, sabot_keys(input, parameters, held - 1))) {
      return slot;
    }
    slot = (slot + 1) & last;
  }
  atomicOr(status + SABOT_FULL, 1u);
  return SABOT_NOWHERE;
}

// The slot of a key in the block's table; none where its places are taken.
SABOT_DEVICE sabot_u32 sabot_find_near(const sabot_u32* input, const sabot_u32* parameters, sabot_u32* slots,
                                       const SabotKeys& keys, sabot_u32 row) {
  sabot_u32 slot = sabot_hash(input, parameters, keys) % SABOT_NEAR;
  for (sabot_u32 probe = 0; probe < SABOT_PROBES; ++probe) {
    sabot_u32 held = sabot_peek(slots + slot);
    if (held == 0) {
      held = atomicCAS(slots + slot, 0u, row + 1);
      if (held == 0) {
        return slot;
      }
    }
    if (sabot_same(input, parameters, keys, sabot_keys(input, parameters, held - 1))) {
      return slot;
    }
    slot = (slot + 1) % SABOT_NEAR;
  }
  return SABOT_NOWHERE;
}

SABOT_KERNEL sabot_group_by(const sabot_u32* input, sabot_u32* output, const sabot_u32* parameters, sabot_u32* status,
                            sabot_u64* wide) {
  // Slots, then the words of each slot's group.
  __shared__ sabot_u32 near[SABOT_NEAR_WORDS];
  const sabot_u32 rows = parameters[SABOT_ROWS];
  const sabot_u32 live = parameters[SABOT_LIVE];
  const sabot_u32 tiles = (rows + SABOT_TILE - 1) / SABOT_TILE;
  sabot_u32* groups = status + SABOT_HEAD + parameters[SABOT_SLOTS];
  for (sabot_u32 word = threadIdx.x; word < SABOT_NEAR_WORDS; word += SABOT_TILE) {
    near[word] = 0;
  }
  __syncthreads();
  for (sabot_u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const sabot_u32 row = tile * SABOT_TILE + threadIdx.x;
    SabotRow r;
    // In the table of the block, or in that of the launch.
    sabot_u32 near_slot = SABOT_NOWHERE;
    sabot_u32 slot = SABOT_NOWHERE;
    if (row < rows && sabot_is_valid(input, live, row)) {
      r = sabot_row(sabot_fetch(input, parameters, row));
      if (r.failed) {
        atomicOr(status, 1u);
      } else if (sabot_keeps(input, parameters, r)) {
        const SabotKeys keys = sabot_keys_of(input, parameters, r);
        if (SABOT_NEAR > 1) {
          near_slot = sabot_find_near(input, parameters, near, keys, row);
        }
        if (near_slot == SABOT_NOWHERE) {
          slot = sabot_find(input, parameters, status, keys, row);
        }
      }
    }
    const bool is_near = SABOT_NEAR > 1 && near_slot != SABOT_NOWHERE;
    const bool is_taken = is_near || slot != SABOT_NOWHERE;
    const sabot_u32 taken = __ballot_sync(0xffffffffu, is_taken);
    if (taken == 0) {
      continue;
    }
    const sabot_u32 one_near = __shfl_sync(0xffffffffu, near_slot, __ffs(taken) - 1);
    const sabot_u32 one = __shfl_sync(0xffffffffu, slot, __ffs(taken) - 1);
    const bool is_one = !is_taken || (near_slot == one_near && slot == one);
    if (__all_sync(0xffffffffu, is_one) && (taken & (taken - 1)) != 0) {
      const sabot_u32 first = row - (threadIdx.x & 31u);
      if (SABOT_NEAR > 1 && one_near != SABOT_NOWHERE) {
        sabot_accumulate_warp_block(input, parameters, near + SABOT_NEAR + one_near * SABOT_GROUP_WORDS, wide, first, r,
                                    taken);
      } else {
        sabot_accumulate_warp_table(input, parameters, groups + one * SABOT_TABLE_WORDS, wide + one * SABOT_TABLE_WIDE,
                                    first, r, taken);
      }
    } else if (is_near) {
      sabot_accumulate_block(input, parameters, near + SABOT_NEAR + near_slot * SABOT_GROUP_WORDS, wide, row, r);
    } else if (is_taken) {
      sabot_accumulate_table(input, parameters, groups + slot * SABOT_TABLE_WORDS, wide + slot * SABOT_TABLE_WIDE, row, r);
    }
  }
  __syncthreads();
  if (SABOT_NEAR == 1) {
    return;
  }
  for (sabot_u32 slot = threadIdx.x; slot < SABOT_NEAR; slot += SABOT_TILE) {
    if (near[slot] == 0) {
      continue;
    }
    const sabot_u32 row = near[slot] - 1;
    const sabot_u32 to = sabot_find(input, parameters, status, sabot_keys(input, parameters, row), row);
    if (to != SABOT_NOWHERE) {
      sabot_merge(input, parameters, near + SABOT_NEAR + slot * SABOT_GROUP_WORDS, groups + to * SABOT_TABLE_WORDS,
                  wide + to * SABOT_TABLE_WIDE);
    }
  }
}

// Writes a record of each group, in any order.
SABOT_KERNEL sabot_groups(const sabot_u32* input, sabot_u32* output, const sabot_u32* parameters, sabot_u32* status,
                          sabot_u64* wide) {
  const sabot_u32 slots = parameters[SABOT_SLOTS];
  sabot_u32* groups = status + SABOT_HEAD + slots;
  // There is room for half as many records, and nobody wants them.
  if (status[SABOT_FULL] != 0) {
    return;
  }
  for (sabot_u32 slot = blockIdx.x * SABOT_TILE + threadIdx.x; slot < slots; slot += gridDim.x * SABOT_TILE) {
    if (status[SABOT_HEAD + slot] != 0) {
      const sabot_u32 place = atomicAdd(status + SABOT_WRITTEN, 1u);
      sabot_record(input, parameters, groups + slot * SABOT_TABLE_WORDS, wide + slot * SABOT_TABLE_WIDE,
                   output + place * SABOT_RECORD_WORDS);
    }
  }
}
