//! Joins: a table over the build side, and the probe side looked up in it, batch by batch.
//!
//! [`JoinTable`] holds the build side in its order: keys with dense ids in an open-addressing table of
//! salted slots, and for each id the rows of that key side by side in one list. A batch of the probe side
//! is hashed and looked up as a whole ([`Probe`]); then [`Joiner::next`] cuts its result into batches of
//! bounded size, so that a key with a million matches makes many batches and not a huge one. Pairs are
//! two vectors of row numbers until the condition has spoken; columns are moved once, at the end.
//!
//! What a join means is said in [`JoinSpec`]; `sabot_ops::reference::join` is the same by nested loops.

mod gather;
mod order;
mod table;
#[cfg(test)]
mod tests;

pub use order::in_build_order;
pub use table::{JoinTable, Matched};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use sabot_batch::key_hash::{KeyHashError, KeyHasher};
use sabot_batch::key_index::{KeyBatch, KeyIndexError, NOT_FOUND};
use sabot_expr::{RowError, TypedExpr, interpret};
use sabot_ops::{Failure, JoinKind, JoinSpec, SpecError};
use std::collections::BTreeSet;
use std::ops::Range;

use crate::expr::{Scope, is_true};
use crate::simd::{Level, SimdVariant};
use gather::Pairs;

/// Why rows could not be joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The condition cannot be computed for a pair; the row is that of the probe side's batch.
    #[error("{0}")]
    Row(RowError),
    /// Two build rows have one key, which was declared unique.
    #[error(
        "the key ({key}) stands in two rows of the table, but was declared unique; leave out unique() to get \
         every match, or make the rows distinct"
    )]
    Duplicate {
        /// The key, as text.
        key: String,
    },
    /// More build rows than row numbers.
    #[error("{rows} rows on the build side of one task; at most {} are possible", u32::MAX)]
    TooManyRows {
        /// How many there are.
        rows: usize,
    },
    /// Keys could not be looked up.
    #[error(transparent)]
    Keys(#[from] KeyIndexError),
    /// Keys could not be hashed.
    #[error(transparent)]
    Hash(#[from] KeyHashError),
    /// The spec does not fit the columns.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Arrow could not move rows: strings of more than 2 GiB in one batch, or a bug.
    #[error("moving rows of a join: {0}")]
    Arrow(#[from] ArrowError),
    /// A bug, reported as such.
    #[error("{0}")]
    Internal(String),
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Row(row) => Failure::Row(row),
            other => Failure::Internal(other.to_string()),
        }
    }
}

/// A join, ready to run. Immutable: whoever has a table and a probe can ask it.
#[derive(Clone, Debug)]
pub struct Joiner {
    spec: JoinSpec,
    probe: SchemaRef,
    build: SchemaRef,
    output: SchemaRef,
    condition: Option<Condition>,
    level: Level,
}

/// The condition over the columns that it reads alone.
#[derive(Clone, Debug)]
struct Condition {
    expr: TypedExpr,
    /// Where its columns are: of the probe side, then of the build side.
    columns: Vec<usize>,
}

/// Rows of the probe side, looked up, and how far their result has been given.
#[derive(Debug)]
pub struct Probe {
    batch: RecordBatch,
    /// For each row the id of its key.
    ids: Vec<u32>,
    /// For each row its time, of an as-of join.
    times: Option<Int64Array>,
    /// The row that is at hand.
    row: usize,
    /// How many of its candidates have been looked at.
    looked_at: u32,
    /// How many of them matched.
    matches: u64,
}

impl Probe {
    /// The rows.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Whether the whole result has been given.
    pub fn is_done(&self) -> bool {
        self.row >= self.batch.num_rows()
    }
}

impl Joiner {
    /// A join of rows of these columns.
    ///
    /// # Errors
    /// [`JoinError::Spec`] when the spec does not fit them.
    pub fn new(spec: JoinSpec, probe: SchemaRef, build: SchemaRef) -> Result<Self, JoinError> {
        let output = spec.output_schema(&probe, &build)?;
        let condition = spec.condition.as_ref().map(Condition::new);
        let level = SimdVariant::Auto.level().unwrap_or(Level::SCALAR);
        Ok(Self { spec, probe, build, output, condition, level })
    }

