// A filter-project: what `sabot_row` says of each row, as bitmaps and chunks of values.
//
// A block takes tiles of rows, one after the other, of which each thread has a few. They are read before the first is computed,
// so that enough bytes are under way. The rows of a warp lie next to each other, and 32 of them are one word of every bitmap:
// those of a thread are 32 rows apart. Where rows are dropped, the values of those of a tile that are kept become a chunk, for
// which the block claims room.

SABOT_KERNEL sabot_filter_project(const sabot_u32* __restrict__ input, sabot_u32* output, const sabot_u32* parameters,
                                  sabot_u32* status, sabot_u64*) {
  __shared__ sabot_u32 kept_of_warp[SABOT_TILE / 32];
  __shared__ sabot_u32 chunk;
  const sabot_u32 rows = parameters[SABOT_ROWS];
  const sabot_u32 live = parameters[SABOT_LIVE];
  const sabot_u32 chunks = parameters[SABOT_CHUNKS];
  const sabot_u32 tile_rows = SABOT_TILE * SABOT_EACH;
  const sabot_u32 tiles = (rows + tile_rows - 1) / tile_rows;
  const sabot_u32 lane = threadIdx.x & 31u;
  for (sabot_u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    // The first row of the warp.
    const sabot_u32 first = tile * tile_rows + threadIdx.x / 32 * 32 * SABOT_EACH;
    SabotRow r[SABOT_EACH];
    sabot_u32 bits[SABOT_EACH];
    bool failed = false;
    // Several rows are computed whether they are taken or not, as compilers would put what is read behind a condition. Behind the
    // last row it is read once more. A single row is read where it is computed, for which fewer registers do.
    if (SABOT_EACH > 1) {
      SabotInput in[SABOT_EACH];
      SABOT_UNROLL
      for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
        const sabot_u32 row = first + 32 * each + lane;
        in[each] = sabot_fetch(input, parameters, row < rows ? row : rows - 1);
      }
      SABOT_UNROLL
      for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
        r[each] = sabot_row(in[each]);
      }
    }
    SABOT_UNROLL
    for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
      const sabot_u32 row = first + 32 * each + lane;
      bits[each] = 0;
      if (row < rows && sabot_is_valid(input, live, row)) {
        if (SABOT_EACH == 1) {
          r[each] = sabot_row(sabot_fetch(input, parameters, row));
        }
        failed |= r[each].failed;
        bits[each] = sabot_bits(r[each]);
        if (!SABOT_PACKED) {
          sabot_store(output, chunks, tiles * tile_rows, row, r[each]);
        }
      }
    }
    if (__any_sync(0xffffffffu, failed) && lane == 0) {
      atomicOr(status, 1u);
    }
    for (sabot_u32 bitmap = 0; bitmap < SABOT_BITMAPS; ++bitmap) {
      // Each of the first lanes has a word of the warp's.
      sabot_u32 word = 0;
      SABOT_UNROLL
      for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
        const sabot_u32 ballot = __ballot_sync(0xffffffffu, bits[each] >> bitmap & 1u);
        word = lane == each ? ballot : word;
      }
      if (lane < SABOT_EACH && first + 32 * lane < rows) {
        output[parameters[SABOT_FIRST_BITMAP + bitmap] + first / 32 + lane] = word;
      }
    }
    if (SABOT_PACKED) {
      // The first bitmap is that of rows that are kept.
      sabot_u32 kept[SABOT_EACH];
      sabot_u32 count = 0;
      SABOT_UNROLL
      for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
        kept[each] = __ballot_sync(0xffffffffu, bits[each] & 1u);
        count += __popc(kept[each]);
      }
      if (lane == 0) {
        kept_of_warp[threadIdx.x / 32] = count;
      }
      __syncthreads();
      count = 0;
      sabot_u32 place = 0;
      for (sabot_u32 warp = 0; warp < SABOT_TILE / 32; ++warp) {
        place += warp < threadIdx.x / 32 ? kept_of_warp[warp] : 0;
        count += kept_of_warp[warp];
      }
      if (threadIdx.x == 0) {
        chunk = atomicAdd(status + SABOT_CLAIMED, sabot_chunk_words(count));
        output[parameters[SABOT_TILES] + tile] = chunk;
      }
      __syncthreads();
      SABOT_UNROLL
      for (sabot_u32 each = 0; each < SABOT_EACH; ++each) {
        if (bits[each] & 1u) {
          sabot_store(output, chunks + chunk, count, place + __popc(kept[each] & ((1u << lane) - 1u)), r[each]);
        }
        place += __popc(kept[each]);
      }
    }
  }
}
