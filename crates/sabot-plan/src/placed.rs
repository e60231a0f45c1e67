//! Fragments that a device runs only in part.
//!
//! A fragment is as long as rows stay where they are. One step that a device has no kernel for would keep it from all the
//! others, so such a fragment is cut again: along the cheapest path through its steps, on each of which it is with the CPU or
//! with a device. Rows pass from one part to the next in their order, task by task.

use arrow::datatypes::SchemaRef;
use sabot_ops::Fragment;

use crate::{FragmentStage, KeyedStage, PhysicalPlan, Port, Route, Stage, StageInput, StageKind};

/// What running a fragment costs, in any unit: getting rows to a device and back included.
///
/// ```
/// # use sabot_plan::Price;
/// let nobody_else = Price { cpu: 1.0, device: None };
/// assert_eq!(nobody_else.device, None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// On the CPU, which runs everything.
    pub cpu: f64,
    /// On the best of the devices that run it.
    pub device: Option<f64>,
}

impl PhysicalPlan {
    /// The plan with every fragment cut again so that it costs least. A cut that saves nothing is not made, so fragments of
    /// which no part is better elsewhere stay as they are. Where devices read what a fragment makes for several, they may compute it
    /// themselves. `kept` is the share of rows that a filter is taken to keep; 1 where prices only count parts.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, Field, Schema};
    /// # use sabot_plan::{Connector, CutOptions, Plan, PlanBuilder, Price, SinkRequest, SourceRequest, cut};
    /// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
    /// # let builder = PlanBuilder::new();
    /// # let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
    /// # let plan = Plan::from_sinks(&[builder.sink(&flights, SinkRequest::new(Connector::slot("out")))?])?;
    /// let physical = cut(&plan, &CutOptions::default())?;
    /// let stages = physical.stages.len();
    /// assert_eq!(physical.cut_fragments(0.5, |_| Price { cpu: 1.0, device: None }).stages.len(), stages);
    /// # Ok::<(), sabot_plan::PlanError>(())
    /// ```
    #[must_use]
    pub fn cut_fragments(self, kept: f64, price: impl Fn(&Fragment) -> Price) -> Self {
        self.cut_in_runs(&price).fuse_forks(kept, &price)
    }

    fn cut_in_runs(self, price: &impl Fn(&Fragment) -> Price) -> Self {
        let mut parts: Vec<Vec<Fragment>> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            parts.push(match &stage.kind {
                StageKind::Fragment(spec) => in_runs(&spec.fragment, price),
                _ => Vec::new(),
            });
        }
        // Where each stage, and the part of it that knows its late rows, will stand.
        let (mut main, mut late) = (Vec::new(), Vec::new());
        let mut next = 0;
        for parts in &parts {
            let windowed = parts.iter().position(|part| part.late().is_some());
            late.push(next + windowed.unwrap_or(0));
            next += parts.len().max(1);
            main.push(next - 1);
        }
        let mut stages = Vec::with_capacity(next);
        for (mut stage, parts) in self.stages.into_iter().zip(parts) {
            for input in &mut stage.inputs {
                let places = if input.port == Port::Late { &late } else { &main };
                input.stage = places[input.stage];
            }
            renumber(&mut stage.kind, &main);
            match &stage.kind {
                StageKind::Fragment(spec) if !parts.is_empty() => {
                    let (late, output) = (spec.late.clone(), stage.output.clone());
                    push_parts(&mut stages, &stage, parts, late, &output);
                }
                _ => stages.push(stage),
            }
        }
        Self { stages, ..self }
    }
}

/// Stages that name others.
pub(crate) fn renumber(kind: &mut StageKind, main: &[usize]) {
    let others: &mut [usize] = match kind {
        StageKind::Source(source) => &mut source.after,
        StageKind::Keyed(KeyedStage::Rank(rank)) => &mut rank.feeders,
        StageKind::Lookup(lookup) => std::slice::from_mut(&mut lookup.table),
        _ => return,
    };
    others.iter_mut().for_each(|stage| *stage = main[*stage]);
}

/// The stages of the parts of one, each fed by the one before.
fn push_parts(
    stages: &mut Vec<Stage>,
    stage: &Stage,
    parts: Vec<Fragment>,
    mut late: Option<SchemaRef>,
    output: &SchemaRef,
) {
    let last = parts.len() - 1;
    for (number, fragment) in parts.into_iter().enumerate() {
        let inputs = match number {
            0 => stage.inputs.clone(),
            _ => vec![StageInput { stage: stages.len() - 1, port: Port::Main, route: Route::Forward }],
        };
        let late = if fragment.late().is_some() { late.take() } else { None };
        let output = if number == last { output.clone() } else { fragment.output().clone() };
        let kind = StageKind::Fragment(FragmentStage { fragment, late });
        stages.push(Stage { operators: stage.operators.clone(), inputs, kind, output });
    }
}

/// The cheapest way through a fragment as fragments; none where it is best left whole.
fn in_runs(fragment: &Fragment, price: &impl Fn(&Fragment) -> Price) -> Vec<Fragment> {
    let (_, parts) = cheapest(fragment, price);
    if parts.len() > 1 { parts } else { Vec::new() }
}

