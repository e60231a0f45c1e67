//! The state of aggregates as flat columns indexed by dense group id.
//!
//! One table of state serves pre-aggregation within a morsel, merging of partial state, and the panes of
//! a window: rows come in through [`Accumulators::update`], partial state through
//! [`Accumulators::merge_rows`], and both come out again as columns. Which function an aggregate has is
//! decided once a batch; the loops over rows are about one slice and one column.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use sabot_batch::key_index::text::TextStore;
use sabot_batch::key_index::words::{self, Words};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::ops::Range;

use super::AccumulateError;
use super::columns::{AggregateBuilder, ColumnBuilder, Values};
use super::inputs::{Argument, PartialState, State};
use super::loops::{add_counts, add_rows, count_rows, improve_texts, improve_words, merge_presence};
use super::sums::IntegerSums;

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
/// let sum = AggregateSpec {
///     function: AggregateFunction::Sum,
///     input: Some(0),
///     input_type: Some(DataType::Int64),
///     name: "total".to_owned(),
/// };
/// let mut state = Accumulators::new(&[sum])?;
/// state.resize(2);
/// state.update(&[0, 1, 0], &batch)?;
/// assert_eq!(state.finish(&[1, 0])?[0].as_ref(), &Int64Array::from(vec![None, Some(25)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Accumulators {
    specs: Vec<AggregateSpec>,
    columns: Vec<Accumulator>,
    groups: usize,
    /// Scratch: rows of each group in the batch at hand.
    rows: Vec<i64>,
}

/// The state of one aggregate.
#[derive(Debug)]
enum Accumulator {
    Count(Vec<i64>),
    /// Sum or average of integers; `counts` has the values seen.
    Integers {
        sums: IntegerSums,
        counts: Vec<i64>,
    },
    /// Sum or average of floats.
    Floats {
        sums: Vec<f64>,
        counts: Vec<i64>,
    },
    /// Smallest or largest ordered word.
    Words {
        best: Vec<i64>,
        seen: Vec<bool>,
        largest: bool,
    },
    /// Smallest or largest string; null until there is one.
    Texts {
        best: TextStore,
        largest: bool,
    },
}

impl Accumulators {
    /// No groups yet, for these aggregates.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a function does not take its argument's type.
    pub fn new(aggregates: &[AggregateSpec]) -> Result<Self, AccumulateError> {
        let columns = aggregates.iter().map(Accumulator::new).collect::<Result<_, _>>()?;
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

    /// Forgets all groups and keeps the allocations.
    pub fn clear(&mut self) {
        self.groups = 0;
        self.columns.iter_mut().for_each(Accumulator::clear);
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Accumulator::allocated_bytes).sum()
    }

    /// Takes in rows: row `i` belongs to group `ids[i]`. Arguments are the columns of `batch` that the
    /// aggregates name.
    ///
    /// # Errors
    /// [`AccumulateError::Input`] when a column is missing or has another type, there is not one id a
    /// row, or an id is not below [`Accumulators::groups`].
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
        for (spec, column) in self.specs.iter().zip(&mut self.columns) {
            let array = match spec.input {
                Some(index) if index >= batch.num_columns() => {
                    let message =
                        format!("\"{}\" reads column {index} of {}", spec.name, batch.num_columns());
                    return Err(AccumulateError::Input { message });
                }
                Some(index) => Some(batch.column(index)),
                None => None,
            };
            column.update(spec, ids, &Argument::new(spec, array)?, rows)?;
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
        let columns = self.specs.iter().zip(&self.columns).map(|(spec, column)| column.state_builders(spec));
        let mut builder = AggregateBuilder { aggregates: columns.collect::<Result<_, _>>()? };
        for (column, out) in self.columns.iter().zip(&mut builder.aggregates) {
            column.append_state(ids, out);
        }
        builder.finish()
    }

