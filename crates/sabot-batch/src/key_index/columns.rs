//! Key columns: prepared for reading ([`KeyBatch`]), kept by dense id ([`Stored`]), and built for
//! output ([`KeyBuilder`]). Each knows four shapes: numbers of 64, of 128 and of 256 bits, and strings of bytes.

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Decimal256Array, IntervalMonthDayNanoArray, NullBufferBuilder,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    i256,
};
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::nested::{self, is_nested_key};
use super::text::{self, TextBuilder, TextStore, Texts};
use super::words::{self, Words};
use super::{KeyIndex, KeyIndexError, canonical, canonical_type};

/// Key columns of one batch, prepared once so that any range of rows can be looked up afterwards.
#[derive(Clone, Debug)]
pub struct KeyBatch<'a> {
    pub(super) columns: Vec<Input<'a>>,
    rows: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Input<'a> {
    Words(Words<'a>),
    Wide(Numbers<'a, i128>),
    Widest(Numbers<'a, i256>),
    Texts(Texts<'a>),
}

/// Numbers, one a row; any number under a null.
#[derive(Clone, Debug)]
pub(super) struct Numbers<'a, T: Clone> {
    pub(super) values: Cow<'a, [T]>,
    pub(super) nulls: Option<NullBuffer>,
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
        if canonical_type(array.data_type()) != *expected {
            return Err(KeyIndexError::ColumnType {
                column: position,
                got: array.data_type().clone(),
                expected: expected.clone(),
            });
        }
        // A dictionary of strings is read as it is; any other encoding is undone first.
        if let Some(texts) = Texts::new(array.as_ref())? {
            return Ok(Input::Texts(texts));
        }
        if !matches!(array.data_type(), DataType::Dictionary(..) | DataType::RunEndEncoded(..)) {
            return Input::plain(array, position);
        }
        let unpacked = canonical(array).map_err(arrow_error)?;
        if let Some(texts) = Texts::new(unpacked.as_ref())? {
            return Ok(Input::Texts(texts.into_owned()));
        }
        Ok(Input::plain(&unpacked, position)?.into_owned())
    }

    fn plain(array: &'a ArrayRef, position: usize) -> Result<Self, KeyIndexError> {
        if let Some(words) = words::encode(array.as_ref()) {
            return Ok(Input::Words(words));
        }
        let nulls = array.nulls().filter(|n| n.null_count() > 0).cloned();
        match array.data_type() {
            DataType::Decimal128(_, _) => {
                let values = Cow::Borrowed(array.as_primitive::<Decimal128Type>().values().as_ref());
                Ok(Input::Wide(Numbers { values, nulls }))
            }
            DataType::Decimal256(_, _) => {
                let values = Cow::Borrowed(array.as_primitive::<Decimal256Type>().values().as_ref());
                Ok(Input::Widest(Numbers { values, nulls }))
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let spans = array.as_primitive::<IntervalMonthDayNanoType>().values();
                Ok(Input::Wide(Numbers {
                    values: spans.iter().map(|span| from_span(*span)).collect(),
                    nulls,
                }))
            }
            nested if is_nested_key(nested) => {
                let (bytes, ends) = nested::encode(array).map_err(arrow_error)?;
                Ok(Input::Texts(Texts::from_parts(bytes, &ends)?))
            }
            other => Err(KeyIndexError::UnsupportedType { column: position, data_type: other.clone() }),
        }
    }

    /// The same with values of its own.
    fn into_owned(self) -> Input<'static> {
        fn owned<T: Clone>(numbers: Numbers<'_, T>) -> Numbers<'static, T> {
            Numbers { values: Cow::Owned(numbers.values.into_owned()), nulls: numbers.nulls }
        }
        match self {
            Input::Words(Words { values, nulls }) => {
                Input::Words(Words { values: Cow::Owned(values.into_owned()), nulls })
            }
            Input::Wide(numbers) => Input::Wide(owned(numbers)),
            Input::Widest(numbers) => Input::Widest(owned(numbers)),
            Input::Texts(texts) => Input::Texts(texts.into_owned()),
        }
    }
}

pub(super) fn arrow_error(error: ArrowError) -> KeyIndexError {
    KeyIndexError::Arrow { message: error.to_string() }
}

/// An interval as a number: months, then days, then nanoseconds decide the order.
fn from_span(span: IntervalMonthDayNano) -> i128 {
    let nanoseconds = span.nanoseconds.cast_unsigned() ^ (1 << 63);
    i128::from(span.months) << 96 | i128::from(words::order_bits(span.days)) << 64 | i128::from(nanoseconds)
}

/// The inverse of [`from_span`]; the casts take the parts apart.
fn to_span(number: i128) -> IntervalMonthDayNano {
    let days = words::from_order_bits((number >> 64) as u32);
    IntervalMonthDayNano::new((number >> 96) as i32, days, (number as u64 ^ (1 << 63)).cast_signed())
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

    fn reserve(&mut self, more: usize) {
        self.values.reserve_exact(more);
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
    Wide(Fixed<i128>),
    Widest(Fixed<i256>),
    Texts(TextStore),
}

impl Stored {
    pub(super) fn new(data_type: &DataType, column: usize) -> Result<Self, KeyIndexError> {
        match data_type {
            DataType::Decimal128(_, _) | DataType::Interval(IntervalUnit::MonthDayNano) => {
                Ok(Stored::Wide(Fixed::new()))
            }
            DataType::Decimal256(_, _) => Ok(Stored::Widest(Fixed::new())),
            t if text::is_text_type(t) || is_nested_key(t) => Ok(Stored::Texts(TextStore::default())),
            t if words::is_word_type(t) => Ok(Stored::Words(Fixed::new())),
            t => Err(KeyIndexError::UnsupportedType { column, data_type: t.clone() }),
        }
    }

    pub(super) fn push_rows(&mut self, input: &Input<'_>, rows: impl Iterator<Item = usize>) {
        match (self, input) {
            (Stored::Words(s), Input::Words(w)) => s.push_rows(&w.values, w.nulls.as_ref(), rows),
            (Stored::Wide(s), Input::Wide(n)) => s.push_rows(&n.values, n.nulls.as_ref(), rows),
            (Stored::Widest(s), Input::Widest(n)) => s.push_rows(&n.values, n.nulls.as_ref(), rows),
            (Stored::Texts(s), Input::Texts(t)) => rows.for_each(|row| s.push(t, row)),
            _ => debug_assert!(false, "KeyBatch::new checks the types"),
        }
    }

    /// Makes room for so many more keys, as far as their size is known.
    pub(super) fn reserve(&mut self, more: usize) {
        match self {
            Stored::Words(s) => s.reserve(more),
            Stored::Wide(s) => s.reserve(more),
            Stored::Widest(s) => s.reserve(more),
            Stored::Texts(_) => {}
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
            (Stored::Wide(s), Input::Wide(n)) => s.first_mismatch(&n.values, n.nulls.as_ref(), rows, ids),
            (Stored::Widest(s), Input::Widest(n)) => s.first_mismatch(&n.values, n.nulls.as_ref(), rows, ids),
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
            Stored::Wide(s) => s.compare(a, b),
            Stored::Widest(s) => s.compare(a, b),
            Stored::Texts(s) => s.compare(a, b),
        }
    }

    /// A number that orders ids wherever two differ in it; `None` for null, which is greatest.
    pub(super) fn prefix(&self, id: u32) -> Option<u64> {
        let unsigned = |word: i64| (word as u64) ^ (1 << 63);
        let clamped = |v: i128| {
            let clamped = v.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            unsigned(i64::try_from(clamped).unwrap_or_default())
        };
        match self {
            Stored::Words(s) => s.get(id).map(unsigned),
            Stored::Wide(s) => s.get(id).map(clamped),
            Stored::Widest(s) => s.get(id).map(|v| {
                let ends = if v.is_negative() { i128::MIN } else { i128::MAX };
                clamped(v.to_i128().unwrap_or(ends))
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
            Stored::Wide(s) => s.truncate(len),
            Stored::Widest(s) => s.truncate(len),
            Stored::Texts(s) => s.truncate(len),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Stored::Words(s) => s.clear(),
            Stored::Wide(s) => s.clear(),
            Stored::Widest(s) => s.clear(),
            Stored::Texts(s) => s.clear(),
        }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        match self {
            Stored::Words(s) => s.allocated_bytes(),
            Stored::Wide(s) => s.allocated_bytes(),
            Stored::Widest(s) => s.allocated_bytes(),
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
    Wide(Fixed<i128>),
    Widest(Fixed<i256>),
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
                Stored::Wide(empty) => Building::Wide(empty),
                Stored::Widest(empty) => Building::Widest(empty),
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
                (Building::Wide(b), Stored::Wide(s)) => b.append_from(s, ids),
                (Building::Widest(b), Stored::Widest(s)) => b.append_from(s, ids),
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
                Building::Wide(fixed) if matches!(data_type, DataType::Interval(_)) => {
                    let nulls = fixed.nulls.finish();
                    let spans = std::mem::take(&mut fixed.values).into_iter().map(to_span).collect();
                    Arc::new(IntervalMonthDayNanoArray::new(spans, nulls))
                }
                Building::Wide(fixed) => {
                    let nulls = fixed.nulls.finish();
                    let array = Decimal128Array::new(std::mem::take(&mut fixed.values).into(), nulls);
                    Arc::new(array.with_data_type(data_type.clone()))
                }
                Building::Widest(fixed) => {
                    let nulls = fixed.nulls.finish();
                    let array = Decimal256Array::new(std::mem::take(&mut fixed.values).into(), nulls);
                    Arc::new(array.with_data_type(data_type.clone()))
                }
                Building::Texts(builder) => builder.finish(data_type)?,
            });
        }
        Ok(arrays)
    }
}
