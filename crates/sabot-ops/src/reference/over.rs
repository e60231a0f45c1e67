//! Over, row by row: who stands in the frame is asked of every row of the partition.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::{cast, concat, take, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use sabot_batch::{gather, hidden};
use std::sync::Arc;

use super::rank::{Compare, RankedRow, keys_order};
use super::{internal, rank};
use crate::{
    Distance, Failure, Frame, FrameBound, FrameUnits, GroupByMode, GroupBySpec, OverFunction, OverSpec,
    SortKey,
};

/// All rows, partition by partition in the order of their keys, with the columns that `spec` adds.
///
/// # Errors
/// [`Failure::Row`] for a sum beyond its range, [`Failure::Internal`] for a spec that does not fit.
pub fn over(spec: &OverSpec, rows: &RecordBatch) -> Result<(RecordBatch, Vec<ArrayRef>), Failure> {
    let (_, rows, columns) = ranked_over(spec, rows)?;
    Ok((rows, columns))
}

/// The columns that `spec` adds, in the order in which the rows stand: what they are while rows come in, where
/// [`OverSpec::check_rolling`] allows that.
///
/// # Errors
/// As [`over`].
pub fn rolling(spec: &OverSpec, rows: &RecordBatch) -> Result<Vec<ArrayRef>, Failure> {
    let (ranked, _, columns) = ranked_over(spec, rows)?;
    let mut places = vec![0; ranked.len()];
    (0..).zip(&ranked).for_each(|(place, ranked)| places[ranked.row] = place);
    let places = UInt64Array::from(places);
    columns.iter().map(|column| take(column, &places, None).map_err(internal)).collect()
}

/// Ranked rows, the rows in that order, and the columns that are added to them.
fn ranked_over(
    spec: &OverSpec,
    rows: &RecordBatch,
) -> Result<(Vec<RankedRow>, RecordBatch, Vec<ArrayRef>), Failure> {
    let fields = spec.result_fields(rows.schema_ref()).map_err(internal)?;
    let ranked = rank(&spec.ranking(), rows)?;
    let places = UInt64Array::from_iter_values(ranked.iter().map(|r| r.row as u64));
    let rows = take_record_batch(rows, &places).map_err(internal)?;
    let peers = keys_order(&rows, &spec.order)?;
    let measures = match spec.order.as_slice() {
        [key] if spec.calls.iter().any(|call| call.frame.measures()) => measures(&rows, key.column)?,
        _ => Vec::new(),
    };
    let mut starts: Vec<usize> = (0..ranked.len()).filter(|i| ranked[*i].number == 0).collect();
    starts.push(ranked.len());
    let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); spec.calls.len()];
    for pair in starts.windows(2) {
        let from = pair[0];
        let rows = rows.slice(from, pair[1] - from);
        let partition =
            Partition { rows, from, peers: &peers, measures: measures.get(from..).unwrap_or(&[]) };
        for row in 0..partition.rows.num_rows() {
            for (call, column) in spec.calls.iter().zip(&mut columns) {
                column.push(partition.value(&call.function, &call.frame, &spec.order, row)?);
            }
        }
    }
    let mut values = Vec::with_capacity(columns.len());
    for (column, field) in columns.iter().zip(&fields) {
        let parts: Vec<&dyn arrow::array::Array> = column.iter().map(AsRef::as_ref).collect();
        values.push(match parts.is_empty() {
            true => arrow::array::new_empty_array(field.data_type()),
            false => concat(&parts).map_err(internal)?,
        });
    }
    Ok((ranked, rows, values))
}

struct Partition<'a> {
    rows: RecordBatch,
    /// Its first row among those that can be compared.
    from: usize,
    peers: &'a Compare,
    /// Of each row the value that distances are measured by.
    measures: &'a [Option<f64>],
}

