//! Group-by, one row at a time.

use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::SchemaRef;
use sabot_batch::RowKind;
use sabot_batch::key_hash::{KeyValue, reference_hash};
use sabot_expr::{RowError, Scalar};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{self, Canonical};
use super::rows::{Rows, batch_of};
use super::state::State;
use super::{Stepped, internal, pick_values};
use crate::{Failure, GroupByMode, GroupBySpec};

struct Group {
    first_row: usize,
    hash: u64,
    states: Vec<State>,
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
    for row in 0..rows.len() {
        let key = key::values(&rows.batch, &spec.keys, row)?;
        let index = *known.entry(key.iter().map(Canonical::from).collect()).or_insert(groups.len());
        if index == groups.len() {
            groups.push(Group {
                first_row: row,
                hash: hash(spec, &key)?,
                states: spec.aggregates.iter().map(State::new).collect::<Result<_, _>>()?,
            });
        }
        for (state, read) in groups[index].states.iter_mut().zip(&readers.columns) {
            let values = read.iter().map(|c| Scalar::from_array(rows.batch.column(*c).as_ref(), row));
            let values = values.collect::<Result<Vec<_>, _>>().map_err(internal)?;
            match spec.mode {
                GroupByMode::Partial => state.add(values.first())?,
                GroupByMode::Merge | GroupByMode::Final => state.merge(&values)?,
            }
        }
    }
    partial_state(spec, rows, &groups, output)
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
                GroupByMode::Partial => aggregate.input.into_iter().collect(),
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
        let states = groups.iter().map(|g| g.states[i].values()).collect::<Result<Vec<_>, Failure>>()?;
        for (part, field) in aggregate.state_fields().map_err(internal)?.iter().enumerate() {
            let values: Vec<Scalar> = states.iter().map(|s| s[part].clone()).collect();
            columns.push(Scalar::collect(field.data_type(), &values).map_err(internal)?);
        }
    }
    let places = first_rows.iter().map(|row| rows.places[*row]).collect();
    let kinds = vec![RowKind::Insert; groups.len()];
    Ok(Rows { batch: batch_of(output, columns, groups.len())?, kinds, places })
}

/// Values from partial state, row by row.
pub(super) fn finish(spec: &GroupBySpec, rows: &Rows, output: &SchemaRef) -> Result<Stepped, Failure> {
    let readers = Readers::of(spec, &rows.batch.schema())?;
    let mut results: Vec<Vec<Scalar>> = vec![Vec::new(); spec.aggregates.len()];
    let mut done = Vec::with_capacity(rows.len());
    let mut error = None;
    'rows: for row in 0..rows.len() {
        let mut values = Vec::with_capacity(results.len());
        for (aggregate, read) in spec.aggregates.iter().zip(&readers.columns) {
            let mut state = State::new(aggregate)?;
            let parts = read.iter().map(|c| Scalar::from_array(rows.batch.column(*c).as_ref(), row));
            state.merge(&parts.collect::<Result<Vec<_>, _>>().map_err(internal)?)?;
            match state.result(aggregate)? {
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
        columns.push(Scalar::collect(field.data_type(), values).map_err(internal)?);
    }
    Ok(Stepped { rows: Rows { batch: batch_of(output, columns, done.len())?, ..picked }, error })
}
