//! Partition: which task owns a row's key.

use arrow::datatypes::SchemaRef;
use sabot_common::KeyGroups;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;

/// Sends each row to the task that owns the key group of its key.
///
/// The group is [`KeyGroups::group_of`] of the key hash with `seed`, the task
/// [`KeyGroups::task_of_group`]. When the input carries [`hidden::HASH`](sabot_batch::hidden::HASH)
/// that hash is used and not computed again. The order of rows within one target is that of the input;
/// a target without rows gets no morsel. Nulls are keys like any other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionSpec {
    /// The key columns in order. None at all sends every row to the first task.
    pub keys: Vec<usize>,
    /// Seed of the key hash.
    pub seed: u64,
    /// The pipeline's key groups.
    pub key_groups: KeyGroups,
    /// How many tasks there are.
    pub parallelism: u32,
}

impl PartitionSpec {
    /// The input's schema: partitioning changes no column.
    ///
    /// # Errors
    /// [`SpecError`] when a key column is missing or its type cannot be hashed, or there is no task.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        const OPERATOR: &str = "partition";
        if self.parallelism == 0 {
            return Err(SpecError::Invalid { operator: OPERATOR, message: "parallelism 0; it must be 1 or more".into() });
        }
        for index in &self.keys {
            crate::group_by::check_key(OPERATOR, crate::spec::column(OPERATOR, input, *index)?)?;
        }
        Ok(input.clone())
    }
}

impl fmt::Display for PartitionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition by key over {} tasks", self.parallelism)
    }
}
