//! One form for equal columns, so that equal rows have equal bytes.
//!
//! Arrow leaves much open that a reader does not see: what stands under nulls and behind the last row, where
//! a slice begins, how long strings are laid out in the buffers of a view, the order and the leftovers of a
//! dictionary. Blocks are named by their bytes, and what has not changed must not get another name. So a
//! column is brought into this form before it is written:
//!
//! - it begins at offset 0, and its buffers end with its last row;
//! - there is no mask where there are no nulls, and no bits behind the last row of one;
//! - a row that is null, or whose parent is, holds zeros, nothing, or nulls;
//! - lists and views stand in row order without gaps; a dictionary has the values that rows use, each once, in
//!   order of first use; runs are as long as they can be.
//!
//! Values keep their bits: −0 is not 0, and a NaN keeps its payload. Nothing is copied of columns that are
//! in this form already, apart from masks and views.

mod nested;

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use arrow::error::ArrowError;

/// The canonical form of a column.
pub(super) fn canonical(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(make_array(visible(array.as_ref(), None)?))
}

/// The canonical form of those rows that `alive` names; the others become null. `alive` is what the parents
/// of a nested column leave visible; `None` is everything.
fn visible(array: &dyn Array, alive: Option<&NullBuffer>) -> Result<ArrayData, ArrowError> {
    // An array makes data whose children are cut as it is; data that was cut itself need not be.
    let data = &array.to_data();
    let live = Live::new(data, alive);
    match data.data_type() {
        DataType::Null => Ok(ArrayData::new_null(&DataType::Null, data.len())),
        DataType::Boolean => booleans(data, &live),
        DataType::Utf8 | DataType::Binary => bytes::<i32>(data, &live),
        DataType::LargeUtf8 | DataType::LargeBinary => bytes::<i64>(data, &live),
        DataType::Utf8View | DataType::BinaryView => views(data, &live),
        DataType::FixedSizeBinary(width) => fixed(data, &live, usize::try_from(*width).unwrap_or(0)),
        DataType::List(_) | DataType::Map(_, _) => nested::lists::<i32>(data, &live),
        DataType::LargeList(_) => nested::lists::<i64>(data, &live),
        DataType::ListView(_) => nested::list_views::<i32>(data, &live),
        DataType::LargeListView(_) => nested::list_views::<i64>(data, &live),
        DataType::FixedSizeList(_, width) => {
            nested::fixed_size_lists(data, &live, usize::try_from(*width).unwrap_or(0))
        }
        DataType::Struct(_) => nested::structs(data, &live),
        DataType::Union(fields, mode) => nested::unions(data, fields, *mode, alive),
        DataType::Dictionary(key, _) => nested::dictionary(array, key, &live),
        DataType::RunEndEncoded(ends, _) => nested::runs(data, ends.data_type(), alive),
        primitive => match primitive.primitive_width() {
            Some(width) => fixed(data, &live, width),
            None => Err(ArrowError::NotYetImplemented(format!("state of the type {primitive}"))),
        },
    }
}

/// Which rows of a column can be seen: not null, and no parent is.
struct Live(Option<NullBuffer>);

impl Live {
    fn new(data: &ArrayData, alive: Option<&NullBuffer>) -> Self {
        let union = NullBuffer::union(data.nulls(), alive);
        Self(union.filter(|nulls| nulls.null_count() > 0).map(|nulls| clean(&nulls)))
    }

    fn all(&self) -> bool {
        self.0.is_none()
    }

    fn is_live(&self, row: usize) -> bool {
        self.0.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }
}

/// The same mask at offset 0 with nothing behind its last row.
fn clean(nulls: &NullBuffer) -> NullBuffer {
    let bits = clean_bits(nulls.inner());
    NullBuffer::new(BooleanBuffer::new(bits, 0, nulls.len()))
}

fn clean_bits(bits: &BooleanBuffer) -> Buffer {
    let mut bytes = bits.sliced().as_slice()[..bits.len().div_ceil(8)].to_vec();
    if let (Some(last), rest @ 1..) = (bytes.last_mut(), bits.len() % 8) {
        *last &= (1u8 << rest) - 1;
    }
    Buffer::from_vec(bytes)
}

/// An array of the type and length of another one.
fn built(
    data: &ArrayData,
    live: &Live,
    buffers: Vec<Buffer>,
    children: Vec<ArrayData>,
) -> Result<ArrayData, ArrowError> {
    ArrayData::builder(data.data_type().clone())
        .len(data.len())
        .nulls(live.0.clone())
        .buffers(buffers)
        .child_data(children)
        .build()
}

fn booleans(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let values = BooleanBuffer::new(data.buffers()[0].clone(), data.offset(), data.len());
    let values = match &live.0 {
        Some(nulls) => &values & nulls.inner(),
        None => values,
    };
    built(data, live, vec![clean_bits(&values)], Vec::new())
}

