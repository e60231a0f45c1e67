//! The morsel: one record batch on its way through a pipeline.

use arrow::array::{ArrayRef, AsArray, UInt64Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use sabot_common::{EventTime, RowLocation};
use std::sync::Arc;

use crate::{DeviceBatch, DeviceError, RowKind, RowKinds, Selection, unpaired};

/// Where a morsel's columns are.
#[derive(Clone, Debug)]
pub enum Columns {
    /// In host memory, as Arrow arrays.
    Host(RecordBatch),
    /// In the memory of a device.
    Device(Arc<dyn DeviceBatch>),
}

/// The smallest and largest event time of a morsel's rows, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBounds {
    /// Not later than any row.
    pub min: EventTime,
    /// Not earlier than any row.
    pub max: EventTime,
}

/// Where the rows of a morsel stand in their source, as long as that is one dense run.
///
/// It is there for messages: row `i` of the morsel is row `first_row + i` of the partition. Compacting,
/// partitioning or mixing rows drops it.
///
/// ```
/// # use sabot_batch::RowOrigin;
/// let origin = RowOrigin { partition: "flights.csv".into(), first_row: 16 };
/// assert_eq!(origin.locate(2).to_string(), "flights.csv, row 19"); // counted from 1 in messages
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowOrigin {
    /// The partition as a user knows it.
    pub partition: Arc<str>,
    /// Number of the first row, from 0.
    pub first_row: u64,
}

impl RowOrigin {
    /// The place of row `i` of the morsel.
    pub fn locate(&self, i: usize) -> RowLocation {
        RowLocation { partition: self.partition.clone(), row: self.first_row.saturating_add(i as u64) }
    }
}

/// What can be wrong with a morsel's parts.
///
/// ```
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// # use sabot_batch::{Morsel, Selection};
/// # let batch = RecordBatch::try_from_iter([("a", std::sync::Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)])?;
/// let error = Morsel::new(batch).with_selection(Selection::from_words(vec![1], 9)).unwrap_err();
/// assert_eq!(error.to_string(), "selection of a morsel has 9 rows, its columns have 2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
pub enum MorselError {
    /// Selection or kinds speak of another number of rows than the columns have.
    #[error("{part} of a morsel has {got} rows, its columns have {expected}")]
    Length {
        /// `selection` or `row kinds`.
        part: &'static str,
        /// Rows of that part.
        got: usize,
        /// Rows of the columns.
        expected: usize,
    },
    /// A batch on a device could not be brought to the host.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Arrow refused to move rows.
    #[error("moving rows of a morsel: {0}")]
    Arrow(#[from] ArrowError),
}

/// A record batch with what the engine knows about its rows. Cloning shares the columns.
///
/// The invariant: kinds and selection, where present, are exactly as long as the columns. An update
/// pair (before, after) stands in adjacent rows and is kept or dropped as a whole.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use sabot_batch::{Morsel, Selection};
/// let delay: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![5, 20, 40]));
/// let batch = RecordBatch::try_from_iter([("delay", delay)])?;
/// let morsel = Morsel::new(batch).with_selection(Selection::from_words(vec![0b110], 3))?;
/// assert_eq!((morsel.rows(), morsel.live_rows()), (3, 2));
/// assert_eq!(morsel.into_dense_host()?.num_rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Morsel {
    columns: Columns,
    kinds: RowKinds,
    selection: Option<Selection>,
    time_bounds: Option<TimeBounds>,
    origin: Option<RowOrigin>,
}

impl Morsel {
    /// A morsel of inserts, all alive, on the host.
    pub fn new(batch: RecordBatch) -> Self {
        Self {
            columns: Columns::Host(batch),
            kinds: RowKinds::AllInsert,
            selection: None,
            time_bounds: None,
            origin: None,
        }
    }

    /// A morsel of inserts, all alive, on a device.
    pub fn on_device(batch: Arc<dyn DeviceBatch>) -> Self {
        Self {
            columns: Columns::Device(batch),
            kinds: RowKinds::AllInsert,
            selection: None,
            time_bounds: None,
            origin: None,
        }
    }

    /// The same morsel with these row kinds.
    ///
    /// # Errors
    /// [`MorselError::Length`] when there is not one kind a row.
    pub fn with_kinds(mut self, kinds: RowKinds) -> Result<Self, MorselError> {
        if let RowKinds::PerRow(list) = &kinds
            && list.len() != self.rows()
        {
            return Err(MorselError::Length { part: "row kinds", got: list.len(), expected: self.rows() });
        }
        self.kinds = kinds;
        Ok(self)
    }

    /// The same morsel with only the selected rows alive; a selection that it has already is narrowed.
    ///
    /// # Errors
    /// [`MorselError::Length`] when the selection speaks of another number of rows.
    pub fn with_selection(mut self, selection: Selection) -> Result<Self, MorselError> {
        if selection.rows() != self.rows() {
            return Err(MorselError::Length {
                part: "selection",
                got: selection.rows(),
                expected: self.rows(),
            });
        }
        self.selection = Some(match &self.selection {
            Some(old) => old.and(&selection),
            None => selection,
        });
        Ok(self)
    }

