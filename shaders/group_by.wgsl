// A group-by: rows are folded by key, first in a table of the workgroup, then in one of the launch.
//
// Tables are open addressing over rows: a slot holds the number of a row of its group, and one; a key is compared by
// computing that row's key once more, so that keys of all types and widths are alike and a slot is one word. The table of
// the launch lies behind the head of `sabot_status`: slots, then the words of each slot's group; wide words lie apart, where
// devices have any. A workgroup gives its own groups to the table of the launch when it has no more rows. What finds no place in
// the few slots of the workgroup goes there at once. Nobody waits for another thread: a swap that fails has seen what some
// other thread has done.

// Slots, then the words of each slot's group.
var<workgroup> sabot_near: array<atomic<u32>, SABOT_NEAR_WORDS>;

fn sabot_read_block(at: u32) -> u32 {
  return atomicLoad(&sabot_near[at]);
}

fn sabot_read_table(at: u32) -> u32 {
  return atomicLoad(&sabot_status[at]);
}

// Raises a word to a value. Reading is cheap, and only the first rows of a group raise it.
fn sabot_first_block(at: u32, value: u32) {
  if (atomicLoad(&sabot_near[at]) < value) {
    atomicMax(&sabot_near[at], value);
  }
}

fn sabot_first_table(at: u32, value: u32) {
  if (atomicLoad(&sabot_status[at]) < value) {
    atomicMax(&sabot_status[at], value);
  }
}

// Adds to a word of a sum, and gives what is carried to the next one: two at most.
fn sabot_add_block(at: u32, word: u32, carry: u32) -> u32 {
  var carried = 0u;
  if (word != 0u) {
    carried += select(0u, 1u, atomicAdd(&sabot_near[at], word) > ~word);
  }
  if (carry != 0u) {
    carried += select(0u, 1u, atomicAdd(&sabot_near[at], carry) > ~carry);
  }
  return carried;
}

fn sabot_add_table(at: u32, word: u32, carry: u32) -> u32 {
  var carried = 0u;
  if (word != 0u) {
    carried += select(0u, 1u, atomicAdd(&sabot_status[at], word) > ~word);
  }
  if (carry != 0u) {
    carried += select(0u, 1u, atomicAdd(&sabot_status[at], carry) > ~carry);
  }
  return carried;
}

// Puts a value in the place of the one that was held, unless another one is there; gives what was there. The swap of WGSL
// may fail for no reason.
fn sabot_swap_block(at: u32, held: u32, value: u32) -> u32 {
  loop {
    let swapped = atomicCompareExchangeWeak(&sabot_near[at], held, value);
    if (swapped.exchanged || swapped.old_value != held) {
      return swapped.old_value;
    }
  }
  return held;
}

fn sabot_swap_table(at: u32, held: u32, value: u32) -> u32 {
  loop {
    let swapped = atomicCompareExchangeWeak(&sabot_status[at], held, value);
    if (swapped.exchanged || swapped.old_value != held) {
      return swapped.old_value;
    }
  }
  return held;
}

// A hash of the words of a key: only for tables of one launch, where nobody else sees it.
fn sabot_mix(hash: u32, word: u32) -> u32 {
  let turned = (hash << 5u) | (hash >> 27u);
  return (turned ^ word) * 0x9e3779b1u;
}

fn sabot_mixed(hash: u32) -> u32 {
  var mixed = hash ^ (hash >> 16u);
  mixed *= 0x7feb352du;
  mixed ^= mixed >> 15u;
  mixed *= 0x846ca68bu;
  return mixed ^ (mixed >> 16u);
}

// The slot of a key in the table of the launch; none if the table is full, which is then known.
fn sabot_find(keys: SabotKeys, row: u32) -> u32 {
  // Once it is full, what it holds is thrown away.
  if (sabot_read_table(SABOT_FULL) != 0u) {
    return SABOT_NOWHERE;
  }
  let last = sabot_parameters[SABOT_SLOTS] - 1u;
  var slot = sabot_hash(keys) & last;
  // In a table that is too small all slots may be taken.
  for (var probe = 0u; probe <= last; probe++) {
    var held = sabot_read_table(SABOT_HEAD + slot);
    if (held == 0u) {
      held = sabot_swap_table(SABOT_HEAD + slot, 0u, row + 1u);
      if (held == 0u) {
        // Only what was taken counts: of many threads with one new key one is counted.
        if (atomicAdd(&sabot_status[SABOT_GROUPS], 1u) > last / 2u) {
          atomicOr(&sabot_status[SABOT_FULL], 1u);
        }
        return slot;
      }
    }
    if (sabot_same(keys, sabot_keys(held - 1u))) {
      return slot;
    }
    slot = (slot + 1u) & last;
  }
  atomicOr(&sabot_status[SABOT_FULL], 1u);
  return SABOT_NOWHERE;
}

