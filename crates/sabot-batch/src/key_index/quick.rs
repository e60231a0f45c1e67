//! Hashes for tables that live no longer than a batch.
//!
//! The key hash is a specification: 32-bit words, the same on every device, in every version. A table
//! that is cleared with each morsel needs none of that, only that equal keys hash alike and that low and
//! middle bits are spread. One 64 × 64-bit multiplication a column does, folded as in wyhash (Wang Yi);
//! a short string is two words of its view, whatever its length.

use super::columns::{Input, KeyBatch, Numbers};
use super::text::Texts;

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// Stands for null; any word will do, as equal hashes only cost a comparison.
const NULL: u64 = 0x6e75_6c6c_6e75_6c6c;

/// Both halves of the product, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn absorb(hash: u64, word: u64) -> u64 {
    // The odd constant keeps a zero word from swallowing the hash.
    fold(hash ^ word, SPREAD ^ hash.rotate_left(32))
}

impl KeyBatch<'_> {
    /// Replaces the contents of `hashes` by one hash a row: equal for equal keys of this batch or of any
    /// other with the same types. Not the key hash, not the same in every version, and never to be kept.
    pub fn quick_hashes(&self, seed: u64, hashes: &mut Vec<u64>) {
        hashes.clear();
        hashes.resize(self.rows(), seed ^ SPREAD);
        for column in &self.columns {
            match column {
                Input::Words(words) => match &words.nulls {
                    None => each(hashes, words.values.iter(), |hash, word| absorb(hash, *word as u64)),
                    Some(nulls) => {
                        each(hashes, words.values.iter().zip(nulls.iter()), |hash, (word, valid)| {
                            absorb(hash, if valid { *word as u64 } else { NULL })
                        })
                    }
                },
                Input::Wide(numbers) => absorb_numbers(hashes, numbers, |hash, value| {
                    absorb(absorb(hash, value as u64), (value >> 64) as u64)
                }),
                Input::Widest(numbers) => absorb_numbers(hashes, numbers, |hash, value| {
                    let (low, high) = value.to_parts();
                    [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64]
                        .into_iter()
                        .fold(hash, absorb)
                }),
                Input::Texts(texts) => absorb_texts(hashes, texts),
            }
        }
    }
}

fn each<T>(hashes: &mut [u64], values: impl Iterator<Item = T>, f: impl Fn(u64, T) -> u64) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        *hash = f(*hash, value);
    }
}

fn absorb_numbers<T: Copy>(hashes: &mut [u64], numbers: &Numbers<'_, T>, f: impl Fn(u64, T) -> u64) {
    for (row, (hash, value)) in hashes.iter_mut().zip(numbers.values.iter()).enumerate() {
        let valid = numbers.nulls.as_ref().is_none_or(|n| n.is_valid(row));
        *hash = if valid { f(*hash, *value) } else { absorb(*hash, NULL) };
    }
}

fn absorb_texts(hashes: &mut [u64], texts: &Texts<'_>) {
    for (row, hash) in hashes.iter_mut().enumerate() {
        *hash = match texts.inline(row) {
            Some([low, high]) => fold(absorb(*hash, low), SPREAD ^ high),
            None => texts.get(row).unwrap_or_default().chunks(8).fold(*hash, |hash, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                absorb(hash, u64::from_le_bytes(word))
            }),
        };
    }
}
