//! Rows of partial state into panes, window by window.

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, UInt64Type};
use sabot_batch::key_index::KeyBatch;
use sabot_common::{EventTime, KeyGroupRange, KeyGroups};
use sabot_cpu::group_by::PartialState;
use std::borrow::Cow;
use std::ops::Range;

use super::combine::Combiner;
use super::layout::{GLOBAL, Layout};
use super::panes::Panes;
use crate::OperatorError;

/// Rows a run of one window should have on average; below that a morsel's rows are brought together
/// first. Finding pane and columns costs about as much as merging ten rows.
const RUN_ROWS_MIN: usize = 8;

/// Merges a batch of partial state into panes. Rows whose windows have all fired are not merged.
/// Returns how many there were.
pub(super) fn merge_partial(
    batch: &RecordBatch,
    layout: &Layout,
    panes: &mut Panes,
    mut combiner: Option<&mut Combiner>,
    watermark: EventTime,
    ids: &mut Vec<u32>,
) -> Result<u64, OperatorError> {
    if batch.num_rows() == 0 {
        return Ok(0);
    }
    let batch = gathered(batch, layout)?;
    let columns = batch.columns();
    let types = layout.key_types();
    let keys = KeyBatch::new(&types, layout.key_columns.iter().map(|i| &columns[*i]), batch.num_rows())?;
    let hashes = columns[layout.hash_column].as_primitive::<UInt64Type>().values();
    let state =
        PartialState::new(&layout.aggregates, &columns[layout.state_columns.clone()], batch.num_rows())?;
    let mut late = 0;
    for (start, rows) in runs(window_starts(&batch, layout), batch.num_rows()) {
        if layout.is_closed(start, watermark) {
            late += rows.len() as u64;
            continue;
        }
        if let Some(combiner) = &mut combiner {
            combiner.touch(start, panes);
        }
        let table = panes.at(start)?;
        table.upsert(&keys, rows.clone(), hashes, ids)?;
        table.state_mut().0.merge_rows(ids, &state, rows)?;
    }
    Ok(late)
}

/// Checks that all rows belong to key groups owned here. The group rises with the hash, so smallest
/// and largest hash speak for all.
pub(super) fn check_owned(
    hashes: &[u64],
    layout: &Layout,
    key_groups: KeyGroups,
    owned: KeyGroupRange,
) -> Result<(), OperatorError> {
    if layout.key_columns.is_empty() || hashes.is_empty() {
        return Ok(());
    }
    let (min, max) = hashes.iter().fold((u64::MAX, 0), |(min, max), h| (min.min(*h), max.max(*h)));
    let outside = [min, max].map(|h| key_groups.group_of(h)).into_iter().find(|g| !owned.contains(*g));
    outside.map_or(Ok(()), |group| Err(OperatorError::NotOwned { group, owned }))
}

/// The window of each row; `None` without windows.
pub(super) fn window_starts<'a>(batch: &'a RecordBatch, layout: &Layout) -> Option<&'a [i64]> {
    layout.window_column.map(|i| batch.column(i).as_primitive::<Int64Type>().values().as_ref())
}

/// The runs of rows of one window, in row order.
pub(super) fn runs(starts: Option<&[i64]>, rows: usize) -> impl Iterator<Item = (i64, Range<usize>)> {
    let mut next = 0;
    std::iter::from_fn(move || {
        if next == rows {
            return None;
        }
        let from = next;
        let Some(starts) = starts else {
            next = rows;
            return Some((GLOBAL, from..rows));
        };
        let start = starts[from];
        next = starts[from..].iter().position(|s| *s != start).map_or(rows, |run| from + run);
        Some((start, from..next))
    })
}

/// The batch with rows of one window side by side, if they were scattered.
fn gathered<'a>(batch: &'a RecordBatch, layout: &Layout) -> Result<Cow<'a, RecordBatch>, OperatorError> {
    let Some(starts) = window_starts(batch, layout) else { return Ok(Cow::Borrowed(batch)) };
    let changes = starts.windows(2).filter(|pair| pair[0] != pair[1]).count();
    if changes * RUN_ROWS_MIN <= batch.num_rows() {
        return Ok(Cow::Borrowed(batch));
    }
    let rows = u32::try_from(batch.num_rows()).map_err(OperatorError::input)?;
    let mut order: Vec<u32> = (0..rows).collect();
    order.sort_by_key(|row| starts[*row as usize]);
    let moved = take_record_batch(batch, &UInt32Array::from(order)).map_err(OperatorError::input)?;
    Ok(Cow::Owned(moved))
}
