//! The comparisons for AVX2 and AVX-512.
//!
//! Each block is 64 values and gives one word. AVX-512 compares straight into mask registers, eight
//! rows an instruction; AVX2 compares four rows into a vector and moves its sign bits out.
#![allow(unsafe_code, reason = "vector loads and calls of functions that need a processor feature")]

use std::arch::x86_64::*;

use super::{Comparison, FloatTest};
use crate::simd::{Level, Set};

/// Rows of a block, one bit each in a word.
type Block<T> = [T; 64];

pub(super) fn avx512_i64(
    level: Level,
    op: Comparison,
    blocks: &[Block<i64>],
    literal: i64,
    words: &mut Vec<u64>,
) {
    assert_eq!(level.0, Set::Avx512, "only a processor with AVX-512 may come here");
    // SAFETY: the level was made by asking the processor for avx512f.
    unsafe {
        match op {
            Comparison::Eq => avx512_i64_words::<_MM_CMPINT_EQ>(blocks, literal, words),
            Comparison::NotEq => avx512_i64_words::<_MM_CMPINT_NE>(blocks, literal, words),
            Comparison::Lt => avx512_i64_words::<_MM_CMPINT_LT>(blocks, literal, words),
            Comparison::LtEq => avx512_i64_words::<_MM_CMPINT_LE>(blocks, literal, words),
            Comparison::Gt => avx512_i64_words::<_MM_CMPINT_NLE>(blocks, literal, words),
            Comparison::GtEq => avx512_i64_words::<_MM_CMPINT_NLT>(blocks, literal, words),
        }
    }
}

#[target_feature(enable = "avx512f")]
fn avx512_i64_words<const OP: i32>(blocks: &[Block<i64>], literal: i64, words: &mut Vec<u64>) {
    let literal = _mm512_set1_epi64(literal);
    words.extend(blocks.iter().map(|block| {
        let (lanes, _) = block.as_chunks::<8>();
        lanes.iter().rev().fold(0u64, |word, lane| {
            // SAFETY: a lane is eight i64, the 64 bytes that an unaligned load reads.
            let values = unsafe { _mm512_loadu_epi64(lane.as_ptr()) };
            word << 8 | u64::from(_mm512_cmp_epi64_mask::<OP>(values, literal))
        })
    }));
}

pub(super) fn avx512_f64(
    level: Level,
    test: FloatTest,
    blocks: &[Block<f64>],
    literal: f64,
    words: &mut Vec<u64>,
) {
    assert_eq!(level.0, Set::Avx512, "only a processor with AVX-512 may come here");
    // SAFETY: the level was made by asking the processor for avx512f.
    unsafe {
        match test {
            FloatTest::Number(Comparison::Eq) => avx512_f64_words::<_CMP_EQ_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::NotEq) => avx512_f64_words::<_CMP_NEQ_UQ>(blocks, literal, words),
            FloatTest::Number(Comparison::Lt) => avx512_f64_words::<_CMP_LT_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::LtEq) => avx512_f64_words::<_CMP_LE_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::Gt) => avx512_f64_words::<_CMP_NLE_UQ>(blocks, literal, words),
            FloatTest::Number(Comparison::GtEq) => avx512_f64_words::<_CMP_NLT_UQ>(blocks, literal, words),
            FloatTest::IsNan => avx512_f64_words::<_CMP_UNORD_Q>(blocks, 0.0, words),
            FloatTest::IsNumber => avx512_f64_words::<_CMP_ORD_Q>(blocks, 0.0, words),
            FloatTest::Always(outcome) => constant_words(blocks.len(), outcome, words),
        }
    }
}

#[target_feature(enable = "avx512f")]
fn avx512_f64_words<const OP: i32>(blocks: &[Block<f64>], literal: f64, words: &mut Vec<u64>) {
    let literal = _mm512_set1_pd(literal);
    words.extend(blocks.iter().map(|block| {
        let (lanes, _) = block.as_chunks::<8>();
        lanes.iter().rev().fold(0u64, |word, lane| {
            // SAFETY: a lane is eight f64, the 64 bytes that an unaligned load reads.
            let values = unsafe { _mm512_loadu_pd(lane.as_ptr()) };
            word << 8 | u64::from(_mm512_cmp_pd_mask::<OP>(values, literal))
        })
    }));
}

