//! Partition: which task owns a row's key.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::hidden;
use sabot_common::KeyGroups;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;

/// Sends each row to the task that owns the key group of its key.
///
/// The group is [`KeyGroups::group_of`] of the key hash with `seed`, the task
/// [`KeyGroups::task_of_group`]. When the input carries [`hidden::HASH`]
/// that hash is used and not computed again. The order of rows within one target is that of the input;
/// a target without rows gets no morsel. Nulls are keys like any other, and the key without columns is
/// one too: it has a hash and a group, so all rows go to the one task that owns it, which is where
/// state restored by key group looks for them.
///
/// An update pair whose halves go to different targets becomes a delete there and an insert here.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_common::KeyGroups;
/// # use sabot_ops::PartitionSpec;
/// # use std::sync::Arc;
/// let input = Arc::new(Schema::new(vec![Field::new("origin", DataType::Utf8, false)]));
/// let spec = PartitionSpec { keys: vec![0], seed: 0, key_groups: KeyGroups::default(), parallelism: 4 };
/// assert_eq!(spec.output_schema(&input)?, input);
/// let none = PartitionSpec { parallelism: 0, ..spec };
/// assert_eq!(none.output_schema(&input).unwrap_err().to_string(), "partition: parallelism 0; it must be 1 or more");
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionSpec {
    /// The key columns in order. With none, all rows have the same key.
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
    /// [`SpecError`] when a key column is missing or its type cannot be hashed, when there is no task, or
    /// more tasks than key groups.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        const OPERATOR: &str = "partition";
        if self.parallelism == 0 {
            return Err(SpecError::Invalid {
                operator: OPERATOR,
                message: "parallelism 0; it must be 1 or more".into(),
            });
        }
        if self.parallelism > u32::from(self.key_groups.count()) {
            return Err(SpecError::Invalid {
                operator: OPERATOR,
                message: format!(
                    "parallelism {} with {} key groups; a task without a key group would never get a row, so use \
                     at most as many tasks as key groups",
                    self.parallelism,
                    self.key_groups.count()
                ),
            });
        }
        for index in &self.keys {
            crate::group_by::check_key(OPERATOR, crate::spec::column(OPERATOR, input, *index)?)?;
        }
        if let Ok(hash) = input.field_with_name(hidden::HASH)
            && (hash.data_type() != &DataType::UInt64 || hash.is_nullable())
        {
            return Err(SpecError::ColumnType {
                operator: OPERATOR,
                role: "key hash",
                column: hidden::HASH.to_owned(),
                got: hash.data_type().clone(),
                expected: "uint64 and never null".to_owned(),
            });
        }
        Ok(input.clone())
    }
}

impl fmt::Display for PartitionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition by key over {} tasks", self.parallelism)
    }
}
