//! Strings as 16-byte views: short ones whole, long ones as length, prefix and place.
//!
//! Most group keys are short (codes, names, ids). Kept inside a fixed-width view, they compare as two
//! integers and never touch a heap of bytes; longer ones compare length and first four bytes before
//! they do. The layout, little end first: 4 bytes length, then 12 bytes of text, or 4 bytes of text and
//! 8 bytes of position in the store's bytes. Unused text bytes are zero, so equal short strings have
//! equal views. Null is a length that no string has.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, FixedSizeBinaryArray, GenericByteArray, GenericByteViewArray,
    NullBufferBuilder, StringViewArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ByteArrayType, ByteViewType, DataType, GenericBinaryType, GenericStringType,
};
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use super::KeyIndexError;

const INLINE: usize = 12;
const NULL_LENGTH: u32 = u32::MAX;

/// One string of a [`Texts`] or [`TextStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct View([u8; 16]);

impl View {
    const NULL: View = View([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

    /// The view of `bytes[start..start + len]`, where `start` is also its position.
    fn new(bytes: &[u8], start: usize, len: usize) -> Result<View, KeyIndexError> {
        let short = u32::try_from(len).ok().filter(|l| *l != NULL_LENGTH);
        let short = short.ok_or(KeyIndexError::TextTooLong { bytes: len })?;
        let text = bytes.get(start..).unwrap_or_default();
        if len > INLINE {
            let mut view = [0; 16];
            view[..4].copy_from_slice(&short.to_le_bytes());
            view[4..8].copy_from_slice(&text[..4]);
            view[8..].copy_from_slice(&(start as u64).to_le_bytes());
            return Ok(View(view));
        }
        // Away from the end of the buffer a fixed-size load and a mask beat a copy of variable length.
        if let Some(sixteen) = text.first_chunk::<16>() {
            let mask = (1u128 << (8 * len)) - 1;
            let word = (u128::from_le_bytes(*sixteen) & mask) << 32 | u128::from(short);
            return Ok(View(word.to_le_bytes()));
        }
        let mut view = [0; 16];
        view[..4].copy_from_slice(&short.to_le_bytes());
        view[4..4 + len].copy_from_slice(&text[..len]);
        Ok(View(view))
    }

    fn is_null(self) -> bool {
        self.length() == NULL_LENGTH
    }

    fn length(self) -> u32 {
        u32::from_le_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    fn is_inline(self) -> bool {
        let length = self.length();
        length as usize <= INLINE || length == NULL_LENGTH
    }

    /// The length of a string that lies in the view; 0 for null.
    fn inline_length(self) -> usize {
        if self.is_null() { 0 } else { self.length() as usize }
    }

    /// Length and first four bytes.
    fn head(self) -> u64 {
        u128::from_le_bytes(self.0) as u64
    }

    fn position(self) -> usize {
        (u128::from_le_bytes(self.0) >> 64) as usize
    }

    /// The text; `bytes` are those that its position speaks of. Null is empty.
    fn text<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        let length = self.length();
        if length == NULL_LENGTH {
            return &[];
        }
        if length as usize <= INLINE {
            return &self.0[4..4 + length as usize];
        }
        let start = self.position();
        bytes.get(start..start + length as usize).unwrap_or_default()
    }
}

#[inline]
fn equal(a: View, a_bytes: &[u8], b: View, b_bytes: &[u8]) -> bool {
    if a.is_inline() {
        return a == b;
    }
    a.head() == b.head() && a.text(a_bytes) == b.text(b_bytes)
}

/// Whether columns of this type are strings, of text or of bytes.
pub fn is_text_type(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

/// A string column, read: one view a row. A dictionary's values are viewed once, not once a row.
#[derive(Clone, Debug)]
pub struct Texts<'a> {
    views: Vec<View>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Texts<'a> {
    /// The rows of a column of strings, or of a dictionary of them; `None` for other types.
    ///
    /// # Errors
    /// [`KeyIndexError::TextTooLong`] for a string of 4 GiB or more.
    pub fn new(array: &'a dyn Array) -> Result<Option<Self>, KeyIndexError> {
        match array.data_type() {
            DataType::Utf8 => Self::plain(array.as_string::<i32>()).map(Some),
            DataType::LargeUtf8 => Self::plain(array.as_string::<i64>()).map(Some),
            DataType::Binary => Self::plain(array.as_binary::<i32>()).map(Some),
            DataType::LargeBinary => Self::plain(array.as_binary::<i64>()).map(Some),
            DataType::Utf8View => Self::views(array.as_string_view()).map(Some),
            DataType::BinaryView => Self::views(array.as_binary_view()).map(Some),
            DataType::FixedSizeBinary(_) => {
                let fixed = array.as_fixed_size_binary();
                let size = fixed.value_length() as usize;
                let views = (0..fixed.len()).map(|row| View::new(fixed.value_data(), row * size, size));
                let texts =
                    Self { views: views.collect::<Result<_, _>>()?, bytes: fixed.value_data().into() };
                Ok(Some(texts.without(fixed.nulls())))
            }
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                let Some(values) = Self::new(dictionary.values().as_ref())? else { return Ok(None) };
                let mut views = Vec::with_capacity(array.len());
                for_each_code(dictionary.keys(), |code| {
                    views.push(code.and_then(|c| values.views.get(c).copied()).unwrap_or(View::NULL));
                });
                Ok(Some(Self { views, bytes: values.bytes }))
            }
            _ => Ok(None),
        }
    }

    fn plain<T: ByteArrayType>(array: &'a GenericByteArray<T>) -> Result<Self, KeyIndexError> {
        let bytes = array.values().as_slice();
        let mut views = Vec::with_capacity(array.len());
        for ends in array.value_offsets().windows(2) {
            let (start, end) = (ends[0].as_usize(), ends[1].as_usize());
            views.push(View::new(bytes, start, end - start)?);
        }
        Ok(Self { views, bytes: bytes.into() }.without(array.nulls()))
    }

    /// Arrow's views have long strings in several buffers; here they stand in one.
    fn views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> Result<Self, KeyIndexError> {
        let (mut views, mut bytes) = (Vec::with_capacity(array.len()), Vec::new());
        for row in 0..array.len() {
            let value: &[u8] = if array.is_valid(row) { array.value(row).as_ref() } else { &[] };
            let mut view = View::new(value, 0, value.len())?;
            if !view.is_inline() {
                view.0[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
                bytes.extend_from_slice(value);
            }
            views.push(view);
        }
        Ok(Self { views, bytes: bytes.into() }.without(array.nulls()))
    }

    /// Strings that stand one after the other, by where each ends. None is null.
    pub(super) fn from_parts(bytes: Vec<u8>, ends: &[usize]) -> Result<Self, KeyIndexError> {
        let mut start = 0;
        let view = |end: &usize| {
            let view = View::new(&bytes, start, end - start);
            start = *end;
            view
        };
        let views = ends.iter().map(view).collect::<Result<_, _>>()?;
        Ok(Self { views, bytes: bytes.into() })
    }

    /// The same with bytes of its own.
    pub(super) fn into_owned(self) -> Texts<'static> {
        Texts { views: self.views, bytes: Cow::Owned(self.bytes.into_owned()) }
    }

    /// Makes rows null.
    fn without(mut self, nulls: Option<&NullBuffer>) -> Self {
        if let Some(nulls) = nulls.filter(|n| n.null_count() > 0) {
            for (view, valid) in self.views.iter_mut().zip(nulls.iter()) {
                if !valid {
                    *view = View::NULL;
                }
            }
        }
        self
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Both halves of the view of a string that lies in it whole, or of null.
    #[inline]
    pub(super) fn inline(&self, row: usize) -> Option<[u64; 2]> {
        let view = self.views[row];
        let word = u128::from_le_bytes(view.0);
        view.is_inline().then_some([word as u64, (word >> 64) as u64])
    }

    /// The text of a row; `None` when it is null.
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let view = &self.views[row];
        (!view.is_null()).then(|| view.text(&self.bytes))
    }
}

/// Calls `f` with each code of a dictionary's key column; `None` where it is null.
pub fn for_each_code(keys: &dyn Array, mut f: impl FnMut(Option<usize>)) {
    use arrow::array::downcast_integer_array;
    use arrow::datatypes::ArrowNativeType;
    downcast_integer_array!(
        keys => match keys.nulls() {
            None => keys.values().iter().for_each(|k| f(k.to_usize())),
            Some(nulls) => keys
                .values()
                .iter()
                .zip(nulls.iter())
                .for_each(|(k, valid)| f(k.to_usize().filter(|_| valid))),
        },
        other => debug_assert!(false, "dictionary keys of type {other}")
    )
}

/// Strings kept by dense id.
#[derive(Clone, Debug, Default)]
pub struct TextStore {
    views: Vec<View>,
    bytes: Vec<u8>,
    /// Bytes that no view points at any more.
    garbage: usize,
}

impl TextStore {
    /// Strings there are, nulls included.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// The text of `id`; `None` when it is null.
    pub fn get(&self, id: u32) -> Option<&[u8]> {
        let view = &self.views[id as usize];
        (!view.is_null()).then(|| view.text(&self.bytes))
    }

