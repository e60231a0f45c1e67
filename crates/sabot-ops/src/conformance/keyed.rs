//! Operators that hold rows until all of a key have come: join, rank and over.
//!
//! They are no fragments: whoever owns the keys runs them, on the CPU. So they have a contract of their
//! own, over whole inputs that come in any number of batches, and cells of their own. How their state moves
//! between tasks is tested where it is kept; here is what they give.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use rand::Rng;
use rand::seq::IndexedRandom;
use sabot_batch::hidden;
use sabot_common::DeviceId;

use super::bench::{Bench, Checked, NotPassed};
use super::data::{Nulls, Values};
use super::difference::{Equality, Yardstick, first_difference};
use crate::reference::{self, RankedRow};
use crate::{Failure, JoinSpec, OverSpec, RankSpec};

/// What runs the operators that need all rows of a key. The meaning of each is said by its spec.
///
/// Inputs are one batch or more of one schema; together they are all rows there are.
pub trait KeyedOperators {
    /// Where they run, for the report.
    fn device(&self) -> DeviceId;

    /// The rows of a join in their order, in batches of 1 to `max_rows` rows.
    ///
    /// # Errors
    /// [`Failure::Row`] for a condition that cannot be computed, with the row counted over all of `probe`.
    fn join(
        &self,
        spec: &JoinSpec,
        probe: &[RecordBatch],
        build: &[RecordBatch],
        max_rows: usize,
    ) -> Result<Vec<RecordBatch>, Failure>;

    /// The rows that a rank keeps, as [`reference::rank`] gives them; rows are counted over all batches.
    ///
    /// # Errors
    /// [`Failure`] for nothing that the spec allows.
    fn rank(&self, spec: &RankSpec, rows: &[RecordBatch]) -> Result<Vec<RankedRow>, Failure>;

