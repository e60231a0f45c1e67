//! Fragments that a device runs only in part.
//!
//! A fragment is as long as rows stay where they are. One step that a device has no kernel for would keep it from all the
//! others, so such a fragment is cut again: into the longest runs that some device has, and what lies between. Rows pass from
//! one to the next in their order, task by task.

use arrow::datatypes::SchemaRef;
use sabot_ops::{Fragment, OperatorSpec};

use crate::{FragmentStage, KeyedStage, PhysicalPlan, Port, Route, Stage, StageInput, StageKind};

impl PhysicalPlan {
    /// The plan with every fragment that `runs` says no to cut into runs of steps, of which as many as possible are ones that
    /// it says yes to. Fragments of which no part runs stay as they are.
    ///
    /// ```
    /// # use arrow::datatypes::{DataType, Field, Schema};
    /// # use sabot_plan::{Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, cut};
    /// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
    /// # let builder = PlanBuilder::new();
    /// # let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
    /// # let plan = Plan::from_sinks(&[builder.sink(&flights, SinkRequest::new(Connector::slot("out")))?])?;
    /// let physical = cut(&plan, &CutOptions::default())?;
    /// let stages = physical.stages.len();
    /// assert_eq!(physical.cut_fragments(|_| false).stages.len(), stages);
    /// # Ok::<(), sabot_plan::PlanError>(())
    /// ```
    #[must_use]
    pub fn cut_fragments(self, runs: impl Fn(&Fragment) -> bool) -> Self {
        let mut parts: Vec<Vec<Fragment>> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            parts.push(match &stage.kind {
                StageKind::Fragment(spec) if !runs(&spec.fragment) => in_runs(&spec.fragment, &runs),
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
fn renumber(kind: &mut StageKind, main: &[usize]) {
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

/// The steps of a fragment in runs; none where no run is found, or all of it is one.
fn in_runs(fragment: &Fragment, runs: &impl Fn(&Fragment) -> bool) -> Vec<Fragment> {
    let mut parts: Vec<Fragment> = Vec::new();
    // Steps that no device has, so far.
    let mut left: Vec<OperatorSpec> = Vec::new();
    let mut schema = fragment.input().clone();
    let mut rest = fragment.steps();
    while let [first, others @ ..] = rest {
        let start = left.iter().try_fold(schema.clone(), |schema, step| step.output_schema(&schema));
        let Ok(start) = start else { return Vec::new() };
        let run = (1..=rest.len()).rev().find_map(|length| {
            Fragment::new(start.clone(), rest[..length].to_vec()).ok().filter(|run| runs(run))
        });
        match run {
            None => {
                left.push(first.clone());
                rest = others;
            }
            Some(run) => {
                if !left.is_empty() {
                    let Ok(before) = Fragment::new(schema, std::mem::take(&mut left)) else {
                        return Vec::new();
                    };
                    parts.push(before);
                }
                rest = &rest[run.steps().len()..];
                schema = run.output().clone();
                parts.push(run);
            }
        }
    }
    if !left.is_empty() && !parts.is_empty() {
        let Ok(behind) = Fragment::new(schema, left) else { return Vec::new() };
        parts.push(behind);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use sabot_common::KeyGroups;
    use sabot_expr::{FunctionRegistry, col, resolve};
    use sabot_ops::{FilterProjectSpec, PartitionSpec, UnionSpec};
    use std::sync::Arc;

    fn schema() -> SchemaRef {
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

    /// The runs as letters, of a device that has filters, and unions beside them.
    fn runs(names: &str) -> Vec<String> {
        let fragment = Fragment::new(schema(), steps(names)).unwrap();
        let letters = |fragment: &Fragment| -> String {
            let of = |step: &OperatorSpec| step.name().chars().next().unwrap();
            fragment.steps().iter().map(of).collect()
        };
        let device = |run: &Fragment| letters(run).contains('f') && !letters(run).contains('p');
        in_runs(&fragment, &device).iter().map(letters).collect()
    }

    #[test]
    fn runs_are_long_and_what_lies_between_is_kept() {
        assert_eq!(runs("fp"), ["f", "p"]);
        assert_eq!(runs("uffup"), ["uffu", "p"]);
        assert_eq!(runs("p"), [""; 0]);
        assert_eq!(runs("uup"), [""; 0]);
    }

    #[test]
    fn stages_that_name_others_still_do() {
        let source = |after| Stage {
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
        };
        let input = |stage| vec![StageInput { stage, port: Port::Main, route: Route::Forward }];
        let fragment = |stage, names: &str| Stage {
            operators: Vec::new(),
            inputs: input(stage),
            kind: StageKind::Fragment(FragmentStage {
                fragment: Fragment::new(schema(), steps(names)).unwrap(),
                late: None,
            }),
            output: schema(),
        };
        let stages =
            vec![source(vec![]), fragment(0, "fp"), source(vec![0]), fragment(2, "p"), fragment(1, "p")];
        let plan =
            PhysicalPlan { stages, hash_seed: 0, key_groups: KeyGroups::default(), keyed_parallelism: 2 };
        let cut = plan.cut_fragments(|run| run.steps().iter().all(|step| step.name() == "filter-project"));
        let inputs: Vec<Vec<usize>> =
            cut.stages.iter().map(|stage| stage.inputs.iter().map(|input| input.stage).collect()).collect();
        assert_eq!(inputs, [vec![], vec![0], vec![1], vec![], vec![3], vec![2]]);
        let StageKind::Source(second) = &cut.stages[3].kind else { panic!("no source") };
        assert_eq!(second.after, [0]);
    }
}
