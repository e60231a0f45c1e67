//! The state of aggregates as flat columns indexed by dense group id.
//!
//! One table of state serves pre-aggregation within a morsel, merging of partial state, and the panes of
//! a window: rows come in through [`Accumulators::update`], partial state through
//! [`Accumulators::merge_rows`], and both come out again as columns.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use sabot_ops::AggregateSpec;
use std::ops::Range;

use super::AccumulateError;
use super::basic::{self, Accumulator};
use super::columns::{AggregateBuilder, ColumnBuilder};
use super::family::{self, GroupState, RowsOf};
use super::inputs::{Argument, PartialState, State};
use super::loops::count_rows;

/// State of any number of groups, by dense id.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use arrow::datatypes::DataType;
/// use sabot_cpu::group_by::Accumulators;
/// use sabot_ops::{AggregateFunction, AggregateSpec};
///
/// let delays: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(20)]));
/// let batch = RecordBatch::try_from_iter([("delay", delays)])?;
/// let sum = AggregateSpec::new(AggregateFunction::Sum, [(0, DataType::Int64)], "total");
/// let mut state = Accumulators::new(&[sum])?;
/// state.resize(2);
/// state.update(&[0, 1, 0], &batch)?;
/// assert_eq!(state.finish(&[1, 0])?[0].as_ref(), &Int64Array::from(vec![None, Some(25)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Accumulators {
    specs: Vec<AggregateSpec>,
    columns: Vec<Column>,
    groups: usize,
    /// Scratch: rows of each group in the batch at hand.
    rows: Vec<i64>,
}

/// The state of one aggregate.
#[derive(Debug)]
enum Column {
    Basic(Accumulator),
    Family(Box<dyn GroupState>),
}

/// The rows of a batch that pass a filter.
struct Passed {
    filter: usize,
    ids: Vec<u32>,
    batch: RecordBatch,
}

impl Accumulators {
    /// No groups yet, for these aggregates.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a function does not take its argument's type.
    pub fn new(aggregates: &[AggregateSpec]) -> Result<Self, AccumulateError> {
        let columns = aggregates.iter().map(Column::new).collect::<Result<_, _>>()?;
        Ok(Self { specs: aggregates.to_vec(), columns, groups: 0, rows: Vec::new() })
    }

    /// The aggregates.
    pub fn aggregates(&self) -> &[AggregateSpec] {
        &self.specs
    }

    /// Groups there are.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Adds groups that have seen no row until there are `groups`; never takes any away.
    pub fn resize(&mut self, groups: usize) {
        if groups > self.groups {
            self.groups = groups;
            self.columns.iter_mut().for_each(|c| c.resize(groups));
        }
    }

    /// Makes room for so many groups where a group has a fixed size.
    pub fn reserve(&mut self, groups: usize) {
        for column in &mut self.columns {
            if let Column::Basic(basic) = column {
                basic.reserve(groups.saturating_sub(self.groups));
            }
        }
    }