    /// All rows in the order of partitions, and the columns that are added to them, as
    /// [`reference::over`] gives them.
    ///
    /// # Errors
    /// [`Failure::Row`] for a sum beyond its range.
    fn over(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<(RecordBatch, Vec<ArrayRef>), Failure>;

    /// The columns that are added to rows that come in, which [`OverSpec::check_rolling`] allows: in the order of
    /// event time, then of the spec's ties and of row numbers, and with all rows of a time in one batch.
    ///
    /// # Errors
    /// [`Failure::Row`] for a sum beyond its range.
    fn rolling(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<Vec<ArrayRef>, Failure>;
}

pub(super) type KeyedBench<'a> = Bench<'a, dyn KeyedOperators + 'a>;

/// References that compare each row with each other need a second for 4,000 rows; the longest list that they
/// are given is on both sides of a thousand and of a power of two.
const LONGEST: usize = 1025;

impl KeyedBench<'_> {
    /// Batches in the sizes of this case up to [`LONGEST`], each small size with all patterns of nulls.
    pub(super) fn batches(
        &mut self,
        schema: &SchemaRef,
        values: &dyn Fn(usize) -> Values,
    ) -> Result<Vec<RecordBatch>, NotPassed> {
        let mut batches = Vec::new();
        for size in self.sizes().into_iter().map(|size| size.min(LONGEST)) {
            let patterns = if size > 100 { vec![Nulls::Poisoned] } else { Nulls::ALL.to_vec() };
            for nulls in patterns {
                batches.push(self.batch(schema, size, nulls, values)?);
            }
        }
        Ok(batches)
    }

    /// Holds a join against nested loops.
    pub(super) fn check_join(
        &mut self,
        spec: &JoinSpec,
        probe: &RecordBatch,
        build: &RecordBatch,
    ) -> Checked {
        let sizes: &[usize] = if probe.num_rows() > 100 { &[7, 1024] } else { &[1, 7, 1024] };
        let max_rows = sizes.choose(&mut self.rng).copied().unwrap_or(1);
        let (left, right) = (self.pieces(probe), self.pieces(build));
        let got = self.subject.join(spec, &left, &right, max_rows);
        let of = |difference: String| {
            let (left, right) = (probe.num_rows(), build.num_rows());
            NotPassed::Failed(format!("{spec}: {left} rows with {right}: {difference}"))
        };
        let Some((expected, got)) = both(reference::join(spec, probe, build), got).map_err(of)? else {
            return Ok(());
        };
        if let Some(part) = got.iter().find(|part| !(1..=max_rows).contains(&part.num_rows())) {
            return Err(of(format!("a batch of {} rows where {max_rows} are wanted", part.num_rows())));
        }
        let got = concat_batches(&expected.schema(), &got)?;
        equal(&expected, &got, &vec![Equality::Bits.into(); expected.num_columns()]).map_err(of)
    }

    /// Holds a rank against the comparison of each row with each other.
    pub(super) fn check_rank(&mut self, spec: &RankSpec, rows: &RecordBatch) -> Checked {
        let got = self.subject.rank(spec, &self.pieces(rows));
        let of =
            |difference: String| NotPassed::Failed(format!("{spec}: {} rows: {difference}", rows.num_rows()));
        let Some((expected, got)) = both(reference::rank(spec, rows), got).map_err(of)? else {
            return Ok(());
        };
        if expected.len() != got.len() {
            return Err(of(format!("expected {} rows, got {}", expected.len(), got.len())));
        }
        match expected.iter().zip(&got).position(|(expected, got)| expected != got) {
            None => Ok(()),
            Some(i) => Err(of(format!("row {i}: expected {:?}, got {:?}", expected[i], got[i]))),
        }
    }

    /// Holds the columns of an over against a walk through every frame. Columns without a yardstick are
    /// held to [`Equality::Exact`].
    pub(super) fn check_over(
        &mut self,
        spec: &OverSpec,
        rows: &RecordBatch,
        yardsticks: &[Yardstick],
    ) -> Checked {
        let got = self.subject.over(spec, &self.pieces(rows));
        let of = |difference: String| {
            let order: Vec<String> = spec.order.iter().map(ToString::to_string).collect();
            let (rows, order) = (rows.num_rows(), order.join(", "));
            NotPassed::Failed(format!(
                "over by {:?} in order of [{order}]: {rows} rows: {difference}",
                spec.partition
            ))
        };
        // The reference counts rows of a frame, an operator those of a partition.
        let expected = reference::over(spec, rows);
        if let (Err(Failure::Row(_)), Err(Failure::Row(_))) = (&expected, &got) {
            return Ok(());
        }
        let Some((expected, got)) = both(expected, got).map_err(of)? else { return Ok(()) };
        let bits = vec![Equality::Bits.into(); rows.num_columns()];
        equal(&expected.0, &got.0, &bits).map_err(of)?;
        let schema = SchemaRef::new(arrow::datatypes::Schema::new(spec.result_fields(&rows.schema())?));
        let table = |columns: Vec<ArrayRef>| reference::batch_of(&schema, columns, rows.num_rows());
        equal(&table(expected.1)?, &table(got.1)?, yardsticks).map_err(of)
    }

    /// Holds the columns of an over while rows come in against the same walk.
    pub(super) fn check_rolling(
        &mut self,
        spec: &OverSpec,
        rows: &RecordBatch,
        yardsticks: &dyn Fn(&RecordBatch) -> Result<Vec<Yardstick>, NotPassed>,
    ) -> Checked {
        let in_turn = OverSpec { partition: Vec::new(), calls: Vec::new(), ..spec.clone() };
        let rows = reference::over(&in_turn, rows)?.0;
        let got = self.subject.rolling(spec, &self.times(&rows)?);
        let of = |difference: String| {
            let (rows, calls) = (rows.num_rows(), &spec.calls);
            NotPassed::Failed(format!("{calls:?} by {:?}: {rows} rows: {difference}", spec.partition))
        };
        let expected = reference::rolling(spec, &rows);
        // The reference counts rows of a frame, an operator those of a batch.
        if let (Err(Failure::Row(_)), Err(Failure::Row(_))) = (&expected, &got) {
            return Ok(());
        }
        let Some((expected, got)) = both(expected, got).map_err(of)? else { return Ok(()) };
        let schema = SchemaRef::new(arrow::datatypes::Schema::new(spec.result_fields(&rows.schema())?));
        let table = |columns: Vec<ArrayRef>| reference::batch_of(&schema, columns, rows.num_rows());
        equal(&table(expected)?, &table(got)?, &yardsticks(&rows)?).map_err(of)
    }

    /// The batch in some pieces, all rows of a time in one of them.
    fn times(&mut self, batch: &RecordBatch) -> Result<Vec<RecordBatch>, NotPassed> {
        let Some(times) = hidden::times(batch) else {
            return Err(NotPassed::Failed("the suite made rows without event time".to_owned()));
        };
        let mut cuts = vec![0];
        for row in 1..batch.num_rows() {
            if times.value(row) != times.value(row - 1) && self.rng.random_ratio(1, 3) {
                cuts.push(row);
            }
        }
        cuts.push(batch.num_rows());
        Ok(cuts.windows(2).map(|cut| batch.slice(cut[0], cut[1] - cut[0])).collect())
    }

    /// The batch in one to three pieces.
    fn pieces(&mut self, batch: &RecordBatch) -> Vec<RecordBatch> {
        let mut cuts = vec![0, batch.num_rows()];
        cuts.extend((0..self.rng.random_range(0..3)).map(|_| self.rng.random_range(0..=batch.num_rows())));
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| batch.slice(cut[0], cut[1] - cut[0])).collect()
    }
}

/// Two results, or nothing where both fail alike.
fn both<A, B>(expected: Result<A, Failure>, got: Result<B, Failure>) -> Result<Option<(A, B)>, String> {
    match (expected, got) {
        (Ok(expected), Ok(got)) => Ok(Some((expected, got))),
        (Err(Failure::Row(a)), Err(Failure::Row(b))) if a == b => Ok(None),
        (Err(Failure::Internal(_)), Err(Failure::Internal(_))) => Ok(None),
        (Err(a), Err(b)) => Err(format!("expected to fail with \"{a}\", failed with \"{b}\"")),
        (Ok(_), Err(b)) => Err(format!("expected a result, failed with \"{b}\"")),
        (Err(a), Ok(_)) => Err(format!("expected to fail with \"{a}\", got a result")),
    }
}

fn equal(expected: &RecordBatch, got: &RecordBatch, yardsticks: &[Yardstick]) -> Result<(), String> {
    match first_difference(expected, got, yardsticks)? {
        None => Ok(()),
        Some(difference) => Err(difference),
    }
}
