//! The CPU backend: vectorised kernels with SIMD variants chosen at run time.
