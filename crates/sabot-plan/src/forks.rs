//! Forks that are computed again by each of their readers.
//!
//! A fork is computed once, so its rows leave the fragment that makes them. Between a device and its readers on devices that is a
//! way to the host and back, for what would cost a few operations more in the kernels that read it: a reader that is a fragment may
//! take the steps into its own, and reads what the fork reads. Fragments were cut before, so what a device and the CPU share is two
//! stages, of which the first may be such a reader.

use sabot_expr::TypedExpr;
use sabot_ops::{Fragment, OperatorSpec};

use crate::placed::{cheapest, renumber};
use crate::{FragmentStage, PhysicalPlan, Port, Price, Route, Stage, StageKind};

/// A reader of a fork that could take its steps.
struct Reader {
    stage: usize,
    fragment: Fragment,
    /// What it costs as it is, and with these steps on a device.
    apart: f64,
    fused: f64,
}

impl PhysicalPlan {
    /// The plan in which devices compute again what is cheaper so. Where no device is concerned, nothing changes.
    pub(crate) fn fuse_forks(mut self, kept: f64, price: &impl Fn(&Fragment) -> Price) -> Self {
        // Forks of forks first: their readers become those of the fork before.
        for fork in (0..self.stages.len()).rev() {
            self = self.fuse_fork(fork, kept, price);
        }
        self
    }

    fn fuse_fork(mut self, fork: usize, kept: f64, price: &impl Fn(&Fragment) -> Price) -> Self {
        let Some(first) = pure(&self.stages[fork]) else { return self };
        let (first, filters) = (first.clone(), first.steps().iter().any(filters));
        let reads = |stage: &Stage| stage.inputs.iter().any(|input| input.stage == fork);
        let readers = self.stages.iter().enumerate().filter(|(_, stage)| reads(stage)).map(|(at, _)| at);
        let readers: Vec<usize> = readers.collect();
        if readers.len() < 2 {
            return self;
        }
        let share = if filters { kept } else { 1.0 };
        let could = readers.iter().filter_map(|at| self.reader(*at, &first, share, price));
        let mut could: Vec<Reader> = could.collect();
        let all = could.len() == readers.len() && {
            let apart: f64 = could.iter().map(|reader| reader.apart).sum();
            let fused: f64 = could.iter().map(|reader| reader.fused).sum();
            fused <= apart + cheapest(&first, price).0
        };
        if !all {
            // The fork stays for the others, so nothing is saved by leaving it out.
            could.retain(|reader| reader.fused <= reader.apart);
        }
        for Reader { stage, fragment, .. } in could {
            let Stage { operators, inputs, .. } = self.stages[fork].clone();
            let reader = &mut self.stages[stage];
            reader.operators.splice(0..0, operators);
            reader.inputs = inputs;
            if let StageKind::Fragment(spec) = &mut reader.kind {
                spec.fragment = fragment;
            }
        }
        if all { self.without(fork) } else { self }
    }

    /// A stage that reads nothing but the fork, as a fragment with its steps, if a device runs that as a whole.
    fn reader(
        &self,
        stage: usize,
        fork: &Fragment,
        share: f64,
        price: &impl Fn(&Fragment) -> Price,
    ) -> Option<Reader> {
        let (StageKind::Fragment(FragmentStage { fragment, .. }), [input]) =
            (&self.stages[stage].kind, &self.stages[stage].inputs[..])
        else {
            return None;
        };
        if (input.port, input.route) != (Port::Main, Route::Forward) {
            return None;
        }
        let steps = fork.steps().iter().chain(fragment.steps()).cloned().collect();
        let whole = Fragment::new(fork.input().clone(), steps).ok()?;
        let Price { cpu, device } = price(&whole);
        let fused = device.filter(|device| device < &cpu)?;
        let apart = share * cheapest(fragment, price).0;
        Some(Reader { stage, fragment: whole, apart, fused })
    }

