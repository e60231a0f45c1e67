//! What becomes of an element, until it may leave.

use sabot_batch::{Morsel, RowKind};
use sabot_plan::Port;
use std::collections::VecDeque;

use crate::element::{Charged, Element};
use crate::error::JobError;

/// The results of one element.
pub(crate) struct Slot {
    pub(crate) pieces: Vec<Piece>,
}

/// The results of one part of a morsel; there are several only after it was cut smaller.
pub(crate) struct Piece {
    pub(crate) id: u32,
    pub(crate) items: VecDeque<Item>,
    pub(crate) complete: bool,
}

pub(crate) enum Item {
    Rows(Port, u32, Charged),
    Control(Element),
    Failed(JobError),
}

/// The first row of the second half of a morsel. An update pair is not parted: alone, each half of it would mean something
/// else. `None` when there are no two halves.
pub(crate) fn half_of(morsel: &Morsel) -> Option<usize> {
    let middle = morsel.rows() / 2;
    let parts_pair = middle > 0 && morsel.kinds().get(middle - 1) == Some(RowKind::UpdateBefore);
    let half = middle + usize::from(parts_pair);
    (half > 0 && half < morsel.rows()).then_some(half)
}
