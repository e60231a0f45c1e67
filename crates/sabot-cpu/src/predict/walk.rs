//! The walk of a block of rows down each tree.

use sabot_ops::{MISSING_RIGHT, Nodes, Number, ZERO, ZERO_IS_MISSING};
use std::ops::AddAssign;

/// Rows that walk together.
pub(super) const BLOCK: usize = 64;

/// A float in the arithmetic of its library.
pub(super) trait Feature: Number + AddAssign + Default {
    /// No number.
    const NAN: Self;
    /// The number as the trees take it.
    fn read(self) -> Self;
    /// Whether it lies right of a threshold. Nothing lies right of NaN, and NaN lies right of nothing.
    fn is_right(self, threshold: Self) -> bool;
}

impl Feature for f32 {
    const NAN: f32 = f32::NAN;
    fn read(self) -> f32 {
        self
    }
    fn is_right(self, threshold: f32) -> bool {
        self >= threshold
    }
}

impl Feature for f64 {
    const NAN: f64 = f64::NAN;
    fn read(self) -> f64 {
        if self.abs() <= ZERO { 0.0 } else { self }
    }
    fn is_right(self, threshold: f64) -> bool {
        self > threshold
    }
}

/// What a step reads of a node, side by side: one cache line has several, and none is read in part.
#[derive(Clone, Copy, Debug)]
struct Node<T> {
    threshold: T,
    left: u32,
    feature: u32,
    missing: u8,
}

/// All trees.
#[derive(Clone, Debug)]
pub(super) struct Trees<T> {
    roots: Vec<u32>,
    nodes: Vec<Node<T>>,
    values: Vec<T>,
    /// Whether zero is missing for any node; else no step asks.
    zeros: bool,
}

/// What the trees say of rows.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The sum of each row, not yet divided.
    pub(super) margins: Vec<f64>,
    /// A stretch of `width` for each row, by feature; nothing where it was not asked for.
    pub(super) contributions: Vec<f64>,
    /// The number of features, and at least one.
    pub(super) width: usize,
}

impl<T: Feature> Trees<T> {
    /// Of nodes that were checked.
    pub(super) fn new(nodes: &Nodes<T>) -> Self {
        let node = |at: usize| Node {
            threshold: if nodes.is_leaf(at) { T::NAN } else { nodes.threshold[at] },
            left: nodes.left[at],
            feature: if nodes.is_leaf(at) { 0 } else { nodes.feature[at] },
            missing: if nodes.is_leaf(at) { 0 } else { nodes.missing[at] },
        };
        Self {
            roots: nodes.roots.clone(),
            nodes: (0..nodes.left.len()).map(node).collect(),
            values: nodes.value.clone(),
            zeros: nodes.missing.iter().any(|bits| bits & ZERO_IS_MISSING != 0),
        }
    }

    /// The answers for rows with these columns.
    pub(super) fn answers(&self, columns: &[Vec<T>], rows: usize, base: T, attribute: bool) -> Answers {
        match (self.zeros, attribute) {
            (false, false) => self.all::<false, false>(columns, rows, base),
            (false, true) => self.all::<false, true>(columns, rows, base),
            (true, false) => self.all::<true, false>(columns, rows, base),
            (true, true) => self.all::<true, true>(columns, rows, base),
        }
    }

    fn all<const ZEROS: bool, const ATTRIBUTE: bool>(
        &self,
        columns: &[Vec<T>],
        rows: usize,
        base: T,
    ) -> Answers {
        // A leaf reads the first feature, so there is one.
        let width = columns.len().max(1);
        let contributions = vec![0.0; if ATTRIBUTE { rows * width } else { 0 }];
        let mut answers = Answers { margins: Vec::with_capacity(rows), contributions, width };
        let mut block = vec![T::default(); BLOCK * width];
        for start in (0..rows).step_by(BLOCK) {
            let lanes = BLOCK.min(rows - start);
            for (feature, column) in columns.iter().enumerate() {
                let lane = block.iter_mut().skip(feature).step_by(width);
                lane.zip(&column[start..start + lanes]).for_each(|(to, from)| *to = from.read());
            }
            let of_block: &mut [f64] = match ATTRIBUTE {
                true => &mut answers.contributions[start * width..(start + lanes) * width],
                false => &mut [],
            };
            let mut sums = [base; BLOCK];
            for root in &self.roots {
                let mut at = [*root; BLOCK];
                self.walk::<ZEROS, ATTRIBUTE>(&mut at[..lanes], &block, width, of_block);
                for (sum, leaf) in sums.iter_mut().zip(&at[..lanes]) {
                    *sum += self.values[*leaf as usize];
                }
            }
            answers.margins.extend(sums[..lanes].iter().map(|sum| -> f64 { (*sum).into() }));
        }
        answers
    }

    /// Takes rows from a root to their leaves.
    fn walk<const ZEROS: bool, const ATTRIBUTE: bool>(
        &self,
        at: &mut [u32],
        block: &[T],
        width: usize,
        contributions: &mut [f64],
    ) {
        loop {
            let mut moved = 0;
            for (lane, (place, row)) in at.iter_mut().zip(block.chunks_exact(width)).enumerate() {
                let node = self.nodes[*place as usize];
                let next = node.left + u32::from(goes_right::<T, ZEROS>(row[node.feature as usize], &node));
                if ATTRIBUTE {
                    // At a leaf this adds nothing: the leaf follows itself.
                    let before: f64 = self.values[*place as usize].into();
                    let behind: f64 = self.values[next as usize].into();
                    contributions[lane * width + node.feature as usize] += behind - before;
                }
                moved |= next ^ *place;
                *place = next;
            }
            if moved == 0 {
                return;
            }
        }
    }
}

#[inline(always)]
fn goes_right<T: Feature, const ZEROS: bool>(x: T, node: &Node<T>) -> bool {
    let zero = ZEROS && (node.missing & ZERO_IS_MISSING != 0) & (x == T::default());
    let is_missing = x.into().is_nan() | zero;
    let missing_right = node.missing & MISSING_RIGHT != 0;
    (is_missing & missing_right) | (!is_missing & x.is_right(node.threshold))
}