    /// The same morsel with time bounds. They may be wider than the rows, never narrower.
    #[must_use]
    pub fn with_time_bounds(mut self, bounds: Option<TimeBounds>) -> Self {
        self.time_bounds = bounds;
        self
    }

    /// The same morsel with its place in the source.
    #[must_use]
    pub fn with_origin(mut self, origin: Option<RowOrigin>) -> Self {
        self.origin = origin;
        self
    }

    /// The columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The columns when they are on the host.
    pub fn host(&self) -> Option<&RecordBatch> {
        match &self.columns {
            Columns::Host(batch) => Some(batch),
            Columns::Device(_) => None,
        }
    }

    /// The columns on the host, copied there from a device if need be. The selection is not applied.
    ///
    /// # Errors
    /// [`MorselError::Device`] when the copy fails.
    pub fn to_host(&self) -> Result<RecordBatch, MorselError> {
        match &self.columns {
            Columns::Host(batch) => Ok(batch.clone()),
            Columns::Device(batch) => Ok(batch.to_host()?),
        }
    }

    /// The live rows on the host, without gaps.
    ///
    /// # Errors
    /// [`MorselError`] when a device copy fails or Arrow cannot move the rows.
    pub fn into_dense_host(self) -> Result<RecordBatch, MorselError> {
        let batch = self.to_host()?;
        match &self.selection {
            Some(s) if s.alive() < s.rows() => Ok(filter_record_batch(&batch, &s.to_array())?),
            _ => Ok(batch),
        }
    }

    /// The same rows on the host, dense, with kinds and time bounds; the origin survives only if no
    /// row went. An update pair of which one half went becomes a plain insert or delete.
    ///
    /// # Errors
    /// [`MorselError`] when a device copy fails or Arrow cannot move the rows.
    pub fn compact(self) -> Result<Self, MorselError> {
        let kinds = match (&self.selection, &self.kinds) {
            (Some(s), RowKinds::PerRow(kinds)) if s.alive() < s.rows() => RowKinds::PerRow(
                s.iter().map(|row| unpaired(kinds, row, |other| s.contains(other))).collect(),
            ),
            (_, kinds) => kinds.clone(),
        };
        let whole = self.live_rows() == self.rows();
        let (bounds, origin) = (self.time_bounds, self.origin.clone().filter(|_| whole));
        let batch = self.into_dense_host()?;
        Morsel::new(batch).with_time_bounds(bounds).with_origin(origin).with_kinds(kinds)
    }

    /// The schema.
    pub fn schema(&self) -> SchemaRef {
        match &self.columns {
            Columns::Host(batch) => batch.schema(),
            Columns::Device(batch) => batch.schema(),
        }
    }

    /// Rows, alive or not.
    pub fn rows(&self) -> usize {
        match &self.columns {
            Columns::Host(batch) => batch.num_rows(),
            Columns::Device(batch) => batch.rows(),
        }
    }

    /// Rows that are alive.
    pub fn live_rows(&self) -> usize {
        self.selection.as_ref().map_or(self.rows(), Selection::alive)
    }

    /// Row kinds, one for each row, alive or not.
    pub fn kinds(&self) -> &RowKinds {
        &self.kinds
    }

    /// The selection; `None` when every row is alive.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// The time bounds, where they are known.
    pub fn time_bounds(&self) -> Option<TimeBounds> {
        self.time_bounds
    }

    /// The place of the rows in their source, where it is one dense run.
    pub fn origin(&self) -> Option<&RowOrigin> {
        self.origin.as_ref()
    }

    /// Bytes that the rows themselves take: what an account of memory in flight charges. A slice is
    /// charged for its own rows and not for the whole buffer behind it, so that the slices of one
    /// batch together cost what the batch costs.
    pub fn bytes(&self) -> usize {
        match &self.columns {
            Columns::Host(batch) => batch_bytes(batch),
            Columns::Device(batch) => batch.bytes(),
        }
    }

    /// Rows `offset..offset + length` without copying columns; the range is cut to the rows there are.
    ///
    /// # Errors
    /// [`MorselError::Device`] when the columns are on a device and cannot be copied.
    pub fn slice(&self, offset: usize, length: usize) -> Result<Self, MorselError> {
        let offset = offset.min(self.rows());
        let length = length.min(self.rows() - offset);
        let selection = self.selection.as_ref().map(|s| {
            let words = s.to_array().slice(offset, length);
            Selection::from_predicate(&words)
        });
        let origin = self
            .origin
            .as_ref()
            .map(|o| RowOrigin { partition: o.partition.clone(), first_row: o.first_row + offset as u64 });
        Ok(Self {
            columns: Columns::Host(self.to_host()?.slice(offset, length)),
            kinds: self.kinds.slice(offset, length),
            selection,
            time_bounds: self.time_bounds,
            origin,
        })
    }

