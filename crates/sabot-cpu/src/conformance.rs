//! The conformance suite, driven only through the backend's public side.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat, interleave_record_batch};
use sabot_batch::hidden;
use sabot_common::{DeviceId, EventTime};
use sabot_expr::RowError;
use sabot_ops::conformance::{self, KeyedOperators, Options, Required};
use sabot_ops::reference::RankedRow;
use sabot_ops::{Failure, JoinSpec, OverSpec, RankSpec};
use std::ops::Range;

use crate::join::{JoinError, Joiner, Matched};
use crate::over::{OverStep, Rolling, Turn};
use crate::rank::{RankOrder, Ranked};
use crate::{CpuBackend, SimdVariant};

/// The cells that the CPU must support; a cell may only ever be added.
const REQUIRED: &str = include_str!("../../../conformance/required/cpu.txt");

/// The suite for every variant would take three times as long and tell nothing new: only steps that
/// compare with a literal have variants.
#[test]
fn the_newest_variant_passes_the_whole_suite() {
    let required = Required::parse(REQUIRED).unwrap();
    let report = conformance::run(&CpuBackend::with_variant(SimdVariant::Auto).unwrap(), &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
}

#[test]
fn keyed_operators_pass_the_whole_suite() {
    let required = Required::parse(REQUIRED).unwrap();
    let report = conformance::run_keyed(&Cpu, &Options::quick());
    assert!(report.failed.is_empty(), "{report}");
    let shortfall = required.check(&report);
    assert!(shortfall.is_empty(), "{shortfall}");
}

#[test]
fn every_variant_passes_the_cells_that_have_variants() {
    for variant in SimdVariant::ALL.into_iter().filter(|v| v.is_available()) {
        for cells in ["filter-project/compare", "window-assign/"] {
            let options = Options { only: Some(cells.to_owned()), ..Options::quick() };
            let report = conformance::run(&CpuBackend::with_variant(variant).unwrap(), &options);
            assert!(report.failed.is_empty(), "{variant}: {report}");
            assert!(!report.passed.is_empty(), "no cell is named {cells}");
        }
    }
}

/// The kernels of keyed operators over whole inputs.
struct Cpu;

impl KeyedOperators for Cpu {
    fn device(&self) -> DeviceId {
        DeviceId::new("cpu")
    }

    fn join(
        &self,
        spec: &JoinSpec,
        probe: &[RecordBatch],
        build: &[RecordBatch],
        max_rows: usize,
    ) -> Result<Vec<RecordBatch>, Failure> {
        let joiner = Joiner::new(spec.clone(), probe[0].schema(), build[0].schema())?;
        let table = joiner.table(build)?;
        let mut matched = Matched::new(table.rows().num_rows());
        let (mut parts, mut before) = (Vec::new(), 0);
        for batch in probe {
            let mut found = joiner.probe(&table, batch.clone())?;
            // The joiner counts the rows of a batch.
            let counted = |error| match error {
                JoinError::Row(e) => JoinError::Row(RowError { row: e.row + before, ..e }),
                other => other,
            };
            while let Some(part) =
                joiner.next(&table, &mut found, Some(&mut matched), max_rows).map_err(counted)?
            {
                parts.push(part);
            }
            before += batch.num_rows();
        }
        if spec.kind.keeps_build() {
            let mut at = 0;
            while let Some(part) = joiner.unmatched(&table, &matched, &mut at, max_rows)? {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    fn rank(&self, spec: &RankSpec, rows: &[RecordBatch]) -> Result<Vec<RankedRow>, Failure> {
        let before = |batch: u32| rows[..batch as usize].iter().map(RecordBatch::num_rows).sum::<usize>();
        let whole = |r: Ranked| RankedRow { row: before(r.batch) + r.row as usize, number: r.number };
        Ok(ranked(spec, rows)?.into_iter().map(whole).collect())
    }

    fn over(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<(RecordBatch, Vec<ArrayRef>), Failure> {
        let all =
            RankSpec { groups: spec.partition.clone(), order: spec.order.clone(), ..RankSpec::default() };
        let ranked = ranked(&all, rows)?;
        let places: Vec<(usize, usize)> = ranked.iter().map(|r| (r.batch as usize, r.row as usize)).collect();
        let sorted = interleave_record_batch(&rows.iter().collect::<Vec<_>>(), &places)
            .map_err(|e| Failure::Internal(e.to_string()))?;
        let mut starts: Vec<usize> = (0..ranked.len()).filter(|i| ranked[*i].number == 0).collect();
        starts.push(ranked.len());
        let partitions: Vec<Range<usize>> = starts.windows(2).map(|p| p[0]..p[1]).collect();
        let added = OverStep::new(spec, &sorted.schema())?.run(&sorted, &partitions)?;
        Ok((sorted, added))
    }

    fn rolling(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<Vec<ArrayRef>, Failure> {
        let mut rolling = Rolling::new(spec, rows[0].schema_ref(), Turn::InOrder, 7)?;
        let mut columns: Vec<Vec<ArrayRef>> = vec![Vec::new(); spec.calls.len()];
        for batch in rows {
            let added = rolling.run(batch)?;
            columns.iter_mut().zip(added).for_each(|(parts, part)| parts.push(part));
            let times = hidden::times(batch).map(|times| times.values());
            if let Some(last) = times.and_then(|times| times.last()) {
                rolling.expire(EventTime(*last), 1)?;
            }
        }
        let joined = |parts: &Vec<ArrayRef>| concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>());
        columns.iter().map(joined).collect::<Result<_, _>>().map_err(|e| Failure::Internal(e.to_string()))
    }
}

fn ranked(spec: &RankSpec, rows: &[RecordBatch]) -> Result<Vec<Ranked>, Failure> {
    let order = RankOrder::new(spec, rows[0].schema_ref())?;
    let keys = rows.iter().map(|batch| order.encode(batch)).collect::<Result<Vec<_>, _>>()?;
    Ok(order.rank(&keys.iter().collect::<Vec<_>>(), false))
}
