//! Key columns: prepared for reading ([`KeyBatch`]), kept by dense id ([`Stored`]), and built for
//! output ([`KeyBuilder`]). Each knows three shapes: words, 128-bit decimals, strings.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::text::{TextBuilder, TextStore, Texts};
use super::words::{self, Words};
use super::{KeyIndex, KeyIndexError};

/// Key columns of one batch, prepared once so that any range of rows can be looked up afterwards.
#[derive(Clone, Debug)]
pub struct KeyBatch<'a> {
    pub(super) columns: Vec<Input<'a>>,
    rows: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Input<'a> {
    Words(Words<'a>),
    Decimals { values: Cow<'a, [i128]>, nulls: Option<NullBuffer> },
    Texts(Texts<'a>),
}

impl<'a> KeyBatch<'a> {
    /// Prepares `columns`, all of `rows` rows, as keys of an index with these types.
    ///
    /// # Errors
    /// [`KeyIndexError`] when number, type or length of a column is not as declared.
    pub fn new(
        types: &[DataType],
        columns: impl IntoIterator<Item = &'a ArrayRef>,
        rows: usize,
    ) -> Result<Self, KeyIndexError> {
        let mut prepared = Vec::with_capacity(types.len());
        for (position, array) in columns.into_iter().enumerate() {
            let Some(data_type) = types.get(position) else {
                return Err(KeyIndexError::ColumnCount { got: position + 1, expected: types.len() });
            };
            if array.len() != rows {
                return Err(KeyIndexError::Length { column: position, got: array.len(), expected: rows });
            }
            prepared.push(Input::new(array, data_type, position)?);
        }
        if prepared.len() != types.len() {
            return Err(KeyIndexError::ColumnCount { got: prepared.len(), expected: types.len() });
        }
        Ok(Self { columns: prepared, rows })
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl<'a> Input<'a> {
    fn new(array: &'a ArrayRef, expected: &DataType, position: usize) -> Result<Self, KeyIndexError> {
        let plain = match array.data_type() {
            DataType::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        if plain != expected {
            return Err(KeyIndexError::ColumnType {
                column: position,
                got: array.data_type().clone(),
                expected: expected.clone(),
            });
        }
        if let Some(texts) = Texts::new(array.as_ref())? {
            return Ok(Input::Texts(texts));
        }
        if let DataType::Dictionary(_, value) = array.data_type() {
            let unpacked = cast(array, value).map_err(|e| KeyIndexError::Arrow { message: e.to_string() })?;
            let unsupported =
                KeyIndexError::UnsupportedType { column: position, data_type: value.as_ref().clone() };
            return Input::fixed(unpacked.as_ref(), position)?.into_owned().ok_or(unsupported);
        }
        Input::fixed(array.as_ref(), position)
    }

    fn fixed(array: &'a dyn Array, position: usize) -> Result<Self, KeyIndexError> {
        if let Some(words) = words::encode(array) {
            return Ok(Input::Words(words));
        }
        let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() else {
            let data_type = array.data_type().clone();
            return Err(KeyIndexError::UnsupportedType { column: position, data_type });
        };
        let nulls = decimals.nulls().filter(|n| n.null_count() > 0).cloned();
        Ok(Input::Decimals { values: Cow::Borrowed(decimals.values()), nulls })
    }

    /// The same with values of its own. A fixed-width column never holds strings.
    fn into_owned(self) -> Option<Input<'static>> {
        match self {
            Input::Words(Words { values, nulls }) => {
                Some(Input::Words(Words { values: Cow::Owned(values.into_owned()), nulls }))
            }
            Input::Decimals { values, nulls } => {
                Some(Input::Decimals { values: Cow::Owned(values.into_owned()), nulls })
            }
            Input::Texts(_) => None,
        }
    }
}

/// A fixed-width column by dense id.
#[derive(Debug)]
pub(super) struct Fixed<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T: Copy + Default + Ord> Fixed<T> {
    fn new() -> Self {
        Self { values: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }

    fn may_be_null(&self) -> bool {
        self.nulls.as_slice().is_some()
    }

    fn push_rows(&mut self, values: &[T], nulls: Option<&NullBuffer>, rows: impl Iterator<Item = usize>) {
        match nulls {
            None => {
                let before = self.values.len();
                self.values.extend(rows.map(|row| values[row]));
                self.nulls.append_n_non_nulls(self.values.len() - before);
            }
            Some(nulls) => {
                for row in rows {
                    let valid = nulls.is_valid(row);
                    self.values.push(if valid { values[row] } else { T::default() });
                    self.nulls.append(valid);
                }
            }
        }
    }

    fn first_mismatch(
        &self,
        values: &[T],
        nulls: Option<&NullBuffer>,
        rows: Range<usize>,
        ids: &[u32],
    ) -> Option<usize> {
        let start = rows.start;
        if nulls.is_none() && !self.may_be_null() {
            let pairs = values[rows].iter().zip(ids);
            return pairs
                .enumerate()
                .find(|(_, (v, id))| **v != self.values[**id as usize])
                .map(|(i, _)| start + i);
        }
        rows.zip(ids).find(|(row, id)| !self.equals(values, nulls, *row, **id)).map(|(row, _)| row)
    }

    fn equals(&self, values: &[T], nulls: Option<&NullBuffer>, row: usize, id: u32) -> bool {
        let valid = nulls.is_none_or(|n| n.is_valid(row));
        let stored = self.nulls.is_valid(id as usize);
        valid == stored && (!valid || values[row] == self.values[id as usize])
    }

    fn get(&self, id: u32) -> Option<T> {
        self.nulls.is_valid(id as usize).then(|| self.values[id as usize])
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        match (self.get(a), self.get(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.nulls.truncate(len);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.nulls = NullBufferBuilder::new(0);
    }

    fn append_from(&mut self, other: &Fixed<T>, ids: &[u32]) {
        self.values.extend(ids.iter().map(|id| other.values[*id as usize]));
        if other.may_be_null() {
            for id in ids {
                self.nulls.append(other.nulls.is_valid(*id as usize));
            }
        } else {
            self.nulls.append_n_non_nulls(ids.len());
        }
    }

    fn allocated_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.nulls.allocated_size()
    }
}

/// One key column by dense id.
#[derive(Debug)]
pub(super) enum Stored {
    Words(Fixed<i64>),
    Decimals(Fixed<i128>),
    Texts(TextStore),
}

impl Stored {
    pub(super) fn new(data_type: &DataType, column: usize) -> Result<Self, KeyIndexError> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 => Ok(Stored::Texts(TextStore::default())),
            DataType::Decimal128(_, _) => Ok(Stored::Decimals(Fixed::new())),
            t if words::is_word_type(t) => Ok(Stored::Words(Fixed::new())),
            t => Err(KeyIndexError::UnsupportedType { column, data_type: t.clone() }),
        }
    }

    pub(super) fn push_rows(&mut self, input: &Input<'_>, rows: impl Iterator<Item = usize>) {
        match (self, input) {
            (Stored::Words(s), Input::Words(w)) => s.push_rows(&w.values, w.nulls.as_ref(), rows),
            (Stored::Decimals(s), Input::Decimals { values, nulls }) => {
                s.push_rows(values, nulls.as_ref(), rows)
            }
            (Stored::Texts(s), Input::Texts(t)) => rows.for_each(|row| s.push(t, row)),
            _ => debug_assert!(false, "KeyBatch::new checks the types"),
        }
    }

    /// The first row whose key differs from that of its id.
    pub(super) fn first_mismatch(
        &self,
        input: &Input<'_>,
        mut rows: Range<usize>,
        ids: &[u32],
    ) -> Option<usize> {
        match (self, input) {
            (Stored::Words(s), Input::Words(w)) => s.first_mismatch(&w.values, w.nulls.as_ref(), rows, ids),
            (Stored::Decimals(s), Input::Decimals { values, nulls }) => {
                s.first_mismatch(values, nulls.as_ref(), rows, ids)
            }
            (Stored::Texts(s), Input::Texts(t)) => {
                let start = rows.start;
                rows.find(|row| !s.equals(ids[row - start], t, *row))
            }
            _ => None,
        }
    }

    pub(super) fn compare(&self, a: u32, b: u32) -> Ordering {
        match self {
            Stored::Words(s) => s.compare(a, b),
            Stored::Decimals(s) => s.compare(a, b),
            Stored::Texts(s) => s.compare(a, b),
        }
    }

    /// A number that orders ids wherever two differ in it; `None` for null, which is greatest.
    pub(super) fn prefix(&self, id: u32) -> Option<u64> {
        let unsigned = |word: i64| (word as u64) ^ (1 << 63);
        match self {
            Stored::Words(s) => s.get(id).map(unsigned),
            Stored::Decimals(s) => s.get(id).map(|v| {
                let clamped = v.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
                unsigned(i64::try_from(clamped).unwrap_or_default())
            }),
            Stored::Texts(s) => s.prefix(id),
        }
    }

    /// Whether equal prefixes mean equal values.
    pub(super) fn prefix_is_exact(&self) -> bool {
        matches!(self, Stored::Words(_))
    }

    pub(super) fn truncate(&mut self, len: usize) {
        match self {
            Stored::Words(s) => s.truncate(len),
            Stored::Decimals(s) => s.truncate(len),
            Stored::Texts(s) => s.truncate(len),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Stored::Words(s) => s.clear(),
            Stored::Decimals(s) => s.clear(),
            Stored::Texts(s) => s.clear(),
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        match self {
            Stored::Words(s) => s.allocated_bytes(),
            Stored::Decimals(s) => s.allocated_bytes(),
            Stored::Texts(s) => s.allocated_bytes(),
        }
    }
}

/// Collects keys of one or more indexes with the same types into columns.
///
/// ```
/// use std::sync::Arc;
/// use arrow::array::{ArrayRef, Int64Array};
/// use arrow::datatypes::DataType;
/// use sabot_batch::key_index::{KeyBuilder, KeyIndex};
/// let mut index = KeyIndex::new(&[DataType::Int64])?;
/// let column: ArrayRef = Arc::new(Int64Array::from(vec![7, 5]));
/// index.upsert(&[column], &[1, 2], &mut Vec::new())?;
/// let mut builder = KeyBuilder::new(&[DataType::Int64])?;
/// builder.append(&index, &[1, 0])?;
/// assert_eq!(builder.finish()?[0].as_ref(), &Int64Array::from(vec![5, 7]));
/// # Ok::<(), sabot_batch::key_index::KeyIndexError>(())
/// ```
#[derive(Debug)]
pub struct KeyBuilder {
    types: Vec<DataType>,
    columns: Vec<Building>,
}

#[derive(Debug)]
enum Building {
    Words(Fixed<i64>),
    Decimals(Fixed<i128>),
    Texts(TextBuilder),
}

impl KeyBuilder {
    /// A builder of columns of these types.
    ///
    /// # Errors
    /// [`KeyIndexError::UnsupportedType`].
    pub fn new(types: &[DataType]) -> Result<Self, KeyIndexError> {
        let columns = types.iter().enumerate().map(|(i, t)| {
            Ok(match Stored::new(t, i)? {
                Stored::Words(empty) => Building::Words(empty),
                Stored::Decimals(empty) => Building::Decimals(empty),
                Stored::Texts(_) => Building::Texts(TextBuilder::default()),
            })
        });
        Ok(Self { columns: columns.collect::<Result<_, KeyIndexError>>()?, types: types.to_vec() })
    }

    /// Appends the keys of these ids.
    ///
    /// # Errors
    /// [`KeyIndexError::ColumnCount`] or [`KeyIndexError::ColumnType`] when the index has other types.
    pub fn append(&mut self, index: &KeyIndex, ids: &[u32]) -> Result<(), KeyIndexError> {
        if index.types() != self.types {
            return Err(KeyIndexError::ColumnCount { got: index.types().len(), expected: self.types.len() });
        }
        for (building, stored) in self.columns.iter_mut().zip(index.stored()) {
            match (building, stored) {
                (Building::Words(b), Stored::Words(s)) => b.append_from(s, ids),
                (Building::Decimals(b), Stored::Decimals(s)) => b.append_from(s, ids),
                (Building::Texts(b), Stored::Texts(s)) => b.append(s, ids),
                _ => debug_assert!(false, "equal types have equal shapes"),
            }
        }
        Ok(())
    }

    /// The columns, and an empty builder again.
    ///
    /// # Errors
    /// [`KeyIndexError::TextTooLong`] when a utf8 column exceeds 2 GiB.
    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, KeyIndexError> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (position, (building, data_type)) in self.columns.iter_mut().zip(&self.types).enumerate() {
            arrays.push(match building {
                Building::Words(fixed) => {
                    let nulls = fixed.nulls.finish();
                    words::decode(data_type, std::mem::take(&mut fixed.values), nulls).ok_or_else(|| {
                        KeyIndexError::UnsupportedType { column: position, data_type: data_type.clone() }
                    })?
                }
                Building::Decimals(fixed) => {
                    let nulls = fixed.nulls.finish();
                    let array = Decimal128Array::new(std::mem::take(&mut fixed.values).into(), nulls);
                    Arc::new(array.with_data_type(data_type.clone()))
                }
                Building::Texts(builder) => builder.finish(data_type)?,
            });
        }
        Ok(arrays)
    }
}
