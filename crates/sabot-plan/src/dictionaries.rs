//! Strings as dictionaries between a source and the first group-by.
//!
//! A file that stores strings as a dictionary decodes codes several times faster than text, and a
//! group-by turns codes into groups without hashing a string per row. Only the physical plan changes:
//! the partial state that leaves a group-by's fragment holds plain strings again, so nobody downstream,
//! and no user, sees which way the text came in. Fragments in between, which several group-bys share,
//! hand dictionaries on.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, Fragment, OperatorSpec, Projection};
use std::sync::Arc;

use crate::{PhysicalPlan, Port, StageKind};

/// Lets the source of stage `source` deliver string columns as dictionaries wherever every consumer
/// takes them as bare keys of a group-by. Gives the columns, as indices into the source's whole schema.
///
/// It is for sources that read dictionaries at no cost
/// (`reads_dictionaries` of the source). A column that anything computes with keeps its type.
pub fn encode_keys(plan: &mut PhysicalPlan, source: usize) -> Vec<usize> {
    let mut encoded = Vec::new();
    let columns = plan.stages.get(source).map_or(0, |stage| stage.output.fields().len());
    for column in 0..columns {
        if let Some((name, changed)) = try_column(plan, source, column) {
            for (stage, fragment) in changed {
                let stage = &mut plan.stages[stage];
                if let StageKind::Fragment(spec) = &mut stage.kind {
                    stage.output = fragment.output().clone();
                    spec.fragment = fragment;
                }
            }
            plan.stages[source].output = with_dictionary(&plan.stages[source].output, column);
            if let StageKind::Source(spec) = &plan.stages[source].kind {
                encoded.extend(spec.schema.index_of(&name).ok());
            }
        }
    }
    encoded
}

type Changed = Vec<(usize, Fragment)>;

/// The fragments below a source as they are with one more column encoded; `None` if anybody needs it plain.
fn try_column(plan: &PhysicalPlan, source: usize, column: usize) -> Option<(String, Changed)> {
    let stage = plan.stages.get(source)?;
    let field = stage.output.fields().get(column)?;
    let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8);
    if !is_text || !matches!(stage.kind, StageKind::Source(_)) {
        return None;
    }
    let mut changed = Vec::new();
    // What has another output than before, and is still to be told to those who read it.
    let mut open = vec![(source, with_dictionary(&stage.output, column))];
    while let Some((from, output)) = open.pop() {
        for (index, consumer) in plan.stages.iter().enumerate() {
            if !consumer.inputs.iter().any(|input| input.stage == from) {
                continue;
            }
            let StageKind::Fragment(spec) = &consumer.kind else { return None };
            let only = consumer.inputs.len() == 1 && consumer.inputs[0].port == Port::Main;
            let fragment = rebuild(&spec.fragment, &output)?;
            let late_stays = spec.late.is_none() || fragment.late() == spec.fragment.late();
            if !only || !late_stays {
                return None;
            }
            if fragment.output() != spec.fragment.output() {
                open.push((index, fragment.output().clone()));
            }
            changed.push((index, fragment));
        }
    }
    (!changed.is_empty()).then(|| (field.name().clone(), changed))
}