// The slot of a key in the workgroup's table; none where its places are taken.
fn sabot_find_near(keys: SabotKeys, row: u32) -> u32 {
  var slot = sabot_hash(keys) % SABOT_NEAR;
  for (var probe = 0u; probe < SABOT_PROBES; probe++) {
    var held = sabot_read_block(slot);
    if (held == 0u) {
      held = sabot_swap_block(slot, 0u, row + 1u);
      if (held == 0u) {
        return slot;
      }
    }
    if (sabot_same(keys, sabot_keys(held - 1u))) {
      return slot;
    }
    slot = (slot + 1u) % SABOT_NEAR;
  }
  return SABOT_NOWHERE;
}

fn sabot_take(row: u32) {
  let r = sabot_row(row);
  if (r.failed) {
    atomicOr(&sabot_status[0], 1u);
  }
  if (r.failed || !sabot_keeps(r)) {
    return;
  }
  let keys = sabot_keys_of(r);
  var slot = SABOT_NOWHERE;
  if (SABOT_NEAR > 1u) {
    slot = sabot_find_near(keys, row);
  }
  if (slot != SABOT_NOWHERE) {
    sabot_accumulate_block(SABOT_NEAR + slot * SABOT_GROUP_WORDS, 0u, row, r);
    return;
  }
  slot = sabot_find(keys, row);
  if (slot != SABOT_NOWHERE) {
    let groups = SABOT_HEAD + sabot_parameters[SABOT_SLOTS];
    sabot_accumulate_table(groups + slot * SABOT_TABLE_WORDS, slot * SABOT_TABLE_WIDE, row, r);
  }
}

@compute @workgroup_size(SABOT_TILE)
fn sabot_group_by(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let rows = sabot_parameters[SABOT_ROWS];
  let live = sabot_parameters[SABOT_LIVE];
  let tiles = (rows + SABOT_TILE - 1u) / SABOT_TILE;
  for (var word = lane; word < SABOT_NEAR_WORDS; word += SABOT_TILE) {
    atomicStore(&sabot_near[word], 0u);
  }
  workgroupBarrier();
  for (var tile = group.x; tile < tiles; tile += groups.x) {
    let row = tile * SABOT_TILE + lane;
    if (row < rows && sabot_is_valid(live, row)) {
      sabot_take(row);
    }
  }
  workgroupBarrier();
  for (var slot = lane; SABOT_NEAR > 1u && slot < SABOT_NEAR; slot += SABOT_TILE) {
    let held = sabot_read_block(slot);
    if (held != 0u) {
      let to = sabot_find(sabot_keys(held - 1u), held - 1u);
      if (to != SABOT_NOWHERE) {
        let words = SABOT_HEAD + sabot_parameters[SABOT_SLOTS];
        sabot_merge(SABOT_NEAR + slot * SABOT_GROUP_WORDS, words + to * SABOT_TABLE_WORDS, to * SABOT_TABLE_WIDE);
      }
    }
  }
}

// Writes a record of each group, in any order.
@compute @workgroup_size(SABOT_TILE)
fn sabot_groups(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let slots = sabot_parameters[SABOT_SLOTS];
  // There is room for half as many records, and nobody wants them.
  if (sabot_read_table(SABOT_FULL) != 0u) {
    return;
  }
  for (var slot = group.x * SABOT_TILE + lane; slot < slots; slot += groups.x * SABOT_TILE) {
    if (sabot_read_table(SABOT_HEAD + slot) != 0u) {
      let place = atomicAdd(&sabot_status[SABOT_WRITTEN], 1u);
      let words = SABOT_HEAD + slots + slot * SABOT_TABLE_WORDS;
      sabot_record(words, slot * SABOT_TABLE_WIDE, place * SABOT_RECORD_WORDS);
    }
  }
}
