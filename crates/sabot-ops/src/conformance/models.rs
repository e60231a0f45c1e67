//! Random models of trees, for whoever tests what is made of one.

use rand::Rng;
use rand::seq::IndexedRandom;
use std::collections::BTreeMap;

use crate::{Forest, MISSING_RIGHT, Nodes, Number, Objective, TreeModel};

/// Numbers of which thresholds are drawn. Rows that are drawn of them too often meet the threshold itself, and
/// those around the smallest and largest float32 are where widths and zeros go wrong.
pub const THRESHOLDS: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    1.5,
    -1.5,
    2.0,
    7.0,
    1e-35,
    -2e-35,
    1e-40,
    16_777_217.0,
    0.1,
    f64::INFINITY,
    f64::NEG_INFINITY,
];

/// A model over these features, of either arithmetic, with up to 11 trees. Without features every tree is a leaf.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use sabot_ops::conformance::tree_model;
///
/// let features = vec!["delay".to_owned(), "wind".to_owned()];
/// let model = tree_model(&mut ChaCha8Rng::seed_from_u64(1), features.clone());
/// assert!(model.check().is_ok() && model.features == features);
/// ```
pub fn tree_model(rng: &mut impl Rng, features: Vec<String>) -> TreeModel {
    let forest = match rng.random() {
        true => Forest::Single(nodes(rng, features.len(), |x| x as f32)),
        false => Forest::Double(nodes(rng, features.len(), |x| x)),
    };
    let objective = match rng.random() {
        true => Objective::Identity,
        false => Objective::Logistic { slope: 0.7 },
    };
    let base = f64::from(rng.random_range(-1.0..1.0_f32));
    let (divisor, attributes) = (rng.random_range(1..4), BTreeMap::new());
    TreeModel { features, base, divisor, objective, forest, attributes }
}

fn nodes<T: Number>(rng: &mut impl Rng, features: usize, narrow: fn(f64) -> T) -> Nodes<T> {
    let (roots, feature, threshold, left, missing, value) = Default::default();
    let mut nodes = Nodes { roots, feature, threshold, left, missing, value };
    for _ in 0..rng.random_range(0..12) {
        grow(rng, &mut nodes, features, narrow);
    }
    // Kernels have a shorter way for models in which zero is not missing.
    if rng.random() {
        nodes.missing.iter_mut().for_each(|bits| *bits &= MISSING_RIGHT);
    }
    nodes
}

/// A tree, level by level; some are a leaf, some a chain.
fn grow<T: Number>(rng: &mut impl Rng, nodes: &mut Nodes<T>, features: usize, narrow: fn(f64) -> T) {
    let start = nodes.left.len();
    // At most 61 nodes each, so places are far below 2³².
    let place = |node: usize| (start + node) as u32;
    let most = rng.random_range(0..30);
    let (mut at, mut count) = (0, 1);
    while at < count {
        nodes.value.push(narrow(rng.random_range(-3.0..3.0)));
        if features == 0 || count > 2 * most || rng.random_ratio(1, 4) {
            nodes.left.push(place(at));
            nodes.feature.push(0);
            nodes.threshold.push(narrow(0.0));
            nodes.missing.push(0);
        } else {
            nodes.left.push(place(count));
            nodes.feature.push(rng.random_range(0..features) as u32);
            nodes.threshold.push(narrow(THRESHOLDS.choose(rng).copied().unwrap_or_default()));
            nodes.missing.push(rng.random_range(0..4));
            count += 2;
        }
        at += 1;
    }
    nodes.roots.push(place(0));
}
