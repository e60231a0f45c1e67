//! From trees as libraries write them to [`Nodes`].

use super::model::{MISSING_RIGHT, Number};
use super::{ModelError, Nodes};

/// A node with its children by number, as formats have it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<T> {
    Leaf(T),
    Split { feature: u32, threshold: T, left: usize, right: usize, missing: u8 },
}

/// A tree whose nodes stand in any order, with its root at 0.
#[derive(Debug)]
pub(super) struct Tree<T> {
    pub(super) nodes: Vec<Node<T>>,
    /// How much of the training data came to each node.
    pub(super) cover: Vec<f64>,
}

impl<T: Number> Nodes<T> {
    /// Nodes without a tree.
    pub(super) fn new() -> Self {
        Self {
            roots: Vec::new(),
            feature: Vec::new(),
            threshold: Vec::new(),
            left: Vec::new(),
            missing: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Adds a tree, level by level. Nodes to which nothing leads are left behind: libraries keep the numbers
    /// of nodes that were pruned.
    ///
    /// # Errors
    /// What `malformed` makes of a sentence when a child does not exist or a node is reached twice; the numbers
    /// in the sentence are those of the format.
    pub(super) fn grow(
        &mut self,
        tree: &Tree<T>,
        narrow: impl Fn(f64) -> T,
        malformed: impl Fn(String) -> ModelError,
    ) -> Result<(), ModelError> {
        let start = self.left.len();
        let index = |node: usize| {
            u32::try_from(node).map_err(|_| malformed("more than 2³² nodes in one model".to_owned()))
        };
        self.roots.push(index(start)?);
        let mut reached = vec![false; tree.nodes.len()];
        // Nodes by their number in the format, in the order in which they are placed here.
        let mut order = vec![0];
        let mut at = 0;
        while let Some(&number) = order.get(at) {
            let node = tree.nodes.get(number);
            let node = node.ok_or_else(|| malformed(format!("no node {number} among {}", reached.len())))?;
            if std::mem::replace(&mut reached[number], true) {
                return Err(malformed(format!("two ways lead to node {number}; a tree has one")));
            }
            match *node {
                Node::Leaf(value) => {
                    self.push(0, narrow(0.0), index(start + at)?, 0, value);
                }
                Node::Split { feature, threshold, left, right, missing } => {
                    self.push(feature, threshold, index(start + order.len())?, missing, narrow(0.0));
                    order.extend([left, right]);
                }
            }
            at += 1;
        }
        self.fill_means(start, &order, &tree.cover, narrow);
        Ok(())
    }

    fn push(&mut self, feature: u32, threshold: T, left: u32, missing: u8, value: T) {
        self.feature.push(feature);
        self.threshold.push(threshold);
        self.left.push(left);
        self.missing.push(missing);
        self.value.push(value);
    }

    /// The mean of the leaves below each node that is none, from the last level up. Where no training data is
    /// known to have come, both children count alike.
    fn fill_means(&mut self, start: usize, order: &[usize], cover: &[f64], narrow: impl Fn(f64) -> T) {
        let mut means: Vec<f64> = self.value[start..].iter().map(|value| (*value).into()).collect();
        let cover = |place: usize| cover.get(order[place]).copied().unwrap_or(0.0);
        for place in (0..order.len()).rev() {
            let left = self.left[start + place] as usize - start;
            if left != place {
                let (a, b) = (cover(left), cover(left + 1));
                let (a, b) = if a + b > 0.0 { (a, b) } else { (1.0, 1.0) };
                means[place] = (means[left] * a + means[left + 1] * b) / (a + b);
                self.value[start + place] = narrow(means[place]);
            }
        }
    }
}

/// The bits of a node whose rows without the feature go left, or right.
pub(super) fn missing_goes(left: bool) -> u8 {
    if left { 0 } else { MISSING_RIGHT }
}