    /// Appends row `row` of `texts`.
    pub fn push(&mut self, texts: &Texts<'_>, row: usize) {
        let view = texts.views[row];
        if view.is_inline() {
            self.views.push(view);
            return;
        }
        let moved = self.keep(view, view.text(&texts.bytes));
        self.views.push(moved);
    }

    /// Appends nulls until there are `len` strings.
    pub fn resize_with_nulls(&mut self, len: usize) {
        self.views.resize(len, View::NULL);
    }

    /// Replaces the string of `id` by row `row` of `texts`.
    pub fn set(&mut self, id: u32, texts: &Texts<'_>, row: usize) {
        let old = self.views[id as usize];
        if !old.is_inline() {
            self.garbage += old.length() as usize;
        }
        let view = texts.views[row];
        let new = if view.is_inline() { view } else { self.keep(view, view.text(&texts.bytes)) };
        self.views[id as usize] = new;
        // With half of the bytes dead, and a view's worth of them for each view to be looked at, moving
        // the living costs no more than appending the dead did.
        if self.garbage > self.bytes.len() / 2 && self.garbage > 4096 + self.views.len() * size_of::<View>() {
            self.compact();
        }
    }

    /// Whether the string of `id` equals row `row` of `texts`; nulls are equal to each other.
    #[inline]
    pub fn equals(&self, id: u32, texts: &Texts<'_>, row: usize) -> bool {
        equal(texts.views[row], &texts.bytes, self.views[id as usize], &self.bytes)
    }

