// Types, and how values are read and compared.

typedef int sabot_i32;
typedef unsigned int sabot_u32;
typedef long long sabot_i64;
typedef unsigned long long sabot_u64;

#ifndef SABOT_DEVICE
// Four blocks a multiprocessor leave 64 registers a thread, and two, for rows with many results, 128. Without that number ptxas
// 13.5 aims at 32 on sm_100, and spills.
#define SABOT_DEVICE static __device__ __forceinline__
#define SABOT_UNROLL _Pragma("unroll")
#define SABOT_KERNEL extern "C" __global__ void __launch_bounds__(SABOT_TILE, SABOT_BLOCKS)
#endif

SABOT_DEVICE bool sabot_bit(const sabot_u32* input, sabot_u32 at, sabot_u32 row) {
  return (input[at + (row >> 5)] >> (row & 31u) & 1u) != 0;
}

SABOT_DEVICE bool sabot_is_valid(const sabot_u32* input, sabot_u32 at, sabot_u32 row) {
  return at == SABOT_NOWHERE || sabot_bit(input, at, row);
}

template <typename T>
SABOT_DEVICE T sabot_load(const sabot_u32* input, sabot_u32 at, sabot_u32 row) {
  return reinterpret_cast<const T*>(input + at)[row];
}

// The total order: both zeros are one, all NaNs are equal and greatest.

template <typename T>
SABOT_DEVICE bool sabot_eq(T a, T b) {
  return a == b || (a != a && b != b);
}

template <typename T>
SABOT_DEVICE bool sabot_lt(T a, T b) {
  return a < b || (a == a && b != b);
}

template <typename T>
SABOT_DEVICE bool sabot_le(T a, T b) {
  return a <= b || b != b;
}
