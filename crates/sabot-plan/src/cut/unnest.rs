//! An unnest as the last step of a fragment: what follows reads its result in morsels of the usual size.

use sabot_batch::hidden;
use sabot_ops::{UnnestColumn, UnnestSource, UnnestSpec};

use super::{Cutter, Flow, internal};
use crate::{PlanError, Unnest};

impl Cutter<'_> {
    pub(super) fn unnest(&mut self, index: usize, unnest: &Unnest) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let logical = self.input_schema(index);
        let demand = &self.demands[index];
        let mut flow = self.input(index, 0)?;
        let place = |column: usize| {
            let field = logical.fields().get(column);
            let place = field.and_then(|field| flow.schema.index_of(field.name()).ok());
            place.ok_or_else(|| internal(node, "a column of its input is missing"))
        };

        let sources = unnest.columns(logical.fields().len());
        let mut columns = Vec::with_capacity(demand.columns.len());
        for (column, source) in sources.into_iter().enumerate().filter(|(i, _)| demand.columns.contains(i)) {
            let source = match source {
                UnnestSource::Input(column) => UnnestSource::Input(place(column)?),
                other => other,
            };
            columns.push(UnnestColumn { name: node.properties.schema.field(column).name().clone(), source });
        }
        for name in demand.hidden.names() {
            let given = flow.schema.index_of(name).ok();
            let source = match (name, given) {
                (hidden::KEY, key) => UnnestSource::Order(key),
                (_, Some(column)) => UnnestSource::Input(column),
                (_, None) => return Err(internal(node, "a hidden column of its input is missing")),
            };
            columns.push(UnnestColumn { name: name.to_owned(), source });
        }
        let spec = UnnestSpec { list: place(unnest.column)?, keep_empty: unnest.keep_empty, columns };
        flow.push(spec.into())?;
        flow.operators.push(node.id.clone());
        self.materialise(flow, &node.id)
    }
}
