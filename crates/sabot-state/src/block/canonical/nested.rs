//! Columns that hold columns.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanBufferBuilder, MutableArrayData, downcast_integer, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, UnionFields, UnionMode};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use std::collections::HashMap;
use std::ops::Range;

use super::{Live, built, offset, offsets, rebased, visible};

/// Picks rows of a child, some of which are holes that nobody can see.
struct Gather {
    source: ArrayRef,
    /// Rows to copy, in order; joined where they follow each other.
    ranges: Vec<Range<usize>>,
    seen: BooleanBufferBuilder,
    holes: usize,
}

impl Gather {
    fn of(source: &ArrayData) -> Self {
        let seen = BooleanBufferBuilder::new(source.len());
        Self { source: make_array(source.clone()), ranges: Vec::new(), seen, holes: 0 }
    }

    fn len(&self) -> usize {
        self.seen.len()
    }

    fn push(&mut self, rows: Range<usize>) {
        self.seen.append_n(rows.len(), true);
        self.copy(rows);
    }

    /// A row that is none. Any row of the source can stand for it, because it is masked.
    fn hole(&mut self) {
        self.seen.append(false);
        self.holes += 1;
        self.copy(0..1);
    }

    fn copy(&mut self, rows: Range<usize>) {
        match self.ranges.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ if rows.is_empty() => {}
            _ => self.ranges.push(rows),
        }
    }

    /// The canonical form of what was picked.
    fn finish(mut self) -> Result<ArrayData, ArrowError> {
        let seen = (self.holes > 0).then(|| NullBuffer::new(self.seen.finish()));
        if self.source.is_empty() {
            // Only holes can have been picked.
            return visible(
                &make_array(ArrayData::new_null(self.source.data_type(), self.holes)),
                seen.as_ref(),
            );
        }
        if let [one] = self.ranges.as_slice() {
            return visible(&self.source.slice(one.start, one.len()), seen.as_ref());
        }
        let data = self.source.to_data();
        let mut picked = MutableArrayData::new(vec![&data], false, self.seen.len());
        for rows in &self.ranges {
            picked.try_extend(0, rows.start, rows.end)?;
        }
        visible(&make_array(picked.freeze()), seen.as_ref())
    }
}

/// Lists and maps: items in row order, none of rows that cannot be seen.
pub(super) fn lists<O: ArrowNativeType>(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let empty = [O::default()];
    let bounds = offsets::<O>(data, &empty);
    let items = &data.child_data()[0];
    if live.all() {
        let first = bounds.first().map_or(0, |first| first.as_usize());
        let last = bounds.last().map_or(0, |last| last.as_usize());
        let items = visible(&make_array(items.clone()).slice(first, last - first), None)?;
        return built(data, live, vec![rebased(data, bounds)?], vec![items]);
    }
    let mut gather = Gather::of(items);
    let mut ends: Vec<O> = vec![O::default()];
    for (row, bound) in bounds.windows(2).enumerate() {
        if live.is_live(row) {
            gather.push(bound[0].as_usize()..bound[1].as_usize());
        }
        ends.push(offset(gather.len())?);
    }
    built(data, live, vec![Buffer::from_vec(ends)], vec![gather.finish()?])
}

/// List views: as if they were lists.
pub(super) fn list_views<O: ArrowNativeType>(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let rows = data.offset()..data.offset() + data.len();
    let at = |buffer: usize| data.buffers()[buffer].typed_data::<O>().get(rows.clone()).unwrap_or(&[]);
    let mut gather = Gather::of(&data.child_data()[0]);
    let (mut starts, mut sizes) = (Vec::<O>::with_capacity(data.len()), Vec::<O>::with_capacity(data.len()));
    for (row, (start, size)) in at(0).iter().zip(at(1)).enumerate() {
        let (start, size) = (start.as_usize(), if live.is_live(row) { size.as_usize() } else { 0 });
        starts.push(offset(gather.len())?);
        sizes.push(offset(size)?);
        gather.push(start..start + size);
    }
    built(data, live, vec![Buffer::from_vec(starts), Buffer::from_vec(sizes)], vec![gather.finish()?])
}

