//! Memory that will be read soon, asked for ahead.
//!
//! A load that misses the caches holds up all that comes behind it once the processor's window is full, and with it
//! the loads that could have gone on beside it. A prefetch holds up nothing.

/// Asks for the line of the cache that holds an item; an item that is not there asks for nothing.
#[inline(always)]
#[allow(unsafe_code, reason = "a hint that only exists as an intrinsic")]
pub(crate) fn prefetch<T>(items: &[T], index: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if let Some(item) = items.get(index) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is part of every x86-64 processor, reads nothing that a program could see, and does
        // not fault; the address is that of a live item all the same.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    std::hint::black_box(items.get(index));
}
