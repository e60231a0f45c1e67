//! How good scores and alerts were, where it is known what was a fraud.
//!
//! The measures are those of scikit-learn: equal scores cannot be told apart, so they are taken together. The area
//! under the ROC curve counts a pair of equal scores as half right; average precision adds up precision at each
//! different score, weighted by the recall gained there, without interpolation.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The scenarios by which frauds are told apart.
const SCENARIOS: [u8; 3] = [1, 2, 3];
/// The share of transactions that somebody could look at.
const INSPECTED_PERCENT: u64 = 1;

/// So many scores wait to be counted: a sort of them stays in the caches, and what is counted is walked through rarely.
const COUNTED_AT_ONCE: usize = 1 << 20;

/// What is known of one transaction afterwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What the model said; none without a model.
    pub score: Option<f64>,
    /// Whether there was an alert.
    pub alert: bool,
    /// Whether it was a fraud.
    pub fraud: bool,
    /// By which scenario; 0 where nobody says.
    pub scenario: u8,
}

/// Outcomes, as far as measures need them: each fraud, and of all others how many had which score. A model has far fewer
/// scores than there are transactions: the one that is shipped gave 20,000,000 of them 615,720 different ones.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    frauds: Vec<Fraud>,
    /// Scores that are not counted yet, as they came.
    sound_scores: Vec<f64>,
    /// Each score once and how many had it, from the highest to the lowest.
    sound_by_score: Vec<(f64, u64)>,
    sound: u64,
    false_alerts: u64,
    has_scores: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fraud {
    score: f64,
    scenario: u8,
    alert: bool,
}

/// A point of the precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The share of frauds whose score is at least the point's.
    pub recall: f64,
    /// The share of frauds among all with such a score.
    pub precision: f64,
}

/// The measures. One that nothing can be said of is `None`: without frauds there is no recall.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Measures {
    /// Area under the ROC curve of the score.
    pub auc: Option<f64>,
    /// Average precision of the score.
    pub average_precision: Option<f64>,
    /// The share of frauds among alerts.
    pub precision: Option<f64>,
    /// The share of frauds with an alert.
    pub recall: Option<f64>,
    /// The same of each scenario.
    pub recall_by_scenario: BTreeMap<u8, Option<f64>>,
    /// The share of each scenario's frauds among the 1 % of transactions with the highest scores. Of equal scores
    /// that would go beyond, none is among them.
    pub recall_by_scenario_at_1_percent: BTreeMap<u8, Option<f64>>,
}

impl Measures {
    /// Nothing is known.
    pub fn unknown() -> Self {
        let nothing: BTreeMap<u8, Option<f64>> = SCENARIOS.map(|scenario| (scenario, None)).into();
        Self {
            recall_by_scenario: nothing.clone(),
            recall_by_scenario_at_1_percent: nothing,
            ..Self::default()
        }
    }
}

impl Outcomes {
    /// None yet, with room for so many, so that nobody waits while they are counted: that takes a twentieth of a second.
    pub fn with_capacity(outcomes: usize) -> Self {
        Self { sound_scores: Vec::with_capacity(outcomes), ..Self::default() }
    }

    /// Takes one in.
    pub fn push(&mut self, outcome: Outcome) {
        let Outcome { score, alert, fraud, scenario } = outcome;
        self.has_scores |= score.is_some();
        // One without a score, where others have some, is last.
        let score = score.unwrap_or(f64::NEG_INFINITY);
        if fraud {
            self.frauds.push(Fraud { score, scenario, alert });
        } else {
            self.sound += 1;
            self.false_alerts += u64::from(alert);
            if self.sound_scores.len() >= self.sound_scores.capacity().max(COUNTED_AT_ONCE) {
                self.count();
            }
            self.sound_scores.push(score);
        }
    }

