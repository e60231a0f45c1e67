//! Group-by on the CPU: rows to partial state, partial state to partial state, partial state to values.
//!
//! [`GroupByStep`] does all three for whole batches. It first finds a dense id for each row, then lets
//! [`Accumulators`] run over one column after the other with those ids. Ids come by direct addressing
//! where keys are dictionaries, windows and the like, else from a [`KeyIndex`]. Both give ids in
//! order of first appearance, so which of them ran cannot be seen in the result.
//!
//! The state part of keyed operators merges partial state with the same [`Accumulators`]. Functions whose
//! state is a word or a string a group are in `basic`, which is what most aggregations consist of; all
//! others belong to a `family`.

mod accumulators;
mod basic;
mod columns;
mod decimals;
mod dense;
mod distinct;
mod extremes;
mod family;
mod inputs;
mod loops;
mod moments;
mod ordered;
mod sketches;
mod sums;
#[cfg(test)]
mod tests;
mod user;
mod values;

pub use accumulators::Accumulators;
pub use columns::AggregateBuilder;
pub use inputs::PartialState;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use sabot_batch::key_hash::{KeyHashError, KeyHasher};
use sabot_batch::key_index::{KeyBatch, KeyIndex, KeyIndexError, canonical};
use sabot_expr::{RowError, RowErrorKind};
use sabot_ops::{Failure, GroupByMode, GroupBySpec, SpecError};
use std::sync::Arc;

use dense::DenseKeys;

/// Why rows could not be aggregated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AccumulateError {
    /// An integer sum is beyond its result type.
    #[error("sum({sum}) does not fit {data_type} in \"{aggregate}\"")]
    Overflow {
        /// The aggregate's name.
        aggregate: String,
        /// Which of the groups asked for, from 0: the first with such a sum.
        position: usize,
        /// The exact sum.
        sum: String,
        /// The result type.
        data_type: DataType,
    },
    /// A user's function reported an error.
    #[error("function {function} failed: {message} in \"{aggregate}\"")]
    Function {
        /// The aggregate's name.
        aggregate: String,
        /// The function's name.
        function: String,
        /// Which of the groups asked for, from 0.
        position: usize,
        /// What it reported.
        message: String,
    },
    /// A count beyond int64 or a sum beyond 128 bits: partial state that no rows can have made.
    #[error("partial state of \"{aggregate}\" adds up to more than it can hold")]
    Beyond {
        /// The aggregate's name.
        aggregate: String,
    },
    /// The columns are not those that the aggregates were made for.
    #[error("group-by: {message}")]
    Input {
        /// What does not fit.
        message: String,
    },
    /// Keys or strings could not be handled.
    #[error(transparent)]
    Text(#[from] KeyIndexError),
    /// The aggregates themselves are wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

impl AccumulateError {
    fn type_of(name: &str, data_type: &DataType) -> Self {
        AccumulateError::Input { message: format!("\"{name}\" cannot take {data_type}") }
    }

    fn input(message: impl ToString) -> Self {
        AccumulateError::Input { message: message.to_string() }
    }

    /// Which of the groups asked for the error is about, where it is about one.
    pub fn position(&self) -> Option<usize> {
        match self {
            AccumulateError::Overflow { position, .. } | AccumulateError::Function { position, .. } => {
                Some(*position)
            }
            _ => None,
        }
    }
}

impl From<AccumulateError> for Failure {
    fn from(error: AccumulateError) -> Self {
        match error {
            AccumulateError::Overflow { aggregate, position, sum, data_type } => {
                let error = RowErrorKind::Overflow { op: "sum", left: sum, right: None, data_type };
                Failure::Row(RowError { row: position, expression: aggregate, error })
            }
            AccumulateError::Function { aggregate, function, position, message } => {
                let error = RowErrorKind::UserFunction { name: function, message };
                Failure::Row(RowError { row: position, expression: aggregate, error })
            }
            other => internal(other),
        }
    }
}

fn internal(error: impl ToString) -> Failure {
    Failure::Internal(error.to_string())
}

fn arrow_failure(error: ArrowError) -> Failure {
    internal(format!("group-by: {error}"))
}

fn hash_failure(error: KeyHashError) -> Failure {
    internal(format!("group-by: {error}"))
}

/// A [`GroupBySpec`] at work: one batch in, one batch out. Tables and scratch memory are kept from batch
/// to batch; results never depend on earlier batches.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
/// use sabot_cpu::group_by::GroupByStep;
/// use sabot_ops::{AggregateSpec, GroupByMode, GroupBySpec};
///
/// let origin: ArrayRef = Arc::new(StringArray::from(vec!["ORD", "SFO", "ORD"]));
/// let batch = RecordBatch::try_from_iter([("origin", origin)])?;
/// let spec = GroupBySpec {
///     keys: vec![0],
///     hashed: vec![0],
///     seed: 42,
///     aggregates: vec![AggregateSpec::count("flights")],
///     mode: GroupByMode::Partial,
/// };
/// let partial = GroupByStep::new(&spec, &batch.schema())?.run(&batch)?;
/// assert_eq!(partial.column(0).as_ref(), &StringArray::from(vec!["ORD", "SFO"]));
/// let values = GroupByStep::new(&spec.to_final(), &partial.schema())?.run(&partial)?;
/// assert_eq!(values.column(1).as_ref(), &Int64Array::from(vec![2, 1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GroupByStep {
    spec: GroupBySpec,
    input: SchemaRef,
    output: SchemaRef,
    state: Accumulators,
    index: KeyIndex,
    dense: DenseKeys,
    ids: Vec<u32>,
    first_rows: Vec<u32>,
    hashes: Vec<u64>,
}

