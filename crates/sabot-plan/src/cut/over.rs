//! Values over the rows around a row, as two stages: prepare partition, order and arguments, then compute
//! at the owner of the partitions. Without partitions there is one owner, and rows are gathered.

use arrow::datatypes::{Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, OverSpec, SortKey};
use std::sync::Arc;

use super::aggregate::Columns;
use super::demand::stream_order;
use super::owned::Owned;
use super::{Cutter, Flow, hidden_fields, internal};
use crate::{
    KeyedStage, NodeKind, OrderBy, Over, OverStage, PlanError, Port, RollingStage, Route, StageInput,
    StageKind,
};

impl Cutter<'_> {
    pub(super) fn over(&mut self, index: usize, over: &Over) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let logical = self.input_schema(index);
        let demand = self.demands[index].clone();
        let mut flow = self.input(index, 0)?;

        let mut columns = Columns::default();
        let before = logical.fields().len();
        for column in demand.columns.iter().filter(|column| **column < before) {
            let expr = TypedExpr::column(*column, &logical).map_err(|e| PlanError::expression("over", e))?;
            columns.add(logical.field(*column).name(), flow.localise(&expr, &logical));
        }
        let kept = columns.projections.len();
        let partition: Vec<usize> = over
            .partition
            .iter()
            .map(|key| columns.find_or_add(flow.localise(&key.expr, &logical)))
            .collect();
        let mut sorted = |keys: &[OrderBy]| -> Vec<SortKey> {
            let key = |key: &OrderBy| {
                let column = columns.find_or_add(flow.localise(&key.expr, &logical));
                SortKey { column, descending: key.descending, nulls_first: key.nulls_first }
            };
            keys.iter().map(key).collect()
        };
        let (mut order, ties) = (sorted(&over.order), sorted(&over.ties));
        let mut calls = Vec::with_capacity(over.columns.len());
        for (_, column) in
            over.columns.iter().enumerate().filter(|(i, _)| demand.columns.contains(&(before + i)))
        {
            let exprs = column.exprs().into_iter();
            let places: Vec<usize> =
                exprs.map(|expr| columns.find_or_add(flow.localise(expr, &logical))).collect();
            calls.push(column.call(&places));
        }
        let reads_late = self.consumers[index].iter().any(|c| plan.nodes()[*c].kind == NodeKind::LateRows);
        let arriving = reads_late.then(|| flow.schema.clone());
        for (i, field) in arriving.iter().flat_map(|schema| schema.fields().iter().enumerate()) {
            if !hidden::is_hidden(field.name()) {
                let column = TypedExpr::column(i, &flow.schema);
                columns.find_or_add(column.map_err(|e| PlanError::expression("late rows", e))?);
            }
        }
        let mut carried = stream_order(plan, node.inputs[0]);
        carried.merge(demand.hidden);
        let mut carried: Vec<usize> =
            carried.names().filter_map(|name| flow.schema.index_of(name).ok()).collect();
        for (i, field) in arriving.iter().flat_map(|schema| schema.fields().iter().enumerate()) {
            if hidden::is_hidden(field.name()) && !carried.contains(&i) {
                carried.push(i);
            }
        }
        let late_columns = late_columns(arriving.as_deref(), &columns, &carried, &flow.schema)?;
        flow.compute(FilterProjectSpec { predicate: None, projections: columns.projections, carried })?;
        if over.by_event_time {
            let time = flow.schema.index_of(hidden::TIME);
            order.push(SortKey::ascending(time.map_err(|_| internal(node, "the rows have no event time"))?));
        }

        let Owned { rows, inputs, operators } = self.owned(flow, &partition, node)?;
        let spec = OverSpec { partition, order, ties, calls };
        let fields = rows.fields()[..kept].iter().map(|field| field.as_ref().clone());
        let fields = fields.chain(spec.result_fields(&rows)?).chain(hidden_fields(&demand.hidden));
        let output = Schema::new(fields.collect::<Vec<Field>>());
        let late = arriving.clone();
        let ordinal = over.orders_rows().then(|| self.next_ordinal());
        let rolling = over.rolls.then_some(RollingStage { emit: over.emit, late, late_columns, ordinal });
        let stage = OverStage { rows, spec, kept, rolling, hash_seed: plan.keying().hash_seed };
        let results =
            self.stage(operators, inputs, StageKind::Keyed(KeyedStage::Over(stage)), Arc::new(output));
        if let Some(arriving) = arriving {
            let keyed =
                StageInput { stage: results.inputs[0].stage, port: Port::Late, route: Route::Forward };
            self.late[index] = Some(Flow::new(vec![keyed], arriving, Vec::new()));
        }
        Ok(results)
    }
}

/// Where the columns of arriving rows stand among those that are computed of them.
fn late_columns(
    arriving: Option<&Schema>,
    columns: &Columns,
    carried: &[usize],
    flow: &SchemaRef,
) -> Result<Vec<usize>, PlanError> {
    let mut places = Vec::new();
    for (i, field) in arriving.iter().flat_map(|schema| schema.fields().iter().enumerate()) {
        let place = if hidden::is_hidden(field.name()) {
            carried.iter().position(|carried| *carried == i).map(|place| columns.projections.len() + place)
        } else {
            let column = TypedExpr::column(i, flow).map_err(|e| PlanError::expression("late rows", e))?;
            columns.projections.iter().position(|projection| projection.expr == column)
        };
        places.extend(place);
    }
    Ok(places)
}