    /// What is joined how.
    pub fn spec(&self) -> &JoinSpec {
        &self.spec
    }

    /// The columns of the build side.
    pub fn build_schema(&self) -> &SchemaRef {
        &self.build
    }

    /// The columns of the probe side.
    pub fn probe_schema(&self) -> &SchemaRef {
        &self.probe
    }

    /// The columns of the result.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// The table over a whole build side.
    ///
    /// # Errors
    /// [`JoinError`] for a key that is not unique and should be, too many rows, or batches of other
    /// columns.
    pub fn table(&self, batches: &[RecordBatch]) -> Result<JoinTable, JoinError> {
        JoinTable::new(&self.spec, &self.build, batches)
    }

    /// Looks up rows of the probe side.
    ///
    /// # Errors
    /// [`JoinError`] when the batch has other columns.
    pub fn probe(&self, table: &JoinTable, batch: RecordBatch) -> Result<Probe, JoinError> {
        check_columns(&self.probe, &batch)?;
        let columns: Vec<usize> = self.spec.keys.iter().map(|(left, _)| *left).collect();
        let mut ids = Vec::new();
        table.find(&self.spec, &batch, &columns, &mut ids)?;
        let times = match &self.spec.nearest {
            Some(nearest) => Some(instants(batch.column(nearest.probe).as_ref())?),
            None => None,
        };
        Ok(Probe { batch, ids, times, row: 0, looked_at: 0, matches: 0 })
    }

    /// The next part of a result, at most `max_rows` rows of it (0 counts as 1) and never none; nothing
    /// when all has been given. Build rows that matched are noted in `matched`.
    ///
    /// # Errors
    /// [`JoinError::Row`] for the first row of the probe side that has a pair for which the condition
    /// cannot be computed, once all that is before it has been given.
    pub fn next(
        &self,
        table: &JoinTable,
        probe: &mut Probe,
        mut matched: Option<&mut Matched>,
        max_rows: usize,
    ) -> Result<Option<RecordBatch>, JoinError> {
        while !probe.is_done() {
            let mut candidates = self.candidates(table, probe, max_rows.max(1));
            let holds = self.holds(table, &probe.batch, &mut candidates)?;
            let pairs = self.decide(table, probe, &candidates, holds.as_ref(), matched.as_deref_mut());
            if !pairs.is_empty() {
                return gather::pairs(self, table, &probe.batch, &pairs).map(Some);
            }
        }
        Ok(None)
    }

    /// The next build rows that matched nothing, from row `at` of the table on, which is moved behind them.
    ///
    /// # Errors
    /// [`JoinError`] when rows cannot be moved.
    pub fn unmatched(
        &self,
        table: &JoinTable,
        matched: &Matched,
        at: &mut usize,
        max_rows: usize,
    ) -> Result<Option<RecordBatch>, JoinError> {
        let mut rows: Vec<u32> = Vec::new();
        while *at < table.rows().num_rows() && rows.len() < max_rows.max(1) {
            if !matched.contains(*at) {
                rows.push(*at as u32);
            }
            *at += 1;
        }
        if rows.is_empty() { Ok(None) } else { gather::build_rows(self, table, rows).map(Some) }
    }