    /// The values of these groups, in this order.
    ///
    /// # Errors
    /// [`AccumulateError::Overflow`] for the first group with an integer sum that its result type cannot
    /// hold; nothing is checked before output.
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
        let one = |spec: &AggregateSpec| Ok(vec![result_builder(spec)?]);
        Ok(AggregateBuilder {
            aggregates: self.specs.iter().map(one).collect::<Result<_, AccumulateError>>()?,
        })
    }

    /// Appends the values of these groups to `builder`.
    ///
    /// # Errors
    /// As [`Accumulators::finish`]; the builder is then of no use any more.
    pub fn append_results(&self, ids: &[u32], builder: &mut AggregateBuilder) -> Result<(), AccumulateError> {
        let mut overflow: Option<(usize, AccumulateError)> = None;
        for ((spec, column), out) in self.specs.iter().zip(&self.columns).zip(&mut builder.aggregates) {
            let Some(out) = out.first_mut() else { continue };
            if let Err((position, sum)) = column.append_result(spec, ids, out)
                && overflow.as_ref().is_none_or(|(first, _)| position < *first)
            {
                let (aggregate, data_type) = (spec.name.clone(), out.data_type().clone());
                overflow =
                    Some((position, AccumulateError::Overflow { aggregate, position, sum, data_type }));
            }
        }
        overflow.map_or(Ok(()), |(_, error)| Err(error))
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

fn result_builder(spec: &AggregateSpec) -> Result<ColumnBuilder, AccumulateError> {
    let data_type = spec.result_field()?.data_type().clone();
    Ok(match (spec.function, &data_type) {
        (AggregateFunction::Sum | AggregateFunction::Avg, DataType::Float64) => ColumnBuilder::floats(),
        (_, DataType::Utf8 | DataType::LargeUtf8) => ColumnBuilder::texts(data_type),
        _ => ColumnBuilder::words(data_type),
    })
}

impl Accumulator {
    fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        use AggregateFunction as F;
        let result = spec.result_field()?;
        let floats = matches!(spec.input_type, Some(DataType::Float32 | DataType::Float64));
        let largest = spec.function == F::Max;
        Ok(match (spec.function, result.data_type()) {
            (F::Count, _) => Accumulator::Count(Vec::new()),
            (F::Sum | F::Avg, _) if floats => Accumulator::Floats { sums: Vec::new(), counts: Vec::new() },
            (F::Sum | F::Avg, _) => {
                Accumulator::Integers { sums: IntegerSums::default(), counts: Vec::new() }
            }
            (F::Min | F::Max, DataType::Utf8 | DataType::LargeUtf8) => {
                Accumulator::Texts { best: TextStore::default(), largest }
            }
            (F::Min | F::Max, data_type) if words::is_word_type(data_type) => {
                Accumulator::Words { best: Vec::new(), seen: Vec::new(), largest }
            }
            (_, data_type) => return Err(AccumulateError::type_of(&spec.name, data_type)),
        })
    }

    fn resize(&mut self, groups: usize) {
        match self {
            Accumulator::Count(counts) => counts.resize(groups, 0),
            Accumulator::Integers { sums, counts } => {
                sums.resize(groups);
                counts.resize(groups, 0);
            }
            Accumulator::Floats { sums, counts } => {
                sums.resize(groups, 0.0);
                counts.resize(groups, 0);
            }
            Accumulator::Words { best, seen, largest } => {
                best.resize(groups, if *largest { i64::MIN } else { i64::MAX });
                seen.resize(groups, false);
            }
            Accumulator::Texts { best, .. } => best.resize_with_nulls(groups),
        }
    }

    fn clear(&mut self) {
        match self {
            Accumulator::Count(counts) => counts.clear(),
            Accumulator::Integers { sums, counts } => {
                sums.clear();
                counts.clear();
            }
            Accumulator::Floats { sums, counts } => {
                sums.clear();
                counts.clear();
            }
            Accumulator::Words { best, seen, .. } => {
                best.clear();
                seen.clear();
            }
            Accumulator::Texts { best, .. } => best.clear(),
        }
    }

    fn allocated_bytes(&self) -> usize {
        match self {
            Accumulator::Count(counts) => counts.capacity() * size_of::<i64>(),
            Accumulator::Integers { sums, counts } => {
                sums.allocated_bytes() + counts.capacity() * size_of::<i64>()
            }
            Accumulator::Floats { sums, counts } => {
                sums.capacity() * size_of::<f64>() + counts.capacity() * size_of::<i64>()
            }
            Accumulator::Words { best, seen, .. } => best.capacity() * size_of::<i64>() + seen.capacity(),
            Accumulator::Texts { best, .. } => best.allocated_bytes(),
        }
    }

    /// Takes in rows. Aggregates over arguments without nulls all count the same rows, so where there are
    /// several the caller has counted them once, in `rows`.
    fn update(
        &mut self,
        spec: &AggregateSpec,
        ids: &[u32],
        argument: &Argument<'_>,
        rows: Option<&[i64]>,
    ) -> Result<(), AccumulateError> {
        match (self, argument) {
            (Accumulator::Count(counts), Argument::Rows | Argument::Presence(None)) => {
                add_rows(ids, rows, counts);
            }
            (Accumulator::Count(counts), Argument::Presence(Some(nulls))) => {
                ids.iter().zip(nulls.iter()).for_each(|(id, valid)| counts[*id as usize] += i64::from(valid));
            }
            (Accumulator::Integers { sums, counts }, Argument::Words(words)) => match &words.nulls {
                None => {
                    sums.add_words(ids, words, |_| ());
                    add_rows(ids, rows, counts);
                }
                Some(_) => sums.add_words(ids, words, |id| counts[id] += 1),
            },
            (Accumulator::Integers { sums, counts }, Argument::Large { values, nulls }) => {
                let present = |i: &usize| nulls.is_none_or(|n| n.is_valid(*i));
                let kept: Vec<u32> = (0..ids.len()).filter(present).map(|i| ids[i]).collect();
                let values = (0..ids.len()).filter(present).map(|i| i128::from(values[i]));
                sums.add_sums(&kept, values, u128::from(u64::MAX)).map_err(|_| beyond(spec))?;
                kept.iter().for_each(|id| counts[*id as usize] += 1);
            }
            (Accumulator::Floats { sums, counts }, Argument::Floats { values, nulls }) => {
                let Some(nulls) = nulls else {
                    ids.iter().zip(values.iter()).for_each(|(id, value)| sums[*id as usize] += value);
                    add_rows(ids, rows, counts);
                    return Ok(());
                };
                for ((id, value), valid) in ids.iter().zip(values.iter()).zip(nulls.iter()) {
                    if valid {
                        sums[*id as usize] += value;
                        counts[*id as usize] += 1;
                    }
                }
            }
            (Accumulator::Words { best, seen, largest }, Argument::Words(words)) => {
                improve_words(ids, words, best, seen, *largest);
            }
            (Accumulator::Texts { best, largest }, Argument::Texts(texts)) => {
                improve_texts(ids, texts, 0..texts.len(), best, *largest);
            }
            _ => return Err(unfit(spec)),
        }
        Ok(())
    }

    fn merge(
        &mut self,
        spec: &AggregateSpec,
        ids: &[u32],
        state: &State<'_>,
        rows: Range<usize>,
    ) -> Result<(), AccumulateError> {
        match (self, state) {
            (Accumulator::Count(counts), State::Counts(more)) => {
                add_counts(ids, &more[rows], counts).map_err(|_| beyond(spec))?;
            }
            (
                Accumulator::Integers { sums, counts },
                State::Sums { values, nulls, largest, counts: more },
            ) => {
                match nulls {
                    None => sums.add_sums(ids, values[rows.clone()].iter().copied(), *largest),
                    Some(nulls) => {
                        let or_zero = |row: usize| if nulls.is_valid(row) { values[row] } else { 0 };
                        sums.add_sums(ids, rows.clone().map(or_zero), *largest)
                    }
                }
                .map_err(|_| beyond(spec))?;
                merge_presence(ids, *more, *nulls, rows, counts).map_err(|_| beyond(spec))?;
            }
            (Accumulator::Floats { sums, counts }, State::Floats { values, nulls, counts: more }) => {
                for (row, id) in rows.clone().zip(ids) {
                    if nulls.is_none_or(|n| n.is_valid(row)) {
                        sums[*id as usize] += values[row];
                    }
                }
                merge_presence(ids, *more, *nulls, rows, counts).map_err(|_| beyond(spec))?;
            }
            (Accumulator::Words { best, seen, largest }, State::Words(words)) => {
                let nulls = words.nulls.as_ref().map(|n| n.slice(rows.start, rows.len()));
                let part = Words { values: words.values[rows].into(), nulls };
                improve_words(ids, &part, best, seen, *largest);
            }
            (Accumulator::Texts { best, largest }, State::Texts(texts)) => {
                improve_texts(ids, texts, rows, best, *largest);
            }
            _ => return Err(unfit(spec)),
        }
        Ok(())
    }

    /// Builders of the state columns.
    fn state_builders(&self, spec: &AggregateSpec) -> Result<Vec<ColumnBuilder>, AccumulateError> {
        let fields = spec.state_fields()?;
        let builder = |(part, field): (usize, &arrow::datatypes::Field)| {
            let data_type = field.data_type().clone();
            match self {
                Accumulator::Integers { .. } if part == 0 => ColumnBuilder::sums(data_type),
                Accumulator::Floats { .. } if part == 0 => ColumnBuilder::floats(),
                Accumulator::Texts { .. } => ColumnBuilder::texts(data_type),
                _ => ColumnBuilder::words(data_type),
            }
        };
        Ok(fields.iter().enumerate().map(builder).collect())
    }

    fn append_state(&self, ids: &[u32], out: &mut [ColumnBuilder]) {
        let (first, second) = out.split_at_mut(1.min(out.len()));
        let Some(first) = first.first_mut() else { return };
        match (self, &mut first.values) {
            (Accumulator::Count(counts), Values::Words(values)) => {
                values.extend(ids.iter().map(|id| counts[*id as usize]));
                first.nulls.append_n_non_nulls(ids.len());
            }
            (Accumulator::Integers { sums, counts }, Values::Sums(values)) => {
                values.extend(ids.iter().map(|id| sums.get(*id)));
                append_presence(ids, counts, first, second);
            }
            (Accumulator::Floats { sums, counts }, Values::Floats(values)) => {
                values.extend(ids.iter().map(|id| sums[*id as usize]));
                append_presence(ids, counts, first, second);
            }
            _ => self.append_best(ids, first),
        }
    }

    /// Appends the values of these groups; or says which of `ids` has a sum beyond the result type.
    fn append_result(
        &self,
        spec: &AggregateSpec,
        ids: &[u32],
        out: &mut ColumnBuilder,
    ) -> Result<(), (usize, i128)> {
        let average = spec.function == AggregateFunction::Avg;
        let unsigned = out.data_type() == &DataType::UInt64;
        match (self, &mut out.values) {
            (Accumulator::Count(counts), Values::Words(values)) => {
                values.extend(ids.iter().map(|id| counts[*id as usize]));
                out.nulls.append_n_non_nulls(ids.len());
            }
            (Accumulator::Integers { sums, counts }, Values::Floats(values)) => {
                values.extend(ids.iter().map(|id| sums.get_rounded(*id) / counts[*id as usize] as f64));
                append_presence(ids, counts, out, &mut []);
            }
            (Accumulator::Integers { sums, counts }, Values::Words(values)) => {
                for (position, id) in ids.iter().enumerate() {
                    let sum = sums.get(*id);
                    values.push(sum_word(sum, unsigned).ok_or((position, sum))?);
                }
                append_presence(ids, counts, out, &mut []);
            }
            (Accumulator::Floats { sums, counts }, Values::Floats(values)) => {
                values.extend(ids.iter().map(|id| {
                    let sum = sums[*id as usize];
                    if average { sum / counts[*id as usize] as f64 } else { sum }
                }));
                append_presence(ids, counts, out, &mut []);
            }
            _ => self.append_best(ids, out),
        }
        Ok(())
    }

    /// State and result of min and max are the same column.
    fn append_best(&self, ids: &[u32], out: &mut ColumnBuilder) {
        match (self, &mut out.values) {
            (Accumulator::Words { best, seen, .. }, Values::Words(values)) => {
                values.extend(ids.iter().map(|id| best[*id as usize]));
                if ids.iter().all(|id| seen[*id as usize]) {
                    out.nulls.append_n_non_nulls(ids.len());
                } else {
                    ids.iter().for_each(|id| out.nulls.append(seen[*id as usize]));
                }
            }
            (Accumulator::Texts { best, .. }, Values::Texts(builder)) => builder.append(best, ids),
            _ => debug_assert!(false, "builders are made for their accumulators"),
        }
    }
}

