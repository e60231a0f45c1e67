//! Group-by, one row at a time.

mod basic;
mod decimal;
mod distinct;
mod extreme;
mod moments;
mod ordered;
mod quantile;
mod state;
mod user;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use sabot_batch::RowKind;
use sabot_batch::key_hash::{KeyValue, reference_hash};
use sabot_expr::RowError;
use sabot_expr::types::decoded_type;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{self, Canonical};
use super::rows::{Rows, batch_of};
use super::{Stepped, internal, pick_values};
use crate::{AggregateSpec, Failure, GroupByMode, GroupBySpec, Places};
use state::{Row, State};

struct Group {
    first_row: usize,
    hash: u64,
    states: Vec<Box<dyn State>>,
}

/// One row of partial state a key: from rows (`Partial`) or from partial state (`Merge`).
pub(super) fn group(
    spec: &GroupBySpec,
    rows: &Rows,
    input: &SchemaRef,
    output: &SchemaRef,
) -> Result<Rows, Failure> {
    if let Some(row) = rows.kinds.iter().position(|k| *k != RowKind::Insert) {
        return Err(internal(format!(
            "group-by of a {} in row {}",
            rows.kinds[row].symbol(),
            rows.places[row]
        )));
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut known: BTreeMap<Vec<Canonical>, usize> = BTreeMap::new();
    let readers = Readers::of(spec, input)?;
    let places = Places::of(&rows.batch).filter(|_| spec.is_ordered());
    for row in 0..rows.len() {
        let key = key::values(&rows.batch, &spec.keys, row)?;
        let index = *known.entry(key.iter().map(Canonical::from).collect()).or_insert(groups.len());
        if index == groups.len() {
            groups.push(Group {
                first_row: row,
                hash: hash(spec, &key)?,
                states: spec.aggregates.iter().map(state::start).collect::<Result<_, _>>()?,
            });
        }
        let states = groups[index].states.iter_mut();
        for ((state, aggregate), read) in states.zip(&spec.aggregates).zip(&readers.columns) {
            let values = read.iter().map(|c| value(rows.batch.column(*c), row));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            match spec.mode {
                GroupByMode::Merge | GroupByMode::Final => {
                    state.merge(&values).map_err(|e| at_row(e, rows.places[row]))?;
                }
                GroupByMode::Partial if !takes_part(aggregate, rows, row) => {}
                GroupByMode::Partial => {
                    let place = places.as_ref().map(|places| places.get(row));
                    let added = state.add(&Row { arguments: &values, place });
                    added.map_err(|e| at_row(e, rows.places[row]))?;
                }
            }
        }
    }
    partial_state(spec, rows, &groups, output)
}

/// The failure of a row, which a user's function does not know.
fn at_row(failure: Failure, row: usize) -> Failure {
    match failure {
        Failure::Row(error) => Failure::Row(RowError { row, ..error }),
        other => other,
    }
}

/// Whether a row passes an aggregate's filter.
fn takes_part(aggregate: &AggregateSpec, rows: &Rows, row: usize) -> bool {
    let is_true = |column: usize| {
        let filter = rows.batch.column(column).as_boolean();
        filter.is_valid(row) && filter.value(row)
    };
    aggregate.filter.is_none_or(is_true)
}

/// The value of a column in a row, as an array of one; a dictionary is looked up.
fn value(column: &ArrayRef, row: usize) -> Result<ArrayRef, Failure> {
    cast(&column.slice(row, 1), decoded_type(column.data_type())).map_err(internal)
}

/// The hash of a group, over those of its keys that take part.
fn hash(spec: &GroupBySpec, key: &[KeyValue]) -> Result<u64, Failure> {
    let hashed = spec.hashed.iter().map(|position| key.get(*position).cloned());
    let hashed = hashed.collect::<Option<Vec<_>>>().ok_or_else(|| internal("a hashed key that is no key"))?;
    Ok(reference_hash(spec.seed, &hashed))
}

/// Which input columns each aggregate reads: its argument, or the columns of its state.
struct Readers {
    columns: Vec<Vec<usize>>,
}

impl Readers {
    fn of(spec: &GroupBySpec, input: &SchemaRef) -> Result<Self, Failure> {
        let mut columns: Vec<Vec<usize>> = Vec::with_capacity(spec.aggregates.len());
        // Partial state is the keys, the hash, then the state columns of each aggregate in turn.
        let mut next = spec.keys.len() + 1;
        for aggregate in &spec.aggregates {
            columns.push(match spec.mode {
                GroupByMode::Partial => aggregate.arguments.iter().map(|a| a.column).collect(),
                GroupByMode::Merge | GroupByMode::Final => {
                    let first = next;
                    next += aggregate.state_fields().map_err(internal)?.len();
                    (first..next).collect()
                }
            });
        }
        if columns.iter().flatten().any(|c| *c >= input.fields().len()) {
            return Err(internal("an aggregate reads beyond the last column"));
        }
        Ok(Readers { columns })
    }
}

fn partial_state(
    spec: &GroupBySpec,
    rows: &Rows,
    groups: &[Group],
    output: &SchemaRef,
) -> Result<Rows, Failure> {
    let first_rows: Vec<usize> = groups.iter().map(|g| g.first_row).collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(output.fields().len());
    for index in &spec.keys {
        columns.push(key::canonical_column(&pick_values(rows.batch.column(*index), &first_rows)?)?);
    }
    columns.push(Arc::new(UInt64Array::from_iter_values(groups.iter().map(|g| g.hash))));
    for (i, aggregate) in spec.aggregates.iter().enumerate() {
        let parts = |g: &Group| g.states[i].parts().map_err(|e| at_row(e, rows.places[g.first_row]));
        let states = groups.iter().map(parts).collect::<Result<Vec<_>, Failure>>()?;
        for (part, field) in aggregate.state_fields().map_err(internal)?.iter().enumerate() {
            let values: Vec<ArrayRef> = states.iter().map(|s| s[part].clone()).collect();
            columns.push(state::column(field.data_type(), &values)?);
        }
    }
    let places = first_rows.iter().map(|row| rows.places[*row]).collect();
    let kinds = vec![RowKind::Insert; groups.len()];
    Ok(Rows { batch: batch_of(output, columns, groups.len())?, kinds, places })
}

/// Values from partial state, row by row.
pub(super) fn finish(spec: &GroupBySpec, rows: &Rows, output: &SchemaRef) -> Result<Stepped, Failure> {
    let readers = Readers::of(spec, &rows.batch.schema())?;
    let mut results: Vec<Vec<ArrayRef>> = vec![Vec::new(); spec.aggregates.len()];
    let mut done = Vec::with_capacity(rows.len());
    let mut error = None;
    'rows: for row in 0..rows.len() {
        let mut values = Vec::with_capacity(results.len());
        for (aggregate, read) in spec.aggregates.iter().zip(&readers.columns) {
            let mut state = state::start(aggregate)?;
            let parts = read.iter().map(|c| value(rows.batch.column(*c), row));
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            state.merge(&parts).map_err(|e| at_row(e, rows.places[row]))?;
            match state.result()? {
                Ok(value) => values.push(value),
                Err(kind) => {
                    let (row, expression) = (rows.places[row], aggregate.name.clone());
                    error = Some(RowError { row, expression, error: kind });
                    break 'rows;
                }
            }
        }
        results.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        done.push(row);
    }
    let picked = rows.pick(&done)?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(output.fields().len());
    for index in &spec.keys {
        columns.push(key::canonical_column(picked.batch.column(*index))?);
    }
    for (aggregate, values) in spec.aggregates.iter().zip(&results) {
        let field = aggregate.result_field().map_err(internal)?;
        columns.push(state::column(field.data_type(), values)?);
    }
    Ok(Stepped { rows: Rows { batch: batch_of(output, columns, done.len())?, ..picked }, error })
}