    /// Pairs with equal keys, from where the probe stands: whole rows of the probe side, and a part of
    /// the last one's list if that is too long.
    fn candidates(&self, table: &JoinTable, probe: &Probe, max_rows: usize) -> Candidates {
        // Of a semi or an anti join without condition the first candidate says it all.
        let first_only = !self.spec.kind.gives_build() && self.condition.is_none();
        let mut found =
            Candidates { left: Vec::new(), right: Vec::new(), rows: probe.row..probe.row, cut: None };
        let mut skipped = probe.looked_at;
        // Rows without a candidate may become rows of the result, too.
        let mut room = max_rows;
        while found.rows.end < probe.batch.num_rows() && room > 0 {
            let row = found.rows.end;
            let mut list = self.list(table, probe, row);
            if first_only {
                list.end = list.end.min(list.start + 1);
            }
            list.start += skipped;
            let taken = list.len().min(room);
            found.left.extend(std::iter::repeat_n(row as u32, taken));
            found.right.extend_from_slice(table.matches(list.start..list.start + taken as u32));
            room -= taken.max(1);
            found.rows.end += 1;
            if taken < list.len() {
                found.cut = Some(skipped + taken as u32);
                break;
            }
            skipped = 0;
        }
        found
    }

    /// Where the candidates of a row stand among the table's matches.
    fn list(&self, table: &JoinTable, probe: &Probe, row: usize) -> Range<u32> {
        let id = probe.ids[row];
        if id == NOT_FOUND {
            return 0..0;
        }
        let list = table.list(id);
        match (&self.spec.nearest, &probe.times) {
            (Some(nearest), Some(times)) if times.is_valid(row) => {
                table.nearest(list, times.value(row), nearest)
            }
            (Some(_), _) => 0..0,
            (None, _) => list,
        }
    }

    /// For each candidate whether the condition is true. When it cannot be computed for one, candidates
    /// of its row and of later ones are dropped; if nothing is left, that is the result.
    fn holds(
        &self,
        table: &JoinTable,
        probe: &RecordBatch,
        candidates: &mut Candidates,
    ) -> Result<Option<BooleanBuffer>, JoinError> {
        let Some(condition) = &self.condition else { return Ok(None) };
        if candidates.left.is_empty() {
            return Ok(Some(BooleanBuffer::new_unset(0)));
        }
        let columns = condition.columns_of(probe, table.rows(), candidates)?;
        let rows = candidates.left.len();
        let scope = Scope::new(&columns, rows, self.level);
        let truth = scope.evaluate_predicate(&condition.expr, None);
        let truth = truth.map_err(|failure| JoinError::Internal(failure.to_string()))?;
        if let Some(failed) = scope.failed() {
            let row = candidates.left[failed] as usize;
            if row > candidates.rows.start {
                // What is before the row is given first; then it is met again as the first one.
                candidates.drop_from(row);
                let kept = candidates.left.len();
                return Ok(Some(is_true(&truth).slice(0, kept)));
            }
            return Err(self.explain(probe, table, candidates, failed));
        }
        Ok(Some(is_true(&truth)))
    }

    /// The interpreter's words on a pair that failed.
    fn explain(
        &self,
        probe: &RecordBatch,
        table: &JoinTable,
        candidates: &Candidates,
        failed: usize,
    ) -> JoinError {
        let (row, other) = (candidates.left[failed] as usize, candidates.right[failed] as usize);
        let schema = JoinSpec::condition_schema(probe.schema_ref(), table.rows().schema_ref());
        let left = probe.columns().iter().map(|c| c.slice(row, 1));
        let right = table.rows().columns().iter().map(|c| c.slice(other, 1));
        let pair = match RecordBatch::try_new(schema, left.chain(right).collect()) {
            Ok(pair) => pair,
            Err(error) => return error.into(),
        };
        match self.spec.condition.as_ref().map(|condition| interpret(condition, &pair, 0)) {
            Some(Err(error)) => JoinError::Row(RowError { row, ..error }),
            // As user functions may.
            _ => JoinError::Internal("a condition failed once and not again".to_owned()),
        }
    }

