// What every kernel is given: a slab of columns, a slab for results, where in them what is, and words that workgroups
// share: whether something went wrong, how much room was claimed, the table of groups.
@group(0) @binding(0) var<storage, read> sabot_input: array<u32>;
@group(0) @binding(1) var<storage, read_write> sabot_output: array<u32>;
@group(0) @binding(2) var<storage, read> sabot_parameters: array<u32>;
@group(0) @binding(3) var<storage, read_write> sabot_status: array<atomic<u32>>;

