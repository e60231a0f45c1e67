//! What holds for every plan that is cut.

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_ops::OperatorSpec;
use std::collections::BTreeSet;

use crate::{
    KeyedInput, KeyedStage, NodeKind, PhysicalPlan, Plan, Port, RankResult, Route, Stage, StageInput,
    StageKind,
};

/// Panics with the first rule that does not hold.
pub(super) fn check(plan: &Plan, physical: &PhysicalPlan) {
    for (index, stage) in physical.stages.iter().enumerate() {
        for input in &stage.inputs {
            assert!(input.stage < index, "stage {index} reads a later one");
            check_edge(physical, stage, input);
        }
        check_stage(stage);
    }
    check_reach(plan, physical);
}

fn port_schema<'a>(physical: &'a PhysicalPlan, input: &StageInput) -> &'a SchemaRef {
    let stage = &physical.stages[input.stage];
    let late = match &stage.kind {
        StageKind::Fragment(fragment) => fragment.late.as_ref(),
        StageKind::Keyed(keyed) => keyed.late(),
        _ => None,
    };
    match input.port {
        Port::Main => &stage.output,
        Port::Late => late.expect("a late port that is read has a schema"),
    }
}

fn fits(from: &Schema, to: &Schema) -> bool {
    let field = |(a, b): (&FieldRef, &FieldRef)| {
        a.name() == b.name() && a.data_type() == b.data_type() && (b.is_nullable() || !a.is_nullable())
    };
    from.fields().len() == to.fields().len() && from.fields().iter().zip(to.fields()).all(field)
}

fn check_edge(physical: &PhysicalPlan, stage: &Stage, input: &StageInput) {
    let rows = port_schema(physical, input);
    match &stage.kind {
        StageKind::Source(_) => panic!("a source reads a stage"),
        StageKind::Fragment(fragment) => {
            let unites = matches!(fragment.fragment.steps().first(), Some(OperatorSpec::Union(_)));
            assert!(unites || stage.inputs.len() == 1, "several inputs without union");
            let same = if unites {
                fits(rows, fragment.fragment.input())
            } else {
                rows == fragment.fragment.input()
            };
            assert!(same, "{rows} into {}", fragment.fragment.input());
            assert_eq!(input.route, Route::Forward);
        }
        StageKind::MapBatches(map) => {
            assert_eq!(stage.inputs.len(), 1);
            assert!(fits(&hidden::visible_schema(rows), &map.input), "{rows} into {}", map.input);
            for field in stage.output.fields() {
                let from: &Schema = if hidden::is_hidden(field.name()) { rows } else { &map.returned };
                assert_eq!(from.field_with_name(field.name()).unwrap(), field.as_ref());
            }
            assert_eq!(input.route, Route::Forward);
        }
        StageKind::Keyed(KeyedStage::Over(over)) => {
            let by_key = !over.spec.partition.is_empty();
            assert_eq!(input.route, if by_key { Route::KeyGroups } else { Route::Gather });
            assert_eq!(rows, &over.rows);
            for name in [hidden::PARTITION, hidden::ROW] {
                assert!(rows.field_with_name(name).is_ok(), "over without {name}");
            }
        }
        StageKind::Keyed(KeyedStage::Rank(rank)) => {
            let by_key = !rank.spec.groups.is_empty();
            assert_eq!(input.route, if by_key { Route::KeyGroups } else { Route::Gather });
            assert_eq!(stage.inputs.len(), 1);
            assert_eq!(rows, &rank.rows);
            assert!(!rank.windowed || rows.field_with_name(hidden::TIME).is_ok());
            for name in [hidden::PARTITION, hidden::ROW] {
                assert!(rows.field_with_name(name).is_ok(), "a ranking without {name}");
            }
        }
        StageKind::Keyed(KeyedStage::Aggregate(keyed)) => {
            assert_eq!((stage.inputs.len(), input.route), (1, Route::KeyGroups));
            let StageKind::Fragment(prepare) = &physical.stages[input.stage].kind else {
                panic!("no prepare half")
            };
            assert_eq!(prepare.fragment.targets(), physical.keyed_parallelism);
            match keyed.input {
                KeyedInput::Partial => assert_eq!(rows, &keyed.partial_schema),
                KeyedInput::Raw => {
                    assert_eq!(keyed.partial.partial_schema(rows).unwrap(), keyed.partial_schema)
                }
            }
            if let Some(late) = &keyed.late {
                let columns: Schema = rows.project(&keyed.late_columns).unwrap();
                let types = |schema: &Schema| -> Vec<_> {
                    schema.fields().iter().map(|f| (f.data_type().clone(), f.is_nullable())).collect()
                };
                assert_eq!(types(&columns), types(late));
            }
        }
        StageKind::Table(join) => {
            assert_eq!((stage.inputs.len(), input.route), (1, Route::Gather));
            assert_eq!(rows, &join.build);
        }
        StageKind::Lookup(lookup) => {
            assert_eq!((stage.inputs.len(), input.route), (1, Route::Forward));
            let StageKind::Table(join) = &physical.stages[lookup.table].kind else { panic!("no table") };
            assert!(join.gated, "nobody keeps rows that come before the table");
            assert_eq!(rows, &join.probe);
            assert_eq!(stage.output, join.spec.output_schema(&join.probe, &join.build).unwrap());
        }
        StageKind::Keyed(KeyedStage::Join(join)) => {
            assert_eq!((stage.inputs.len(), input.route), (2, Route::KeyGroups));
            let side = stage.inputs.iter().position(|i| std::ptr::eq(i, input));
            assert_eq!(rows, if side == Some(0) { &join.probe } else { &join.build });
        }
        StageKind::Sink(sink) => {
            assert_eq!((stage.inputs.len(), input.route), (1, Route::Gather));
            assert!(fits(&hidden::visible_schema(rows), &sink.visible), "{rows} into {}", sink.visible);
            assert_eq!(rows, &stage.output);
            for name in [hidden::PARTITION, hidden::ROW] {
                assert!(!sink.ordered || rows.field_with_name(name).is_ok(), "order without {name}");
            }
        }
    }
}