    /// Compares two strings bytewise; null is greatest.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        match (self.get(a), self.get(b)) {
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }

    /// The first eight bytes as a big-endian number, short strings filled with zeros: orders strings
    /// wherever two differ in it. `None` for null.
    pub fn prefix(&self, id: u32) -> Option<u64> {
        let view = self.views[id as usize];
        if view.is_null() {
            return None;
        }
        if view.is_inline() {
            let twelve = u128::from_le_bytes(view.0) >> 32;
            return Some((twelve as u64).swap_bytes());
        }
        view.text(&self.bytes).first_chunk::<8>().map(|eight| u64::from_be_bytes(*eight))
    }

    /// Forgets all strings but the first `len`.
    pub fn truncate(&mut self, len: usize) {
        for view in self.views.drain(len.min(self.views.len())..) {
            if !view.is_inline() {
                self.garbage += view.length() as usize;
            }
        }
        if self.views.is_empty() {
            self.clear();
        }
    }

    /// Forgets all strings and keeps the allocations.
    pub fn clear(&mut self) {
        self.views.clear();
        self.bytes.clear();
        self.garbage = 0;
    }

    /// Allocated bytes.
    pub fn allocated_bytes(&self) -> usize {
        self.views.capacity() * size_of::<View>() + self.bytes.capacity()
    }

