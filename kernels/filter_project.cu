// A filter-project: what `sabot_row` says of each row, as columns and bitmaps.
//
// A block takes tiles of as many rows as it has threads, one after the other. A warp's rows are one word of every
// bitmap.

SABOT_KERNEL sabot_filter_project(const sabot_u32* input, sabot_u32* output, const sabot_u32* parameters,
                                  sabot_u32* status, double*) {
  const sabot_u32 rows = parameters[SABOT_ROWS];
  const sabot_u32 live = parameters[SABOT_LIVE];
  const sabot_u32 tiles = (rows + SABOT_TILE - 1) / SABOT_TILE;
  for (sabot_u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const sabot_u32 row = tile * SABOT_TILE + threadIdx.x;
    sabot_u32 bits = 0;
    bool failed = false;
    if (row < rows && sabot_is_valid(input, live, row)) {
      const SabotRow r = sabot_row(input, parameters, row);
      failed = r.failed;
      bits = sabot_bits(r);
      sabot_store(output, parameters, row, r);
    }
    if (__any_sync(0xffffffffu, failed) && (threadIdx.x & 31u) == 0) {
      atomicOr(status, 1u);
    }
    for (sabot_u32 bitmap = 0; bitmap < SABOT_BITMAPS; ++bitmap) {
      const sabot_u32 word = __ballot_sync(0xffffffffu, bits >> bitmap & 1u);
      if ((threadIdx.x & 31u) == 0 && row < rows) {
        output[parameters[SABOT_FIRST_BITMAP + bitmap] + row / 32] = word;
      }
    }
  }
}