/// Values of `width` bytes each.
fn fixed(data: &ArrayData, live: &Live, width: usize) -> Result<ArrayData, ArrowError> {
    let values = data.buffers()[0].slice_with_length(data.offset() * width, data.len() * width);
    let values = match &live.0 {
        None => values,
        Some(nulls) => {
            let mut zeroed = values.as_slice().to_vec();
            for (row, value) in zeroed.chunks_exact_mut(width.max(1)).enumerate() {
                if nulls.is_null(row) {
                    value.fill(0);
                }
            }
            Buffer::from_vec(zeroed)
        }
    };
    let aligned = ArrayData::builder(data.data_type().clone())
        .len(data.len())
        .nulls(live.0.clone())
        .add_buffer(values)
        .align_buffers(true);
    aligned.build()
}

fn bytes<O: ArrowNativeType>(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let empty = [O::default()];
    let offsets = offsets::<O>(data, &empty);
    let first = offsets.first().map_or(0, |first| first.as_usize());
    let last = offsets.last().map_or(0, |last| last.as_usize());
    let values = &data.buffers()[1];
    if live.all() {
        let values = values.slice_with_length(first, last - first);
        return built(data, live, vec![rebased(data, offsets)?, values], Vec::new());
    }
    let mut packed = Vec::with_capacity(last - first);
    let mut ends: Vec<O> = Vec::with_capacity(offsets.len());
    ends.push(O::default());
    for (row, bounds) in offsets.windows(2).enumerate() {
        if live.is_live(row) {
            packed.extend_from_slice(&values.as_slice()[bounds[0].as_usize()..bounds[1].as_usize()]);
        }
        ends.push(offset(packed.len())?);
    }
    built(data, live, vec![Buffer::from_vec(ends), Buffer::from_vec(packed)], Vec::new())
}

/// The offsets of a slice; an array without rows may have none at all.
fn offsets<'a, O: ArrowNativeType>(data: &'a ArrayData, empty: &'a [O; 1]) -> &'a [O] {
    let buffer = &data.buffers()[0];
    if buffer.is_empty() {
        return empty;
    }
    &buffer.typed_data::<O>()[data.offset()..=data.offset() + data.len()]
}

/// Offsets that begin at 0; shared where they do already.
fn rebased<O: ArrowNativeType>(data: &ArrayData, offsets: &[O]) -> Result<Buffer, ArrowError> {
    match offsets.first().map(|first| first.as_usize()) {
        Some(0) if !data.buffers()[0].is_empty() => {
            let start = data.offset() * size_of::<O>();
            Ok(data.buffers()[0].slice_with_length(start, size_of_val(offsets)))
        }
        first => {
            let first = first.unwrap_or(0);
            let all = offsets.iter().map(|end| offset(end.as_usize() - first));
            Ok(Buffer::from_vec(all.collect::<Result<Vec<O>, _>>()?))
        }
    }
}

/// A number as an offset.
fn offset<O: ArrowNativeType>(number: usize) -> Result<O, ArrowError> {
    O::from_usize(number).ok_or_else(|| ArrowError::OffsetOverflowError(number))
}

/// The longest value that stands in the view itself.
const INLINE: usize = 12;

/// Views: short values in themselves, padded with zeros; long ones one behind the other.
fn views(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let buffers = &data.buffers()[1..];
    let old = &data.buffers()[0].typed_data::<u128>()[data.offset()..data.offset() + data.len()];
    let mut packed: Vec<Vec<u8>> = Vec::new();
    let mut new = Vec::with_capacity(old.len());
    for (row, view) in old.iter().enumerate() {
        if !live.is_live(row) {
            new.push(0);
            continue;
        }
        let length = *view as u32;
        let bytes = length as usize;
        if bytes <= INLINE {
            let used = 32 + 8 * length;
            new.push(if used < 128 { *view & ((1u128 << used) - 1) } else { *view });
            continue;
        }
        let (buffer, at) = ((*view >> 64) as u32 as usize, (*view >> 96) as u32 as usize);
        if packed.last().is_none_or(|last| last.len() + bytes > i32::MAX as usize) {
            packed.push(Vec::new());
        }
        let count = packed.len() as u128 - 1;
        if let Some(last) = packed.last_mut() {
            let place = last.len() as u128;
            last.extend_from_slice(&buffers[buffer].as_slice()[at..at + bytes]);
            new.push((*view & u128::from(u64::MAX)) | (count << 64) | (place << 96));
        }
    }
    let mut all = vec![Buffer::from_vec(new)];
    all.extend(packed.into_iter().map(Buffer::from_vec));
    built(data, live, all, Vec::new())
}