impl Partition<'_> {
    fn value(
        &self,
        function: &OverFunction,
        frame: &Frame,
        order: &[SortKey],
        row: usize,
    ) -> Result<ArrayRef, Failure> {
        let before = |other: usize| self.is_peer(other, row);
        let first_peer = (0..=row).find(|other| before(*other)).unwrap_or(row);
        let number =
            |n: usize| -> Result<ArrayRef, Failure> { Ok(Arc::new(Int64Array::from(vec![n as i64]))) };
        let at = |column: usize, place: Option<usize>| {
            let place = place.filter(|p| *p < self.rows.num_rows()).map(|p| p as u64);
            gather(self.rows.column(column), &UInt64Array::from(vec![place])).map_err(internal)
        };
        let inside = || -> Result<Vec<usize>, Failure> {
            let mut inside = Vec::new();
            for other in 0..self.rows.num_rows() {
                if self.is_inside(frame, order, row, other)? {
                    inside.push(other);
                }
            }
            Ok(inside)
        };
        match function {
            OverFunction::RowNumber => number(row + 1),
            OverFunction::Rank => number(first_peer + 1),
            OverFunction::DenseRank => {
                number(1 + (1..=row).filter(|other| !self.is_peer(*other, other - 1)).count())
            }
            OverFunction::Lag(column, n) => {
                at(*column, usize::try_from(*n).ok().and_then(|n| row.checked_sub(n)))
            }
            OverFunction::Lead(column, n) => {
                at(*column, usize::try_from(*n).ok().and_then(|n| row.checked_add(n)))
            }
            OverFunction::FirstValue(column) => at(*column, inside()?.first().copied()),
            OverFunction::LastValue(column) => at(*column, inside()?.last().copied()),
            OverFunction::Aggregate(aggregate) => {
                let inside = UInt64Array::from_iter_values(inside()?.into_iter().map(|i| i as u64));
                let frame = take_record_batch(&self.rows, &inside).map_err(internal)?;
                let spec = GroupBySpec {
                    keys: vec![],
                    hashed: vec![],
                    seed: 0,
                    aggregates: vec![aggregate.clone()],
                    mode: GroupByMode::Partial,
                };
                let result = super::aggregate(&spec, &frame.schema(), &[frame])?;
                match result.num_rows() {
                    // No rows are no group; SQL has the aggregate of nothing.
                    0 if !aggregate.result_field().map_err(internal)?.is_nullable() => number(0),
                    0 => Ok(arrow::array::new_null_array(result.column(0).data_type(), 1)),
                    _ => Ok(result.column(0).clone()),
                }
            }
        }
    }

    fn is_peer(&self, a: usize, b: usize) -> bool {
        (self.peers)(self.from + a, self.from + b).is_eq()
    }

    fn is_inside(&self, frame: &Frame, order: &[SortKey], row: usize, other: usize) -> Result<bool, Failure> {
        Ok(self.is_past(frame.units, frame.start, order, row, other, true)?
            && self.is_past(frame.units, frame.end, order, row, other, false)?)
    }

    /// Whether `other` is not before the start (`start`), or not behind the end.
    fn is_past(
        &self,
        units: FrameUnits,
        bound: FrameBound,
        order: &[SortKey],
        row: usize,
        other: usize,
        start: bool,
    ) -> Result<bool, Failure> {
        let (sign, distance) = match bound {
            FrameBound::UnboundedPreceding | FrameBound::UnboundedFollowing => return Ok(true),
            FrameBound::CurrentRow => (0.0, Distance::Count(0)),
            FrameBound::Preceding(distance) => (-1.0, distance),
            FrameBound::Following(distance) => (1.0, distance),
        };
        let beside_peers = || if start { other >= row } else { other <= row } || self.is_peer(other, row);
        let (at, limit) = match (units, bound) {
            (FrameUnits::Range, FrameBound::CurrentRow) => return Ok(beside_peers()),
            (FrameUnits::Rows, _) => {
                let Distance::Count(n) = distance else { return Err(internal("rows at no count")) };
                (other as f64 - row as f64, sign * n as f64)
            }
            (FrameUnits::Range, _) => {
                let key = order.first().ok_or_else(|| internal("a range without order"))?;
                let Some(here) = self.measures[row] else { return Ok(beside_peers()) };
                // Null and NaN stand at an end, beyond every distance in that direction.
                let Some(there) = self.measures[other] else {
                    return Ok(if start { other > row } else { other < row });
                };
                let far = match distance {
                    Distance::Count(n) => n as f64,
                    Distance::Float(x) => x,
                    Distance::Span(span) => span.micros() as f64 * 1000.0,
                };
                // Added and not subtracted: infinity and a distance are infinity.
                let turned = |x: f64| if key.descending { -x } else { x };
                (turned(there), turned(here) + sign * far)
            }
        };
        Ok(if start { at >= limit } else { at <= limit })
    }
}

/// Values as numbers, times in nanoseconds; nothing for null and NaN. The tests use none that is not exact as a
/// double.
fn measures(rows: &RecordBatch, column: usize) -> Result<Vec<Option<f64>>, Failure> {
    let (array, name) = (rows.column(column), rows.schema().field(column).name().clone());
    if let DataType::Float32 | DataType::Float64 = array.data_type() {
        let floats = cast(array, &DataType::Float64).map_err(internal)?;
        return Ok(floats.as_primitive::<Float64Type>().iter().map(|x| x.filter(|x| !x.is_nan())).collect());
    }
    let nanos = match array.data_type() {
        DataType::Date32 => 86_400e9,
        DataType::Timestamp(TimeUnit::Second, _) => 1e9,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1e6,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1e3,
        _ if name == hidden::TIME => 1e3,
        _ => 1.0,
    };
    let plain = match array.data_type() {
        DataType::Date32 => cast(array, &DataType::Int32).map_err(internal)?,
        _ => array.clone(),
    };
    let wide = cast(&plain, &DataType::Int64).map_err(internal)?;
    Ok(wide.as_primitive::<Int64Type>().iter().map(|x| x.map(|x| x as f64 * nanos)).collect())
}
