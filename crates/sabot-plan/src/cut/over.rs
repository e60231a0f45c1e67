//! Values over the rows around a row, as two stages: prepare partition, order and arguments, then compute
//! at the owner of the partitions. Without partitions there is one owner, and rows are gathered.

use arrow::datatypes::{Field, Schema};
use sabot_batch::hidden;
use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, OverSpec, SortKey};
use std::sync::Arc;

use super::aggregate::Columns;
use super::demand::stream_order;
use super::owned::Owned;
use super::{Cutter, Flow, hidden_fields, internal};
use crate::{KeyedStage, Over, OverStage, PlanError, StageKind};

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
        let mut order: Vec<SortKey> = Vec::with_capacity(over.order.len());
        for key in &over.order {
            let column = columns.find_or_add(flow.localise(&key.expr, &logical));
            order.push(SortKey { column, descending: key.descending, nulls_first: key.nulls_first });
        }
        let mut calls = Vec::with_capacity(over.columns.len());
        for (_, column) in
            over.columns.iter().enumerate().filter(|(i, _)| demand.columns.contains(&(before + i)))
        {
            let exprs = column.exprs().into_iter();
            let places: Vec<usize> =
                exprs.map(|expr| columns.find_or_add(flow.localise(expr, &logical))).collect();
            calls.push(column.call(&places));
        }
        let mut carried = stream_order(plan, node.inputs[0]);
        carried.merge(demand.hidden);
        let carried = carried.names().filter_map(|name| flow.schema.index_of(name).ok()).collect();
        flow.compute(FilterProjectSpec { predicate: None, projections: columns.projections, carried })?;
        if over.by_event_time {
            let time = flow.schema.index_of(hidden::TIME);
            order.push(SortKey::ascending(time.map_err(|_| internal(node, "the rows have no event time"))?));
        }

        let Owned { rows, inputs, operators } = self.owned(flow, &partition, node)?;
        let spec = OverSpec { partition, order, calls };
        let fields = rows.fields()[..kept].iter().map(|field| field.as_ref().clone());
        let fields = fields.chain(spec.result_fields(&rows)?).chain(hidden_fields(&demand.hidden));
        let output = Schema::new(fields.collect::<Vec<Field>>());
        let stage = OverStage { rows, spec, kept, hash_seed: plan.keying().hash_seed };
        Ok(self.stage(operators, inputs, StageKind::Keyed(KeyedStage::Over(stage)), Arc::new(output)))
    }
}