pub(super) fn fixed_size_lists(data: &ArrayData, live: &Live, width: usize) -> Result<ArrayData, ArrowError> {
    let items = make_array(data.child_data()[0].clone()).slice(data.offset() * width, data.len() * width);
    let alive = live.0.as_ref().map(|nulls| nulls.expand(width));
    built(data, live, Vec::new(), vec![visible(&items, alive.as_ref())?])
}

pub(super) fn structs(data: &ArrayData, live: &Live) -> Result<ArrayData, ArrowError> {
    let column = |child: &ArrayData| visible(&make_array(child.clone()), live.0.as_ref());
    built(data, live, Vec::new(), data.child_data().iter().map(column).collect::<Result<_, _>>()?)
}

/// A union has no nulls of its own. A row that cannot be seen is of the first type, and null there.
pub(super) fn unions(
    data: &ArrayData,
    fields: &UnionFields,
    mode: UnionMode,
    alive: Option<&NullBuffer>,
) -> Result<ArrayData, ArrowError> {
    let rows = data.offset()..data.offset() + data.len();
    let first = fields.iter().next().map_or(0, |(id, _)| id);
    let seen = |row: usize| alive.is_none_or(|alive| alive.is_valid(row));
    let ids = data.buffers()[0].typed_data::<i8>()[rows.clone()].iter().enumerate();
    let ids: Vec<i8> = ids.map(|(row, id)| if seen(row) { *id } else { first }).collect();
    let mut children = Vec::with_capacity(fields.len());
    let mut buffers = vec![Buffer::from_vec(ids.clone())];
    if mode == UnionMode::Sparse {
        for ((id, _), child) in fields.iter().zip(data.child_data()) {
            let held: BooleanBuffer =
                ids.iter().enumerate().map(|(row, of)| *of == id && seen(row)).collect();
            let child = make_array(child.clone()).slice(data.offset(), data.len());
            children.push(visible(&child, Some(&NullBuffer::new(held)))?);
        }
        return built(data, &Live(None), buffers, children);
    }
    let places = &data.buffers()[1].typed_data::<i32>()[rows];
    let mut new = vec![0i32; ids.len()];
    for ((id, _), child) in fields.iter().zip(data.child_data()) {
        let mut gather = Gather::of(child);
        for (row, place) in places.iter().enumerate().filter(|(row, _)| ids[*row] == id) {
            new[row] = offset(gather.len())?;
            match seen(row) {
                true => gather.push(place.as_usize()..place.as_usize() + 1),
                false => gather.hole(),
            }
        }
        children.push(gather.finish()?);
    }
    buffers.push(Buffer::from_vec(new));
    built(data, &Live(None), buffers, children)
}

/// Runs as long as they can be. They have no nulls of their own; a row that cannot be seen holds a null.
pub(super) fn runs(
    data: &ArrayData,
    ends: &DataType,
    alive: Option<&NullBuffer>,
) -> Result<ArrayData, ArrowError> {
    match ends {
        DataType::Int16 => runs_of::<i16>(data, ends, alive),
        DataType::Int32 => runs_of::<i32>(data, ends, alive),
        _ => runs_of::<i64>(data, ends, alive),
    }
}

