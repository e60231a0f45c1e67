//! The integer core of the key hash: four functions on 32-bit words, and loops of them over slices.
//!
//! The state of a row is two words. A block of rows keeps them in two separate arrays, so that every
//! operation of the loops is one vector instruction for as many rows as a register holds, on any
//! instruction set that has a 32-bit multiplication. Names and formulas are those of
//! `docs/key-hash.md`; nothing here knows Arrow types or nulls.
//!
//! Everything is `#[inline(always)]`: a function compiled for AVX2 that calls these loops gets AVX2 code.

/// Rows per block. Both lanes and a copy of them for null rows take 16 KiB, half of a common L1.
pub const BLOCK: usize = 1024;

const START: (u32, u32) = (0x243f_6a88, 0x85a3_08d3);
const HEADER: (u32, u32) = (0x9e37_79b1, 0x85eb_ca77);
const STEP_LOW: (u32, u32) = (0xcc9e_2d51, 0x1b87_3593);
const STEP_HIGH: (u32, u32) = (0x239b_961b, 0xab0e_9789);
const MIX: (u32, u32) = (0x7feb_352d, 0x846c_a68b);

/// A value as the hash takes it in: canonical, so that equal values are equal here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The family tag in the low 8 bits, what the pair has no room for above them.
    pub header: u32,
    /// The low and the high word of the value or of its digest.
    pub pair: (u32, u32),
}

/// The low and the high word of a 64-bit quantity.
#[inline(always)]
pub fn words(x: u64) -> (u32, u32) {
    // Both casts keep exactly the 32 bits that are asked for.
    (x as u32, (x >> 32) as u32)
}

/// The 64-bit number of a pair of words, low word first.
#[inline(always)]
pub fn join((low, high): (u32, u32)) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline(always)]
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(MIX.0);
    x ^= x >> 15;
    x = x.wrapping_mul(MIX.1);
    x ^ x >> 16
}

/// Turns a state into the two words of a hash: each output bit depends on every bit of the state.
#[inline(always)]
pub fn finish(a: u32, b: u32) -> (u32, u32) {
    let a = mix(a.wrapping_add(b));
    let b = mix(b.wrapping_add(a));
    (a.wrapping_add(b), b)
}

/// The state before the first column.
#[inline(always)]
pub fn start(seed: u64) -> (u32, u32) {
    let (low, high) = words(seed);
    finish(low ^ START.0, high ^ START.1)
}

/// Takes one pair of words into the state.
#[inline(always)]
pub fn step(a: u32, b: u32, (w0, w1): (u32, u32)) -> (u32, u32) {
    let k = w0.wrapping_mul(STEP_LOW.0).rotate_left(15).wrapping_mul(STEP_LOW.1);
    let a = (a ^ k).rotate_left(13).wrapping_add(b);
    let k = w1.wrapping_mul(STEP_HIGH.0).rotate_left(16).wrapping_mul(STEP_HIGH.1);
    let b = (b ^ k).rotate_left(17).wrapping_add(a);
    (a, b)
}

/// Takes one value into the state.
#[inline(always)]
pub fn absorb(a: u32, b: u32, value: Encoded) -> (u32, u32) {
    let header = value.header;
    step(a.wrapping_add(header.wrapping_mul(HEADER.0)), b ^ header.wrapping_mul(HEADER.1), value.pair)
}

/// [`absorb`] for a slice of values, one per row; `encode` should be branch-free. All slices have one
/// length. Where the header that `encode` gives is a constant, its products are too.
#[inline(always)]
pub fn absorb_each<T: Copy>(a: &mut [u32], b: &mut [u32], values: &[T], encode: impl Fn(T) -> Encoded) {
    for ((a, b), &value) in a.iter_mut().zip(b).zip(values) {
        (*a, *b) = absorb(*a, *b, encode(value));
    }
}

/// [`finish`] for a block, appending the hashes to `out`.
#[inline(always)]
pub fn finish_each(a: &[u32], b: &[u32], out: &mut Vec<u64>) {
    out.extend(a.iter().zip(b).map(|(&a, &b)| join(finish(a, b))));
}

/// The states of one block of rows.
#[derive(Clone)]
pub(super) struct Lanes {
    a: [u32; BLOCK],
    b: [u32; BLOCK],
    len: usize,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self { a: [0; BLOCK], b: [0; BLOCK], len: 0 }
    }

    /// Makes this a block of `len` rows that have absorbed nothing.
    pub(super) fn restart(&mut self, start: (u32, u32), len: usize) {
        self.len = len;
        self.a[..len].fill(start.0);
        self.b[..len].fill(start.1);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Absorbs one value per row.
    pub(super) fn absorb_each<T: Copy>(&mut self, values: &[T], encode: impl Fn(T) -> Encoded) {
        debug_assert_eq!(values.len(), self.len);
        absorb_each(&mut self.a[..self.len], &mut self.b[..self.len], values, encode);
    }

    /// Absorbs what `encoded` gives for each row of the block, in order.
    pub(super) fn absorb_rows(&mut self, mut encoded: impl FnMut(usize) -> Encoded) {
        let rows = self.a[..self.len].iter_mut().zip(&mut self.b[..self.len]);
        for (row, (a, b)) in rows.enumerate() {
            (*a, *b) = absorb(*a, *b, encoded(row));
        }
    }

    /// Makes `row` what it was in `before`, with `value` absorbed.
    pub(super) fn redo(&mut self, row: usize, before: &Lanes, value: Encoded) {
        (self.a[row], self.b[row]) = absorb(before.a[row], before.b[row], value);
    }

    /// Appends the hashes of the block.
    pub(super) fn finish_into(&self, out: &mut Vec<u64>) {
        finish_each(&self.a[..self.len], &self.b[..self.len], out);
    }
}
