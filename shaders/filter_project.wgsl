// A filter-project: what `sabot_row` says of each row, as columns and bitmaps.
//
// A workgroup takes tiles of as many rows as it has threads, one after the other. Bits of a tile meet in shared words:
// WGSL has no ballot that every device knows.

var<workgroup> sabot_words: array<atomic<u32>, SABOT_WORDS>;

@compute @workgroup_size(SABOT_TILE)
fn sabot_filter_project(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let rows = sabot_parameters[SABOT_ROWS];
  let live = sabot_parameters[SABOT_LIVE];
  let tiles = (rows + SABOT_TILE - 1u) / SABOT_TILE;
  for (var tile = group.x; tile < tiles; tile += groups.x) {
    for (var word = lane; word < SABOT_WORDS; word += SABOT_TILE) {
      atomicStore(&sabot_words[word], 0u);
    }
    workgroupBarrier();
    let row = tile * SABOT_TILE + lane;
    if (row < rows && sabot_is_valid(live, row)) {
      let r = sabot_row(row);
      if (r.failed) {
        atomicOr(&sabot_status[0], 1u);
      }
      sabot_store(row, r);
      var bits = sabot_bits(r);
      while (bits != 0u) {
        let bitmap = firstTrailingBit(bits);
        atomicOr(&sabot_words[bitmap * (SABOT_TILE / 32u) + (lane >> 5u)], 1u << (lane & 31u));
        bits &= bits - 1u;
      }
    }
    workgroupBarrier();
    for (var word = lane; word < SABOT_BITMAPS * (SABOT_TILE / 32u); word += SABOT_TILE) {
      let bitmap = word / (SABOT_TILE / 32u);
      let at = tile * (SABOT_TILE / 32u) + word % (SABOT_TILE / 32u);
      if (at * 32u < rows) {
        sabot_output[sabot_parameters[SABOT_FIRST_BITMAP + bitmap] + at] = atomicLoad(&sabot_words[word]);
      }
    }
    workgroupBarrier();
  }
}