/// The groups of a batch: their keys and hashes, in order of id.
struct Groups {
    keys: Vec<ArrayRef>,
    hashes: ArrayRef,
    count: usize,
}

impl GroupByStep {
    /// The step for this spec over batches of this schema.
    ///
    /// # Errors
    /// [`SpecError`] when the spec does not fit the schema, or a key has a type that only the reference
    /// implementation can group by (string views).
    pub fn new(spec: &GroupBySpec, input: &SchemaRef) -> Result<Self, SpecError> {
        let invalid = |message: String| SpecError::Invalid { operator: "group-by", message };
        let output = spec.output_schema(input)?;
        let types: Vec<DataType> =
            output.fields().iter().take(spec.keys.len()).map(|f| f.data_type().clone()).collect();
        Ok(Self {
            index: KeyIndex::new(&types).map_err(|e| invalid(e.to_string()))?,
            state: Accumulators::new(&spec.aggregates).map_err(|e| invalid(e.to_string()))?,
            spec: spec.clone(),
            input: input.clone(),
            output,
            dense: DenseKeys::default(),
            ids: Vec::new(),
            first_rows: Vec::new(),
            hashes: Vec::new(),
        })
    }

    /// The schema of the results.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Aggregates the rows of one batch, all of them inserts.
    ///
    /// # Errors
    /// [`Failure::Row`] in `Final` mode for a sum beyond its type, where the row is that of the batch;
    /// [`Failure::Internal`] when the batch does not have the schema that the step was made for.
    pub fn run(&mut self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        self.check_columns(batch)?;
        if batch.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(self.output.clone()));
        }
        if u32::try_from(batch.num_rows()).is_err() {
            return Err(internal(format!("group-by: {} rows in one batch", batch.num_rows())));
        }
        self.state.clear();
        if self.spec.mode == GroupByMode::Final {
            return self.finish(batch);
        }
        let groups = self.find_groups(batch)?;
        self.state.resize(groups.count);
        match self.spec.mode {
            GroupByMode::Partial => self.state.update(&self.ids, batch)?,
            _ => self.state.merge(&self.ids, state_columns(&self.spec, batch)?)?,
        }
        let all: Vec<u32> = (0..groups.count as u32).collect();
        let mut columns = groups.keys;
        columns.push(groups.hashes);
        columns.extend(self.state.partial(&all)?);
        self.batch(columns, groups.count)
    }

    /// Columns are read by position, so their types must be those that were planned for.
    fn check_columns(&self, batch: &RecordBatch) -> Result<(), Failure> {
        let types = self.input.fields().iter().map(|f| f.data_type());
        if Arc::ptr_eq(&self.input, batch.schema_ref())
            || types.eq(batch.columns().iter().map(|c| c.data_type()))
        {
            return Ok(());
        }
        Err(internal(format!(
            "group-by: a batch of {} came where {} was planned",
            batch.schema_ref(),
            self.input
        )))
    }

    /// Every row of partial state is a group of its own here.
    fn finish(&mut self, batch: &RecordBatch) -> Result<RecordBatch, Failure> {
        let rows = batch.num_rows();
        let ids: Vec<u32> = (0..rows as u32).collect();
        self.state.resize(rows);
        self.state.merge(&ids, state_columns(&self.spec, batch)?)?;
        let mut columns = Vec::with_capacity(self.output.fields().len());
        for column in self.spec.keys.iter().map(|i| batch.column(*i)) {
            columns.push(canonical(column).map_err(arrow_failure)?);
        }
        columns.extend(self.state.finish(&ids)?);
        self.batch(columns, rows)
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, Failure> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.output.clone(), columns, &options).map_err(arrow_failure)
    }

    /// Fills `ids` with the group of each row, and `first_rows` with the first row of each group.
    fn find_groups(&mut self, batch: &RecordBatch) -> Result<Groups, Failure> {
        let keys: Vec<ArrayRef> = self.spec.keys.iter().map(|i| batch.column(*i).clone()).collect();
        let group_keys = if keys.is_empty() {
            self.ids.clear();
            self.ids.resize(batch.num_rows(), 0);
            self.first_rows.clear();
            self.first_rows.push(0);
            Vec::new()
        } else if self.dense.assign(&keys, &mut self.ids, &mut self.first_rows) {
            self.take_first_rows(&keys)?
        } else {
            self.index_keys(&keys, batch.num_rows())?
        };
        let count = self.first_rows.len();
        let hashes = match hash_column(&self.spec, batch)? {
            Some(given) => {
                take(given, &UInt32Array::from(self.first_rows.clone()), None).map_err(arrow_failure)?
            }
            None => self.hash_keys(&group_keys, count)?,
        };
        Ok(Groups { keys: group_keys, hashes, count })
    }

    fn take_first_rows(&self, keys: &[ArrayRef]) -> Result<Vec<ArrayRef>, Failure> {
        let rows = UInt32Array::from(self.first_rows.clone());
        let one = |key: &ArrayRef| canonical(&take(key, &rows, None)?);
        keys.iter().map(one).collect::<Result<_, _>>().map_err(arrow_failure)
    }

    /// Groups by hash table. Its hash is a quick one: the specified key hash costs several times as much
    /// on strings and is only needed once a group.
    fn index_keys(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<ArrayRef>, Failure> {
        self.index.clear();
        let prepared = KeyBatch::new(self.index.types(), keys, rows).map_err(internal)?;
        prepared.quick_hashes(self.spec.seed, &mut self.hashes);
        self.index.upsert_rows(&prepared, 0..rows, &self.hashes, &mut self.ids).map_err(internal)?;
        self.first_rows.clear();
        for (row, id) in (0u32..).zip(&self.ids) {
            if *id as usize == self.first_rows.len() {
                self.first_rows.push(row);
            }
        }
        self.index.key_columns().map_err(internal)
    }

    /// The key hash of each group.
    fn hash_keys(&mut self, group_keys: &[ArrayRef], groups: usize) -> Result<ArrayRef, Failure> {
        let hasher = KeyHasher::new(self.spec.seed);
        let hashed: Vec<ArrayRef> = self.spec.hashed.iter().map(|i| group_keys[*i].clone()).collect();
        hasher.hash_columns(&hashed, &mut self.hashes).map_err(hash_failure)?;
        if hashed.is_empty() {
            let empty = empty_key_hash(&hasher)?;
            self.hashes.clear();
            self.hashes.resize(groups, empty);
        }
        Ok(Arc::new(UInt64Array::from(self.hashes.clone())))
    }
}

/// The hash of a key without columns.
fn empty_key_hash(hasher: &KeyHasher) -> Result<u64, Failure> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one =
        RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), vec![], &options);
    let mut hashes = Vec::new();
    hasher.hash_batch_columns(&one.map_err(arrow_failure)?, &[], &mut hashes).map_err(hash_failure)?;
    hashes.first().copied().ok_or_else(|| internal("group-by: the empty key has no hash"))
}

/// The hash column of partial state; rows have none.
fn hash_column<'a>(spec: &GroupBySpec, batch: &'a RecordBatch) -> Result<Option<&'a ArrayRef>, Failure> {
    if spec.mode == GroupByMode::Partial {
        return Ok(None);
    }
    let columns = batch.columns();
    columns.get(spec.keys.len()).map(Some).ok_or_else(|| internal("group-by: partial state without its hash"))
}

/// The state columns of partial state: those behind keys and hash.
fn state_columns<'a>(spec: &GroupBySpec, batch: &'a RecordBatch) -> Result<&'a [ArrayRef], Failure> {
    let start = spec.keys.len() + 1;
    batch.columns().get(start..).ok_or_else(|| internal("group-by: partial state without its columns"))
}
