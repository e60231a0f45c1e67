//! Rows on their way to the task that has all rows of their key.

use arrow::datatypes::SchemaRef;
use sabot_common::OperatorId;
use sabot_ops::{OperatorSpec, PartitionSpec};

use super::{Cutter, Flow};
use crate::{PlanError, PlanNode, Route, StageInput};

/// What a keyed stage reads.
pub(super) struct Owned {
    /// Schema of the rows.
    pub(super) rows: SchemaRef,
    pub(super) inputs: Vec<StageInput>,
    /// The operators that the stage does.
    pub(super) operators: Vec<OperatorId>,
}

impl Cutter<'_> {
    /// The rows of a flow for the owners of the keys in these columns; without keys one task has them all.
    pub(super) fn owned(
        &mut self,
        mut flow: Flow,
        keys: &[usize],
        node: &PlanNode,
    ) -> Result<Owned, PlanError> {
        flow.operators.push(node.id.clone());
        let mut route = Route::Gather;
        if !keys.is_empty() {
            route = Route::KeyGroups;
            flow.push(OperatorSpec::Partition(PartitionSpec {
                keys: keys.to_vec(),
                seed: self.plan.keying().hash_seed,
                key_groups: self.plan.keying().key_groups,
                parallelism: self.options.keyed_parallelism,
            }))?;
        }
        let rows = flow.schema.clone();
        let flow = self.materialise(flow, &node.id)?;
        let inputs = flow.inputs.into_iter().map(|input| StageInput { route, ..input }).collect();
        // The steps in front, if there are any, are the operator's as well.
        let before = flow.operators.into_iter().filter(|id| id != &node.id);
        let operators = before.chain([node.id.clone()]).collect();
        Ok(Owned { rows, inputs, operators })
    }
}