fn with_dictionary(schema: &SchemaRef, column: usize) -> SchemaRef {
    let fields = schema.fields().iter().enumerate().map(|(i, field)| match i == column {
        true => {
            let text = Box::new(field.data_type().clone());
            Arc::new(Field::new(
                field.name(),
                DataType::Dictionary(Box::new(DataType::Int32), text),
                field.is_nullable(),
            ))
        }
        false => field.clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// The same steps over another input schema; `None` if a step computes with a column that changed.
fn rebuild(fragment: &Fragment, input: &SchemaRef) -> Option<Fragment> {
    let mut schema = input.clone();
    let mut old = fragment.input().clone();
    let mut steps = Vec::with_capacity(fragment.steps().len());
    for step in fragment.steps() {
        let next = match step {
            OperatorSpec::FilterProject(spec) => OperatorSpec::from(retype(spec, &old, &schema)?),
            other => other.clone(),
        };
        old = step.output_schema(&old).ok()?;
        schema = next.output_schema(&schema).ok()?;
        steps.push(next);
    }
    Fragment::new(input.clone(), steps).ok()
}

fn retype(spec: &FilterProjectSpec, old: &SchemaRef, new: &SchemaRef) -> Option<FilterProjectSpec> {
    let same = |index: usize| old.field(index).data_type() == new.field(index).data_type();
    let expression = |expr: &TypedExpr| match expr.as_column() {
        Some(index) => TypedExpr::column(index, new).ok(),
        None => expr.columns().into_iter().all(same).then(|| expr.clone()),
    };
    let predicate = match &spec.predicate {
        Some(predicate) => Some(expression(predicate)?),
        None => None,
    };
    let projections = spec
        .projections
        .iter()
        .map(|p| Some(Projection { name: p.name.clone(), expr: expression(&p.expr)? }))
        .collect::<Option<Vec<_>>>()?;
    Some(FilterProjectSpec { predicate, projections, carried: spec.carried.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AggregateRequest, Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, count, cut,
        max,
    };
    use sabot_expr::col;

    fn plan(aggregate: &AggregateRequest, filter: Option<sabot_expr::Expr>) -> PhysicalPlan {
        let schema = Schema::new(vec![
            Field::new("x", DataType::Int64, false),
            Field::new("origin", DataType::LargeUtf8, true),
        ]);
        let builder = PlanBuilder::new();
        let mut node = builder.source(SourceRequest::bounded(Connector::slot("in"), schema.into())).unwrap();
        if let Some(filter) = filter {
            node = builder.filter(&node, &filter).unwrap();
        }
        let node = builder.aggregate(&node, aggregate).unwrap();
        let sink = builder.sink(&node, SinkRequest::new(Connector::slot("out")).ordered()).unwrap();
        cut(&Plan::from_sinks(&[sink]).unwrap(), &CutOptions::default()).unwrap()
    }

    fn source(plan: &PhysicalPlan) -> usize {
        plan.stages.iter().position(|s| matches!(s.kind, StageKind::Source(_))).unwrap()
    }

    #[test]
    fn a_bare_key_is_encoded_and_what_leaves_the_fragment_stays() {
        let mut encoded = plan(&AggregateRequest::new(["origin"], [count()]), Some(col("x").gt(1)));
        let plain = encoded.clone();
        let at = source(&encoded);
        assert_eq!(encode_keys(&mut encoded, at), [1]);
        assert!(matches!(
            encoded.stages[at].output.field_with_name("origin").unwrap().data_type(),
            DataType::Dictionary(..)
        ));
        for (before, after) in plain.stages.iter().zip(&encoded.stages).filter(|(s, _)| !s.inputs.is_empty())
        {
            assert_eq!(before.output, after.output);
        }
    }

    #[test]
    fn a_fragment_that_group_bys_share_hands_the_dictionary_on() {
        let schema = Schema::new(vec![
            Field::new("x", DataType::Int64, false),
            Field::new("origin", DataType::LargeUtf8, true),
        ]);
        let builder = PlanBuilder::new();
        let node = builder.source(SourceRequest::bounded(Connector::slot("in"), schema.into())).unwrap();
        let shared = builder.with_columns(&node, &[col("x").gt(1).alias("late")]).unwrap();
        let sink = |node: &crate::NodeRef, slot: &str| {
            builder.sink(node, SinkRequest::new(Connector::slot(slot)).ordered()).unwrap()
        };
        let counted = |key: &str, slot: &str| {
            let counts = AggregateRequest::new([key, "late"], [count()]);
            sink(&builder.aggregate(&shared, &counts).unwrap(), slot)
        };
        let physical = |sinks: &[crate::NodeRef]| {
            cut(&Plan::from_sinks(sinks).unwrap(), &CutOptions::default()).unwrap()
        };
        let plain = physical(&[counted("origin", "a"), counted("x", "b")]);
        let (mut encoded, at) = (plain.clone(), source(&plain));
        assert_eq!(encode_keys(&mut encoded, at), [1]);
        let changed = plain.stages.iter().zip(&encoded.stages).filter(|(a, b)| a.output != b.output);
        assert_eq!(changed.count(), 2, "the source and the shared fragment");
        for stage in &encoded.stages {
            let StageKind::Fragment(spec) = &stage.kind else { continue };
            assert_eq!(
                (spec.fragment.output(), spec.fragment.input()),
                (&stage.output, &encoded.stages[stage.inputs[0].stage].output)
            );
        }
        // Whoever writes the rows themselves wants text.
        let mut written = physical(&[counted("origin", "a"), sink(&shared, "b")]);
        let at = source(&written);
        assert!(encode_keys(&mut written, at).is_empty());
        let outputs = |plan: &PhysicalPlan| plan.stages.iter().map(|s| s.output.clone()).collect::<Vec<_>>();
        assert_eq!(outputs(&written), outputs(&physical(&[counted("origin", "a"), sink(&shared, "b")])));
    }

    #[test]
    fn a_column_that_is_computed_with_stays_plain() {
        let mut filtered = plan(&AggregateRequest::new(["origin"], [count()]), Some(col("origin").eq("SFO")));
        let at = source(&filtered);
        assert!(encode_keys(&mut filtered, at).is_empty());
        let mut aggregated = plan(&AggregateRequest::new(["x"], [max(col("origin"))]), None);
        let at = source(&aggregated);
        assert!(encode_keys(&mut aggregated, at).is_empty());
    }
}
