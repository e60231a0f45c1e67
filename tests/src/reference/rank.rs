//! Rankings: every group sorted by itself.

use arrow::record_batch::RecordBatch;
use sabot_expr::{Scalar, TypedExpr};
use sabot_plan::{RankCall, Ranking};
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Rank, Row, value};

/// The rows that a ranking keeps, as they go on. `ordinal` is the operator's own place in the order.
pub(super) fn rank(ranking: &Ranking, batch: &RecordBatch, rows: &[Row], ordinal: u64) -> Vec<Row> {
    type GroupKey = (i64, Vec<Rank>);
    let mut groups: BTreeMap<GroupKey, Vec<(Vec<Scalar>, &Row)>> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let of = |expr: &TypedExpr| value(expr, batch, number, row).value;
        let key = ranking.groups.iter().map(|group| Rank::of(&of(&group.expr))).collect();
        let window = if ranking.windowed { row.time.expect("windows have a time") } else { 0 };
        let sort = ranking.order.iter().map(|key| of(&key.expr)).collect();
        groups.entry((window, key)).or_default().push((sort, row));
    }
    let mut kept = Vec::new();
    for ((_, key), mut members) in groups {
        members.sort_by(|(a, row), (b, other)| {
            let keys = a.iter().zip(b).zip(&ranking.order);
            let by_keys = keys.map(|((a, b), by)| order(a, b, by.descending, by.nulls_first));
            let stream = row.place().cmp(&other.place());
            let stream = if ranking.backwards { stream.reverse() } else { stream };
            by_keys.fold(Ordering::Equal, Ordering::then).then(stream)
        });
        let fetch = ranking.fetch.map_or(usize::MAX, |fetch| fetch as usize);
        let members = members.into_iter().map(|(_, row)| row).enumerate();
        for (number, row) in members.skip(ranking.skip as usize).take(fetch) {
            let mut row = row.clone();
            if ranking.number.is_some() {
                row.cells.push(Scalar::Int64(number as i64 + 1).into());
            }
            match ranking.call {
                RankCall::Sort => {
                    (row.time, row.late) = (None, 0);
                    (row.partition, row.number, row.key) = (ordinal, kept.len() as u64, Vec::new());
                }
                RankCall::TopN => {
                    row.time = row.time.filter(|_| ranking.windowed);
                    (row.late, row.partition, row.number) = (0, ordinal, 0);
                    row.key = key.iter().cloned().chain([Rank::Integer(number as i128)]).collect();
                }
                RankCall::Limit | RankCall::Unique | RankCall::Distinct => {}
            }
            kept.push(row);
        }
    }
    kept
}

/// Two values in a direction, with nulls at one end whichever that is.
pub(super) fn order(a: &Scalar, b: &Scalar, descending: bool, nulls_first: bool) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, false) => {
            let ascending = Rank::of(a).cmp(&Rank::of(b));
            if descending { ascending.reverse() } else { ascending }
        }
    }
}
