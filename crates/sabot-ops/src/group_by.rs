//! Group-by: aggregates by key, cut so that any device can do the first half.
//!
//! `Partial` turns the rows of *one morsel* into one row of partial state a key; `Merge` combines rows
//! of partial state; `Final` turns partial state into values. Partial state is an ordinary morsel with
//! the same schema on every device, so it can be made on one, moved, and merged on another. The result
//! of `Partial`, any number of `Merge`s in any grouping and order, then `Final`, depends on the rows
//! alone (floats: within the bound of [`AggregateFunction`]).

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
/// let total = AggregateSpec {
///     function: AggregateFunction::Sum,
///     input: Some(1),
///     input_type: Some(DataType::Int64),
///     name: "total".into(),
/// };
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
    /// are its first columns, and `input` of an aggregate is ignored.
    Merge,
    /// Partial state, one row a key, to values. Output: keys, then one column an aggregate. Rows are
    /// not grouped. A sum beyond the range of its result is the row's error: an overflow of `sum` in
    /// the expression that has the aggregate's name.
    Final,
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateSpec {
    /// The function.
    pub function: AggregateFunction,
    /// The column it reads; `None` for `count(*)`.
    pub input: Option<usize>,
    /// Type of that column, so that state and result are known without the input; `None` as above.
    #[serde(with = "option_type_serde")]
    pub input_type: Option<DataType>,
    /// Name of the result column.
    pub name: String,
}

/// The aggregate functions. All skip nulls; `count(*)` counts every row.
///
/// | function | argument | result | state columns |
/// |---|---|---|---|
/// | count | any or none | int64, never null | count int64 |
/// | sum | int, uint | int64, uint64; null without values; an error beyond the range | sum decimal128(38, 0), nullable |
/// | sum | f32, f64 | f64; null without values | sum f64, nullable |
/// | avg | int, uint, bool | f64: exact 128-bit sum ÷ count, one rounding each; null without values | sum decimal128(38, 0), nullable; count int64 |
/// | avg | f32, f64 | f64; null without values | sum f64, nullable; count int64 |
/// | min, max | bool, int, uint, f32, f64, utf8, large utf8, dictionary of strings, date32, timestamp | the argument's type (a dictionary: its string type); null without values | value, nullable |
///
/// Float sums: |result − exact| ≤ n · 2⁻⁵² · Σ|x| over the n values of the group, in whatever order they
/// are added, as long as no partial sum leaves the finite range. NaN and infinities give what IEEE 754
/// addition gives. min and max: −0.0 equals 0.0 (either may be returned as 0.0), NaN is greatest.
///
/// ```
/// # use sabot_ops::AggregateFunction;
/// assert_eq!(AggregateFunction::Avg.name(), "avg");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// Rows, or values that are not null.
    Count,
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Avg,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
}

impl AggregateFunction {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
        }
    }
}

/// The type of exact 128-bit integer sums.
pub(crate) const SUM_TYPE: DataType = DataType::Decimal128(38, 0);

impl AggregateSpec {
    /// The field of the result.
    ///
    /// # Errors
    /// [`SpecError::ColumnType`] when the function does not take the argument's type.
    pub fn result_field(&self) -> Result<Field, SpecError> {
        use AggregateFunction as F;
        let data_type = match (self.function, &self.input_type) {
            (F::Count, _) => return Ok(Field::new(&self.name, DataType::Int64, false)),
            (F::Sum, Some(t)) if t.is_signed_integer() => DataType::Int64,
            (F::Sum, Some(t)) if t.is_unsigned_integer() => DataType::UInt64,
            (F::Sum | F::Avg, Some(t)) if is_float(t) => DataType::Float64,
            (F::Avg, Some(t)) if t.is_integer() || t == &DataType::Boolean => DataType::Float64,
            (F::Min | F::Max, Some(t)) => match min_max_type(t) {
                Some(data_type) => data_type,
                None => return Err(self.type_error()),
            },
            _ => return Err(self.type_error()),
        };
        Ok(Field::new(&self.name, data_type, true))
    }

