//! Group-by: aggregates by key, cut so that any device can do the first half.
//!
//! `Partial` turns the rows of *one morsel* into one row of partial state a key; `Merge` combines rows
//! of partial state; `Final` turns partial state into values. Partial state is an ordinary morsel with
//! the same schema on every device, so it can be made on one, moved, and merged on another. The result
//! of `Partial`, any number of `Merge`s in any grouping and order, then `Final`, depends on the rows
//! alone (floats: within a bound that is stated).
//!
//! **Sums of floats**: |result − exact| ≤ n · 2⁻⁵² · Σ|x| over the n values of the group, in whatever order
//! they are added. An average adds one rounding.
//!
//! **Moments of floats** (variance, covariance, correlation). The state is n, the means and the central
//! moments M = Σ(x − mean)², two states are merged by Chan's formula, nothing is ever subtracted that was
//! added before. With S = Σx² and e = n · 2⁻⁵²: |mean − exact| ≤ 4 · 2⁻⁵² · Σ|x|, and
//! |M − exact| ≤ 8 · e · (√(M · S) + e · S); of two columns, |M_xy − exact| ≤ 8 · e · (√(M_x · S_y) + √(M_y · S_x) +
//! e · √(S_x · S_y)). What is computed from M adds three roundings.
//!
//! Both hold as long as nothing on the way leaves the finite range. NaN and infinities in sums give what
//! IEEE 754 addition gives; in moments they give NaN.
//!
//! Some functions are *ordered*: their result depends on where rows stand, which is said by hidden columns
//! ([`ORDER_COLUMNS`]) that are carried where such a function is present, and by the same places in partial
//! state. So they too depend on the rows alone.

mod aggregate;
mod catalog;
mod function;
mod order;
mod rules;
mod wide;

pub use aggregate::{AggregateSpec, ArgumentSpec};
pub use catalog::{AggregateInfo, CATALOG};
pub use function::{AggregateFunction, Quantile, UserFunction};
pub use order::{ORDER_COLUMNS, Place, Places};
pub(crate) use rules::SUM_TYPE;
pub use wide::{WideSum, central_product, nearest_double};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use sabot_batch::{hidden, key_hash, key_index};
use sabot_expr::type_name;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;
use crate::spec::{column, describe, same_columns, unique_names};

const OPERATOR: &str = "group-by";

/// Aggregates by key within each morsel.
///
/// Keys compare as the key hash says: nulls are equal to each other, −0.0 to 0.0, all NaNs to each
/// other. The key that stands in the output is that of the group's first row in canonical form: 0.0, the
/// quiet NaN with an empty payload, dictionaries looked up. Groups come in the order of their first row.
/// No keys at all is one group; a morsel without live rows gives no row.
///
/// Rows are inserts. A live row of another kind is an internal failure, as the plan lets no changelog
/// in: an aggregate that took a delete for an insert would be silently wrong.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_ops::{AggregateFunction, AggregateSpec, GroupByMode, GroupBySpec};
/// # use std::sync::Arc;
/// let input = Arc::new(Schema::new(vec![
///     Field::new("origin", DataType::Utf8, false),
///     Field::new("delay", DataType::Int64, true),
/// ]));
/// let total = AggregateSpec::new(AggregateFunction::Sum, [(1, DataType::Int64)], "total");
/// let spec = GroupBySpec { keys: vec![0], hashed: vec![0], seed: 0, aggregates: vec![total], mode: GroupByMode::Partial };
/// let partial = spec.output_schema(&input)?; // key, hash, partial state
/// let last = GroupBySpec { mode: GroupByMode::Final, ..spec };
/// let names: Vec<_> = last.output_schema(&partial)?.fields().iter().map(|f| f.name().clone()).collect();
/// assert_eq!(names, ["origin", "total"]);
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupBySpec {
    /// The key columns in order.
    pub keys: Vec<usize>,
    /// The key columns among `keys`, by position there, that take part in the hash
    /// ([`hidden::HASH`]); the window start, say, is a key but moves no row to another task.
    pub hashed: Vec<usize>,
    /// Seed of the key hash.
    pub seed: u64,
    /// The aggregates in order.
    pub aggregates: Vec<AggregateSpec>,
    /// Which half of the work.
    pub mode: GroupByMode,
}

/// Which part of an aggregation a group-by does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupByMode {
    /// Rows to partial state. Output: keys, [`hidden::HASH`], then the state columns of each aggregate.
    Partial,
    /// Partial state to partial state, one row a key. Input and output have the partial schema; `keys`
    /// are its first columns, and the columns of an aggregate's arguments say nothing.
    Merge,
    /// Partial state, one row a key, to values. Output: keys, then one column an aggregate. Rows are
    /// not grouped. A value that cannot be given, such as a sum beyond the range of its result, is the
    /// row's error in the expression that has the aggregate's name.
    Final,
}

