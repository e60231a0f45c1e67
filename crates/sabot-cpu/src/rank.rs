//! Rank: rows become bytes whose order is the wanted one, then bytes are compared.
//!
//! Arrow's row format is such a form: one string of bytes a row, with direction and place of nulls worked
//! in, so that a comparison of many columns is one `memcmp`. Two things it does not know are put right
//! before: floats get one zero and one NaN, and behind the user's columns stands the place of the row in
//! the stream, which makes the order total. Sorting is by the first eight bytes as a number; the rest is
//! looked at where these are equal.

mod canonical;
#[cfg(test)]
mod tests;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use arrow::row::{Row, RowConverter, Rows, SortField};
use sabot_batch::hidden;
use sabot_ops::{Failure, RankSpec, SortKey};
use std::cmp::Ordering;
use std::sync::Arc;

pub use canonical::one_zero_one_nan;

/// How rows of one schema become bytes.
#[derive(Debug)]
pub struct RankOrder {
    spec: RankSpec,
    groups: Option<RowConverter>,
    order: RowConverter,
    /// The hidden columns behind event time that make the order of the stream.
    stream: Vec<usize>,
    /// Whether event time is part of it.
    timed: bool,
}

/// The bytes of a batch's rows.
#[derive(Debug)]
pub struct RankKeys {
    groups: Option<Rows>,
    order: Rows,
}

/// A row that is kept: where it stands, and its number within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Which batch.
    pub batch: u32,
    /// Which row of it.
    pub row: u32,
    /// Its number within its group, from 0.
    pub number: u64,
}

impl RankOrder {
    /// The order of a spec over rows of this schema, which carries the hidden columns that make the order
    /// of the stream.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the spec does not fit the schema, or nothing at all makes an order.
    pub fn new(spec: &RankSpec, schema: &Schema) -> Result<Self, Failure> {
        spec.check(schema).map_err(internal)?;
        let timed = schema.index_of(hidden::TIME).is_ok();
        let places = [hidden::PARTITION, hidden::ROW, hidden::KEY];
        let stream: Vec<usize> = places.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let keys = |keys: &mut dyn Iterator<Item = SortKey>| -> Vec<SortField> {
            keys.map(|k| field(schema, k)).collect()
        };
        let in_stream =
            |column: &usize| SortKey { descending: spec.backwards, ..SortKey::ascending(*column) };
        let mut order = keys(&mut spec.order.iter().copied());
        if timed {
            let options = SortOptions { descending: spec.backwards, nulls_first: false };
            order.push(SortField::new_with_options(arrow::datatypes::DataType::Int64, options));
        }
        order.extend(keys(&mut stream.iter().map(in_stream)));
        if order.is_empty() {
            return Err(internal("the rows have no order: no sort key, no place in the stream"));
        }
        let groups = keys(&mut spec.groups.iter().map(|column| SortKey::ascending(*column)));
        let groups = match groups.is_empty() {
            true => None,
            false => Some(RowConverter::new(groups).map_err(internal)?),
        };
        Ok(Self {
            spec: spec.clone(),
            groups,
            order: RowConverter::new(order).map_err(internal)?,
            stream,
            timed,
        })
    }

    /// The spec.
    pub fn spec(&self) -> &RankSpec {
        &self.spec
    }

    /// Whether all rows are of one group.
    pub fn is_one_group(&self) -> bool {
        self.groups.is_none()
    }

