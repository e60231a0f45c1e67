//! What the tests of operators share: cuts while rows come in, held against snapshots.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::util::display::array_value_to_string;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sabot_common::{Epoch, KeyGroupRange};
use sabot_state::{Needed, PART};
use std::collections::BTreeMap;

use crate::{CutPart, KeyedOperator, OperatorError};

/// What was found.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checked {
    /// Cuts that were restored.
    restored: usize,
    /// Those of them that did not have what there was.
    wrong: usize,
    /// The most cuts that one restore needed.
    most: usize,
}

/// Runs random rows with cuts among them, `cuts`, given a seed and whether the oldest cut is lost on purpose. Some restore
/// has to need more cuts than `most_min`.
pub(crate) fn hold(seeds: u64, most_min: usize, cuts: impl Fn(u64, bool) -> Checked) {
    let mut all = Checked::default();
    for seed in 0..seeds {
        let Checked { restored, wrong, most } = cuts(seed, false);
        assert_eq!(wrong, 0, "seed {seed}");
        (all.restored, all.most) = (all.restored + restored, all.most.max(most));
    }
    let enough = all.restored as u64 > 10 * seeds && all.most > most_min;
    assert!(enough, "{} cuts, at most {}, prove little", all.restored, all.most);
    assert!((0..20).any(|seed| cuts(seed, true).wrong > 0), "canary: a cut that is lost is missed");
}

/// The cuts of one operator, as a store keeps them; `H` is what is known of the operator when a cut begins.
#[derive(Default)]
pub(crate) struct CutCheck<H = Vec<String>> {
    epoch: u64,
    stored: Option<Epoch>,
    cuts: BTreeMap<Epoch, Vec<RecordBatch>>,
    /// What the operator had when the cut began, and what it has given of it.
    under_way: Option<(H, Vec<RecordBatch>)>,
    loses_oldest: bool,
    pub(crate) checked: Checked,
}

impl CutCheck {
    /// As [`CutCheck::step_with`], where an operator has what its snapshots have.
    pub(crate) fn step(
        &mut self,
        rng: &mut ChaCha8Rng,
        operator: &mut dyn KeyedOperator,
        owned: KeyGroupRange,
        fresh: impl Fn() -> Box<dyn KeyedOperator>,
    ) {
        let had = |operator: &dyn KeyedOperator| lines(&operator.snapshot(owned).unwrap());
        let all = KeyGroupRange { start: 0, end: u16::MAX };
        let has = |into: &mut dyn KeyedOperator, had| lines(&into.snapshot(all).unwrap()) == had;
        self.step_with(rng, operator, had, fresh, has);
    }
}

impl<H: Default> CutCheck<H> {
    pub(crate) fn new(loses_oldest: bool) -> Self {
        Self { loses_oldest, ..Self::default() }
    }

    /// Begins a cut, or gives some of it, between two steps of the operator; a cut that has ended is given up, or stored and
    /// restored into an operator that `fresh` makes, which then `has` what there was when the cut began.
    pub(crate) fn step_with(
        &mut self,
        rng: &mut ChaCha8Rng,
        operator: &mut dyn KeyedOperator,
        had: impl Fn(&dyn KeyedOperator) -> H,
        fresh: impl Fn() -> Box<dyn KeyedOperator>,
        has: impl Fn(&mut dyn KeyedOperator, H) -> bool,
    ) {
        if self.under_way.is_none() {
            let had = had(operator);
            self.epoch += 1;
            operator.begin_cut(Epoch(self.epoch), self.stored).unwrap();
            self.under_way = Some((had, Vec::new()));
        }
        for _ in 0..rng.random_range(0..6) {
            let Some((had, given)) = &mut self.under_way else { break };
            match operator.next_of_cut(rng.random_range(1..40)).unwrap() {
                CutPart::Rows(rows) => given.extend(rows),
                CutPart::End { head, needed } => {
                    let (had, given) = (std::mem::take(had), std::mem::take(given));
                    self.under_way = None;
                    if !rng.random_ratio(1, 20) {
                        let mut into = fresh();
                        let restored = self.store(given, (&head, &needed), &mut *into);
                        let is_right = restored.is_ok() && has(&mut *into, had);
                        self.checked.wrong += usize::from(!is_right);
                    }
                    return;
                }
            }
        }
    }

    fn store(
        &mut self,
        given: Vec<RecordBatch>,
        (head, needed): (&[RecordBatch], &Needed),
        into: &mut dyn KeyedOperator,
    ) -> Result<(), OperatorError> {
        let epoch = Epoch(self.epoch);
        for (of, rows) in &mut self.cuts {
            rows.retain(|rows| needed.contains(rows.schema_ref().metadata().get(PART).unwrap(), *of));
        }
        self.cuts.insert(epoch, given);
        self.cuts.retain(|_, rows| !rows.is_empty());
        self.stored = Some(epoch);
        self.checked.most = self.checked.most.max(self.cuts.len());
        let mut snapshots = Vec::new();
        let skipped = usize::from(self.loses_oldest && self.cuts.len() > 1);
        for rows in self.cuts.values().skip(skipped).rev().flatten() {
            // What changes from epoch to epoch stands in the head.
            let kind =
                head.iter().map(RecordBatch::schema).find(|kind| kind.fields() == rows.schema_ref().fields());
            let mut metadata = kind.clone().unwrap().metadata().clone();
            metadata.extend(rows.schema_ref().metadata().clone());
            let schema = rows.schema_ref().as_ref().clone().with_metadata(metadata);
            snapshots.push(rows.clone().with_schema(schema.into()).unwrap());
        }
        snapshots.extend(head.iter().cloned());
        self.checked.restored += 1;
        into.restore_from(&mut snapshots.into_iter())
    }
}

/// All rows with the metadata of their batches, in order.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        let metadata: BTreeMap<_, _> = batch.schema_ref().metadata().iter().collect();
        let show = |column: &ArrayRef, row| array_value_to_string(column, row).unwrap();
        let line = |row| batch.columns().iter().map(|column| show(column, row)).collect::<Vec<_>>().join("|");
        lines.extend((0..batch.num_rows()).map(|row| format!("{metadata:?} {}", line(row))));
    }
    lines.sort();
    lines
}
