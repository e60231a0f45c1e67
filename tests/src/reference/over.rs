//! Values over the rows around a row: every row of a partition is asked whether it stands in the frame.

use arrow::datatypes::TimeUnit;
use arrow::record_batch::RecordBatch;
use sabot_expr::{Scalar, TypedExpr};
use sabot_ops::{Distance, FrameBound, FrameUnits};
use sabot_plan::{Over, OverColumn, OverValue};
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::aggregate::{Taken, aggregate};
use super::rank::order;
use super::{Cell, Rank, Row, value};

/// A row of a partition with what it is ordered by and what each column reads of it.
struct Member<'a> {
    row: &'a Row,
    number: usize,
    keys: Vec<Scalar>,
    /// What orders rows that are equal in these.
    ties: Vec<Scalar>,
}

/// All rows, each with the columns that are added.
pub(super) fn over(over: &Over, batch: &RecordBatch, rows: &[Row]) -> Vec<Row> {
    let mut partitions: BTreeMap<Vec<Rank>, Vec<Member<'_>>> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let of = |expr: &TypedExpr| value(expr, batch, number, row).value;
        let partition = over.partition.iter().map(|key| Rank::of(&of(&key.expr))).collect();
        let keys = match over.by_event_time {
            true => vec![micros(row.time.expect("rows have event time"))],
            false => over.order.iter().map(|key| of(&key.expr)).collect(),
        };
        let ties = over.ties.iter().map(|key| of(&key.expr)).collect();
        partitions.entry(partition).or_default().push(Member { row, number, keys, ties });
    }
    let mut out: Vec<(usize, Row)> = Vec::new();
    for mut members in partitions.into_values() {
        members.sort_by(|a, b| {
            let ties = over.ties.iter().zip(a.ties.iter().zip(&b.ties));
            ties.map(|(key, (a, b))| order(a, b, key.descending, key.nulls_first))
                .fold(compare(over, a, b), Ordering::then)
                .then_with(|| a.row.place().cmp(&b.row.place()))
        });
        for place in 0..members.len() {
            let mut row = members[place].row.clone();
            row.cells.extend(over.columns.iter().map(|column| cell(over, column, batch, &members, place)));
            out.push((members[place].number, row));
        }
    }
    // Rows stay where they were among the others.
    out.sort_by_key(|(number, _)| *number);
    out.into_iter().map(|(_, row)| row).collect()
}

fn micros(value: i64) -> Scalar {
    Scalar::Timestamp { value, unit: TimeUnit::Microsecond, zone: None }
}

fn compare(over: &Over, a: &Member<'_>, b: &Member<'_>) -> Ordering {
    let directions = over.order.iter().map(|key| (key.descending, key.nulls_first)).chain([(false, false)]);
    let keys = a.keys.iter().zip(&b.keys).zip(directions);
    keys.map(|((a, b), (descending, first))| order(a, b, descending, first))
        .fold(Ordering::Equal, Ordering::then)
}

fn cell(over: &Over, column: &OverColumn, batch: &RecordBatch, members: &[Member<'_>], place: usize) -> Cell {
    let same = |a: usize, b: usize| compare(over, &members[a], &members[b]).is_eq();
    let number = |n: usize| Cell::from(Scalar::Int64(n as i64));
    let read = |expr: &TypedExpr, place: Option<usize>| match place.and_then(|place| members.get(place)) {
        Some(member) => value(expr, batch, member.number, member.row),
        None => Scalar::Null(expr.data_type().clone()).into(),
    };
    let frame = || -> Vec<usize> {
        (0..members.len()).filter(|other| inside(over, column, members, place, *other)).collect()
    };
    match &column.value {
        OverValue::RowNumber => number(place + 1),
        OverValue::Rank => number((0..=place).find(|other| same(*other, place)).expect("its own peer") + 1),
        OverValue::DenseRank => number((1..=place).filter(|other| !same(*other, other - 1)).count() + 1),
        OverValue::Lag(expr, n) => read(expr, place.checked_sub(*n as usize)),
        OverValue::Lead(expr, n) => read(expr, Some(place + *n as usize)),
        OverValue::FirstValue(expr) => read(expr, frame().first().copied()),
        OverValue::LastValue(expr) => read(expr, frame().last().copied()),
        OverValue::Aggregate(spec) => {
            let passes = |member: &usize| {
                let filter = spec.filter.as_ref().map(|filter| read(filter, Some(*member)).value);
                filter.is_none_or(|value| value.as_bool() == Some(true))
            };
            let taken = |member: usize| Taken {
                arguments: spec.arguments.iter().map(|expr| read(expr, Some(member))).collect(),
                place: members[member].row.place_in_time(),
            };
            let taken: Vec<Taken> = frame().into_iter().filter(passes).map(taken).collect();
            aggregate(spec, &taken)
                .unwrap_or_else(|overflow| panic!("{overflow}; the test data is too large"))
        }
    }
}

/// Whether a member stands in the frame of another. These tests measure ranges of event time alone; the
/// tests of the operator measure everything.
fn inside(over: &Over, column: &OverColumn, members: &[Member<'_>], place: usize, other: usize) -> bool {
    let peers = compare(over, &members[place], &members[other]).is_eq();
    let rows = column.frame.units == FrameUnits::Rows;
    let time = |place: usize| members[place].row.time.expect("ranges are of event time");
    // How far behind the row the other stands, and how far the bound.
    let at = |bound: FrameBound| -> Option<(i64, i64)> {
        let (sign, distance) = match bound {
            FrameBound::UnboundedPreceding | FrameBound::UnboundedFollowing => return None,
            FrameBound::CurrentRow if rows => (0, Distance::Count(0)),
            FrameBound::CurrentRow => {
                return Some((if peers { 0 } else { other as i64 - place as i64 }, 0));
            }
            FrameBound::Preceding(distance) => (-1, distance),
            FrameBound::Following(distance) => (1, distance),
        };
        Some(match distance {
            Distance::Count(n) => (other as i64 - place as i64, sign * n as i64),
            Distance::Span(span) => (time(other) - time(place), sign * span.micros()),
            Distance::Float(_) => panic!("no plan here measures floats"),
        })
    };
    at(column.frame.start).is_none_or(|(at, bound)| at >= bound)
        && at(column.frame.end).is_none_or(|(at, bound)| at <= bound)
}
