//! Joins by nested loops: every row of one side against every row of the other.

use arrow::array::{ArrayRef, AsArray, BinaryArray, UInt32Array, UInt64Array, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use sabot_batch::{gather, hidden};
use sabot_expr::{RowError, interpret};
use std::sync::Arc;

use super::key::{Canonical, values};
use super::{batch_of, internal};
use crate::{Direction, Failure, JoinKind, JoinSource, JoinSpec};

/// The result of a join of two whole inputs.
///
/// # Errors
/// [`Failure::Row`] with the row of the probe side for a condition that cannot be computed;
/// [`Failure::Internal`] for inputs that do not fit the spec, or two build rows with one key where keys
/// are declared unique.
///
/// ```
/// use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
/// use sabot_ops::{JoinColumn, JoinKind, JoinSource, JoinSpec, reference};
/// use std::sync::Arc;
///
/// let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as ArrayRef;
/// let flights = RecordBatch::try_from_iter([("origin", text(vec![Some("SFO"), None, Some("ZZZ")]))])?;
/// let airports = RecordBatch::try_from_iter([
///     ("iata", text(vec![Some("SFO")])),
///     ("city", text(vec![Some("San Francisco")])),
/// ])?;
/// let column = |name: &str, source| JoinColumn { name: name.to_owned(), source };
/// let spec = JoinSpec {
///     kind: JoinKind::Left,
///     keys: vec![(0, 0)],
///     nearest: None,
///     condition: None,
///     unique: true,
///     seed: 0,
///     columns: vec![column("origin", JoinSource::Probe(0)), column("city", JoinSource::Build(1))],
///     ordinal: 0,
/// };
/// let joined = reference::join(&spec, &flights, &airports)?;
/// let cities: Vec<Option<&str>> = joined.column(1).as_string::<i32>().iter().collect();
/// assert_eq!(cities, [Some("San Francisco"), None, None]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn join(spec: &JoinSpec, probe: &RecordBatch, build: &RecordBatch) -> Result<RecordBatch, Failure> {
    let output = spec.output_schema(probe.schema_ref(), build.schema_ref()).map_err(internal)?;
    let build = &in_order(build)?;
    let left: Vec<usize> = spec.keys.iter().map(|(left, _)| *left).collect();
    let right: Vec<usize> = spec.keys.iter().map(|(_, right)| *right).collect();
    let probe_keys = keys(probe, &left)?;
    let build_keys = keys(build, &right)?;
    if spec.unique {
        check_unique(&build_keys)?;
    }
    let times = match &spec.nearest {
        Some(nearest) => {
            Some((instants(probe.column(nearest.probe))?, instants(build.column(nearest.build))?))
        }
        None => None,
    };

    // Probe row, build row, and the number of the match among those of the probe row.
    let mut pairs: Vec<(Option<usize>, Option<usize>, u64)> = Vec::new();
    let mut matched = vec![false; build.num_rows()];
    for row in 0..probe.num_rows() {
        let equal = |other: &usize| probe_keys[row].is_some() && probe_keys[row] == build_keys[*other];
        let mut candidates: Vec<usize> = (0..build.num_rows()).filter(equal).collect();
        if let (Some(nearest), Some((here, there))) = (&spec.nearest, &times) {
            let best = here[row].and_then(|at| {
                let near = |other: &&usize| {
                    there[**other].is_some_and(|t| {
                        let apart = if nearest.direction == Direction::Backward {
                            i128::from(at) - i128::from(t)
                        } else {
                            i128::from(t) - i128::from(at)
                        };
                        apart >= 0 && nearest.tolerance.is_none_or(|limit| apart <= i128::from(limit))
                    })
                };
                let near = candidates.iter().filter(near);
                match nearest.direction {
                    // Of equal ones `max_by_key` takes the last and `min_by_key` the first.
                    Direction::Backward => near.max_by_key(|other| there[**other]).copied(),
                    Direction::Forward => near.min_by_key(|other| there[**other]).copied(),
                }
            });
            candidates = best.into_iter().collect();
        }
        let mut number = 0;
        for other in candidates {
            if !holds(spec, probe, row, build, other)? {
                continue;
            }
            matched[other] = true;
            match spec.kind {
                JoinKind::Anti => {}
                JoinKind::Semi if number > 0 => {}
                JoinKind::Semi => pairs.push((Some(row), None, 0)),
                _ => pairs.push((Some(row), Some(other), number)),
            }
            number += 1;
        }
        if number == 0 && spec.kind.keeps_probe() {
            pairs.push((Some(row), None, 0));
        }
    }
    if spec.kind.keeps_build() {
        let alone = (0..build.num_rows()).filter(|other| !matched[*other]);
        pairs.extend(alone.map(|other| (None, Some(other), 0)));
    }

    let mut columns: Vec<ArrayRef> = Vec::with_capacity(spec.columns.len());
    for out in &spec.columns {
        let column = match out.source {
            JoinSource::Probe(i) if out.name == hidden::PARTITION => {
                made_up(probe.column(i), &pairs, Arc::new(UInt32Array::from(vec![spec.ordinal << 20])))?
            }
            JoinSource::Probe(i) if out.name == hidden::ROW => {
                made_up(probe.column(i), &pairs, Arc::new(UInt64Array::from(vec![0])))?
            }
            JoinSource::Probe(i) => pick(probe.column(i), pairs.iter().map(|p| p.0))?,
            JoinSource::Build(i) => pick(build.column(i), pairs.iter().map(|p| p.1))?,
            JoinSource::Either { probe: l, build: r } => either(probe.column(l), build.column(r), &pairs)?,
            JoinSource::Order { probe: given, time } => {
                let places = pairs.iter().map(|pair| place(*pair, probe, given, time.is_some(), build));
                Arc::new(BinaryArray::from_iter_values(places))
            }
        };
        columns.push(column);
    }
    batch_of(&output, columns, pairs.len())
}

