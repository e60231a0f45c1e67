//! Aggregates whose state is a word or a string a group: counts, sums, averages, least and greatest values.
//!
//! Which function an aggregate has is decided once a batch; the loops over rows are about one slice and one
//! column.

use arrow::datatypes::{DataType, Decimal128Type, DecimalType, i256};
use sabot_batch::key_index::text::TextStore;
use sabot_batch::key_index::words::{self, Words};
use sabot_ops::{AggregateFunction, AggregateSpec};
use std::ops::Range;

use super::AccumulateError;
use super::columns::{ColumnBuilder, Values};
use super::decimals::{fits, mean};
use super::inputs::{Argument, State};
use super::loops::{add_counts, add_rows, improve_texts, improve_words, merge_presence};
use super::sums::{IntegerSums, magnitude_of_sums};

/// The state of one aggregate.
#[derive(Debug)]
pub(super) enum Accumulator {
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

pub(super) fn result_builder(spec: &AggregateSpec) -> Result<ColumnBuilder, AccumulateError> {
    let data_type = spec.result_field()?.data_type().clone();
    Ok(match (&spec.function, &data_type) {
        (AggregateFunction::Sum | AggregateFunction::Avg, DataType::Float64) => ColumnBuilder::floats(),
        (_, DataType::Decimal128(..)) => ColumnBuilder::sums(data_type),
        (_, DataType::Utf8 | DataType::LargeUtf8) => ColumnBuilder::texts(data_type),
        _ => ColumnBuilder::words(data_type),
    })
}

impl Accumulator {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        use AggregateFunction as F;
        let result = spec.result_field()?;
        let argument = spec.arguments.first().map(|a| &a.data_type);
        let floats = matches!(argument, Some(DataType::Float32 | DataType::Float64));
        // False is less than true.
        let largest = matches!(spec.function, F::Max | F::BoolOr);
        Ok(match (&spec.function, result.data_type()) {
            (F::Count, _) => Accumulator::Count(Vec::new()),
            (F::Sum | F::Avg, _) if floats => Accumulator::Floats { sums: Vec::new(), counts: Vec::new() },
            (F::Sum | F::Avg, _) => {
                Accumulator::Integers { sums: IntegerSums::default(), counts: Vec::new() }
            }
            (F::Min | F::Max, DataType::Utf8 | DataType::LargeUtf8) => {
                Accumulator::Texts { best: TextStore::default(), largest }
            }
            (F::Min | F::Max | F::BoolAnd | F::BoolOr, data_type) if words::is_word_type(data_type) => {
                Accumulator::Words { best: Vec::new(), seen: Vec::new(), largest }
            }
            (_, data_type) => return Err(AccumulateError::type_of(&spec.name, data_type)),
        })
    }

    /// Whether the least and the greatest value of a type are kept here: a word or a plain string.
    pub(super) fn keeps_extremes_of(data_type: &DataType) -> bool {
        words::is_word_type(data_type) || matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
    }

