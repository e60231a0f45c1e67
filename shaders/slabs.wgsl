// What every kernel is given: a slab of columns, a slab for results, where in them what is, and a word for what went
// wrong.
@group(0) @binding(0) var<storage, read> sabot_input: array<u32>;
@group(0) @binding(1) var<storage, read_write> sabot_output: array<u32>;
@group(0) @binding(2) var<storage, read> sabot_parameters: array<u32>;
@group(0) @binding(3) var<storage, read_write> sabot_status: array<atomic<u32>>;