/// The rows of the build side in its order.
fn in_order(build: &RecordBatch) -> Result<RecordBatch, Failure> {
    let mut rows: Vec<usize> = (0..build.num_rows()).collect();
    rows.sort_by_key(|row| build_place(build, *row));
    let columns = build.columns().iter().map(|c| pick(c, rows.iter().map(|row| Some(*row))));
    batch_of(&build.schema(), columns.collect::<Result<_, _>>()?, rows.len())
}

type Place = (i64, u32, u64, Vec<u8>);

fn build_place(build: &RecordBatch, row: usize) -> Place {
    let time = hidden::times(build).map_or(0, |t| t.value(row));
    let late = hidden::lateness(build).map_or(0, |l| l.value(row));
    (
        time.saturating_add(late),
        hidden::partitions(build).map_or(0, |p| p.value(row)),
        hidden::row_numbers(build).map_or(0, |n| n.value(row)),
        hidden::keys(build).map_or(Vec::new(), |k| k.value(row).to_vec()),
    )
}

/// The key of each row; none for a row that equals nothing.
fn keys(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<Option<Vec<Canonical>>>, Failure> {
    (0..batch.num_rows())
        .map(|row| {
            let key: Vec<Canonical> = values(batch, columns, row)?.iter().map(Canonical::from).collect();
            Ok(Some(key).filter(|key| !key.contains(&Canonical::Null)))
        })
        .collect()
}

fn check_unique(keys: &[Option<Vec<Canonical>>]) -> Result<(), Failure> {
    for (row, key) in keys.iter().enumerate() {
        if key.is_some() && keys[..row].contains(key) {
            return Err(internal(format!("row {row} of the build side has the key of another")));
        }
    }
    Ok(())
}

fn instants(column: &ArrayRef) -> Result<Vec<Option<i64>>, Failure> {
    let plain = cast(column, &DataType::Int64).map_err(internal)?;
    Ok(plain.as_primitive::<Int64Type>().iter().collect())
}

/// Whether the condition is true for a pair.
fn holds(
    spec: &JoinSpec,
    probe: &RecordBatch,
    row: usize,
    build: &RecordBatch,
    other: usize,
) -> Result<bool, Failure> {
    let Some(condition) = &spec.condition else { return Ok(true) };
    let schema = JoinSpec::condition_schema(probe.schema_ref(), build.schema_ref());
    let left = probe.columns().iter().map(|c| c.slice(row, 1));
    let right = build.columns().iter().map(|c| c.slice(other, 1));
    let pair = batch_of(&schema, left.chain(right).collect(), 1)?;
    let truth = interpret(condition, &pair, 0).map_err(|e| Failure::Row(RowError { row, ..e }))?;
    Ok(truth.as_bool() == Some(true))
}

/// The values at these rows, null where there is none.
fn pick(column: &ArrayRef, rows: impl Iterator<Item = Option<usize>>) -> Result<ArrayRef, Failure> {
    let indices: UInt64Array = rows.map(|row| row.map(|r| r as u64)).collect();
    gather(column, &indices).map_err(internal)
}

/// The probe side's values, and `otherwise` for rows without one.
fn made_up(
    column: &ArrayRef,
    pairs: &[(Option<usize>, Option<usize>, u64)],
    otherwise: ArrayRef,
) -> Result<ArrayRef, Failure> {
    let both = concat(&[column, &otherwise]).map_err(internal)?;
    pick(&both, pairs.iter().map(|pair| Some(pair.0.unwrap_or(column.len()))))
}

fn either(
    left: &ArrayRef,
    right: &ArrayRef,
    pairs: &[(Option<usize>, Option<usize>, u64)],
) -> Result<ArrayRef, Failure> {
    let nothing = new_null_array(left.data_type(), 1);
    let all = concat(&[left, right, &nothing]).map_err(internal)?;
    pick(&all, pairs.iter().map(|(l, r, _)| l.or(r.map(|row| left.len() + row))))
}

fn place(
    (row, other, number): (Option<usize>, Option<usize>, u64),
    probe: &RecordBatch,
    given: Option<usize>,
    timed: bool,
    build: &RecordBatch,
) -> Vec<u8> {
    match (row, other) {
        (Some(row), _) => {
            let mut bytes = Vec::new();
            if timed {
                let (time, ..) = build_place(probe, row);
                bytes.extend((time.cast_unsigned() ^ (1 << 63)).to_be_bytes());
            }
            if let Some(given) = given {
                bytes.extend(probe.column(given).as_binary::<i32>().value(row));
            }
            bytes.extend(number.to_be_bytes());
            bytes
        }
        (None, other) => {
            let (time, partition, number, key) = build_place(build, other.unwrap_or_default());
            // Signed numbers are ordered by their bytes once their sign is turned.
            let mut bytes = (time.cast_unsigned() ^ (1 << 63)).to_be_bytes().to_vec();
            bytes.extend(partition.to_be_bytes());
            bytes.extend(number.to_be_bytes());
            bytes.extend(key);
            bytes
        }
    }
}