    pub(super) fn resize(&mut self, groups: usize) {
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

    pub(super) fn reserve(&mut self, more: usize) {
        match self {
            Accumulator::Count(counts) => counts.reserve_exact(more),
            Accumulator::Integers { sums, counts } => {
                sums.reserve(more);
                counts.reserve_exact(more);
            }
            Accumulator::Floats { sums, counts } => {
                sums.reserve_exact(more);
                counts.reserve_exact(more);
            }
            Accumulator::Words { best, seen, .. } => {
                best.reserve_exact(more);
                seen.reserve_exact(more);
            }
            Accumulator::Texts { .. } => {}
        }
    }

    pub(super) fn clear(&mut self) {
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

    pub(super) fn allocated_bytes(&self) -> usize {
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
    pub(super) fn update(
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
            (Accumulator::Integers { sums, counts }, Argument::Decimals { values, nulls }) => {
                let largest = magnitude_of_sums(values);
                let or_zero =
                    |row: usize| if nulls.is_none_or(|n| n.is_valid(row)) { values[row] } else { 0 };
                let values = (0..ids.len()).map(or_zero);
                sums.add_sums(ids, values, largest).map_err(|_| beyond(spec))?;
                match nulls {
                    None => add_rows(ids, rows, counts),
                    Some(nulls) => nulls.valid_indices().for_each(|row| counts[ids[row] as usize] += 1),
                }
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

    pub(super) fn merge(
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
    pub(super) fn state_builders(&self, spec: &AggregateSpec) -> Result<Vec<ColumnBuilder>, AccumulateError> {
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

    pub(super) fn append_state(&self, ids: &[u32], out: &mut [ColumnBuilder]) {
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

    /// Appends the values of these groups.
    pub(super) fn append_result(
        &self,
        spec: &AggregateSpec,
        ids: &[u32],
        out: &mut ColumnBuilder,
    ) -> Result<(), AccumulateError> {
        let average = spec.function == AggregateFunction::Avg;
        let data_type = out.data_type().clone();
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
                let unsigned = data_type == DataType::UInt64;
                for (position, id) in ids.iter().enumerate() {
                    let sum = sums.get(*id);
                    let value = match average {
                        true => mean(i256::from_i128(sum), counts[*id as usize], 0)
                            .and_then(|m| m.try_into().ok()),
                        false => sum_word(sum, unsigned),
                    };
                    values.push(value.ok_or_else(|| overflow(spec, position, sum, &data_type))?);
                }
                append_presence(ids, counts, out, &mut []);
            }
            (Accumulator::Integers { sums, counts }, Values::Sums(values)) => {
                let (precision, digits) = decimal_digits(spec, &data_type);
                for (position, id) in ids.iter().enumerate() {
                    let sum = sums.get(*id);
                    let value = match average {
                        true => mean(i256::from_i128(sum), counts[*id as usize], digits),
                        false => Some(sum),
                    };
                    let value = value.filter(|value| fits(*value, precision));
                    values.push(value.ok_or_else(|| overflow(spec, position, sum, &data_type))?);
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

/// Digits of a decimal result, and how many more of them stand behind the point than in the argument.
fn decimal_digits(spec: &AggregateSpec, result: &DataType) -> (u8, u32) {
    match (spec.arguments.first().map(|a| &a.data_type), result) {
        (Some(DataType::Decimal128(_, of_argument)), DataType::Decimal128(precision, scale)) => {
            (*precision, (scale - of_argument).unsigned_abs().into())
        }
        _ => (0, 0),
    }
}

fn overflow(spec: &AggregateSpec, position: usize, sum: i128, data_type: &DataType) -> AccumulateError {
    let sum = match spec.arguments.first().map(|a| &a.data_type) {
        Some(DataType::Decimal128(_, scale)) => Decimal128Type::format_decimal(sum, 38, *scale),
        _ => sum.to_string(),
    };
    AccumulateError::Overflow { aggregate: spec.name.clone(), position, sum, data_type: data_type.clone() }
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
    let seen = ids.iter().map(|id| counts[*id as usize]);
    let mut least = i64::MAX;
    match count_column.first_mut() {
        Some(ColumnBuilder { values: Values::Words(values), nulls, .. }) => {
            values.extend(seen.inspect(|count| least = least.min(*count)));
            nulls.append_n_non_nulls(ids.len());
        }
        _ => least = seen.fold(least, i64::min),
    }
    if least > 0 {
        out.nulls.append_n_non_nulls(ids.len());
    } else {
        ids.iter().for_each(|id| out.nulls.append(counts[*id as usize] > 0));
    }
}

fn beyond(spec: &AggregateSpec) -> AccumulateError {
    AccumulateError::Beyond { aggregate: spec.name.clone() }
}

fn unfit(spec: &AggregateSpec) -> AccumulateError {
    AccumulateError::Input { message: format!("\"{}\" cannot take the column it was given", spec.name) }
}
