// A filter-project: what `sabot_row` says of each row, as bitmaps and chunks of values.
//
// A workgroup takes tiles of as many rows as it has threads, one after the other. Bits of a tile meet in shared words:
// WGSL has no ballot that every device knows. Where rows are dropped, the values of those of a tile that are kept become a
// chunk, for which the workgroup claims room.

const SABOT_TILE_WORDS = SABOT_TILE / 32u;

var<workgroup> sabot_words: array<atomic<u32>, SABOT_WORDS>;
var<workgroup> sabot_chunk: u32;

@compute @workgroup_size(SABOT_TILE)
fn sabot_filter_project(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let rows = sabot_parameters[SABOT_ROWS];
  let live = sabot_parameters[SABOT_LIVE];
  let chunks = sabot_parameters[SABOT_CHUNKS];
  let tiles = (rows + SABOT_TILE - 1u) / SABOT_TILE;
  for (var tile = group.x; tile < tiles; tile += groups.x) {
    for (var word = lane; word < SABOT_WORDS; word += SABOT_TILE) {
      atomicStore(&sabot_words[word], 0u);
    }
    workgroupBarrier();
    let row = tile * SABOT_TILE + lane;
    var bits = 0u;
    var r: SabotRow;
    if (row < rows && sabot_is_valid(live, row)) {
      r = sabot_row(row);
      if (r.failed) {
        atomicOr(&sabot_status[0], 1u);
      }
      if (SABOT_PACKED == 0u) {
        sabot_store(chunks, tiles * SABOT_TILE, row, r);
      }
      bits = sabot_bits(r);
      for (var rest = bits; rest != 0u; rest &= rest - 1u) {
        let word = firstTrailingBit(rest) * SABOT_TILE_WORDS + (lane >> 5u);
        atomicOr(&sabot_words[word], 1u << (lane & 31u));
      }
    }
    workgroupBarrier();
    for (var word = lane; word < SABOT_BITMAPS * SABOT_TILE_WORDS; word += SABOT_TILE) {
      let bitmap = word / SABOT_TILE_WORDS;
      let at = tile * SABOT_TILE_WORDS + word % SABOT_TILE_WORDS;
      if (at * 32u < rows) {
        sabot_output[sabot_parameters[SABOT_FIRST_BITMAP + bitmap] + at] = atomicLoad(&sabot_words[word]);
      }
    }
    if (SABOT_PACKED != 0u) {
      // The first bitmap is that of rows that are kept.
      var count = 0u;
      var place = 0u;
      for (var word = 0u; word < SABOT_TILE_WORDS; word++) {
        let kept = atomicLoad(&sabot_words[word]);
        count += countOneBits(kept);
        let before = select(0u, kept, word < (lane >> 5u));
        place += countOneBits(select(before, kept & ((1u << (lane & 31u)) - 1u), word == (lane >> 5u)));
      }
      if (lane == 0u) {
        sabot_chunk = atomicAdd(&sabot_status[SABOT_CLAIMED], sabot_chunk_words(count));
        sabot_output[sabot_parameters[SABOT_TILES] + tile] = sabot_chunk;
      }
      workgroupBarrier();
      if ((bits & 1u) != 0u) {
        sabot_store(chunks + sabot_chunk, count, place, r);
      }
    }
    workgroupBarrier();
  }
}