pub(super) fn avx2_i64(
    level: Level,
    op: Comparison,
    blocks: &[Block<i64>],
    literal: i64,
    words: &mut Vec<u64>,
) {
    assert_eq!(level.0, Set::Avx2, "only a processor with AVX2 may come here");
    // SAFETY: the level was made by asking the processor for avx2.
    unsafe {
        match op {
            Comparison::Eq => avx2_i64_words::<EQUAL, 0>(blocks, literal, words),
            Comparison::NotEq => avx2_i64_words::<EQUAL, { u64::MAX }>(blocks, literal, words),
            Comparison::Lt => avx2_i64_words::<LESS, 0>(blocks, literal, words),
            Comparison::LtEq => avx2_i64_words::<GREATER, { u64::MAX }>(blocks, literal, words),
            Comparison::Gt => avx2_i64_words::<GREATER, 0>(blocks, literal, words),
            Comparison::GtEq => avx2_i64_words::<LESS, { u64::MAX }>(blocks, literal, words),
        }
    }
}

// AVX2 compares integers for equal and greater only; the other outcomes are one of these inverted.
const EQUAL: u8 = 0;
const GREATER: u8 = 1;
const LESS: u8 = 2;

#[target_feature(enable = "avx2")]
fn avx2_i64_words<const OP: u8, const INVERT: u64>(
    blocks: &[Block<i64>],
    literal: i64,
    words: &mut Vec<u64>,
) {
    let literal = _mm256_set1_epi64x(literal);
    words.extend(blocks.iter().map(|block| {
        let (lanes, _) = block.as_chunks::<4>();
        let word = lanes.iter().rev().fold(0u64, |word, lane| {
            // SAFETY: a lane is four i64, the 32 bytes that an unaligned load reads.
            let values = unsafe { _mm256_loadu_si256(lane.as_ptr().cast()) };
            let outcome = match OP {
                EQUAL => _mm256_cmpeq_epi64(values, literal),
                GREATER => _mm256_cmpgt_epi64(values, literal),
                _ => _mm256_cmpgt_epi64(literal, values),
            };
            word << 4 | low_bits(_mm256_movemask_pd(_mm256_castsi256_pd(outcome)))
        });
        word ^ INVERT
    }));
}

pub(super) fn avx2_f64(
    level: Level,
    test: FloatTest,
    blocks: &[Block<f64>],
    literal: f64,
    words: &mut Vec<u64>,
) {
    assert_eq!(level.0, Set::Avx2, "only a processor with AVX2 may come here");
    // SAFETY: the level was made by asking the processor for avx2, which includes avx.
    unsafe {
        match test {
            FloatTest::Number(Comparison::Eq) => avx2_f64_words::<_CMP_EQ_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::NotEq) => avx2_f64_words::<_CMP_NEQ_UQ>(blocks, literal, words),
            FloatTest::Number(Comparison::Lt) => avx2_f64_words::<_CMP_LT_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::LtEq) => avx2_f64_words::<_CMP_LE_OQ>(blocks, literal, words),
            FloatTest::Number(Comparison::Gt) => avx2_f64_words::<_CMP_NLE_UQ>(blocks, literal, words),
            FloatTest::Number(Comparison::GtEq) => avx2_f64_words::<_CMP_NLT_UQ>(blocks, literal, words),
            FloatTest::IsNan => avx2_f64_words::<_CMP_UNORD_Q>(blocks, 0.0, words),
            FloatTest::IsNumber => avx2_f64_words::<_CMP_ORD_Q>(blocks, 0.0, words),
            FloatTest::Always(outcome) => constant_words(blocks.len(), outcome, words),
        }
    }
}

#[target_feature(enable = "avx2")]
fn avx2_f64_words<const OP: i32>(blocks: &[Block<f64>], literal: f64, words: &mut Vec<u64>) {
    let literal = _mm256_set1_pd(literal);
    words.extend(blocks.iter().map(|block| {
        let (lanes, _) = block.as_chunks::<4>();
        lanes.iter().rev().fold(0u64, |word, lane| {
            // SAFETY: a lane is four f64, the 32 bytes that an unaligned load reads.
            let values = unsafe { _mm256_loadu_pd(lane.as_ptr()) };
            word << 4 | low_bits(_mm256_movemask_pd(_mm256_cmp_pd::<OP>(values, literal)))
        })
    }));
}

/// The four bits of a mask that was moved out of a vector.
fn low_bits(mask: i32) -> u64 {
    u64::from(mask.cast_unsigned() & 0b1111)
}

fn constant_words(blocks: usize, outcome: bool, words: &mut Vec<u64>) {
    words.extend(std::iter::repeat_n(if outcome { u64::MAX } else { 0 }, blocks));
}