    /// The plan without a stage that nobody reads.
    fn without(mut self, gone: usize) -> Self {
        self.stages.remove(gone);
        let places: Vec<usize> = (0..=self.stages.len()).map(|at| at - usize::from(at > gone)).collect();
        for stage in &mut self.stages {
            stage.inputs.iter_mut().for_each(|input| input.stage = places[input.stage]);
            renumber(&mut stage.kind, &places);
        }
        self
    }
}

/// The fragment of a stage that does nothing but filter and project: only that is worth being done again. What can fail is done
/// once, so that whoever reports it has one name.
fn pure(stage: &Stage) -> Option<&Fragment> {
    let StageKind::Fragment(FragmentStage { fragment, late: None }) = &stage.kind else { return None };
    let pure = |step: &OperatorSpec| {
        let OperatorSpec::FilterProject(spec) = step else { return false };
        let projected = spec.projections.iter().map(|projection| &projection.expr);
        !projected.chain(&spec.predicate).any(TypedExpr::can_fail)
    };
    (fragment.steps().iter().all(pure) && stage.inputs.len() == 1).then_some(fragment)
}

fn filters(step: &OperatorSpec) -> bool {
    matches!(step, OperatorSpec::FilterProject(spec) if spec.predicate.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placed::tests::{inputs, letters, plan, reader, source};

    /// A device that runs everything but partitions, to which what a fork makes is a longer way than what it reads, and a CPU on which
    /// each step costs ten.
    fn fused(stages: Vec<Stage>, device: f64) -> (Vec<Vec<usize>>, Vec<String>) {
        let fused = plan(stages).cut_fragments(0.5, |part| Price {
            cpu: 10.0 * part.steps().len() as f64,
            device: (!letters(part).contains('p')).then_some(if letters(part).starts_with('f') {
                device
            } else {
                3.0 * device
            }),
        });
        let steps = fused.stages.iter().map(|stage| match &stage.kind {
            StageKind::Fragment(spec) => letters(&spec.fragment),
            _ => String::new(),
        });
        let steps = steps.collect();
        (inputs(&fused), steps)
    }

    fn fork(readers: &[&str]) -> Vec<Stage> {
        let readers = readers.iter().map(|names| reader(1, names));
        [source(vec![]), reader(0, "f")].into_iter().chain(readers).collect()
    }

    #[test]
    fn readers_on_devices_do_it_themselves() {
        let (inputs, steps) = fused(fork(&["u", "uu"]), 1.0);
        assert_eq!(
            (inputs, steps),
            (vec![vec![], vec![0], vec![0]], ["", "fu", "fuu"].map(str::to_owned).into())
        );
    }

    #[test]
    fn for_others_it_is_done_once() {
        let (inputs, steps) = fused(fork(&["p", "u", "p"]), 1.0);
        assert_eq!(inputs, [vec![], vec![0], vec![1], vec![0], vec![1]]);
        assert_eq!(steps, ["", "f", "p", "fu", "p"]);
    }

    /// What the CPU does then is none of the fork's business.
    #[test]
    fn a_reader_may_be_the_first_part_of_a_fragment() {
        let (inputs, steps) = fused(fork(&["up", "u"]), 1.0);
        assert_eq!(inputs, [vec![], vec![0], vec![1], vec![0]]);
        assert_eq!(steps, ["", "fu", "p", "fu"]);
    }

    #[test]
    fn one_reader_is_no_fork_and_a_slow_device_no_reason() {
        assert_eq!(fused(fork(&["u"]), 1.0).1, ["", "f", "u"]);
        assert_eq!(fused(fork(&["u", "u"]), 1_000.0).1, ["", "f", "u", "u"]);
    }

    #[test]
    fn forks_of_forks_are_no_fork_either() {
        let stages = vec![
            source(vec![]),
            reader(0, "f"),
            reader(1, "u"),
            reader(1, "f"),
            reader(3, "u"),
            reader(3, "uu"),
        ];
        let (inputs, steps) = fused(stages, 1.0);
        assert_eq!(inputs, [vec![], vec![0], vec![0], vec![0]]);
        assert_eq!(steps, ["", "fu", "ffu", "ffuu"]);
    }
}
