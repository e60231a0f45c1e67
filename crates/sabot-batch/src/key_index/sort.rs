//! Sorting ids by their keys, mostly without looking at keys.
//!
//! Each key has a 64-bit prefix that orders it wherever two prefixes differ. What prefixes of one table
//! have in common at both ends (short strings end in zeros, small integers begin alike) is cut off; if
//! what is left fits into one word together with the id, sorting is sorting words. Only ids with equal
//! prefixes are compared by key.

use std::cmp::Ordering;

/// Replaces `ids` by all ids in the order of their keys. `prefixes` has one for each id, `None` for null,
/// which is greatest; `exact` says that equal prefixes are equal keys.
pub(super) fn by_prefix(
    prefixes: &[Option<u64>],
    exact: bool,
    ids: &mut Vec<u32>,
    compare: impl Fn(u32, u32) -> Ordering,
) {
    ids.clear();
    let least = prefixes.iter().flatten().copied().min().unwrap_or(0);
    let differing = prefixes.iter().flatten().fold(0, |bits, prefix| bits | (prefix - least));
    let cut = differing.trailing_zeros().min(63);
    // Nulls come behind the largest prefix.
    let null = (differing >> cut).wrapping_add(1);
    let id_bits = usize::BITS - prefixes.len().leading_zeros();
    if null != 0 && u64::BITS - null.leading_zeros() + id_bits <= u64::BITS {
        let word = |prefix: &Option<u64>| prefix.map_or(null, |p| (p - least) >> cut);
        let packed = prefixes.iter().zip(0u64..).map(|(prefix, id)| word(prefix) << id_bits | id);
        sort_packed(packed.collect(), id_bits, exact, ids, compare);
    } else {
        let word = |prefix: &Option<u64>| prefix.map_or(1 << 64, u128::from);
        let packed = prefixes.iter().zip(0u128..).map(|(prefix, id)| word(prefix) << 32 | id);
        sort_packed(packed.collect(), 32, exact, ids, compare);
    }
}

/// Sorts words of prefix and id, then ids of equal prefix by key.
fn sort_packed<W>(
    mut packed: Vec<W>,
    id_bits: u32,
    exact: bool,
    ids: &mut Vec<u32>,
    compare: impl Fn(u32, u32) -> Ordering,
) where
    W: Copy + Ord + Into<u128>,
{
    packed.sort_unstable();
    let mask = (1u128 << id_bits) - 1;
    // Ids are below 2^32 and below the mask.
    ids.extend(packed.iter().map(|word| ((*word).into() & mask) as u32));
    if exact {
        return;
    }
    let prefix = |word: &W| (*word).into() >> id_bits;
    let mut start = 0;
    for ties in packed.chunk_by(|a, b| prefix(a) == prefix(b)) {
        let end = start + ties.len();
        if ties.len() > 1 {
            ids[start..end].sort_unstable_by(|a, b| compare(*a, *b));
        }
        start = end;
    }
}
