//! Random lists, structs, maps, unions and runs.
//!
//! Lists have items under their nulls, and items that no list refers to; a view's lists stand in any order and may
//! overlap.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray,
    Int64Array, MapArray, OffsetSizeTrait, StructArray, UnionArray, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, UnionFields, UnionMode};
use rand::Rng;
use std::sync::Arc;

use super::{Spread, random_array};

pub(super) fn array(
    rng: &mut impl Rng,
    data_type: &DataType,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    match data_type {
        DataType::List(item) => list::<i32>(rng, item, length, nulls, spread),
        DataType::LargeList(item) => list::<i64>(rng, item, length, nulls, spread),
        DataType::ListView(item) => list_view::<i32>(rng, item, length, nulls, spread),
        DataType::LargeListView(item) => list_view::<i64>(rng, item, length, nulls, spread),
        DataType::FixedSizeList(item, size) => {
            let width = usize::try_from(*size).expect("checked sizes are not negative");
            let items = field(rng, item, length * width, spread);
            let list = FixedSizeListArray::try_new_with_length(item.clone(), *size, items, nulls, length);
            Arc::new(list.expect("the items fit"))
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().map(|f| field(rng, f, length, spread)).collect();
            let whole = StructArray::try_new_with_length(fields.clone(), columns, nulls, length);
            Arc::new(whole.expect("the columns fit"))
        }
        DataType::Map(entries, sorted) => {
            let offsets = offsets::<i32>(rng, length);
            let items = field(rng, entries, items_of(&offsets), spread);
            let map = MapArray::try_new(entries.clone(), offsets, items.as_struct().clone(), nulls, *sorted);
            Arc::new(map.expect("the entries fit"))
        }
        DataType::Union(fields, mode) => union(rng, fields, *mode, length, nulls.as_ref(), spread),
        DataType::RunEndEncoded(ends, values) => {
            runs(rng, data_type, [ends, values], length, nulls.as_ref(), spread)
        }
        other => panic!("the test kit draws no arrays of {other}"),
    }
}

/// A child; about one in ten is null where the field allows it.
fn field(rng: &mut impl Rng, field: &FieldRef, length: usize, spread: Spread) -> ArrayRef {
    let null_share = if field.is_nullable() { 0.1 } else { 0.0 };
    random_array(rng, field.data_type(), length, null_share, spread)
}

/// Offsets of lists of up to three items; the first need not begin at the first item.
fn offsets<O: OffsetSizeTrait>(rng: &mut impl Rng, length: usize) -> OffsetBuffer<O> {
    let mut ends = vec![rng.random_range(0..3usize)];
    for _ in 0..length {
        ends.push(ends[ends.len() - 1] + rng.random_range(0..4));
    }
    OffsetBuffer::new(ends.into_iter().map(O::usize_as).collect())
}

/// Items up to the last offset, and one more.
fn items_of<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> usize {
    offsets.last().map_or(0, |end| end.as_usize()) + 1
}

fn list<O: OffsetSizeTrait>(
    rng: &mut impl Rng,
    item: &FieldRef,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    let offsets = offsets::<O>(rng, length);
    let items = field(rng, item, items_of(&offsets), spread);
    Arc::new(GenericListArray::<O>::new(item.clone(), offsets, items, nulls))
}

fn list_view<O: OffsetSizeTrait>(
    rng: &mut impl Rng,
    item: &FieldRef,
    length: usize,
    nulls: Option<NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    let count = rng.random_range(4..40usize);
    let items = field(rng, item, count, spread);
    let sizes: Vec<usize> = (0..length).map(|_| rng.random_range(0..4)).collect();
    let offsets: ScalarBuffer<O> =
        sizes.iter().map(|size| O::usize_as(rng.random_range(0..=count - size))).collect();
    let sizes = sizes.into_iter().map(O::usize_as).collect();
    Arc::new(GenericListViewArray::<O>::new(item.clone(), offsets, sizes, items, nulls))
}

/// Where the union is to be null, the value that it holds is.
fn union(
    rng: &mut impl Rng,
    fields: &UnionFields,
    mode: UnionMode,
    length: usize,
    nulls: Option<&NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    let all: Vec<i8> = fields.iter().map(|(id, _)| id).collect();
    let ids: Vec<i8> = (0..length).map(|_| all[rng.random_range(0..all.len())]).collect();
    let (mut children, mut places) = (Vec::new(), vec![0i32; length]);
    for (id, of) in fields.iter() {
        let mine: Vec<usize> = match mode {
            UnionMode::Sparse => (0..length).collect(),
            UnionMode::Dense => (0..length).filter(|row| ids[*row] == id).collect(),
        };
        mine.iter().enumerate().for_each(|(place, row)| places[*row] = place as i32);
        let child = random_array(rng, of.data_type(), mine.len(), 0.0, spread);
        let valid = nulls.map(|nulls| NullBuffer::from_iter(mine.iter().map(|row| nulls.is_valid(*row))));
        children.push(super::with_nulls(child, valid));
    }
    let places = (mode == UnionMode::Dense).then(|| ScalarBuffer::from(places));
    Arc::new(UnionArray::try_new(fields.clone(), ids.into(), places, children).expect("the children fit"))
}

/// Runs of one to five rows; a row that is to be null is a run of its own.
fn runs(
    rng: &mut impl Rng,
    data_type: &DataType,
    [ends, values]: [&FieldRef; 2],
    length: usize,
    nulls: Option<&NullBuffer>,
    spread: Spread,
) -> ArrayRef {
    let (mut last_of, mut valid) = (Vec::new(), Vec::new());
    let mut row = 0;
    while row < length {
        let is_valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
        let most = rng.random_range(1..6);
        let same = (row..length.min(row + most))
            .take_while(|next| nulls.is_none_or(|nulls| nulls.is_valid(*next)) == is_valid)
            .count();
        row += same;
        last_of.push(row as i64);
        valid.push(is_valid);
    }
    let plain = random_array(rng, values.data_type(), valid.len(), 0.0, spread);
    let values = super::with_nulls(plain, nulls.map(|_| NullBuffer::from(valid)));
    let ends = cast(&Int64Array::from(last_of), ends.data_type()).expect("few rows");
    let data = ArrayData::builder(data_type.clone())
        .len(length)
        .add_child_data(ends.to_data())
        .add_child_data(values.to_data());
    make_array(data.build().expect("the runs fit"))
}