/// The word of a sum in its result type; `None` beyond its range.
fn sum_word(sum: i128, unsigned: bool) -> Option<i64> {
    if unsigned {
        // Words of unsigned integers are shifted, so that they order as signed ones.
        return u64::try_from(sum).ok().map(|sum| (sum ^ (1 << 63)) as i64);
    }
    i64::try_from(sum).ok()
}

/// Marks groups without values as null, and appends the counts where there is a column for them.
fn append_presence(ids: &[u32], counts: &[i64], out: &mut ColumnBuilder, count_column: &mut [ColumnBuilder]) {
    if ids.iter().all(|id| counts[*id as usize] > 0) {
        out.nulls.append_n_non_nulls(ids.len());
    } else {
        ids.iter().for_each(|id| out.nulls.append(counts[*id as usize] > 0));
    }
    if let Some(column) = count_column.first_mut()
        && let Values::Words(values) = &mut column.values
    {
        values.extend(ids.iter().map(|id| counts[*id as usize]));
        column.nulls.append_n_non_nulls(ids.len());
    }
}

fn beyond(spec: &AggregateSpec) -> AccumulateError {
    AccumulateError::Beyond { aggregate: spec.name.clone() }
}

fn unfit(spec: &AggregateSpec) -> AccumulateError {
    AccumulateError::Input { message: format!("\"{}\" cannot take the column it was given", spec.name) }
}
