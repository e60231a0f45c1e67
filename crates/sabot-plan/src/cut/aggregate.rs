//! An aggregation as two stages: prepare, on any device, and apply, at the owner of the keys.
//!
//! The prepare half ends a fragment: it gives each row its window, computes keys and arguments, makes
//! partial state of each morsel and sends it to the owner of the key group. Where an upstream partition
//! may go idle, or come later, it sends the rows themselves instead: they may belong to windows that are
//! closed already, and only the owner of the state knows which. So it does where windows count rows, with
//! what the order of rows is made of.

use arrow::datatypes::{Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_expr::TypedExpr;
use sabot_ops::{
    AggregateSpec, FilterProjectSpec, Fragment, GroupByMode, GroupBySpec, ORDER_COLUMNS, OperatorSpec,
    PartitionSpec, Projection, UnionSpec, WindowAssignSpec,
};
use std::collections::HashSet;
use std::sync::Arc;

use super::{Cutter, Flow, hidden_fields};
use crate::derive::aggregate_spec;
use crate::{
    AggregateStage, Aggregation, FragmentStage, KeyedInput, KeyedStage, KeyedWindow, NodeKind, PlanError,
    Port, Route, StageInput, StageKind, WINDOW_END, WINDOW_START,
};

/// The rows that an aggregation works on: keys, then arguments, then what else goes along.
struct Prepared {
    spec: FilterProjectSpec,
    keys: usize,
    aggregates: Vec<AggregateSpec>,
    /// The columns that make up a late row.
    late_columns: Vec<usize>,
}

impl Cutter<'_> {
    pub(super) fn aggregate(
        &mut self,
        index: usize,
        window: Option<&KeyedWindow>,
        keys: &[Projection],
        aggregates: &[Aggregation],
    ) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let mut flow = self.input(index, 0)?;
        flow.operators.push(node.id.clone());
        let first = keys.len() + if window.is_some() { 2 } else { 0 };
        let wanted: Vec<&Aggregation> = (aggregates.iter().enumerate())
            .filter(|(i, _)| self.demands[index].columns.contains(&(first + i)))
            .map(|(_, aggregate)| aggregate)
            .collect();
        let counts = window.is_some_and(KeyedWindow::counts_rows);
        let raw = window.is_some() && (self.may_fall_behind[node.inputs[0]] || counts);
        let reads_late = self.consumers[index].iter().any(|c| plan.nodes()[*c].kind == NodeKind::LateRows);

        let arriving = flow.schema.clone();
        let side = (raw && reads_late).then_some(&arriving);
        let mut prepared = prepare(&flow, &self.input_schema(index), window.is_some(), keys, &wanted, side)?;
        if counts {
            let order = [hidden::PARTITION, hidden::ROW, hidden::KEY].into_iter();
            let order = order.filter_map(|name| flow.schema.index_of(name).ok());
            let new: Vec<usize> = order.filter(|i| !prepared.spec.carried.contains(i)).collect();
            prepared.spec.carried.extend(new);
        }
        if let Some(KeyedWindow { window, allowed_lateness }) = window {
            let (window, allowed_lateness) = (*window, *allowed_lateness);
            flow.push(OperatorSpec::WindowAssign(WindowAssignSpec { window, allowed_lateness }))?;
        }
        flow.compute(prepared.spec)?;
        let partial = self.group_by(&flow.schema, prepared.keys, prepared.aggregates);
        let partial_schema = partial.partial_schema(&flow.schema)?;
        let keys_at = if raw {
            0
        } else {
            flow.push(OperatorSpec::GroupBy(partial.clone()))?;
            partial.keys.len() - prepared.keys
        };
        flow.push(OperatorSpec::Partition(PartitionSpec {
            keys: (keys_at..keys_at + prepared.keys).collect(),
            seed: self.plan.keying().hash_seed,
            key_groups: self.plan.keying().key_groups,
            parallelism: self.options.keyed_parallelism,
        }))?;

        let stage = AggregateStage {
            window: window.cloned(),
            partial,
            input: if raw { KeyedInput::Raw } else { KeyedInput::Partial },
            partial_schema,
            ordinal: self.next_ordinal(),
            late: side.cloned(),
            late_columns: prepared.late_columns,
            window_start: self.window_column(index, window, 0, WINDOW_START),
            window_end: self.window_column(index, window, 1, WINDOW_END),
            time_zone: node.properties.time.as_ref().and_then(|time| time.zone.clone()),
        };
        let fragment = self.prepare_stage(flow, reads_late)?;
        let inputs = vec![StageInput { stage: fragment, port: Port::Main, route: Route::KeyGroups }];
        let output = self.result_schema(index, window.is_some(), keys.len());
        let results =
            self.stage(vec![node.id.clone()], inputs, StageKind::Keyed(KeyedStage::Aggregate(stage)), output);
        if reads_late {
            let keyed = raw.then_some(results.inputs[0].stage);
            self.late[index] = Some(late_flow(fragment, keyed, arriving)?);
        }
        Ok(results)
    }

    /// Cuts the prepare half; the number of its stage.
    fn prepare_stage(&mut self, flow: Flow, reads_late: bool) -> Result<usize, PlanError> {
        let Flow { inputs, base, steps, operators, .. } = flow;
        let fragment = Fragment::new(base, steps)?;
        let output = fragment.output().clone();
        let late = if reads_late { fragment.late() } else { None };
        let stage =
            self.stage(operators, inputs, StageKind::Fragment(FragmentStage { fragment, late }), output);
        Ok(stage.inputs[0].stage)
    }

    /// Partial aggregation of prepared rows: `keys` columns, and the window where there is one.
    fn group_by(&self, prepared: &Schema, keys: usize, aggregates: Vec<AggregateSpec>) -> GroupBySpec {
        let window = prepared.index_of(hidden::WINDOW).ok();
        let first = usize::from(window.is_some());
        GroupBySpec {
            keys: window.into_iter().chain(0..keys).collect(),
            // All windows of a key belong to one task.
            hashed: (first..first + keys).collect(),
            seed: self.plan.keying().hash_seed,
            aggregates,
            mode: GroupByMode::Partial,
        }
    }

    /// The name of a window column, when somebody reads it.
    fn window_column(
        &self,
        index: usize,
        window: Option<&KeyedWindow>,
        place: usize,
        name: &str,
    ) -> Option<String> {
        window.filter(|_| self.demands[index].columns.contains(&place)).map(|_| name.to_owned())
    }

    /// What leaves the apply half: window columns and aggregates that somebody reads, and all keys.
    fn result_schema(&self, index: usize, windowed: bool, keys: usize) -> SchemaRef {
        let (demand, visible) = (&self.demands[index], &self.plan.nodes()[index].properties.schema);
        let first = if windowed { 2 } else { 0 };
        let is_key = |column: usize| (first..first + keys).contains(&column);
        let fields = (0..visible.fields().len())
            .filter(|column| is_key(*column) || demand.columns.contains(column))
            .map(|column| visible.field(column).clone());
        Arc::new(Schema::new(fields.chain(hidden_fields(&demand.hidden)).collect::<Vec<Field>>()))
    }
}