    /// Counts the scores that have come.
    fn count(&mut self) {
        self.sound_scores.sort_unstable_by(|a, b| b.total_cmp(a));
        let equal = |a: &f64, b: &f64| a.total_cmp(b).is_eq();
        let came = self.sound_scores.chunk_by(equal).map(|scores| (scores[0], scores.len() as u64));
        self.sound_by_score.extend(came);
        self.sound_scores.clear();
        // Two sorted runs, which a stable sort only merges.
        self.sound_by_score.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.sound_by_score.dedup_by(|next, kept| {
            let again = equal(&next.0, &kept.0);
            kept.1 += if again { next.1 } else { 0 };
            again
        });
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.frauds.len() as u64 + self.sound
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Measures and the precision-recall curve, from the highest score to the lowest.
    pub fn measures(mut self) -> (Measures, Vec<Point>) {
        let mut measures = Measures::unknown();
        let alerted = self.frauds.iter().filter(|fraud| fraud.alert).count() as f64;
        measures.precision = share(alerted, alerted + self.false_alerts as f64);
        measures.recall = share(alerted, self.frauds.len() as f64);
        measures.recall_by_scenario = self.by_scenario(|fraud| fraud.alert);
        if !self.has_scores {
            return (measures, Vec::new());
        }
        self.frauds.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
        self.count();
        let inspected = self.len() * INSPECTED_PERCENT / 100;
        let mut cut = f64::INFINITY;
        let mut curve = Vec::new();
        let (frauds, sound) = (self.frauds.len() as f64, self.sound as f64);
        let (mut area, mut precisions) = (0.0, 0.0);
        for step in Steps::new(&self.frauds, &self.sound_by_score) {
            // Half of the pairs within a step, all of those with frauds above it.
            area += step.sound as f64 * (step.frauds_above as f64 + step.frauds as f64 / 2.0);
            let (found, seen) = (step.frauds_above + step.frauds, step.above + step.frauds + step.sound);
            let precision = found as f64 / seen as f64;
            precisions += step.frauds as f64 * precision;
            if seen <= inspected {
                cut = step.score;
            }
            if frauds > 0.0 {
                curve.push(Point { recall: found as f64 / frauds, precision });
            }
        }
        measures.auc = share(area, frauds * sound);
        measures.average_precision = share(precisions, frauds);
        measures.recall_by_scenario_at_1_percent = self.by_scenario(|fraud| fraud.score >= cut);
        (measures, curve)
    }

    fn by_scenario(&self, found: impl Fn(&Fraud) -> bool) -> BTreeMap<u8, Option<f64>> {
        let of = |scenario| {
            let all = || self.frauds.iter().filter(move |fraud| fraud.scenario == scenario);
            (scenario, share(all().filter(|fraud| found(fraud)).count() as f64, all().count() as f64))
        };
        SCENARIOS.map(of).into()
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// Outcomes of one score.
struct Step {
    score: f64,
    frauds: u64,
    sound: u64,
    frauds_above: u64,
    /// All above.
    above: u64,
}

/// The different scores, from the highest to the lowest.
struct Steps<'a> {
    frauds: &'a [Fraud],
    /// Scores, each once, and how many had it.
    sound: &'a [(f64, u64)],
    frauds_above: u64,
    above: u64,
}

impl<'a> Steps<'a> {
    /// Of outcomes that are sorted.
    fn new(frauds: &'a [Fraud], sound: &'a [(f64, u64)]) -> Self {
        Self { frauds, sound, frauds_above: 0, above: 0 }
    }
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let score = match (self.frauds.first(), self.sound.first()) {
            (Some(fraud), Some((sound, _))) => match fraud.score.total_cmp(sound) {
                Ordering::Less => *sound,
                Ordering::Equal | Ordering::Greater => fraud.score,
            },
            (Some(fraud), None) => fraud.score,
            (None, Some((sound, _))) => *sound,
            (None, None) => return None,
        };
        let frauds = self.frauds.iter().take_while(|fraud| fraud.score.total_cmp(&score).is_eq()).count();
        let here = self.sound.first().filter(|(other, _)| other.total_cmp(&score).is_eq());
        let sound = here.map_or(0, |(_, rows)| *rows);
        self.sound = &self.sound[usize::from(here.is_some())..];
        self.frauds = &self.frauds[frauds..];
        let frauds = frauds as u64;
        let step = Step { score, frauds, sound, frauds_above: self.frauds_above, above: self.above };
        self.frauds_above += frauds;
        self.above += frauds + sound;
        Some(step)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn outcomes(rows: &[(f64, u8, bool)]) -> Outcomes {
        let mut all = Outcomes::default();
        for (score, scenario, alert) in rows {
            let (fraud, scenario) = (*scenario > 0, *scenario);
            all.push(Outcome { score: Some(*score), alert: *alert, fraud, scenario });
        }
        all
    }

    fn scores(rows: &[(f64, u8)]) -> (Measures, Vec<Point>) {
        outcomes(&rows.iter().map(|(score, scenario)| (*score, *scenario, false)).collect::<Vec<_>>())
            .measures()
    }

    fn near(found: Option<f64>, wanted: f64) {
        assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?}, {wanted}");
    }

    #[test]
    fn four_scores_as_in_the_manual_of_scikit_learn() {
        // y_true = [0, 0, 1, 1], y_score = [0.1, 0.4, 0.35, 0.8]: roc_auc_score 0.75, average_precision_score 0.83…
        let (measures, curve) = scores(&[(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]);
        near(measures.auc, 0.75);
        near(measures.average_precision, 0.5 + 0.5 * 2.0 / 3.0);
        let points: Vec<(f64, f64)> = curve.iter().map(|point| (point.recall, point.precision)).collect();
        assert_eq!(points, [(0.5, 1.0), (0.5, 0.5), (1.0, 2.0 / 3.0), (1.0, 0.5)]);
    }

    #[test]
    fn equal_scores_are_taken_together_in_any_order() {
        // Pairs of fraud and sound: (0.9, 0.5) and (0.9, 0.2) right, (0.5, 0.5) half, (0.5, 0.2) right: 3.5 of 4.
        let rows = [(0.5, 0), (0.5, 1), (0.9, 2), (0.2, 0)];
        for turn in 0..4 {
            let mut rows = rows;
            rows.rotate_left(turn);
            let (measures, curve) = scores(&rows);
            near(measures.auc, 3.5 / 4.0);
            near(measures.average_precision, 0.5 + 0.5 * 2.0 / 3.0);
            assert_eq!(curve.len(), 3);
        }
        // Where all are equal, nothing is known: half the area, and the share of frauds.
        let (measures, _) = scores(&[(0.5, 1), (0.5, 0), (0.5, 0), (0.5, 0)]);
        near(measures.auc, 0.5);
        near(measures.average_precision, 0.25);
    }

    #[test]
    fn counting_now_or_later_makes_no_difference() {
        let rows: Vec<(f64, u8, bool)> = (0..500u32)
            .map(|i| (f64::from(i * 7 % 31) / 31.0 - 0.1, (i % 11 == 0).into(), i % 3 == 0))
            .collect();
        let mut often = Outcomes::default();
        for part in rows.chunks(13) {
            let part = outcomes(part);
            often.frauds.extend(part.frauds);
            often.sound_scores.extend(part.sound_scores);
            (often.sound, often.has_scores) = (often.sound + part.sound, true);
            often.false_alerts += part.false_alerts;
            often.count();
            assert!(often.sound_scores.is_empty() && often.sound_by_score.len() <= 31);
        }
        assert_eq!(often.sound_by_score.iter().map(|(_, rows)| rows).sum::<u64>(), often.sound);
        assert_eq!(often.measures(), outcomes(&rows).measures());
    }

    #[test]
    fn the_best_and_the_worst_order() {
        let (best, _) = scores(&[(0.9, 1), (0.8, 1), (0.2, 0), (0.1, 0)]);
        assert_eq!((best.auc, best.average_precision), (Some(1.0), Some(1.0)));
        let (worst, _) = scores(&[(0.9, 0), (0.8, 0), (0.2, 1), (0.1, 1)]);
        near(worst.auc, 0.0);
        near(worst.average_precision, 0.5 * (1.0 / 3.0 + 2.0 / 4.0));
    }

    #[test]
    fn alerts_by_scenario() {
        let rows = [(0.9, 1, true), (0.8, 2, false), (0.7, 2, true), (0.6, 0, true), (0.1, 0, false)];
        let (measures, _) = outcomes(&rows).measures();
        near(measures.precision, 2.0 / 3.0);
        near(measures.recall, 2.0 / 3.0);
        assert_eq!(measures.recall_by_scenario, [(1, Some(1.0)), (2, Some(0.5)), (3, None)].into());
    }

    #[test]
    fn one_percent_is_never_more() {
        // 300 rows, so three may be seen. Of the two with 0.8 the third and the fourth place cannot be told apart.
        let mut rows = vec![(0.95, 1), (0.9, 2), (0.8, 3), (0.8, 2)];
        rows.extend((0..296).map(|i| (f64::from(i) / 1e4, 0)));
        let (measures, _) = scores(&rows);
        let wanted: BTreeMap<u8, Option<f64>> = [(1, Some(1.0)), (2, Some(0.5)), (3, Some(0.0))].into();
        assert_eq!(measures.recall_by_scenario_at_1_percent, wanted);
        rows[3].0 = 0.7;
        let (measures, _) = scores(&rows);
        assert_eq!(measures.recall_by_scenario_at_1_percent[&3], Some(1.0));
        // Of 99 rows none may be.
        let (measures, _) = scores(&rows[..99]);
        assert_eq!(measures.recall_by_scenario_at_1_percent[&1], Some(0.0));
    }

    #[test]
    fn what_nothing_can_be_said_of() {
        assert_eq!(Outcomes::default().measures(), (Measures::unknown(), Vec::new()));
        let (measures, curve) = scores(&[(0.5, 0), (0.7, 0)]);
        assert_eq!((measures.auc, measures.average_precision, measures.recall), (None, None, None));
        assert!(curve.is_empty());
        let (measures, _) = scores(&[(0.5, 1)]);
        assert_eq!((measures.auc, measures.average_precision), (None, Some(1.0)));
        let mut unscored = Outcomes::default();
        unscored.push(Outcome { score: None, alert: true, fraud: true, scenario: 1 });
        let (measures, _) = unscored.measures();
        assert_eq!((measures.auc, measures.precision, measures.recall), (None, Some(1.0), Some(1.0)));
    }
}
