// What CUDA gives to kernels, for a C++ compiler. No header is included, so that a kernel compiles in a moment; what is
// declared here is defined in runtime.cpp.

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads, blocks)
// Blocks run one after the other. What they share lies together, so that each finds it spoilt.
#define __shared__ static __attribute__((section("emu_shared")))
#define SABOT_DEVICE static inline
#define SABOT_UNROLL
#define SABOT_KERNEL static void

struct emu_index {
  unsigned x;
};
extern "C" emu_index threadIdx, blockIdx, gridDim, blockDim;

// Waits until all lanes of the mask have come to the same call; gives the value of each as a bit, or that of one lane.
extern "C" unsigned emu_ballot(unsigned mask, bool value);
extern "C" unsigned long long emu_shuffle(unsigned mask, unsigned long long value, unsigned lane);
// Waits until all threads of the block have come to a barrier.
extern "C" void __syncthreads();

inline unsigned __ballot_sync(unsigned mask, bool value) { return emu_ballot(mask, value); }
inline bool __any_sync(unsigned mask, bool value) { return emu_ballot(mask, value) != 0; }
inline bool __all_sync(unsigned mask, bool value) { return emu_ballot(mask, value) == mask; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emu_ballot(mask, false); }
template <typename T>
inline T __shfl_sync(unsigned mask, T value, unsigned lane) {
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(T));
  bits = emu_shuffle(mask, bits, lane);
  __builtin_memcpy(&value, &bits, sizeof(T));
  return value;
}
template <typename T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = threadIdx.x & 31u;
  return __shfl_sync(mask, value, lane + delta < 32 ? lane + delta : lane);
}

// One thread runs at a time, so that every step of it is atomic.
template <typename T>
inline T atomicOr(T* at, T value) {
  const T before = *at;
  *at = before | value;
  return before;
}
template <typename T>
inline T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
template <typename T>
inline T atomicSub(T* at, T value) {
  const T before = *at;
  *at = before - value;
  return before;
}
template <typename T>
inline T atomicMin(T* at, T value) {
  const T before = *at;
  *at = value < before ? value : before;
  return before;
}
template <typename T>
inline T atomicMax(T* at, T value) {
  const T before = *at;
  *at = value > before ? value : before;
  return before;
}
template <typename T>
inline T atomicCAS(T* at, T expected, T value) {
  const T before = *at;
  *at = before == expected ? value : before;
  return before;
}
template <typename T>
inline T atomicExch(T* at, T value) {
  const T before = *at;
  *at = value;
  return before;
}

template <typename To, typename From>
inline To emu_bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "of one size");
  To to;
  __builtin_memcpy(&to, &value, sizeof(To));
  return to;
}
inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
inline long long __double_as_longlong(double x) { return emu_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emu_bits<double>(x); }

inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
inline long long __mul64hi(long long a, long long b) { return (long long)(((__int128)a * b) >> 64); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }

#define EMU_MATH(name)               \
  extern "C" double name(double);    \
  extern "C" float name##f(float);
#define EMU_MATH2(name)                    \
  extern "C" double name(double, double);  \
  extern "C" float name##f(float, float);
EMU_MATH(fabs) EMU_MATH(sqrt) EMU_MATH(floor) EMU_MATH(ceil) EMU_MATH(trunc) EMU_MATH(round)
EMU_MATH(cbrt) EMU_MATH(exp) EMU_MATH(log) EMU_MATH(log2) EMU_MATH(log10)
EMU_MATH(sin) EMU_MATH(cos) EMU_MATH(tan) EMU_MATH(asin) EMU_MATH(acos) EMU_MATH(atan)
EMU_MATH(sinh) EMU_MATH(cosh) EMU_MATH(tanh)
EMU_MATH2(pow) EMU_MATH2(atan2) EMU_MATH2(fmod)
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline double __dsqrt_rn(double x) { return sqrt(x); }
#undef EMU_MATH
#undef EMU_MATH2