impl GroupBySpec {
    /// The schema of the partial state, given the schema of the rows (for `Partial`) or of partial
    /// state (otherwise).
    ///
    /// # Errors
    /// [`SpecError`] when a column is missing or has a type that cannot be a key or an argument.
    pub fn partial_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        let mut fields = self.key_fields(input)?;
        fields.push(Field::new(hidden::HASH, DataType::UInt64, false));
        for aggregate in &self.aggregates {
            fields.extend(aggregate.state_fields()?);
        }
        unique_names(OPERATOR, Schema::new(fields))
    }

    /// The schema of the output.
    ///
    /// # Errors
    /// As [`GroupBySpec::partial_schema`].
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        self.check(input)?;
        match self.mode {
            GroupByMode::Partial | GroupByMode::Merge => self.partial_schema(input),
            GroupByMode::Final => {
                let mut fields = self.key_fields(input)?;
                for aggregate in &self.aggregates {
                    fields.push(aggregate.result_field()?);
                }
                unique_names(OPERATOR, Schema::new(fields))
            }
        }
    }

    /// The spec that combines the partial state of this one.
    pub fn to_merge(&self) -> GroupBySpec {
        self.over_partial_state(GroupByMode::Merge)
    }

    /// The spec that turns the partial state of this one into values.
    pub fn to_final(&self) -> GroupBySpec {
        self.over_partial_state(GroupByMode::Final)
    }

    /// In partial state the keys are the first columns and aggregates read their own state.
    fn over_partial_state(&self, mode: GroupByMode) -> GroupBySpec {
        let aggregates =
            self.aggregates.iter().map(|a| AggregateSpec { filter: None, ..a.clone() }).collect();
        GroupBySpec { keys: (0..self.keys.len()).collect(), aggregates, mode, ..self.clone() }
    }

    fn key_fields(&self, input: &SchemaRef) -> Result<Vec<Field>, SpecError> {
        let mut fields = Vec::with_capacity(self.keys.len());
        for index in &self.keys {
            let field = column(OPERATOR, input, *index)?;
            check_key(OPERATOR, field)?;
            fields.push(Field::new(field.name(), key_type(field.data_type()), field.is_nullable()));
        }
        Ok(fields)
    }

    fn check(&self, input: &SchemaRef) -> Result<(), SpecError> {
        if let Some(position) = self.hashed.iter().find(|p| **p >= self.keys.len()) {
            return Err(SpecError::ColumnIndex {
                operator: OPERATOR,
                index: *position,
                columns: self.keys.len(),
            });
        }
        if self.mode != GroupByMode::Partial {
            let partial = self.partial_schema(input)?;
            if !same_columns(&partial, input) {
                return Err(SpecError::Invalid {
                    operator: OPERATOR,
                    message: format!(
                        "input {} is not the partial state {}",
                        describe(input),
                        describe(&partial)
                    ),
                });
            }
            return Ok(());
        }
        self.aggregates.iter().try_for_each(|aggregate| check_aggregate(aggregate, input))
    }

    /// Whether some aggregate depends on the order of rows.
    pub fn is_ordered(&self) -> bool {
        self.aggregates.iter().any(|a| a.function.is_ordered())
    }
}

/// Whether an aggregate of rows finds what it reads.
fn check_aggregate(aggregate: &AggregateSpec, input: &SchemaRef) -> Result<(), SpecError> {
    let invalid = |message| Err(SpecError::Invalid { operator: OPERATOR, message });
    for argument in &aggregate.arguments {
        let field = column(OPERATOR, input, argument.column)?;
        if field.data_type() != &argument.data_type {
            return invalid(format!(
                "argument \"{}\" of \"{}\" is {}, declared as {}",
                field.name(),
                aggregate.name,
                type_name(field.data_type()),
                type_name(&argument.data_type)
            ));
        }
    }
    if let Some(filter) = aggregate.filter {
        let field = column(OPERATOR, input, filter)?;
        if field.data_type() != &DataType::Boolean {
            return Err(SpecError::ColumnType {
                operator: OPERATOR,
                role: "filter",
                column: field.name().clone(),
                got: field.data_type().clone(),
                expected: "a boolean".to_owned(),
            });
        }
    }
    if aggregate.function.is_ordered() && !order::has_places(input) {
        return invalid(format!(
            "{} as \"{}\" depends on the order of rows; the input must carry {} and {}",
            aggregate.function.name(),
            aggregate.name,
            hidden::PARTITION,
            hidden::ROW
        ));
    }
    Ok(())
}

/// The type that a key column has in the output: dictionaries and runs are looked up, also inside lists and
/// structs.
pub(crate) fn key_type(data_type: &DataType) -> DataType {
    key_index::canonical_type(data_type)
}

pub(crate) fn check_key(operator: &'static str, field: &FieldRef) -> Result<(), SpecError> {
    if key_hash::supports_key(field.data_type()) {
        return Ok(());
    }
    Err(SpecError::ColumnType {
        operator,
        role: "key",
        column: field.name().clone(),
        got: field.data_type().clone(),
        expected: "any type that neither is nor holds a map or a union".to_owned(),
    })
}

impl fmt::Display for GroupBySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            GroupByMode::Partial => "pre-aggregate",
            GroupByMode::Merge => "merge",
            GroupByMode::Final => "finish",
        };
        let list: Vec<String> = self.aggregates.iter().map(ToString::to_string).collect();
        write!(f, "{mode} {} keys [{}]", self.keys.len(), list.join(", "))
    }
}
