//! Which ranges of key groups are blocks: pure arithmetic over sizes.

use sabot_common::KeyGroupRange;

use super::{BlockSizes, Known};
use crate::block::BlockError;

/// A range of key groups and the blocks that hold its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) groups: KeyGroupRange,
    /// Several of a group that is too large for one, none of a range without rows; `None` where they are not
    /// known.
    pub(super) blocks: Option<Vec<Known>>,
}

/// An owned range of which nothing is known.
pub(super) fn unknown(owned: KeyGroupRange) -> Vec<Piece> {
    if owned.is_empty() { Vec::new() } else { vec![Piece { groups: owned, blocks: None }] }
}

/// Where a range is cut in two: at the number in it that is divisible by the highest power of two, so that a
/// range is cut in the same place whatever surrounds it. `None` for a single group.
pub(super) fn middle(range: KeyGroupRange) -> Option<u16> {
    (range.start.checked_add(1)?..range.end).max_by_key(|at| (at.trailing_zeros(), std::cmp::Reverse(*at)))
}

/// The layout of an earlier epoch, from its blocks: what tiles the owned range is taken over, the rest is
/// unknown.
pub(super) fn of_blocks(
    owned: KeyGroupRange,
    blocks: impl Iterator<Item = (KeyGroupRange, Known)>,
) -> Vec<Piece> {
    let inside =
        |range: &KeyGroupRange| !range.is_empty() && owned.start <= range.start && range.end <= owned.end;
    let mut blocks: Vec<_> = blocks.filter(|(range, _)| inside(range)).collect();
    // Stable: the runs of one group keep their order.
    blocks.sort_by_key(|(range, _)| (range.start, range.end));
    let mut pieces: Vec<Piece> = Vec::new();
    for (groups, known) in blocks {
        let next = pieces.last().map_or(owned.start, |last| last.groups.end);
        match pieces.last_mut() {
            Some(last) if last.groups == groups => last.blocks.get_or_insert_default().push(known),
            // Two epochs at once: nobody knows which one was restored.
            _ if groups.start < next => return unknown(owned),
            _ => {
                pieces.extend(unknown(KeyGroupRange { start: next, end: groups.start }));
                pieces.push(Piece { groups, blocks: Some(vec![known]) });
            }
        }
    }
    let next = pieces.last().map_or(owned.start, |last| last.groups.end);
    pieces.extend(unknown(KeyGroupRange { start: next, end: owned.end }));
    pieces
}

/// Covered ranges are whole pieces, and every unknown piece is covered.
pub(super) fn check_cover(pieces: &[Piece], covered: &[KeyGroupRange]) -> Result<(), BlockError> {
    let ascending = covered.windows(2).all(|pair| pair[0].end <= pair[1].start);
    let starts = |group: u16| pieces.iter().any(|piece| piece.groups.start == group);
    let ends = |group: u16| pieces.iter().any(|piece| piece.groups.end == group);
    let whole = covered.iter().all(|range| range.is_empty() || (starts(range.start) && ends(range.end)));
    if !ascending || !whole {
        return Err(BlockError::rows("the ranges of a snapshot are not those that were asked for"));
    }
    match pieces.iter().find(|piece| piece.blocks.is_none() && !covers(covered, piece.groups)) {
        None => Ok(()),
        Some(Piece { groups, .. }) => Err(BlockError::rows(format!(
            "key groups {}..{} are in no block and in no snapshot",
            groups.start, groups.end
        ))),
    }
}

pub(super) fn covers(covered: &[KeyGroupRange], range: KeyGroupRange) -> bool {
    covered.iter().any(|cover| cover.start <= range.start && range.end <= cover.end)
}

/// The next layout: covered pieces are cut and joined by their sizes and have unknown blocks, others stay.
pub(super) fn cut(
    pieces: &[Piece],
    covered: &[KeyGroupRange],
    sizes: BlockSizes,
    size_of: &dyn Fn(KeyGroupRange) -> u64,
) -> Vec<Piece> {
    let mut next: Vec<Piece> = Vec::new();
    for piece in pieces {
        if !covers(covered, piece.groups) {
            next.push(piece.clone());
            continue;
        }
        let mut parts = vec![piece.groups];
        while let Some(range) = parts.pop() {
            match middle(range).filter(|_| size_of(range) > sizes.split_above) {
                Some(middle) => {
                    parts.push(KeyGroupRange { start: middle, end: range.end });
                    parts.push(KeyGroupRange { start: range.start, end: middle });
                }
                None => {
                    next.push(Piece { groups: range, blocks: None });
                    join_halves(&mut next, sizes, size_of);
                }
            }
        }
    }
    next
}

/// Joins the last two pieces while they are small halves of one range.
fn join_halves(pieces: &mut Vec<Piece>, sizes: BlockSizes, size_of: &dyn Fn(KeyGroupRange) -> u64) {
    while let [.., left, right] = pieces.as_slice() {
        let whole = KeyGroupRange { start: left.groups.start, end: right.groups.end };
        let both_new = left.blocks.is_none() && right.blocks.is_none();
        if !both_new || middle(whole) != Some(right.groups.start) || size_of(whole) >= sizes.merge_below {
            return;
        }
        pieces.truncate(pieces.len() - 2);
        pieces.push(Piece { groups: whole, blocks: None });
    }
}
