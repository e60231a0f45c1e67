//! Aggregates over frames, from a tree of partial state.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use sabot_ops::AggregateSpec;
use std::ops::Range;

use super::bad;
use crate::group_by::{AccumulateError, Accumulators};

/// Merges that one level asks for: which result takes which node.
#[derive(Default)]
struct Merges {
    results: Vec<u32>,
    nodes: Vec<u32>,
}

/// The aggregate over the rows of each frame.
///
/// Nodes are merged from the first row of a frame to the last, so that an aggregate may depend on order.
pub(super) fn aggregate(
    spec: &AggregateSpec,
    rows: &RecordBatch,
    frames: &[Range<usize>],
) -> Result<ArrayRef, AccumulateError> {
    let specs = std::slice::from_ref(spec);
    let ids: Vec<u32> = (0..u32::try_from(frames.len()).map_err(bad)?).collect();
    let mut result = Accumulators::new(specs)?;
    result.resize(frames.len());

    let mut open: Vec<(u32, u32, u32)> = Vec::with_capacity(frames.len());
    for (id, frame) in ids.iter().zip(frames) {
        // Rows there are fit into the ids, so places do.
        open.push((*id, frame.start as u32, frame.end as u32));
    }
    let mut level = leaves(specs, rows)?;
    let mut behind: Vec<(Merges, Vec<ArrayRef>)> = Vec::new();
    let mut width = rows.num_rows();
    loop {
        let (mut left, mut right) = (Merges::default(), Merges::default());
        open.retain_mut(|(id, start, end)| {
            if start < end && *start % 2 == 1 {
                left.push(*id, *start);
                *start += 1;
            }
            if start < end && *end % 2 == 1 {
                *end -= 1;
                right.push(*id, *end);
            }
            (*start, *end) = (*start / 2, *end / 2);
            start < end
        });
        left.merge_into(&mut result, &level)?;
        let done = open.is_empty();
        let next = if done { Vec::new() } else { parents(specs, &level, width)? };
        behind.push((right, std::mem::replace(&mut level, next)));
        if done {
            break;
        }
        width = width.div_ceil(2);
    }
    // The right ends of frames, from the widest node to the narrowest.
    for (right, level) in behind.into_iter().rev() {
        right.merge_into(&mut result, &level)?;
    }
    let mut columns = result.finish(&ids)?;
    columns.pop().ok_or_else(|| bad("an aggregate without result"))
}

impl Merges {
    fn push(&mut self, result: u32, node: u32) {
        self.results.push(result);
        self.nodes.push(node);
    }

    fn merge_into(self, result: &mut Accumulators, level: &[ArrayRef]) -> Result<(), AccumulateError> {
        if self.results.is_empty() {
            return Ok(());
        }
        let nodes = UInt32Array::from(self.nodes);
        let state = level.iter().map(|column| take(column, &nodes, None).map_err(bad));
        result.merge(&self.results, &state.collect::<Result<Vec<_>, _>>()?)
    }
}

/// The state of each row by itself.
fn leaves(specs: &[AggregateSpec], rows: &RecordBatch) -> Result<Vec<ArrayRef>, AccumulateError> {
    let ids: Vec<u32> = (0..u32::try_from(rows.num_rows()).map_err(bad)?).collect();
    let mut state = Accumulators::new(specs)?;
    state.resize(ids.len());
    state.update(&ids, rows)?;
    state.partial(&ids)
}

/// The state of each two neighbours together.
fn parents(
    specs: &[AggregateSpec],
    level: &[ArrayRef],
    width: usize,
) -> Result<Vec<ArrayRef>, AccumulateError> {
    let children: Vec<u32> = (0..u32::try_from(width).map_err(bad)?).map(|child| child / 2).collect();
    let ids: Vec<u32> = (0..children.last().map_or(0, |last| last + 1)).collect();
    let mut state = Accumulators::new(specs)?;
    state.resize(ids.len());
    state.merge(&children, level)?;
    state.partial(&ids)
}