    /// The fields of the partial state, named `<result>.<part>`.
    ///
    /// # Errors
    /// [`SpecError::ColumnType`] when the function does not take the argument's type.
    pub fn state_fields(&self) -> Result<Vec<Field>, SpecError> {
        use AggregateFunction as F;
        let result = self.result_field()?;
        let sum_type = || match &self.input_type {
            Some(t) if is_float(t) => DataType::Float64,
            _ => SUM_TYPE,
        };
        let part = |part: &str, data_type, nullable| {
            Field::new(format!("{}.{part}", self.name), data_type, nullable)
        };
        Ok(match self.function {
            F::Count => vec![part("count", DataType::Int64, false)],
            F::Sum => vec![part("sum", sum_type(), true)],
            F::Avg => vec![part("sum", sum_type(), true), part("count", DataType::Int64, false)],
            F::Min | F::Max => vec![part("value", result.data_type().clone(), true)],
        })
    }

    fn type_error(&self) -> SpecError {
        let expected = match self.function {
            AggregateFunction::Sum => "an integer or a float",
            AggregateFunction::Avg => "an integer, a float or a boolean",
            _ => "a boolean, an integer, a float, a string, a date or a timestamp",
        };
        SpecError::Invalid {
            operator: OPERATOR,
            message: match &self.input_type {
                Some(t) => format!(
                    "{} of {} as \"{}\"; its argument must be {expected}",
                    self.function.name(),
                    type_name(t),
                    self.name
                ),
                None => format!("{} needs an argument: {expected}", self.function.name()),
            },
        }
    }
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
        let aggregates = self.aggregates.iter().map(|a| AggregateSpec { input: None, ..a.clone() }).collect();
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
        for aggregate in &self.aggregates {
            if aggregate.input.is_some() != aggregate.input_type.is_some() {
                return Err(SpecError::Invalid {
                    operator: OPERATOR,
                    message: format!(
                        "\"{}\" has an argument without a type or a type without an argument; give both or none",
                        aggregate.name
                    ),
                });
            }
            if let Some(index) = aggregate.input {
                let field = column(OPERATOR, input, index)?;
                if Some(field.data_type()) != aggregate.input_type.as_ref() {
                    return Err(SpecError::Invalid {
                        operator: OPERATOR,
                        message: format!(
                            "argument \"{}\" of \"{}\" is {}, declared as {}",
                            field.name(),
                            aggregate.name,
                            type_name(field.data_type()),
                            aggregate.input_type.as_ref().map_or("none".to_owned(), type_name)
                        ),
                    });
                }
            }
        }
        Ok(())
    }
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

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn min_max_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Boolean
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Date32
        | DataType::Timestamp(..) => Some(data_type.clone()),
        DataType::Dictionary(_, value) if matches!(**value, DataType::Utf8 | DataType::LargeUtf8) => {
            Some(value.as_ref().clone())
        }
        t if t.is_integer() || is_float(t) => Some(t.clone()),
        _ => None,
    }
}

impl fmt::Display for GroupBySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            GroupByMode::Partial => "pre-aggregate",
            GroupByMode::Merge => "merge",
            GroupByMode::Final => "finish",
        };
        let list: Vec<String> =
            self.aggregates.iter().map(|a| format!("{} as {}", a.function.name(), a.name)).collect();
        write!(f, "{mode} {} keys [{}]", self.keys.len(), list.join(", "))
    }
}

mod option_type_serde {
    use super::DataType;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Named(#[serde(with = "sabot_expr::types::type_serde")] DataType);

    pub(super) fn serialize<S: Serializer>(value: &Option<DataType>, s: S) -> Result<S::Ok, S::Error> {
        value.clone().map(Named).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<DataType>, D::Error> {
        Ok(Option::<Named>::deserialize(d)?.map(|n| n.0))
    }
}
