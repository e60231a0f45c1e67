//! Grows trees on rows, and finds the score from which on there should be an alert.

use clap::Args;
use forust_ml::metric::Metric;
use forust_ml::{GradientBooster, Matrix};
use fraud_detection::metrics::{Measures, Outcome, Outcomes};
use std::error::Error;

use crate::rows::Rows;

/// The share of transactions that the threshold lets through as alerts: what somebody could look at.
const ALERTS_SHARE: f64 = 0.01;
/// So many trees may fail to help before no more are tried.
const PATIENCE: usize = 5;
/// Places at which a tree may divide a feature. Those of the usual 256 lie too far apart where amounts are rare and
/// large, and there frauds are.
const BINS: u16 = 4_096;
/// A leaf of fewer rows, counted by how undecided they are, has learned them by heart.
const LEAF_WEIGHT_MIN: f32 = 5.0;
/// How far a leaf may go at once, in log-odds before the learning rate. Without a limit trees that are very sure of a
/// terminal outvote the one that knows what an amount means: then one of 200 amounts over 220 is overlooked. With 2 and
/// a learning rate of 0.2 it was one of 450 on one seed of eleven, with this none.
const LEAF_MAX: f32 = 1.0;

/// How the model may look.
#[derive(Args, Debug)]
pub(crate) struct Trees {
    /// Trees at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    trees: usize,

    /// Questions that a tree asks of a transaction at most
    #[arg(long, value_name = "N", default_value_t = 4)]
    depth: usize,

    /// How much of what a tree has found goes into the model: less is steadier and takes more trees
    #[arg(long, value_name = "SHARE", default_value_t = 0.3)]
    learning_rate: f32,
}

/// What was learned.
pub(crate) struct Fitted {
    pub(crate) booster: GradientBooster,
    /// Those of its trees that count: later ones did not help.
    pub(crate) trees: usize,
    pub(crate) threshold: f64,
    /// How good it is on the rows that were checked with.
    pub(crate) measures: Measures,
}

pub(crate) fn fit(options: &Trees, learned: &Rows, checked: &Rows) -> Result<Fitted, Box<dyn Error>> {
    let mut booster = GradientBooster::default()
        .set_iterations(options.trees)
        .set_max_depth(options.depth)
        .set_learning_rate(options.learning_rate)
        .set_min_leaf_weight(LEAF_WEIGHT_MIN)
        .set_max_delta_step(LEAF_MAX)
        .set_nbins(BINS)
        .set_initialize_base_score(true)
        .set_tiled_histograms(true)
        .set_evaluation_metric(Some(Metric::LogLoss))
        .set_early_stopping_rounds(Some(PATIENCE));
    let weights = vec![1.0; checked.labels.len()];
    let check = vec![(checked.matrix(), checked.labels.as_slice(), weights.as_slice())];
    booster.fit_unweighted(&learned.matrix(), &learned.labels, Some(check))?;
    let trees = booster.best_iteration.map_or(booster.trees.len(), |best| best + 1);
    let margins = booster.predict(&checked.matrix(), true);
    let scores: Vec<f64> = margins.iter().map(|margin| 1.0 / (1.0 + (-margin).exp())).collect();
    let threshold = threshold(&scores);
    let mut outcomes = Outcomes::default();
    for ((score, label), scenario) in scores.iter().zip(&checked.labels).zip(&checked.scenarios) {
        outcomes.push(Outcome {
            score: Some(*score),
            alert: *score >= threshold,
            fraud: *label > 0.0,
            scenario: *scenario,
        });
    }
    Ok(Fitted { booster, trees, threshold, measures: outcomes.measures().0 })
}

impl Rows {
    fn matrix(&self) -> Matrix<'_, f64> {
        Matrix::new(&self.features, self.labels.len(), self.features.len() / self.labels.len().max(1))
    }
}

/// The score that a hundredth of the scores reach, rounded to what a person reads.
fn threshold(scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let at = (sorted.len() as f64 * ALERTS_SHARE) as usize;
    let exact = sorted.get(at.saturating_sub(1)).copied().unwrap_or(1.0);
    (exact * 1e4).ceil() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_reaches_the_threshold() {
        let scores: Vec<f64> = (0..1_000).map(|n| f64::from(n) / 1_000.0).collect();
        assert_eq!(threshold(&scores), 0.99);
        assert_eq!(scores.iter().filter(|score| **score >= 0.99).count(), 10);
        assert_eq!(threshold(&[0.123_45, 0.1]), 0.123_5);
        assert_eq!(threshold(&[]), 1.0);
    }
}