/// The cheapest way through a fragment, step by step, and what it costs.
pub(crate) fn cheapest(fragment: &Fragment, price: &impl Fn(&Fragment) -> Price) -> (f64, Vec<Fragment>) {
    let steps = fragment.steps();
    // What goes into each step.
    let mut schemas = vec![fragment.input().clone()];
    for step in steps {
        let Ok(output) = step.output_schema(&schemas[schemas.len() - 1]) else {
            return (price(fragment).cpu, Vec::new());
        };
        schemas.push(output);
    }
    // What the first steps cost, and the last part of them.
    let mut best: Vec<(f64, Option<(usize, Fragment)>)> = vec![(0.0, None)];
    for end in 1..=steps.len() {
        let mut cheapest = (f64::INFINITY, None);
        // Longer parts come first, and stay where they cost no more.
        for start in 0..end {
            let Ok(part) = Fragment::new(schemas[start].clone(), steps[start..end].to_vec()) else {
                continue;
            };
            let Price { cpu, device } = price(&part);
            let cost = best[start].0 + device.map_or(cpu, |device| device.min(cpu));
            if cost < cheapest.0 {
                cheapest = (cost, Some((start, part)));
            }
        }
        best.push(cheapest);
    }
    let (cost, mut parts, mut end) = (best[steps.len()].0, Vec::new(), steps.len());
    while let Some((start, part)) = best[end].1.take() {
        parts.push(part);
        end = start;
    }
    parts.reverse();
    (cost, parts)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use sabot_common::KeyGroups;
    use sabot_expr::{FunctionRegistry, col, resolve};
    use sabot_ops::{FilterProjectSpec, OperatorSpec, PartitionSpec, UnionSpec};
    use std::sync::Arc;

    pub(crate) fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
    }

    fn filter() -> OperatorSpec {
        let predicate = resolve(&col("n").gt(1), &schema(), &FunctionRegistry::new()).unwrap();
        FilterProjectSpec { predicate: Some(predicate), projections: Vec::new(), carried: vec![0] }.into()
    }

    fn steps(names: &str) -> Vec<OperatorSpec> {
        let step = |name| match name {
            'f' => filter(),
            'u' => UnionSpec { schema: schema() }.into(),
            _ => PartitionSpec { keys: vec![0], seed: 0, key_groups: KeyGroups::default(), parallelism: 2 }
                .into(),
        };
        names.chars().map(step).collect()
    }

    pub(crate) fn letters(fragment: &Fragment) -> String {
        fragment.steps().iter().map(|step| step.name().chars().next().unwrap()).collect()
    }

    /// The parts as letters; none where the fragment stays whole.
    fn cheapest(names: &str, price: impl Fn(&str) -> Price) -> Vec<String> {
        let fragment = Fragment::new(schema(), steps(names)).unwrap();
        in_runs(&fragment, &|part: &Fragment| price(&letters(part))).iter().map(letters).collect()
    }

    /// The parts where a device has filters, and unions beside them, and is always better.
    fn runs(names: &str) -> Vec<String> {
        cheapest(names, |part| {
            let device = (part.contains('f') && !part.contains('p')).then_some(1.0);
            Price { cpu: 1_000.0 * part.len() as f64, device }
        })
    }

    #[test]
    fn runs_are_long_and_what_lies_between_is_kept() {
        assert_eq!(runs("fp"), ["f", "p"]);
        assert_eq!(runs("uffup"), ["uffu", "p"]);
        assert_eq!(runs("p"), [""; 0]);
        assert_eq!(runs("uup"), [""; 0]);
    }

    /// A device that is twice as fast, with a way there and back.
    #[test]
    fn a_cut_has_to_pay_for_the_way() {
        let with = |way: f64| {
            cheapest("ffp", move |part| {
                let steps = part.len() as f64;
                Price { cpu: 10.0 * steps, device: (!part.contains('p')).then_some(way + 5.0 * steps) }
            })
        };
        assert_eq!(with(9.0), ["ff", "p"]);
        assert_eq!(with(11.0), [""; 0]);
    }

    /// A source that is read after others.
    pub(crate) fn source(after: Vec<usize>) -> Stage {
        Stage {
            operators: Vec::new(),
            inputs: Vec::new(),
            kind: StageKind::Source(crate::SourceStage {
                connector: crate::Connector::slot("s"),
                schema: schema(),
                projection: vec![0],
                pruning: None,
                event_time: None,
                hidden: Vec::new(),
                ordinal: 0,
                after,
            }),
            output: schema(),
        }
    }

    /// A fragment that reads a stage.
    pub(crate) fn reader(stage: usize, names: &str) -> Stage {
        let fragment = Fragment::new(schema(), steps(names)).unwrap();
        Stage {
            operators: Vec::new(),
            inputs: vec![StageInput { stage, port: Port::Main, route: Route::Forward }],
            kind: StageKind::Fragment(FragmentStage { fragment, late: None }),
            output: schema(),
        }
    }

    pub(crate) fn plan(stages: Vec<Stage>) -> PhysicalPlan {
        PhysicalPlan { stages, hash_seed: 0, key_groups: KeyGroups::default(), keyed_parallelism: 2 }
    }

    /// The stages that each stage reads.
    pub(crate) fn inputs(plan: &PhysicalPlan) -> Vec<Vec<usize>> {
        plan.stages.iter().map(|stage| stage.inputs.iter().map(|input| input.stage).collect()).collect()
    }

    #[test]
    fn stages_that_name_others_still_do() {
        let stages = vec![source(vec![]), reader(0, "fp"), source(vec![0]), reader(2, "p"), reader(1, "p")];
        let cut = plan(stages).cut_fragments(0.5, |part| Price {
            cpu: part.steps().len() as f64,
            device: letters(part).chars().all(|step| step == 'f').then_some(0.5),
        });
        assert_eq!(inputs(&cut), [vec![], vec![0], vec![1], vec![], vec![3], vec![2]]);
        let StageKind::Source(second) = &cut.stages[3].kind else { panic!("no source") };
        assert_eq!(second.after, [0]);
    }
}