    /// Turns candidates into rows of the result, and moves the probe behind them.
    fn decide(
        &self,
        table: &JoinTable,
        probe: &mut Probe,
        candidates: &Candidates,
        holds: Option<&BooleanBuffer>,
        mut matched: Option<&mut Matched>,
    ) -> Pairs {
        let kind = self.spec.kind;
        let mut pairs = Pairs::with_capacity(candidates.left.len());
        let mut next = 0;
        for row in candidates.rows.clone() {
            while candidates.left.get(next) == Some(&(row as u32)) {
                if holds.is_none_or(|holds| holds.value(next)) {
                    let other = candidates.right[next];
                    if let Some(matched) = &mut matched {
                        matched.insert(other as usize);
                    }
                    match kind {
                        JoinKind::Anti => {}
                        JoinKind::Semi if probe.matches > 0 => {}
                        JoinKind::Semi => pairs.push_single(row as u32),
                        _ => pairs.push(row as u32, other, probe.matches),
                    }
                    probe.matches += 1;
                }
                next += 1;
            }
            if let Some(looked_at) = candidates.cut
                && row + 1 == candidates.rows.end
            {
                (probe.row, probe.looked_at) = (row, looked_at);
                return pairs;
            }
            if probe.matches == 0 && kind.keeps_probe() {
                pairs.push_single(row as u32);
            }
            (probe.matches, probe.looked_at) = (0, 0);
        }
        debug_assert_eq!(next, candidates.left.len(), "every candidate belongs to a row: {table:?}");
        probe.row = candidates.rows.end;
        pairs
    }
}

/// Pairs with equal keys.
struct Candidates {
    /// Rows of the probe side.
    left: Vec<u32>,
    /// Rows of the build side.
    right: Vec<u32>,
    /// The rows of the probe side that were looked at.
    rows: Range<usize>,
    /// How many candidates of the last row have been looked at, where there are more.
    cut: Option<u32>,
}

impl Candidates {
    fn drop_from(&mut self, row: usize) {
        let kept = self.left.partition_point(|left| (*left as usize) < row);
        self.left.truncate(kept);
        self.right.truncate(kept);
        self.rows.end = row;
        self.cut = None;
    }
}

impl Condition {
    fn new(expr: &TypedExpr) -> Self {
        let columns: BTreeSet<usize> = expr.columns();
        let columns: Vec<usize> = columns.into_iter().collect();
        let place = |column: usize| columns.binary_search(&column).unwrap_or(usize::MAX);
        Self { expr: expr.clone().map_columns(&place), columns: columns.clone() }
    }

    /// The values that the condition reads, one a candidate.
    fn columns_of(
        &self,
        probe: &RecordBatch,
        build: &RecordBatch,
        candidates: &Candidates,
    ) -> Result<Vec<arrow::array::ArrayRef>, ArrowError> {
        let left = arrow::array::UInt32Array::from(candidates.left.clone());
        let right = arrow::array::UInt32Array::from(candidates.right.clone());
        let column = |index: &usize| match index.checked_sub(probe.num_columns()) {
            None => take(probe.column(*index), &left, None),
            Some(index) => take(build.column(index), &right, None),
        };
        self.columns.iter().map(column).collect()
    }
}

/// The hash of each row's key; all are equal without keys.
fn hashes(spec: &JoinSpec, batch: &RecordBatch, columns: &[usize]) -> Result<Vec<u64>, JoinError> {
    let mut hashes = Vec::new();
    KeyHasher::new(spec.seed).hash_batch_columns(batch, columns, &mut hashes)?;
    Ok(hashes)
}

/// Timestamps as numbers.
fn instants(column: &dyn Array) -> Result<Int64Array, JoinError> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn check_columns(wanted: &SchemaRef, batch: &RecordBatch) -> Result<(), JoinError> {
    let got = batch.schema_ref();
    let fits = wanted.fields().len() == got.fields().len()
        && wanted.fields().iter().zip(got.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if fits {
        return Ok(());
    }
    Err(JoinError::Internal(format!("rows with the columns {got} for a join of {wanted}")))
}

/// A batch prepared for look-ups by these columns.
fn key_batch<'a>(
    types: &[DataType],
    batch: &'a RecordBatch,
    columns: &[usize],
) -> Result<KeyBatch<'a>, KeyIndexError> {
    KeyBatch::new(types, columns.iter().map(|c| batch.column(*c)), batch.num_rows())
}
