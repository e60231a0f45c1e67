//! Which rows stand in a row's frame: a range of places in its partition.

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, UInt64Type};
use sabot_ops::{Distance, Frame, FrameBound, FrameUnits};
use std::ops::Range;

use super::bad;
use crate::group_by::AccumulateError;

/// The frames of one call.
pub(super) struct Frames<'a> {
    pub(super) frame: Frame,
    /// The values that distances are measured in, where the frame has some.
    pub(super) by: Option<&'a SortValues>,
}

/// The values of a sort key, turned so that they rise; none where a value is at no distance from others.
pub(super) enum SortValues {
    /// Integers, and times in nanoseconds: 128 bits hold every sum of a value and a distance.
    Exact(Vec<Option<i128>>),
    Floats(Vec<Option<f64>>),
}

impl SortValues {
    /// Event time, in microseconds, is an integer that says so by its name alone: `event_time`.
    pub(super) fn new(
        column: &ArrayRef,
        event_time: bool,
        descending: bool,
    ) -> Result<Self, AccumulateError> {
        let nanos = match column.data_type() {
            DataType::Float32 | DataType::Float64 => {
                let wide = cast(column, &DataType::Float64).map_err(bad)?;
                let turned = |x: f64| if descending { -x } else { x };
                let values = wide.as_primitive::<Float64Type>().iter();
                return Ok(SortValues::Floats(
                    values.map(|x| x.filter(|x| !x.is_nan()).map(turned)).collect(),
                ));
            }
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            DataType::Date32 => 86_400_000_000_000,
            DataType::Int64 if event_time => 1_000,
            _ => 1,
        };
        let turned = |x: i128| if descending { -x * nanos } else { x * nanos };
        let values = match column.data_type() {
            DataType::UInt64 => {
                column.as_primitive::<UInt64Type>().iter().map(|x| x.map(|x| turned(i128::from(x)))).collect()
            }
            // Days do not become 64-bit integers directly.
            DataType::Date32 => {
                let days = cast(column, &DataType::Int32).and_then(|days| cast(&days, &DataType::Int64));
                let days = days.map_err(bad)?;
                days.as_primitive::<Int64Type>().iter().map(|x| x.map(|x| turned(i128::from(x)))).collect()
            }
            _ => {
                let wide = cast(column, &DataType::Int64).map_err(bad)?;
                if wide.null_count() != column.null_count() {
                    return Err(bad(format!("{} is at no distance from others", column.data_type())));
                }
                wide.as_primitive::<Int64Type>().iter().map(|x| x.map(|x| turned(i128::from(x)))).collect()
            }
        };
        Ok(SortValues::Exact(values))
    }

    fn is_measured(&self, row: usize) -> bool {
        match self {
            SortValues::Exact(values) => values[row].is_some(),
            SortValues::Floats(values) => values[row].is_some(),
        }
    }

    /// The first row of `measured` that is at least so far behind `row` (`beyond`: further than that).
    fn first_at(
        &self,
        measured: &Range<usize>,
        row: usize,
        distance: Distance,
        forth: bool,
        beyond: bool,
    ) -> Result<usize, AccumulateError> {
        let behind = match self {
            SortValues::Exact(values) => {
                let far = match distance {
                    Distance::Count(n) => i128::from(n),
                    Distance::Span(span) => i128::from(span.micros()) * 1_000,
                    Distance::Float(_) => return Err(bad("whole numbers at a broken distance")),
                };
                let limit = values[row].map(|x| if forth { x + far } else { x - far });
                values[measured.clone()].partition_point(|x| if beyond { *x <= limit } else { *x < limit })
            }
            SortValues::Floats(values) => {
                let far = match distance {
                    Distance::Count(n) => n as f64,
                    Distance::Float(x) => x,
                    Distance::Span(_) => return Err(bad("numbers at a distance in time")),
                };
                let limit = values[row].map(|x| if forth { x + far } else { x - far });
                values[measured.clone()].partition_point(|x| if beyond { *x <= limit } else { *x < limit })
            }
        };
        Ok(measured.start + behind)
    }
}

impl Frames<'_> {
    /// Appends the frame of each row of a partition.
    pub(super) fn of(
        &self,
        partition: Range<usize>,
        peers: &[Range<usize>],
        out: &mut Vec<Range<usize>>,
    ) -> Result<(), AccumulateError> {
        // Null and NaN stand at the ends; what is between can be measured.
        let measured = match self.by {
            Some(by) => {
                let first = partition.clone().find(|row| by.is_measured(*row)).unwrap_or(partition.end);
                let end = (first..partition.end).find(|row| !by.is_measured(*row)).unwrap_or(partition.end);
                first..end
            }
            None => partition.clone(),
        };
        for row in partition.clone() {
            let start = self.start(row, &partition, &measured, &peers[row])?;
            let end = self.end(row, &partition, &measured, &peers[row])?;
            out.push(start..end.max(start));
        }
        Ok(())
    }

    fn start(
        &self,
        row: usize,
        partition: &Range<usize>,
        measured: &Range<usize>,
        peers: &Range<usize>,
    ) -> Result<usize, AccumulateError> {
        let in_rows = self.frame.units == FrameUnits::Rows;
        Ok(match self.frame.start {
            FrameBound::UnboundedPreceding => partition.start,
            FrameBound::CurrentRow => {
                if in_rows {
                    row
                } else {
                    peers.start
                }
            }
            FrameBound::Preceding(d) if in_rows => row.saturating_sub(count(d)?).max(partition.start),
            FrameBound::Following(d) if in_rows => row.saturating_add(count(d)?).min(partition.end),
            FrameBound::Preceding(d) => {
                self.measure(row, measured, peers.start, |by| by.first_at(measured, row, d, false, false))?
            }
            FrameBound::Following(d) => {
                self.measure(row, measured, peers.start, |by| by.first_at(measured, row, d, true, false))?
            }
            FrameBound::UnboundedFollowing => partition.end,
        })
    }

    fn end(
        &self,
        row: usize,
        partition: &Range<usize>,
        measured: &Range<usize>,
        peers: &Range<usize>,
    ) -> Result<usize, AccumulateError> {
        let in_rows = self.frame.units == FrameUnits::Rows;
        Ok(match self.frame.end {
            FrameBound::UnboundedPreceding => partition.start,
            FrameBound::CurrentRow => {
                if in_rows {
                    row + 1
                } else {
                    peers.end
                }
            }
            FrameBound::Preceding(d) if in_rows => (row + 1).saturating_sub(count(d)?).max(partition.start),
            FrameBound::Following(d) if in_rows => (row + 1).saturating_add(count(d)?).min(partition.end),
            FrameBound::Preceding(d) => {
                self.measure(row, measured, peers.end, |by| by.first_at(measured, row, d, false, true))?
            }
            FrameBound::Following(d) => {
                self.measure(row, measured, peers.end, |by| by.first_at(measured, row, d, true, true))?
            }
            FrameBound::UnboundedFollowing => partition.end,
        })
    }

    /// A bound at a distance; the end of the peers where the row is at none.
    fn measure(
        &self,
        row: usize,
        measured: &Range<usize>,
        of_peers: usize,
        at: impl Fn(&SortValues) -> Result<usize, AccumulateError>,
    ) -> Result<usize, AccumulateError> {
        let by = self.by.ok_or_else(|| bad("a range without order"))?;
        if measured.contains(&row) { at(by) } else { Ok(of_peers) }
    }
}

fn count(distance: Distance) -> Result<usize, AccumulateError> {
    match distance {
        Distance::Count(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
        _ => Err(bad("rows at no count")),
    }
}
