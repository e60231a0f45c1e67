//! Reference implementations: slow, row by row, obviously right.
//!
//! They say what a spec means where its documentation leaves a doubt. Every backend is held against
//! them by the conformance suite, and a backend that meets a failing row may come here for the exact
//! [`Failure`] instead of working it out. So nothing here is shared with a backend, nothing is clever,
//! and the only yardstick is that a reader sees that it is right.
//!
//! A morsel is worked on step by step, yet its error is that of the first row that fails in *any* step.
//! The two agree because a failing row ends the morsel: the steps behind it see only the rows before it,
//! so an error that they find lies earlier.

mod group_by;
mod join;
mod key;
mod over;
mod predict;
mod rank;
mod rows;
mod sum;
#[cfg(test)]
mod tests;
mod unnest;

pub use join::join;
pub use over::{over, rolling};
pub use predict::predict;
pub use rank::{RankedRow, rank};
pub(crate) use rows::batch_of;
pub use sum::ExactSum;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::SchemaRef;
use sabot_batch::key_hash::reference_hash;
use sabot_batch::{Morsel, MorselError, hidden};
use sabot_common::EventTime;
use sabot_expr::{RowError, RowErrorKind, Scalar, TypedExpr, interpret};
use std::sync::Arc;

use crate::spec::describe;
use crate::{
    Failure, FilterProjectSpec, Fragment, GroupByMode, GroupBySpec, OperatorSpec, Output, PartitionSpec,
    WindowAssignSpec,
};
use rows::Rows;

/// What a fragment makes of a morsel, with rows in exactly the order that the specs promise.
///
/// There is at most one morsel a target and one late morsel; none of them is empty.
///
/// # Errors
/// [`Failure::Row`] for the first row that cannot be computed; [`Failure::Internal`] for a morsel that
/// does not fit the fragment, and [`Failure::Device`] when its columns cannot be brought to the host.
///
/// ```
/// use arrow::array::{ArrayRef, Int32Array, RecordBatch};
/// use sabot_batch::Morsel;
/// use sabot_expr::{FunctionRegistry, col, lit, resolve};
/// use sabot_ops::{FilterProjectSpec, Fragment, Projection, reference};
/// use std::sync::Arc;
///
/// let a: ArrayRef = Arc::new(Int32Array::from(vec![4, 0, 5]));
/// let batch = RecordBatch::try_from_iter([("a", a)])?;
/// let typed = |expr| resolve(&expr, batch.schema_ref(), &FunctionRegistry::new());
/// let spec = FilterProjectSpec {
///     predicate: Some(typed(col("a").not_eq(0))?),
///     projections: vec![Projection { name: "q".to_owned(), expr: typed(lit(20) / col("a"))? }],
///     carried: vec![],
/// };
/// let fragment = Fragment::new(batch.schema(), vec![spec.into()])?;
/// assert_eq!(fragment.to_string(), "filter a <> 0 project [20 / a as q]");
///
/// let output = reference::run(&fragment, &Morsel::new(batch))?;
/// let (target, morsel) = &output.morsels[0];
/// assert_eq!((*target, morsel.rows()), (0, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(fragment: &Fragment, input: &Morsel) -> Result<Output, Failure> {
    let mut rows = Rows::of(input)?;
    check_input(fragment, &rows)?;
    let mut schema = fragment.input().clone();
    let mut failed = None;
    let mut output = Output::default();
    let (mut bounds, mut origin) = (input.time_bounds(), input.origin().cloned());

    for step in fragment.steps() {
        let next = step.output_schema(&schema).map_err(internal)?;
        let stepped = match step {
            OperatorSpec::FilterProject(spec) => filter_project(spec, &rows, &next)?,
            OperatorSpec::WindowAssign(spec) => {
                let (on_time, late) = window_assign(spec, &rows, &next)?;
                if late.len() > 0 {
                    output.late.push(late.into_morsel(bounds, None)?);
                }
                on_time.into()
            }
            OperatorSpec::GroupBy(spec) if spec.mode == GroupByMode::Final => {
                bounds = None;
                group_by::finish(spec, &rows, &next)?
            }
            OperatorSpec::GroupBy(spec) => {
                if let Some(error) = failed {
                    return Err(Failure::Row(error));
                }
                (bounds, origin) = (None, None);
                group_by::group(spec, &rows, &schema, &next)?.into()
            }
            OperatorSpec::Union(_) => rows.under(&next)?.into(),
            OperatorSpec::Unnest(spec) => unnest::unnest(spec, &rows, &next)?.into(),
            OperatorSpec::Predict(spec) => {
                let added = predict::predict(spec, &rows.batch)?;
                rows.with_columns(added, &next)?.into()
            }
            OperatorSpec::Partition(spec) => {
                if let Some(error) = failed {
                    return Err(Failure::Row(error));
                }
                for (target, part) in partition(spec, &rows)? {
                    output.morsels.push((target, part.under(&next)?.into_morsel(bounds, None)?));
                }
                return Ok(output);
            }
        };
        failed = stepped.error.or(failed);
        rows = stepped.rows;
        schema = next;
    }
    if let Some(error) = failed {
        return Err(Failure::Row(error));
    }
    if rows.len() > 0 {
        let unnests = fragment.steps().iter().any(|step| matches!(step, OperatorSpec::Unnest(_)));
        let origin = origin.filter(|_| rows.len() == input.rows() && !unnests);
        output.morsels.push((0, rows.under(&schema)?.into_morsel(bounds, origin)?));
    }
    Ok(output)
}