    /// Cuts into morsels of at most `rows` rows. The after-image of an update pair stays with its
    /// before-image, so a piece may hold one row more. `rows` = 0 counts as 1.
    ///
    /// # Errors
    /// [`MorselError::Device`] when the columns are on a device and cannot be copied.
    pub fn split(&self, rows: usize) -> Result<Vec<Self>, MorselError> {
        let step = rows.max(1);
        let mut pieces = Vec::with_capacity(self.rows().div_ceil(step));
        let mut start = 0;
        while start < self.rows() {
            let mut end = (start + step).min(self.rows());
            if end < self.rows() && self.kinds.get(end - 1) == Some(RowKind::UpdateBefore) {
                end += 1;
            }
            pieces.push(self.slice(start, end - start)?);
            start = end;
        }
        Ok(pieces)
    }

    /// The rows at `indices`, in that order, on the host.
    ///
    /// # Errors
    /// [`MorselError`] when a device copy fails or an index is out of range.
    pub fn take(&self, indices: &UInt64Array) -> Result<Self, MorselError> {
        let batch = take_record_batch(&self.to_host()?, indices)?;
        let kinds = self.kinds.keep(indices.values().iter().map(|i| *i as usize));
        Morsel::new(batch).with_time_bounds(self.time_bounds).with_kinds(kinds)
    }
}

impl From<RecordBatch> for Morsel {
    fn from(batch: RecordBatch) -> Self {
        Morsel::new(batch)
    }
}

fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

fn array_bytes(array: &ArrayRef) -> usize {
    // A dictionary's values are shared by all slices of a column: charging them per slice would count
    // them once a morsel. The codes are what travels.
    if let DataType::Dictionary(..) = array.data_type() {
        return array.as_any_dictionary().keys().to_data().get_slice_memory_size().unwrap_or(0);
    }
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// An empty batch of a schema, for operators that must emit something typed.
impl Morsel {
    /// A morsel without rows.
    pub fn empty(schema: &Arc<Schema>) -> Self {
        Morsel::new(RecordBatch::new_empty(schema.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};

    fn ints(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("a", column)]).unwrap()
    }

    fn three() -> Morsel {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let s: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        Morsel::new(RecordBatch::try_from_iter([("a", a), ("s", s)]).unwrap())
    }

    #[test]
    fn parts_of_another_length_are_refused() {
        let short = Selection::from_words(vec![1], 2);
        assert!(matches!(
            three().with_selection(short),
            Err(MorselError::Length { part: "selection", got: 2, .. })
        ));
        let kinds = RowKinds::PerRow(vec![RowKind::Insert; 4].into());
        assert!(three().with_kinds(kinds).is_err());
    }

    #[test]
    fn selections_narrow_and_compact_keeps_kinds_in_step() {
        let kinds = RowKinds::PerRow([RowKind::Insert, RowKind::Delete, RowKind::UpdateAfter].into());
        let morsel = three().with_kinds(kinds).unwrap();
        let morsel = morsel.with_selection(Selection::from_words(vec![0b011], 3)).unwrap();
        let morsel = morsel.with_selection(Selection::from_words(vec![0b110], 3)).unwrap();
        assert_eq!(morsel.live_rows(), 1);
        let dense = morsel.compact().unwrap();
        assert_eq!(dense.kinds(), &RowKinds::PerRow([RowKind::Delete].into()));
        let a = dense.host().unwrap().column(0).as_primitive::<arrow::datatypes::Int64Type>().clone();
        assert_eq!(a, Int64Array::from(vec![2]));
    }

    #[test]
    fn splitting_never_parts_an_update_pair() {
        let batch = ints(&[1, 2, 3, 4, 5]);
        let kinds =
            [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Insert, RowKind::Delete];
        let morsel = Morsel::new(batch).with_kinds(RowKinds::PerRow(kinds.into())).unwrap();
        let sizes: Vec<usize> = morsel.split(2).unwrap().iter().map(Morsel::rows).collect();
        assert_eq!(sizes, [3, 2]);
        assert_eq!(morsel.split(0).unwrap().len(), 4);
    }

    #[test]
    fn slices_are_charged_for_their_own_rows() {
        let batch = ints(&[1, 2, 3, 4]);
        let morsel = Morsel::new(batch);
        assert_eq!(morsel.bytes(), 32);
        assert_eq!(morsel.slice(1, 2).unwrap().bytes(), 16);
    }

    #[test]
    fn slicing_keeps_selection_and_origin_in_step() {
        let origin = RowOrigin { partition: "f.csv".into(), first_row: 100 };
        let morsel =
            three().with_origin(Some(origin)).with_selection(Selection::from_words(vec![0b101], 3)).unwrap();
        let tail = morsel.slice(1, 9).unwrap();
        assert_eq!((tail.rows(), tail.live_rows()), (2, 1));
        assert_eq!(tail.origin().unwrap().locate(1).to_string(), "f.csv, row 103");
    }
}
