//! The open panes: one keyed table a slice, made, filled, fired and used again. With windows that do not
//! overlap a slice is a window.
//!
//! Thousands of panes come and go, and a pane often holds some hundred keys, so a table that has fired
//! goes into a pool and is used again with its allocations. Rows mostly belong to the pane of the row
//! before, which is kept at hand outside the map.

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use sabot_cpu::group_by::{AccumulateError, Accumulators};
use sabot_ops::AggregateSpec;
use sabot_state::{KeyedTable, Keying, StateColumns};
use std::collections::BTreeMap;
use std::ops::Bound;

use super::cut::Cuts;
use crate::OperatorError;

/// Tables kept for use again. More are needed only where more windows are open at once than that, and
/// then allocating is not what takes the time.
const POOL_TABLES: usize = 64;
/// Tables larger than this are freed rather than kept: one huge window must not hold memory for ever.
const POOL_TABLE_BYTES: usize = 1 << 20;

/// The state of aggregates, as a keyed table wants it.
#[derive(Debug)]
pub(super) struct AggregateState(pub(super) Accumulators);

impl StateColumns for AggregateState {
    type Error = AccumulateError;

    fn fields(&self) -> Vec<Field> {
        // Specs whose fields cannot be made never become accumulators.
        let fields = |spec: &AggregateSpec| spec.state_fields().unwrap_or_default();
        self.0.aggregates().iter().flat_map(fields).collect()
    }

    fn resize(&mut self, len: usize) {
        self.0.resize(len);
    }

    fn reserve(&mut self, len: usize) {
        self.0.reserve(len);
    }

    fn snapshot(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        self.0.partial(ids)
    }

    fn merge(&mut self, ids: &[u32], columns: &[ArrayRef]) -> Result<(), AccumulateError> {
        self.0.merge(ids, columns)
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// The keys and state of a slice, or of a window.
pub(super) type Table = KeyedTable<AggregateState>;

/// An open slice.
#[derive(Debug)]
pub(super) struct Pane {
    pub(super) start: i64,
    pub(super) table: Box<Table>,
    /// What [`Panes::bytes`] counts for it.
    bytes: usize,
}

/// All open panes, by start.
#[derive(Debug)]
pub(super) struct Panes {
    key_fields: Vec<Field>,
    aggregates: Vec<AggregateSpec>,
    keying: Keying,
    current: Option<Pane>,
    others: BTreeMap<i64, Pane>,
    pool: Vec<Table>,
    bytes: usize,
    pub(super) cuts: Cuts,
}

impl Panes {
    pub(super) fn new(key_fields: Vec<Field>, aggregates: Vec<AggregateSpec>, keying: Keying) -> Self {
        let (others, pool) = (BTreeMap::new(), Vec::new());
        let cuts = Cuts::default();
        Self { key_fields, aggregates, keying, current: None, others, pool, bytes: 0, cuts }
    }

    /// The table of the pane that starts at `start`, made if it is not there.
    pub(super) fn at(&mut self, start: i64) -> Result<&mut Table, OperatorError> {
        let pane = match self.current.take() {
            Some(pane) if pane.start == start => pane,
            other => {
                if let Some(pane) = other {
                    self.put_back(pane);
                }
                match self.others.remove(&start) {
                    Some(pane) => pane,
                    None => Pane { start, table: Box::new(self.table()?), bytes: 0 },
                }
            }
        };
        Ok(&mut self.current.insert(pane).table)
    }

    /// The pane that starts at `start`, if there is one.
    pub(super) fn get(&self, start: i64) -> Option<&Table> {
        let current = self.current.as_ref().filter(|pane| pane.start == start);
        current.or_else(|| self.others.get(&start)).map(|pane| pane.table.as_ref())
    }

    /// The start of the first pane.
    pub(super) fn first(&self) -> Option<i64> {
        let current = self.current.as_ref().map(|pane| pane.start);
        let other = self.others.keys().next().copied();
        current.into_iter().chain(other).min()
    }

    /// A table without keys, used before where there is one.
    pub(super) fn table(&mut self) -> Result<Table, OperatorError> {
        match self.pool.pop() {
            Some(table) => Ok(table),
            None => self.empty_table(),
        }
    }

    /// Counts the bytes of a pane in the map again.
    pub(super) fn recount(&mut self, start: i64) {
        if let Some(pane) = self.others.get_mut(&start) {
            let bytes = pane.table.bytes();
            self.bytes = self.bytes - pane.bytes + bytes;
            pane.bytes = bytes;
        }
    }

    fn put_back(&mut self, mut pane: Pane) {
        let bytes = pane.table.bytes();
        self.bytes = self.bytes - pane.bytes + bytes;
        pane.bytes = bytes;
        self.others.insert(pane.start, pane);
    }

    /// All panes in the map, where they can be changed.
    pub(super) fn all(&mut self) -> &mut BTreeMap<i64, Pane> {
        if let Some(pane) = self.current.take() {
            self.put_back(pane);
        }
        &mut self.others
    }

    /// Takes the first pane out if `fires` says so of its start. What a cut has still to give of it is set aside.
    pub(super) fn pop_first(&mut self, fires: impl Fn(i64) -> bool) -> Result<Option<Pane>, OperatorError> {
        let Some(entry) = self.all().first_entry().filter(|e| fires(*e.key())) else { return Ok(None) };
        let mut pane = entry.remove();
        self.bytes -= pane.bytes;
        self.cuts.set_aside(&mut pane)?;
        Ok(Some(pane))
    }

    /// Takes back a table whose rows have left.
    pub(super) fn recycle(&mut self, mut table: Table) {
        if self.pool.len() < POOL_TABLES && table.bytes() <= POOL_TABLE_BYTES {
            table.clear();
            self.pool.push(table);
        }
    }

    /// Whether no pane is open.
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.others.is_empty()
    }

    /// All panes in order of their start.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Table)> {
        self.range(i64::MIN, i64::MAX)
    }

    /// The panes that start from `first` to `last`, both included, in order of their start. `last` counts
    /// as no less than `first`.
    pub(super) fn range(&self, first: i64, last: i64) -> impl Iterator<Item = (i64, &Table)> {
        let last = last.max(first);
        let current = self.current.as_ref().filter(|pane| (first..=last).contains(&pane.start));
        // The one at hand stands between those before and those behind it.
        let middle = current.map_or(last, |pane| pane.start);
        let before = self.others.range(first..=middle);
        let behind = self.others.range((Bound::Excluded(middle), Bound::Included(last)));
        let all = before.map(|(_, p)| p).chain(current).chain(behind.map(|(_, p)| p));
        all.map(|pane| (pane.start, pane.table.as_ref()))
    }

    /// Bytes of all open panes, of the pool, and of what cuts have set aside.
    pub(super) fn bytes(&self) -> usize {
        let current = self.current.as_ref().map_or(0, |p| p.table.bytes() - p.bytes.min(p.table.bytes()));
        self.bytes + current + self.pool.iter().map(Table::bytes).sum::<usize>() + self.cuts.bytes()
    }

    /// A table that is no pane's yet; also for schemas and builders.
    pub(super) fn empty_table(&self) -> Result<Table, OperatorError> {
        let state = AggregateState(Accumulators::new(&self.aggregates)?);
        Ok(KeyedTable::new(&self.key_fields, self.keying, state)?)
    }
}
