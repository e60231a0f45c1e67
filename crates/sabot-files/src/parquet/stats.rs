//! What a footer knows of its row groups: whether a filter can pass, and the largest event time.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use sabot_connect::PruneFilter;
use sabot_connect::prune::{Bound, ColumnBounds};
use sabot_expr::Scalar;
use std::collections::BTreeMap;

/// The statistics of the columns that pruning asks about, for all row groups of a file.
pub(super) struct GroupStats {
    rows: Vec<u64>,
    columns: BTreeMap<usize, ColumnStats>,
}

struct ColumnStats {
    min: ArrayRef,
    max: ArrayRef,
    max_exact: BooleanArray,
    nulls: UInt64Array,
    /// Row groups whose bounds stand in the old fields, whose order is not defined for every type: they
    /// count as unknown.
    doubtful: Vec<bool>,
}

/// What becomes of a row group that no row of which can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Some row may pass, or the maximum that must survive is not known: read it.
    Read,
    /// Leave it out; the exact maximum of the event-time column, where one was asked for.
    Prune(Option<i64>),
}

impl GroupStats {
    /// The statistics of these columns of the file.
    pub(super) fn new(
        metadata: &ArrowReaderMetadata,
        columns: impl IntoIterator<Item = usize>,
    ) -> Result<Self, ParquetError> {
        let groups = metadata.metadata().row_groups();
        let rows = groups.iter().map(|g| u64::try_from(g.num_rows()).unwrap_or(0)).collect();
        let mut known = BTreeMap::new();
        for column in columns {
            if !known.contains_key(&column) && column < metadata.schema().fields().len() {
                known.insert(column, ColumnStats::new(metadata, column, groups)?);
            }
        }
        Ok(Self { rows, columns: known })
    }

    /// What becomes of a row group under a filter.
    pub(super) fn verdict(&self, group: usize, filter: &PruneFilter, event_time: Option<usize>) -> Verdict {
        let rows = self.rows[group];
        if filter.may_match(|column| self.columns.get(&column).map(|c| c.bounds(group, rows))) {
            return Verdict::Read;
        }
        match event_time.map(|column| self.columns.get(&column).and_then(|c| c.exact_max(group, rows))) {
            None => Verdict::Prune(None),
            Some(Some(max)) => Verdict::Prune(max),
            Some(None) => Verdict::Read,
        }
    }
}

impl ColumnStats {
    fn new(
        metadata: &ArrowReaderMetadata,
        column: usize,
        groups: &[RowGroupMetaData],
    ) -> Result<Self, ParquetError> {
        let schema = metadata.schema();
        // No column of a supported type is nested, so leaves and columns have the same numbers; by
        // number, because names need not be unique.
        let converter =
            StatisticsConverter::from_column_index(column, schema.field(column), metadata.parquet_schema())?
                .with_missing_null_counts_as_zero(false);
        let doubtful = groups
            .iter()
            .map(|group| {
                let statistics = group.columns().get(column).and_then(|chunk| chunk.statistics());
                statistics.is_some_and(Statistics::is_min_max_deprecated)
            })
            .collect();
        Ok(Self {
            min: converter.row_group_mins(groups)?,
            max: converter.row_group_maxes(groups)?,
            max_exact: converter.row_group_is_max_value_exact(groups)?,
            nulls: converter.row_group_null_counts(groups)?,
            doubtful,
        })
    }

    fn nulls(&self, group: usize) -> Option<u64> {
        self.nulls.is_valid(group).then(|| self.nulls.value(group))
    }

    fn bounds(&self, group: usize, rows: u64) -> ColumnBounds {
        let bound = |values: &ArrayRef| match self.doubtful[group] {
            true => None,
            false => bound_at(values, group),
        };
        ColumnBounds { rows, nulls: self.nulls(group), min: bound(&self.min), max: bound(&self.max) }
    }

    /// The largest value of an integer column over a row group; `Some(None)` when all are null, `None`
    /// when it is not known for certain.
    fn exact_max(&self, group: usize, rows: u64) -> Option<Option<i64>> {
        if self.nulls(group) == Some(rows) {
            return Some(None);
        }
        let exact = self.max_exact.is_valid(group) && self.max_exact.value(group);
        match bound_at(&self.max, group).filter(|_| exact && !self.doubtful[group])? {
            Bound::Int(value) => i64::try_from(value).ok().map(Some),
            _ => None,
        }
    }
}

/// The statistic of a row group as a bound; `None` where it is missing or of no use.
fn bound_at(values: &ArrayRef, group: usize) -> Option<Bound> {
    if values.is_null(group) {
        return None;
    }
    Bound::of(&Scalar::from_array(values.as_ref(), group).ok()?)
}