    fn keep(&mut self, view: View, text: &[u8]) -> View {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        let mut moved = view.0;
        moved[8..].copy_from_slice(&(start as u64).to_le_bytes());
        View(moved)
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.bytes);
        self.garbage = 0;
        for i in 0..self.views.len() {
            let view = self.views[i];
            if !view.is_inline() {
                self.views[i] = self.keep(view, view.text(&old));
            }
        }
    }
}

/// Builds a column of strings, of text or of bytes, or of lists or structs that are kept as such.
#[derive(Debug)]
pub struct TextBuilder {
    ends: Vec<usize>,
    bytes: Vec<u8>,
    nulls: NullBufferBuilder,
}

impl Default for TextBuilder {
    fn default() -> Self {
        Self { ends: Vec::new(), bytes: Vec::new(), nulls: NullBufferBuilder::new(0) }
    }
}

impl TextBuilder {
    /// Appends the strings of these ids.
    pub fn append(&mut self, store: &TextStore, ids: &[u32]) {
        self.ends.reserve(ids.len());
        let mut nulls = false;
        for id in ids {
            let view = &store.views[*id as usize];
            if view.is_inline() {
                // A copy of fixed length and a cut are cheaper than a copy of variable length.
                let end = self.bytes.len() + view.inline_length();
                self.bytes.extend_from_slice(&view.0[4..]);
                self.bytes.truncate(end);
            } else {
                self.bytes.extend_from_slice(view.text(&store.bytes));
            }
            self.ends.push(self.bytes.len());
            nulls |= view.is_null();
        }
        if nulls {
            ids.iter().for_each(|id| self.nulls.append(!store.views[*id as usize].is_null()));
        } else {
            self.nulls.append_n_non_nulls(ids.len());
        }
    }

    /// The column, and an empty builder again.
    ///
    /// # Errors
    /// [`KeyIndexError::TextTooLong`] when the offsets of the type cannot reach the last byte.
    pub fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, KeyIndexError> {
        let (ends, bytes) = (std::mem::take(&mut self.ends), std::mem::take(&mut self.bytes));
        let nulls = self.nulls.finish();
        let arrow = |error: ArrowError| KeyIndexError::Arrow { message: error.to_string() };
        Ok(match data_type {
            DataType::Utf8 => Arc::new(byte_array::<GenericStringType<i32>>(&ends, bytes, nulls)?),
            DataType::LargeUtf8 => Arc::new(byte_array::<GenericStringType<i64>>(&ends, bytes, nulls)?),
            DataType::Binary => Arc::new(byte_array::<GenericBinaryType<i32>>(&ends, bytes, nulls)?),
            DataType::LargeBinary => Arc::new(byte_array::<GenericBinaryType<i64>>(&ends, bytes, nulls)?),
            DataType::Utf8View => {
                let texts = byte_array::<GenericStringType<i64>>(&ends, bytes, nulls)?;
                Arc::new(StringViewArray::from(&texts))
            }
            DataType::BinaryView => {
                let values = byte_array::<GenericBinaryType<i64>>(&ends, bytes, nulls)?;
                Arc::new(BinaryViewArray::from(&values))
            }
            DataType::FixedSizeBinary(size) => {
                let values = byte_array::<GenericBinaryType<i64>>(&ends, bytes, nulls)?;
                let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.iter(), *size);
                Arc::new(array.map_err(arrow)?)
            }
            nested => super::nested::decode(nested, &bytes, &ends).map_err(arrow)?,
        })
    }
}

fn byte_array<T: ByteArrayType>(
    ends: &[usize],
    bytes: Vec<u8>,
    nulls: Option<NullBuffer>,
) -> Result<GenericByteArray<T>, KeyIndexError> {
    let too_long = KeyIndexError::TextTooLong { bytes: bytes.len() };
    if T::Offset::from_usize(bytes.len()).is_none() {
        return Err(too_long);
    }
    let offsets: ScalarBuffer<T::Offset> =
        std::iter::once(0).chain(ends.iter().copied()).map(T::Offset::usize_as).collect();
    GenericByteArray::<T>::try_new(OffsetBuffer::new(offsets), Buffer::from_vec(bytes), nulls)
        .map_err(|error| KeyIndexError::Arrow { message: error.to_string() })
}
