//! What a model says of rows, as a step of the fragment that it stands in.

use sabot_ops::PredictSpec;

use super::{Cutter, Flow, internal, physical_schema};
use crate::PlanError;

impl Cutter<'_> {
    pub(super) fn predict(&mut self, index: usize, spec: &PredictSpec) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let logical = self.input_schema(index);
        let demand = &self.demands[index];
        let mut flow = self.input(index, 0)?;
        let asked = |i: &usize| demand.columns.contains(&(logical.fields().len() + i));
        let asked: Vec<usize> = (0..spec.columns.len()).filter(asked).collect();
        // What nobody reads is not computed; a model may be read for its reasons in one output only.
        if !asked.is_empty() {
            let place = |column: &usize| {
                let field = logical.fields().get(*column);
                let place = field.and_then(|field| flow.schema.index_of(field.name()).ok());
                place.ok_or_else(|| internal(node, "a column of its input is missing"))
            };
            let features = spec.features.iter().map(place).collect::<Result<Vec<usize>, PlanError>>()?;
            let columns = asked.iter().map(|i| spec.columns[*i].clone()).collect();
            flow.push(PredictSpec { model: spec.model.clone(), features, columns }.into())?;
        }
        flow.fit(&physical_schema(&node.properties.schema, demand), &demand.hidden)?;
        flow.operators.push(node.id.clone());
        Ok(flow)
    }
}
