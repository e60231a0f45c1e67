//! Rank, by comparing every row with every other.

use arrow::array::{RecordBatch, make_comparator};
use arrow::compute::SortOptions;
use sabot_batch::hidden;
use std::cmp::Ordering;

use super::internal;
use super::key::canonical_column;
use crate::{Failure, RankSpec, SortKey};

/// A row that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankedRow {
    /// Its place in the batch.
    pub row: usize,
    /// Its number within its group, from 0.
    pub number: u64,
}

/// What [`RankSpec`] keeps of all the rows there are: groups in the order of their keys with null last,
/// and within a group by number. The batch carries the hidden columns that make the order of the stream;
/// those that it lacks are the same for all rows.
///
/// # Errors
/// [`Failure::Internal`] for columns that have no order.
pub fn rank(spec: &RankSpec, rows: &RecordBatch) -> Result<Vec<RankedRow>, Failure> {
    let by_group = keys_order(rows, &spec.groups.iter().map(|g| SortKey::ascending(*g)).collect::<Vec<_>>())?;
    let by_order = keys_order(rows, &spec.order)?;
    let in_stream = stream_order(rows)?;
    let stands_before = |a: usize, b: usize| {
        let stream = if spec.backwards { in_stream(b, a) } else { in_stream(a, b) };
        by_order(a, b).then(stream).then(a.cmp(&b)) == Ordering::Less
    };
    let number = |row: usize| {
        (0..rows.num_rows())
            .filter(|other| by_group(*other, row).is_eq() && stands_before(*other, row))
            .count() as u64
    };
    let numbered = (0..rows.num_rows()).map(|row| RankedRow { row, number: number(row) });
    let mut kept: Vec<RankedRow> = numbered.filter(|ranked| spec.keeps(ranked.number)).collect();
    kept.sort_by(|a, b| by_group(a.row, b.row).then(a.number.cmp(&b.number)));
    Ok(kept)
}

pub(super) type Compare = Box<dyn Fn(usize, usize) -> Ordering>;

/// Compares two rows column after column.
pub(super) fn keys_order(rows: &RecordBatch, keys: &[SortKey]) -> Result<Compare, Failure> {
    let mut columns = Vec::with_capacity(keys.len());
    for key in keys {
        let column = canonical_column(rows.column(key.column))?;
        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
        columns.push(make_comparator(&column, &column, options).map_err(internal)?);
    }
    Ok(Box::new(move |a, b| columns.iter().map(|c| c(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)))
}

/// Compares two rows by their place in the stream.
fn stream_order(rows: &RecordBatch) -> Result<Compare, Failure> {
    let places: Vec<i64> = match hidden::times(rows) {
        Some(times) => (0..rows.num_rows())
            .map(|row| times.value(row).saturating_add(hidden::lateness(rows).map_or(0, |l| l.value(row))))
            .collect(),
        None => vec![0; rows.num_rows()],
    };
    let rest = [hidden::PARTITION, hidden::ROW, hidden::KEY];
    let rest = rest.iter().filter_map(|name| rows.schema_ref().index_of(name).ok()).map(SortKey::ascending);
    let rest = keys_order(rows, &rest.collect::<Vec<_>>())?;
    Ok(Box::new(move |a, b| places[a].cmp(&places[b]).then_with(|| rest(a, b))))
}