    /// Forgets all groups and keeps the allocations.
    pub fn clear(&mut self) {
        self.groups = 0;
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Takes in rows: row `i` belongs to group `ids[i]`. Arguments are the columns of `batch` that the
    /// aggregates name.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a column is missing or has another type, there is not one id a
    /// row, or an id is not below [`Accumulators::groups`]; also what a family of functions reports.
    pub fn update(&mut self, ids: &[u32], batch: &RecordBatch) -> Result<(), AccumulateError> {
        self.check_ids(ids, batch.num_rows())?;
        let rows = if self.specs.len() > 1 && self.groups <= ids.len() {
            self.rows.clear();
            self.rows.resize(self.groups, 0);
            count_rows(ids, &mut self.rows);
            Some(self.rows.as_slice())
        } else {
            None
        };
        let mut passed: Vec<Passed> = Vec::new();
        for (spec, column) in self.specs.iter().zip(&mut self.columns) {
            match spec.filter {
                None => column.update(spec, ids, batch, rows)?,
                Some(filter) => {
                    let known = match passed.iter().position(|p| p.filter == filter) {
                        Some(known) => known,
                        None => {
                            passed.push(Passed::new(filter, ids, batch)?);
                            passed.len() - 1
                        }
                    };
                    let Passed { ids, batch, .. } = &passed[known];
                    column.update(spec, ids, batch, None)?;
                }
            }
        }
        Ok(())
    }

    /// Merges rows of partial state: row `i` belongs to group `ids[i]`.
    ///
    /// # Errors
    /// As [`Accumulators::merge_rows`].
    pub fn merge(&mut self, ids: &[u32], columns: &[ArrayRef]) -> Result<(), AccumulateError> {
        let state = PartialState::new(&self.specs, columns, ids.len())?;
        self.merge_rows(ids, &state, 0..ids.len())
    }

    /// Merges some rows of prepared partial state: row `rows.start + i` belongs to group `ids[i]`.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when state and ids do not fit; [`AccumulateError::Beyond`] when a count
    /// leaves int64 or a sum 128 bits, which no rows but only broken state can bring about.
    pub fn merge_rows(
        &mut self,
        ids: &[u32],
        state: &PartialState<'_>,
        rows: Range<usize>,
    ) -> Result<(), AccumulateError> {
        self.check_ids(ids, rows.len())?;
        if rows.end > state.rows || state.aggregates.len() != self.columns.len() {
            let message = format!("rows {rows:?} of {} of partial state", state.rows);
            return Err(AccumulateError::Input { message });
        }
        for ((spec, column), input) in self.specs.iter().zip(&mut self.columns).zip(&state.aggregates) {
            column.merge(spec, ids, input, rows.clone())?;
        }
        Ok(())
    }

    /// The partial state of these groups, in this order, as [`AggregateSpec::state_fields`] says.
    ///
    /// # Errors
    /// [`AccumulateError::Text`] when a utf8 column exceeds 2 GiB.
    pub fn partial(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let mut columns = Vec::new();
        for (spec, column) in self.specs.iter().zip(&self.columns) {
            match column {
                Column::Basic(basic) => {
                    let mut builders = basic.state_builders(spec)?;
                    basic.append_state(ids, &mut builders);
                    columns.extend(
                        builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>, _>>()?,
                    );
                }
                Column::Family(family) => columns.extend(family.state(ids)?),
            }
        }
        Ok(columns)
    }

    /// The values of these groups, in this order.
    ///
    /// # Errors
    /// [`AccumulateError::Overflow`] for the first group with a sum that its result type cannot hold, and
    /// [`AccumulateError::Function`] for one that a user's function has no value for; nothing is checked
    /// before output.
    pub fn finish(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let mut builder = self.result_builder()?;
        self.append_results(ids, &mut builder)?;
        builder.finish()
    }

    /// A builder for values of groups of this and other tables with the same aggregates.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a function does not take its argument's type.
    pub fn result_builder(&self) -> Result<AggregateBuilder, AccumulateError> {
        let one = |(spec, column): (&AggregateSpec, &Column)| match column {
            Column::Basic(_) => basic::result_builder(spec),
            Column::Family(_) => Ok(ColumnBuilder::arrays(spec.result_field()?.data_type().clone())),
        };
        let builders = self.specs.iter().zip(&self.columns).map(one);
        Ok(AggregateBuilder { aggregates: builders.collect::<Result<_, AccumulateError>>()? })
    }

    /// Appends the values of these groups to `builder`.
    ///
    /// # Errors
    /// As [`Accumulators::finish`]; the builder is then of no use any more.
    pub fn append_results(&self, ids: &[u32], builder: &mut AggregateBuilder) -> Result<(), AccumulateError> {
        let mut first: Option<AccumulateError> = None;
        for ((spec, column), out) in self.specs.iter().zip(&self.columns).zip(&mut builder.aggregates) {
            let appended = match column {
                Column::Basic(basic) => basic.append_result(spec, ids, out),
                Column::Family(family) => family.result(ids).and_then(|array| out.append_array(array)),
            };
            let Err(error) = appended else { continue };
            if error.position().is_none() {
                return Err(error);
            }
            if first.as_ref().is_none_or(|first| error.position() < first.position()) {
                first = Some(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    fn check_ids(&self, ids: &[u32], rows: usize) -> Result<(), AccumulateError> {
        let beyond = ids.iter().fold(0, |max, id| max.max(*id)) as usize >= self.groups && !ids.is_empty();
        if ids.len() != rows || beyond {
            let message = format!("{} ids for {rows} rows and {} groups", ids.len(), self.groups);
            return Err(AccumulateError::Input { message });
        }
        Ok(())
    }
}

impl Passed {
    fn new(filter: usize, ids: &[u32], batch: &RecordBatch) -> Result<Self, AccumulateError> {
        let unfit = || AccumulateError::input(format!("column {filter} is no filter"));
        let mask = batch.columns().get(filter).and_then(|c| c.as_boolean_opt()).ok_or_else(unfit)?;
        // What is null is not true.
        let passes = |row: usize| mask.is_valid(row) && mask.value(row);
        let kept = ids.iter().enumerate().filter(|(row, _)| passes(*row)).map(|(_, id)| *id).collect();
        let batch = filter_record_batch(batch, mask).map_err(AccumulateError::input)?;
        Ok(Self { filter, ids: kept, batch })
    }
}

impl Column {
    fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        Ok(match family::start(spec)? {
            Some(family) => Column::Family(family),
            None => Column::Basic(Accumulator::new(spec)?),
        })
    }

    fn resize(&mut self, groups: usize) {
        match self {
            Column::Basic(basic) => basic.resize(groups),
            Column::Family(family) => family.resize(groups),
        }
    }

    fn clear(&mut self) {
        match self {
            Column::Basic(basic) => basic.clear(),
            Column::Family(family) => family.clear(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::Basic(basic) => basic.allocated_bytes(),
            Column::Family(family) => family.bytes(),
        }
    }

    /// Takes in rows; `rows` says how many each group has, where that has been counted.
    fn update(
        &mut self,
        spec: &AggregateSpec,
        ids: &[u32],
        batch: &RecordBatch,
        rows: Option<&[i64]>,
    ) -> Result<(), AccumulateError> {
        let argument = |column: usize| {
            let unfit = || format!("\"{}\" reads column {column} of {}", spec.name, batch.num_columns());
            batch.columns().get(column).ok_or_else(|| AccumulateError::input(unfit()))
        };
        match self {
            Column::Basic(basic) => {
                let array = spec.arguments.first().map(|a| argument(a.column)).transpose()?;
                basic.update(spec, ids, &Argument::new(spec, array)?, rows)
            }
            Column::Family(family) => {
                let arguments = spec.arguments.iter().map(|a| {
                    let array = argument(a.column)?;
                    match array.data_type() == &a.data_type {
                        true => Ok(array),
                        false => Err(AccumulateError::type_of(&spec.name, array.data_type())),
                    }
                });
                family.update(&RowsOf { ids, arguments: arguments.collect::<Result<_, _>>()?, batch })
            }
        }
    }

    fn merge(
        &mut self,
        spec: &AggregateSpec,
        ids: &[u32],
        state: &State<'_>,
        rows: Range<usize>,
    ) -> Result<(), AccumulateError> {
        match (self, state) {
            (Column::Basic(basic), state) => basic.merge(spec, ids, state, rows),
            (Column::Family(family), State::Columns(columns)) => {
                let part: Vec<ArrayRef> = columns.iter().map(|c| c.slice(rows.start, rows.len())).collect();
                family.merge(ids, &part)
            }
            (Column::Family(_), _) => Err(AccumulateError::input("partial state of another function")),
        }
    }
}