fn check_stage(stage: &Stage) {
    assert!(!stage.operators.is_empty());
    let mut names = BTreeSet::new();
    let first_hidden = stage.output.fields().iter().position(|f| hidden::is_hidden(f.name()));
    for (i, field) in stage.output.fields().iter().enumerate() {
        assert!(names.insert(field.name()), "two columns {}", field.name());
        if hidden::is_hidden(field.name()) {
            assert_eq!(hidden::field(field.name()).as_ref(), Some(field.as_ref()));
        } else if matches!(stage.kind, StageKind::Source(_) | StageKind::Sink(_)) {
            assert!(first_hidden.is_none_or(|h| i < h), "a visible column behind a hidden one");
        }
    }
    match &stage.kind {
        StageKind::Source(source) => {
            assert!(stage.inputs.is_empty());
            assert!(source.projection.windows(2).all(|w| w[0] < w[1]), "the projection does not ascend");
            let read = source.schema.project(&source.projection).unwrap();
            for field in hidden::visible_schema(&stage.output).fields() {
                assert_eq!(read.field_with_name(field.name()).unwrap(), field.as_ref());
            }
            let hidden: Vec<&str> = stage
                .output
                .fields()
                .iter()
                .map(|f| f.name().as_str())
                .filter(|n| hidden::is_hidden(n))
                .collect();
            assert_eq!(hidden, source.hidden);
            if let Some(event_time) = &source.event_time {
                assert!(source.projection.contains(&event_time.column));
            }
            let timed = source.event_time.is_some();
            assert!(timed || !hidden.contains(&hidden::TIME), "event time that nobody declared");
        }
        StageKind::Fragment(fragment) => {
            assert_eq!(fragment.fragment.output(), &stage.output);
            assert!(fragment.late.is_none() || fragment.late == fragment.fragment.late());
        }
        StageKind::Keyed(KeyedStage::Over(over)) => {
            let added = over.spec.result_fields(&over.rows).unwrap();
            let visible = hidden::visible_schema(&stage.output);
            assert_eq!(visible.fields()[..over.kept], over.rows.fields()[..over.kept]);
            assert_eq!(visible.fields().len(), over.kept + added.len());
        }
        StageKind::Keyed(KeyedStage::Rank(rank)) => {
            rank.spec.check(&rank.rows).unwrap();
            let visible = hidden::visible_schema(&stage.output);
            assert_eq!(visible.fields()[..rank.kept], rank.rows.fields()[..rank.kept]);
            assert_eq!(visible.fields().len(), rank.kept + usize::from(rank.numbered));
            for field in stage.output.fields() {
                let before = rank.result == RankResult::AsBefore && hidden::is_hidden(field.name());
                assert!(
                    !before || rank.rows.index_of(field.name()).is_ok(),
                    "no {} to pass on",
                    field.name()
                );
            }
        }
        StageKind::Keyed(KeyedStage::Aggregate(keyed)) => {
            let values = keyed.partial.to_final().output_schema(&keyed.partial_schema).unwrap();
            let skip = usize::from(keyed.window.is_some());
            let bounds = [&keyed.window_start, &keyed.window_end].into_iter().flatten().count();
            let results = hidden::visible_schema(&stage.output);
            let types = |fields: &[FieldRef]| -> Vec<_> {
                fields.iter().map(|f| (f.data_type().clone(), f.is_nullable())).collect()
            };
            assert_eq!(types(&results.fields()[bounds..]), types(&values.fields()[skip..]));
        }
        StageKind::Table(join) => assert_eq!(stage.output, join.build),
        StageKind::Keyed(KeyedStage::Join(join)) => {
            assert_eq!(stage.output, join.spec.output_schema(&join.probe, &join.build).unwrap());
        }
        StageKind::MapBatches(_) | StageKind::Lookup(_) | StageKind::Sink(_) => {}
    }
}

/// Every node is carried out by some stage, and every stage works for some sink.
fn check_reach(plan: &Plan, physical: &PhysicalPlan) {
    let carried: BTreeSet<_> = physical.stages.iter().flat_map(|s| &s.operators).collect();
    for node in plan.nodes() {
        assert!(carried.contains(&node.id), "{} is carried out by no stage", node.id);
    }
    let mut read = vec![false; physical.stages.len()];
    for (index, stage) in physical.stages.iter().enumerate().rev() {
        let is_sink = matches!(stage.kind, StageKind::Sink(_));
        // An aggregation of which only the late rows are read.
        let unread_results = matches!(stage.kind, StageKind::Keyed(_)) && {
            let index = plan.nodes().iter().position(|n| Some(&n.id) == stage.operators.last()).unwrap();
            plan.consumers()[index].iter().all(|c| plan.nodes()[*c].kind == NodeKind::LateRows)
        };
        assert!(is_sink || read[index] || unread_results, "nobody reads stage {index}");
        if let StageKind::Lookup(lookup) = &stage.kind {
            read[lookup.table] = true;
        }
        for input in &stage.inputs {
            read[input.stage] = true;
        }
    }
    let sinks = |n: &&crate::PlanNode| matches!(n.kind, NodeKind::Sink { .. });
    let cut_sinks = physical.stages.iter().filter(|s| matches!(s.kind, StageKind::Sink(_)));
    assert_eq!(cut_sinks.count(), plan.nodes().iter().filter(sinks).count());
}