    /// The bytes of a batch's rows.
    ///
    /// # Errors
    /// [`Failure::Internal`] when the batch is of another schema.
    pub fn encode(&self, batch: &RecordBatch) -> Result<RankKeys, Failure> {
        let column = |index: usize| {
            let column = batch.columns().get(index).ok_or_else(|| internal("a sort key is missing"))?;
            one_zero_one_nan(column)
        };
        let groups = match &self.groups {
            Some(converter) => {
                let columns = self.spec.groups.iter().map(|i| column(*i)).collect::<Result<Vec<_>, _>>()?;
                Some(converter.convert_columns(&columns).map_err(internal)?)
            }
            None => None,
        };
        let mut columns = self.spec.order.iter().map(|k| column(k.column)).collect::<Result<Vec<_>, _>>()?;
        if self.timed {
            columns.push(places(batch)?);
        }
        columns.extend(
            self.stream
                .iter()
                .map(|i| batch.columns().get(*i).cloned())
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| internal("the rows have no place in the stream"))?,
        );
        Ok(RankKeys { groups, order: self.order.convert_columns(&columns).map_err(internal)? })
    }

    /// The rows that are kept of all batches: groups in the total order of their keys, rows of a group by
    /// number. With `needed` those that the spec skips are there as well, because rows that come later
    /// may push them back.
    pub fn rank(&self, batches: &[&RankKeys], needed: bool) -> Vec<Ranked> {
        let mut entries = entries(batches);
        let limit = self.spec.needed();
        // Of one group most rows fall away before they are sorted.
        if let (true, Some(limit)) = (self.is_one_group(), limit.and_then(|l| usize::try_from(l).ok()))
            && limit < entries.len()
        {
            if limit > 0 {
                entries.select_nth_unstable_by(limit - 1, |a, b| a.compare(b, batches));
            }
            entries.truncate(limit);
        }
        entries.sort_unstable_by(|a, b| a.compare(b, batches));
        let mut kept = Vec::with_capacity(entries.len());
        let (mut number, mut before): (u64, Option<&Entry>) = (0, None);
        for entry in &entries {
            let same = before.is_some_and(|b| b.group(batches) == entry.group(batches));
            number = if same { number + 1 } else { 0 };
            before = Some(entry);
            let keep =
                if needed { limit.is_none_or(|limit| number < limit) } else { self.spec.keeps(number) };
            if keep {
                kept.push(Ranked { batch: entry.batch, row: entry.row, number });
            }
        }
        kept
    }
}

impl RankKeys {
    /// The row's place in the order, within its group.
    pub fn order(&self, row: usize) -> &[u8] {
        self.order.row(row).data()
    }

    /// Rows there are.
    pub fn len(&self) -> usize {
        self.order.num_rows()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocated bytes.
    pub fn bytes(&self) -> usize {
        self.order.size() + self.groups.as_ref().map_or(0, Rows::size)
    }
}

/// A row to be sorted.
struct Entry {
    /// The first bytes of its group, or of its order where there is one group only.
    prefix: u64,
    batch: u32,
    row: u32,
}

impl Entry {
    fn group<'a>(&self, batches: &[&'a RankKeys]) -> Option<Row<'a>> {
        batches[self.batch as usize].groups.as_ref().map(|groups| groups.row(self.row as usize))
    }

    fn compare(&self, other: &Entry, batches: &[&RankKeys]) -> Ordering {
        let groups = || self.group(batches).cmp(&other.group(batches));
        let order = |entry: &Entry| batches[entry.batch as usize].order.row(entry.row as usize).data();
        let rows = || order(self).cmp(order(other));
        // Rows that are equal in all of it are of different tasks that gave them one place; they keep the
        // order in which they came.
        let arrival = || (self.batch, self.row).cmp(&(other.batch, other.row));
        self.prefix.cmp(&other.prefix).then_with(groups).then_with(rows).then_with(arrival)
    }
}

fn entries(batches: &[&RankKeys]) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(batches.iter().map(|keys| keys.len()).sum());
    for (batch, keys) in (0u32..).zip(batches) {
        let first = keys.groups.as_ref().unwrap_or(&keys.order);
        let prefixed = |(row, bytes): (u32, Row<'_>)| Entry { prefix: prefix(bytes.data()), batch, row };
        entries.extend((0u32..).zip(first.iter()).map(prefixed));
    }
    entries
}

/// The first eight bytes as a number that is ordered like them.
fn prefix(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(first)
        }
    }
}

/// Where rows stand in time: event time, or where their partition's watermark stood when they were late.
fn places(batch: &RecordBatch) -> Result<ArrayRef, Failure> {
    let times = hidden::times(batch).ok_or_else(|| internal("the rows have no event time"))?;
    Ok(match hidden::lateness(batch) {
        None => Arc::new(times.clone()),
        Some(late) => {
            let place = |(time, late): (&i64, &i64)| time.saturating_add(*late);
            Arc::new(Int64Array::from_iter_values(times.values().iter().zip(late.values()).map(place)))
        }
    })
}

fn field(schema: &Schema, key: SortKey) -> SortField {
    let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
    SortField::new_with_options(schema.field(key.column).data_type().clone(), options)
}

fn internal(problem: impl ToString) -> Failure {
    Failure::Internal(problem.to_string())
}
