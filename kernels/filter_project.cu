// A filter-project: what `sabot_row` says of each row, as bitmaps and chunks of values.
//
// A block takes tiles of as many rows as it has threads, one after the other. A warp's rows are one word of every
// bitmap. Where rows are dropped, the values of those of a tile that are kept become a chunk, for which the block claims room.

SABOT_KERNEL sabot_filter_project(const sabot_u32* input, sabot_u32* output, const sabot_u32* parameters,
                                  sabot_u32* status, double*) {
  __shared__ sabot_u32 kept_of_warp[SABOT_TILE / 32];
  __shared__ sabot_u32 chunk;
  const sabot_u32 rows = parameters[SABOT_ROWS];
  const sabot_u32 live = parameters[SABOT_LIVE];
  const sabot_u32 chunks = parameters[SABOT_CHUNKS];
  const sabot_u32 tiles = (rows + SABOT_TILE - 1) / SABOT_TILE;
  const sabot_u32 lane = threadIdx.x & 31u;
  for (sabot_u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const sabot_u32 row = tile * SABOT_TILE + threadIdx.x;
    sabot_u32 bits = 0;
    bool failed = false;
    SabotRow r;
    if (row < rows && sabot_is_valid(input, live, row)) {
      r = sabot_row(input, parameters, row);
      failed = r.failed;
      bits = sabot_bits(r);
      if (!SABOT_PACKED) {
        sabot_store(output, chunks, tiles * SABOT_TILE, row, r);
      }
    }
    if (__any_sync(0xffffffffu, failed) && lane == 0) {
      atomicOr(status, 1u);
    }
    for (sabot_u32 bitmap = 0; bitmap < SABOT_BITMAPS; ++bitmap) {
      const sabot_u32 word = __ballot_sync(0xffffffffu, bits >> bitmap & 1u);
      if (lane == 0 && row < rows) {
        output[parameters[SABOT_FIRST_BITMAP + bitmap] + row / 32] = word;
      }
    }
    if (SABOT_PACKED) {
      // The first bitmap is that of rows that are kept.
      const sabot_u32 kept = __ballot_sync(0xffffffffu, bits & 1u);
      if (lane == 0) {
        kept_of_warp[threadIdx.x / 32] = __popc(kept);
      }
      __syncthreads();
      sabot_u32 count = 0;
      sabot_u32 place = __popc(kept & ((1u << lane) - 1u));
      for (sabot_u32 warp = 0; warp < SABOT_TILE / 32; ++warp) {
        place += warp < threadIdx.x / 32 ? kept_of_warp[warp] : 0;
        count += kept_of_warp[warp];
      }
      if (threadIdx.x == 0) {
        chunk = atomicAdd(status + SABOT_CLAIMED, sabot_chunk_words(count));
        output[parameters[SABOT_TILES] + tile] = chunk;
      }
      __syncthreads();
      if (bits & 1u) {
        sabot_store(output, chunks + chunk, count, place, r);
      }
    }
  }
}
