//! The loops over rows that are about counts and best values; sums have a file of their own.

use arrow::buffer::NullBuffer;
use sabot_batch::key_index::text::{TextStore, Texts};
use sabot_batch::key_index::words::Words;
use std::ops::Range;

use super::sums::{BeyondWide, each_valid};

pub(super) fn count_rows(ids: &[u32], counts: &mut [i64]) {
    ids.iter().for_each(|id| counts[*id as usize] += 1);
}

/// Counts every row: group by group where that has been done before, else row by row.
pub(super) fn add_rows(ids: &[u32], rows: Option<&[i64]>, counts: &mut [i64]) {
    match rows {
        Some(rows) => counts.iter_mut().zip(rows).for_each(|(count, more)| *count += more),
        None => count_rows(ids, counts),
    }
}

pub(super) fn add_counts(ids: &[u32], more: &[i64], counts: &mut [i64]) -> Result<(), BeyondWide> {
    let mut beyond = false;
    for (id, more) in ids.iter().zip(more) {
        let count = &mut counts[*id as usize];
        let (next, overflow) = count.overflowing_add(*more);
        (*count, beyond) = (next, beyond | overflow);
    }
    if beyond { Err(BeyondWide) } else { Ok(()) }
}

/// Merges how many values there were; a sum without a count column only says whether there were any.
pub(super) fn merge_presence(
    ids: &[u32],
    more: Option<&[i64]>,
    nulls: Option<&NullBuffer>,
    rows: Range<usize>,
    counts: &mut [i64],
) -> Result<(), BeyondWide> {
    if let Some(more) = more {
        return add_counts(ids, &more[rows], counts);
    }
    for (row, id) in rows.zip(ids) {
        counts[*id as usize] |= i64::from(nulls.is_none_or(|n| n.is_valid(row)));
    }
    Ok(())
}

pub(super) fn improve_words(
    ids: &[u32],
    words: &Words<'_>,
    best: &mut [i64],
    seen: &mut [bool],
    largest: bool,
) {
    if largest {
        each_valid(ids, words, |id, word| {
            best[id] = best[id].max(word);
            seen[id] = true;
        });
    } else {
        each_valid(ids, words, |id, word| {
            best[id] = best[id].min(word);
            seen[id] = true;
        });
    }
}

pub(super) fn improve_texts(
    ids: &[u32],
    texts: &Texts<'_>,
    rows: Range<usize>,
    best: &mut TextStore,
    largest: bool,
) {
    for (row, id) in rows.zip(ids) {
        let Some(text) = texts.get(row) else { continue };
        let better = best.get(*id).is_none_or(|old| if largest { text > old } else { text < old });
        if better {
            best.set(*id, texts, row);
        }
    }
}