fn runs_of<R: ArrowNativeType>(
    data: &ArrayData,
    ends_type: &DataType,
    alive: Option<&NullBuffer>,
) -> Result<ArrayData, ArrowError> {
    let [old_ends, values] = data.child_data() else {
        return Err(ArrowError::InvalidArgumentError("runs without ends and values".to_owned()));
    };
    let all = make_array(values.clone());
    let at = old_ends.offset()..old_ends.offset() + old_ends.len();
    let old = old_ends.buffers()[0].typed_data::<R>().get(at).unwrap_or(&[]);
    let same = |a: usize, b: usize| a == b || *all.slice(a, 1) == *all.slice(b, 1);
    let mut gather = Gather::of(values);
    let mut ends: Vec<R> = Vec::new();
    let (mut run, mut last) = (0usize, None);
    for row in 0..data.len() {
        while old.get(run).is_some_and(|end| end.as_usize() <= data.offset() + row) {
            run += 1;
        }
        let held = alive.is_none_or(|alive| alive.is_valid(row)).then_some(run);
        let goes_on = match (last, held) {
            (Some(Some(before)), Some(now)) => same(before, now),
            (Some(None), None) => true,
            _ => false,
        };
        if !goes_on {
            match held {
                Some(run) => gather.push(run..run + 1),
                None => gather.hole(),
            }
            ends.push(R::default());
        }
        last = Some(held);
        if let Some(end) = ends.last_mut() {
            *end = offset(row + 1)?;
        }
    }
    let ends = ArrayData::builder(ends_type.clone()).len(ends.len()).add_buffer(Buffer::from_vec(ends));
    built(data, &Live(None), Vec::new(), vec![ends.build()?, gather.finish()?])
}

/// A dictionary of what the rows use, in order of first use. A value that is null is a null of the row.
pub(super) fn dictionary(array: &dyn Array, key: &DataType, live: &Live) -> Result<ArrayData, ArrowError> {
    let data = array.to_data();
    let dictionary = array.as_any_dictionary();
    let values = dictionary.values();
    let old = if values.is_empty() { vec![0; array.len()] } else { dictionary.normalized_keys() };
    let missing = values.logical_nulls();
    let is_value = |row: usize| {
        let value = old[row];
        !values.is_empty() && live.is_live(row) && missing.as_ref().is_none_or(|nulls| nulls.is_valid(value))
    };
    let seen: BooleanBuffer = (0..array.len()).map(is_value).collect();

    let mut gather = Gather::of(&values.to_data());
    let mut place_of: Vec<Option<usize>> = vec![None; values.len()];
    for row in seen.set_indices() {
        if place_of[old[row]].is_none() {
            place_of[old[row]] = Some(gather.len());
            gather.push(old[row]..old[row] + 1);
        }
    }
    let used = make_array(gather.finish()?);
    let (used, same_as) = distinct(used)?;
    let new = (0..array.len()).map(|row| {
        let place = if seen.value(row) { place_of[old[row]] } else { None };
        place.map_or(0, |place| same_as.get(place).copied().unwrap_or(place))
    });
    macro_rules! keys {
        ($arrow:ty) => {{
            let keys = new.map(offset::<<$arrow as arrow::datatypes::ArrowPrimitiveType>::Native>);
            Buffer::from_vec(keys.collect::<Result<Vec<_>, _>>()?)
        }};
    }
    let keys = downcast_integer! {
        key => (keys),
        other => return Err(ArrowError::InvalidArgumentError(format!("a dictionary with keys of {other}"))),
    };
    let seen = NullBuffer::new(seen);
    let live = Live((seen.null_count() > 0).then(|| super::clean(&seen)));
    built(&data, &live, vec![keys], vec![used])
}

/// The values without those that are there already, and the new place of each. Values that cannot be
/// compared as rows are left as they are.
fn distinct(values: ArrayRef) -> Result<(ArrayData, Vec<usize>), ArrowError> {
    let field = SortField::new(values.data_type().clone());
    if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
        return Ok((values.to_data(), Vec::new()));
    }
    let converter = RowConverter::new(vec![field])?;
    let rows = converter.convert_columns(std::slice::from_ref(&values))?;
    let mut gather = Gather::of(&values.to_data());
    let mut known = HashMap::new();
    let mut places = Vec::with_capacity(values.len());
    for (at, row) in rows.iter().enumerate() {
        let next = gather.len();
        let place = *known.entry(row).or_insert(next);
        if place == next {
            gather.push(at..at + 1);
        }
        places.push(place);
    }
    Ok((gather.finish()?, places))
}