/// Rows that came too late for the window step, and, where it sees raw rows, for the owner of the state.
fn late_flow(fragment: usize, keyed: Option<usize>, schema: SchemaRef) -> Result<Flow, PlanError> {
    let stages = [Some(fragment), keyed].into_iter().flatten();
    let inputs: Vec<StageInput> =
        stages.map(|stage| StageInput { stage, port: Port::Late, route: Route::Forward }).collect();
    let several = inputs.len() > 1;
    let mut flow = Flow::new(inputs, schema.clone(), Vec::new());
    if several {
        flow.push(OperatorSpec::Union(UnionSpec { schema }))?;
    }
    Ok(flow)
}

/// Computes keys and arguments from rows of `flow` (before the window step, which only appends). With
/// `side` the columns of those rows go along, for rows that turn out to be late further down.
fn prepare(
    flow: &Flow,
    logical: &Schema,
    windowed: bool,
    keys: &[Projection],
    wanted: &[&Aggregation],
    side: Option<&SchemaRef>,
) -> Result<Prepared, PlanError> {
    let mut columns = Columns::default();
    for aggregate in wanted {
        // Partial state stands beside the keys, so no key may be named like a part of it.
        let parts = aggregate_spec(aggregate).state_fields()?;
        columns.taken.extend(parts.into_iter().map(|f| f.name().clone()));
    }
    for key in keys {
        columns.add(&key.name, flow.localise(&key.expr, logical));
    }
    let mut aggregates = Vec::with_capacity(wanted.len());
    for aggregate in wanted {
        let mut spec = aggregate_spec(aggregate);
        for (argument, expr) in spec.arguments.iter_mut().zip(&aggregate.arguments) {
            argument.column = columns.find_or_add(flow.localise(expr, logical));
        }
        spec.filter = aggregate.filter.as_ref().map(|f| columns.find_or_add(flow.localise(f, logical)));
        aggregates.push(spec);
    }
    // Hidden columns are carried behind all others, so visible ones must all be placed first.
    let (mut late_columns, mut carried) = (Vec::new(), Vec::new());
    for (index, field) in side.iter().flat_map(|schema| schema.fields().iter().enumerate()) {
        if hidden::is_hidden(field.name()) {
            carried.push(index);
        } else {
            let column =
                TypedExpr::column(index, &flow.schema).map_err(|e| PlanError::expression("late rows", e))?;
            late_columns.push(columns.find_or_add(column));
        }
    }
    late_columns.extend(columns.projections.len()..columns.projections.len() + carried.len());
    if aggregates.iter().any(|aggregate| aggregate.function.is_ordered()) {
        let places = ORDER_COLUMNS.iter().filter_map(|name| flow.schema.index_of(name).ok());
        let missing: Vec<usize> = places.filter(|column| !carried.contains(column)).collect();
        carried.extend(missing);
    }
    if windowed {
        carried.push(flow.schema.fields().len());
    }
    let spec = FilterProjectSpec { predicate: None, projections: columns.projections, carried };
    Ok(Prepared { spec, keys: keys.len(), aggregates, late_columns })
}

/// Columns under names of their own, each distinct expression once.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) projections: Vec<Projection>,
    taken: HashSet<String>,
}

impl Columns {
    pub(super) fn find_or_add(&mut self, expr: TypedExpr) -> usize {
        match self.projections.iter().position(|p| p.expr == expr) {
            // A function that gives another value each time is another column each time.
            Some(same) if expr.is_deterministic() => same,
            _ => {
                let name = expr.to_string();
                self.add(&name, expr)
            }
        }
    }

    pub(super) fn add(&mut self, name: &str, expr: TypedExpr) -> usize {
        let numbered = (2u64..).map(|n| format!("{name} {n}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = free.unwrap_or_default();
        self.taken.insert(name.clone());
        self.projections.push(Projection { name, expr });
        self.projections.len() - 1
    }
}