/// A whole aggregation: partial state of each batch, merged, as values; groups in the order of their
/// first row. `spec` is the spec for [`GroupByMode::Partial`] over batches of schema `input`.
///
/// Without rows there is no group, also when there are no keys: the one row that SQL wants then is made
/// by whoever knows that the input has ended.
///
/// # Errors
/// As [`run`]; the row of an overflowing sum is that of the group in the result.
pub fn aggregate(
    spec: &GroupBySpec,
    input: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<RecordBatch, Failure> {
    let partial = Fragment::new(input.clone(), vec![spec.clone().into()]).map_err(internal)?;
    let mut states = Vec::with_capacity(batches.len());
    for batch in batches {
        states.extend(batches_of(run(&partial, &Morsel::new(batch.clone()))?)?);
    }
    let state = partial.output().clone();
    let whole = concat_batches(&state, &states).map_err(internal)?;
    let steps = vec![spec.to_merge().into(), spec.to_final().into()];
    let rest = Fragment::new(state, steps).map_err(internal)?;
    let values = batches_of(run(&rest, &Morsel::new(whole))?)?;
    concat_batches(rest.output(), &values).map_err(internal)
}

fn batches_of(output: Output) -> Result<Vec<RecordBatch>, MorselError> {
    output.morsels.into_iter().map(|(_, morsel)| morsel.into_dense_host()).collect()
}

/// Rows that a step made, and the error of the row that ended them.
struct Stepped {
    rows: Rows,
    error: Option<RowError>,
}

impl From<Rows> for Stepped {
    fn from(rows: Rows) -> Self {
        Stepped { rows, error: None }
    }
}

fn check_input(fragment: &Fragment, rows: &Rows) -> Result<(), Failure> {
    let (wanted, got) = (fragment.input(), rows.batch.schema());
    let fits = wanted.fields().len() == got.fields().len()
        && wanted.fields().iter().zip(got.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if fits {
        return Ok(());
    }
    let message =
        format!("a morsel with the columns {} for a fragment of {}", describe(&got), describe(wanted));
    Err(Failure::Internal(message))
}

fn filter_project(spec: &FilterProjectSpec, rows: &Rows, output: &SchemaRef) -> Result<Stepped, Failure> {
    let mut kept = Vec::new();
    let mut columns: Vec<Vec<Scalar>> = vec![Vec::new(); spec.projections.len()];
    let mut error = None;
    for row in 0..rows.len() {
        match project(spec, &rows.batch, row) {
            Ok(None) => {}
            Ok(Some(values)) => {
                kept.push(row);
                columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
            Err(RowError { error: RowErrorKind::BadInput { message }, .. }) => return Err(internal(message)),
            Err(found) => {
                error = Some(RowError { row: rows.places[row], ..found });
                break;
            }
        }
    }
    let mut arrays = Vec::with_capacity(output.fields().len());
    for (projection, values) in spec.projections.iter().zip(&columns) {
        arrays.push(match projection.expr.as_column() {
            // A bare column keeps its bits and its dictionary, which scalars do not.
            Some(index) => pick_values(rows.batch.column(index), &kept)?,
            None => Scalar::collect(projection.expr.data_type(), values).map_err(internal)?,
        });
    }
    for index in &spec.carried {
        arrays.push(pick_values(rows.batch.column(*index), &kept)?);
    }
    let picked = rows.pick(&kept)?;
    let batch = batch_of(output, arrays, kept.len())?;
    Ok(Stepped { rows: Rows { batch, ..picked }, error })
}

/// The projected values of a row, or nothing if the predicate does not keep it.
fn project(
    spec: &FilterProjectSpec,
    batch: &RecordBatch,
    row: usize,
) -> Result<Option<Vec<Scalar>>, RowError> {
    if let Some(predicate) = &spec.predicate
        && interpret(predicate, batch, row)?.as_bool() != Some(true)
    {
        return Ok(None);
    }
    let value = |expr: &TypedExpr| match expr.as_column() {
        Some(_) => Ok(Scalar::Boolean(true)), // Never looked at: see `filter_project`.
        None => interpret(expr, batch, row),
    };
    spec.projections.iter().map(|p| value(&p.expr)).collect::<Result<Vec<_>, _>>().map(Some)
}

/// The rows with their slice, and the rows that are too late as they came in.
fn window_assign(spec: &WindowAssignSpec, rows: &Rows, output: &SchemaRef) -> Result<(Rows, Rows), Failure> {
    let missing = || internal("the morsel has no event time");
    let times = hidden::times(&rows.batch).ok_or_else(missing)?;
    let lateness = hidden::lateness(&rows.batch).ok_or_else(missing)?;
    let is_late = |row: &usize| sabot_time::is_late(lateness.value(*row), spec.allowed_lateness);
    let (late, on_time): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(is_late);
    let time = |row: &usize| EventTime(times.value(*row));
    let kept: Vec<usize> = on_time.into_iter().filter(|row| !spec.window.is_gap(time(row))).collect();

    let starts: Int64Array =
        kept.iter().map(|row| spec.window.slice_of(time(row)).start.micros()).collect::<Vec<i64>>().into();
    let picked = rows.pick(&kept)?;
    let mut columns = picked.batch.columns().to_vec();
    columns.push(Arc::new(starts));
    let batch = batch_of(output, columns, kept.len())?;
    Ok((Rows { batch, ..picked }, rows.pick(&late)?))
}

/// The rows of each target that has any, in the order of targets.
fn partition(spec: &PartitionSpec, rows: &Rows) -> Result<Vec<(u32, Rows)>, Failure> {
    let mut parts = vec![Vec::new(); spec.parallelism as usize];
    let given = hidden::hashes(&rows.batch);
    for row in 0..rows.len() {
        let hash = match given {
            Some(hashes) => hashes.value(row),
            None => reference_hash(spec.seed, &key::values(&rows.batch, &spec.keys, row)?),
        };
        let group = spec.key_groups.group_of(hash);
        let target = spec.key_groups.task_of_group(group, parts.len());
        parts[target].push(row);
    }
    let filled = (0..spec.parallelism).zip(parts).filter(|(_, part)| !part.is_empty());
    filled.map(|(target, part)| Ok((target, rows.pick(&part)?))).collect()
}

fn pick_values(column: &ArrayRef, rows: &[usize]) -> Result<ArrayRef, Failure> {
    let indices: UInt64Array = rows.iter().map(|row| *row as u64).collect::<Vec<u64>>().into();
    take(column, &indices, None).map_err(internal)
}

fn internal(problem: impl ToString) -> Failure {
    Failure::Internal(problem.to_string())
}
