//! Unnest: lists to rows, a part at a time.
//!
//! A list is a stretch of the array of all elements. What is needed of the list column is therefore only where
//! each row's stretch begins and how long it is. A part of the result takes stretches until it has as many
//! rows as a morsel may have, in the middle of a list if need be; nothing is made before it is asked for, so
//! that a row with ten million elements takes no more memory than one with ten. Where the stretches of a part
//! lie one behind the other, which is how lists are written, its elements are a slice and not copied.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, GenericListArray, GenericListViewArray, Int64Array,
    OffsetSizeTrait, PrimitiveArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::{Morsel, RowKind, RowKinds, TimeBounds, gather};
use sabot_ops::{Failure, UnnestSource, UnnestSpec};
use std::sync::Arc;

use crate::backend::Halt;
use crate::expr::arrow_bug;
use crate::rows::Rows;

/// Bytes of repeated columns after which a part ends although it could have more rows: a document of a
/// megabyte that is carried to each of its ten thousand elements must not take ten gigabytes at once. As
/// much as a morsel of 64 Ki rows with 512 bytes each.
const PART_BYTES: usize = 32 << 20;

/// An unnest step.
#[derive(Clone, Debug)]
pub(crate) struct Unnest {
    spec: UnnestSpec,
    output: SchemaRef,
}

/// Rows of which a part is unnested.
#[derive(Debug)]
pub(crate) struct Unnesting {
    step: Unnest,
    columns: Vec<ArrayRef>,
    kinds: RowKinds,
    bounds: Option<TimeBounds>,
    elements: ArrayRef,
    /// Where each row's elements begin, and how many there are.
    lists: Vec<(usize, usize)>,
    /// Bytes that a row has in columns that are repeated; empty where none of them has any to speak of.
    widths: Vec<usize>,
    /// The next row, and how many of its elements have been given.
    next: (usize, usize),
}

impl Unnest {
    pub(crate) fn new(spec: &UnnestSpec, output: &SchemaRef) -> Self {
        Self { spec: spec.clone(), output: output.clone() }
    }

    /// The rows, of which none is unnested yet.
    ///
    /// # Errors
    /// Only when the rows are not of the step's input schema.
    pub(crate) fn start(&self, rows: Rows, bounds: Option<TimeBounds>) -> Result<Unnesting, Halt> {
        let rows = rows.compact()?;
        if u32::try_from(rows.len()).is_err() {
            let message = format!("{} rows in one morsel; at most {} are possible", rows.len(), u32::MAX);
            return Err(Halt::internal(message));
        }
        let list = rows.columns().get(self.spec.list);
        let list = list.ok_or_else(|| Halt::internal(format!("no column {} to unnest", self.spec.list)))?;
        let (elements, mut lists) = stretches(list)?;
        if lists.len() != rows.len() {
            // Arrow's kernels lose the length of lists of fixed size 0.
            return Err(Halt::internal(format!("{} lists in {} rows to unnest", lists.len(), rows.len())));
        }
        if let Some(nulls) = list.nulls() {
            lists.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(list, _)| list.1 = 0);
        }
        let mut widths = Vec::new();
        for column in &self.spec.columns {
            if let UnnestSource::Input(index) = column.source {
                let column = rows.columns().get(index);
                let column = column.ok_or_else(|| Halt::internal(format!("no column {index} to repeat")))?;
                add_widths(column, &mut widths);
            }
        }
        let kinds = rows.kinds().clone();
        let columns = rows.columns().to_vec();
        let (step, next) = (self.clone(), (0, 0));
        let mut unnesting = Unnesting { step, columns, kinds, bounds, elements, lists, widths, next };
        unnesting.pass_empty();
        Ok(unnesting)
    }
}

impl Unnesting {
    /// Whether every row has been given whole.
    pub(crate) fn is_done(&self) -> bool {
        self.next.0 >= self.lists.len()
    }

    /// The next rows of the result, at most `limit` and at least one.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Morsel>, Failure> {
        let part = self.part(limit.max(1));
        if part.parents.is_empty() {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.step.spec.columns.len());
        let parents = UInt32Array::from(part.parents);
        for column in &self.step.spec.columns {
            columns.push(match column.source {
                UnnestSource::Input(index) => {
                    take(&self.columns[index], &parents, None).map_err(arrow_bug)?
                }
                UnnestSource::Element => pick(&self.elements, &part.stretches).map_err(arrow_bug)?,
                UnnestSource::Position => Arc::new(positions(&part.stretches, parents.len())),
                UnnestSource::Order(key) => {
                    let keys = key.map(|key| &self.columns[key]);
                    order(keys, &parents, &part.stretches)
                }
            });
        }
        let kinds = match &self.kinds {
            RowKinds::AllInsert => RowKinds::AllInsert,
            RowKinds::PerRow(kinds) => {
                RowKinds::PerRow(parents.values().iter().map(|row| alone(kinds[*row as usize])).collect())
            }
        };
        let rows = Rows::dense(columns, parents.len(), kinds);
        rows.into_morsel(&self.step.output, self.bounds, None).map(Some)
    }

    /// Takes rows until the part is full.
    fn part(&mut self, limit: usize) -> Part {
        let mut part = Part { parents: Vec::new(), stretches: Vec::new() };
        let mut bytes = 0;
        while part.parents.len() < limit && bytes < PART_BYTES && !self.is_done() {
            let (row, given) = self.next;
            let (start, length) = self.lists[row];
            let width = self.widths.get(row).copied().unwrap_or(0);
            let most = (PART_BYTES - bytes).checked_div(width).map_or(limit, |rows| rows.max(1));
            let rows = (length - given).min(limit - part.parents.len()).min(most);
            // A row that is kept without elements.
            let repeated = rows.max(1);
            part.stretches.push(Stretch { start: start + given, length: rows, first: given });
            // The rows of a morsel are fewer than 2^32: checked at the start.
            part.parents.resize(part.parents.len() + repeated, row as u32);
            bytes = bytes.saturating_add(width.saturating_mul(repeated));
            self.next.1 += rows;
            if self.next.1 == length {
                self.next = (row + 1, 0);
                self.pass_empty();
            }
        }
        part
    }

    /// Goes on to the next row that gives something.
    fn pass_empty(&mut self) {
        if !self.step.spec.keep_empty {
            while self.lists.get(self.next.0).is_some_and(|(_, length)| *length == 0) {
                self.next.0 += 1;
            }
        }
    }
}

/// A part of the result.
struct Part {
    /// The row of each result.
    parents: Vec<u32>,
    stretches: Vec<Stretch>,
}

/// Elements of one list that stand side by side; none for a row that is kept without elements.
struct Stretch {
    start: usize,
    length: usize,
    /// How many elements of the list stand before them.
    first: usize,
}

/// Row kinds of results: a pair is none any more.
fn alone(kind: RowKind) -> RowKind {
    match kind {
        RowKind::UpdateBefore => RowKind::Delete,
        RowKind::UpdateAfter => RowKind::Insert,
        kind => kind,
    }
}

/// All elements, and where those of each row lie, whether it is null or not.
fn stretches(lists: &ArrayRef) -> Result<(ArrayRef, Vec<(usize, usize)>), Halt> {
    Ok(match lists.data_type() {
        DataType::List(_) => by_offsets(lists.as_list::<i32>()),
        DataType::LargeList(_) => by_offsets(lists.as_list::<i64>()),
        DataType::ListView(_) => by_sizes(lists.as_list_view::<i32>()),
        DataType::LargeListView(_) => by_sizes(lists.as_list_view::<i64>()),
        DataType::FixedSizeList(_, size) => {
            let size = usize::try_from(*size).unwrap_or(0);
            let array = lists.as_fixed_size_list();
            (array.values().clone(), (0..array.len()).map(|row| (row * size, size)).collect())
        }
        other => return Err(Halt::internal(format!("unnest of {other}, which is no list"))),
    })
}

fn by_offsets<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> (ArrayRef, Vec<(usize, usize)>) {
    let stretch = |pair: &[O]| (pair[0].as_usize(), pair[1].as_usize() - pair[0].as_usize());
    (lists.values().clone(), lists.value_offsets().windows(2).map(stretch).collect())
}

fn by_sizes<O: OffsetSizeTrait>(lists: &GenericListViewArray<O>) -> (ArrayRef, Vec<(usize, usize)>) {
    let stretches = lists.value_offsets().iter().zip(lists.value_sizes());
    (lists.values().clone(), stretches.map(|(start, size)| (start.as_usize(), size.as_usize())).collect())
}

/// The elements of stretches; a null for each that has none.
fn pick(elements: &ArrayRef, stretches: &[Stretch]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let behind = |pair: &[Stretch]| pair[0].start + pair[0].length == pair[1].start;
    if stretches.windows(2).all(behind) && stretches.iter().all(|s| s.length > 0) {
        let (start, length) = (stretches[0].start, stretches.iter().map(|s| s.length).sum());
        return Ok(elements.slice(start, length));
    }
    if elements.is_empty() {
        return Ok(new_null_array(elements.data_type(), stretches.len()));
    }
    let mut places = Vec::new();
    let mut valid = Vec::new();
    for stretch in stretches {
        places.extend(stretch.start as u64..(stretch.start + stretch.length) as u64);
        valid.resize(places.len(), true);
        if stretch.length == 0 {
            places.push(0);
            valid.push(false);
        }
    }
    let places: UInt64Array = PrimitiveArray::new(places.into(), Some(NullBuffer::from(valid)));
    gather(elements, &places)
}

fn positions(stretches: &[Stretch], rows: usize) -> Int64Array {
    let mut positions = Vec::with_capacity(rows);
    for stretch in stretches {
        match stretch.length {
            0 => positions.push(None),
            // Lists have fewer than 2^63 elements.
            length => positions.extend((stretch.first..stretch.first + length).map(|n| Some(n as i64 + 1))),
        }
    }
    positions.into()
}

/// The hidden key of each result.
fn order(keys: Option<&ArrayRef>, parents: &UInt32Array, stretches: &[Stretch]) -> ArrayRef {
    let keys = keys.map(|keys| keys.as_binary::<i32>());
    let mut order = BinaryBuilder::with_capacity(parents.len(), parents.len() * 16);
    let mut bytes = Vec::new();
    let mut rows = parents.values().iter();
    for stretch in stretches {
        let numbers = match stretch.length {
            0 => 0..1,
            length => stretch.first as u64 + 1..(stretch.first + length) as u64 + 1,
        };
        for (number, row) in numbers.zip(&mut rows) {
            bytes.clear();
            bytes.extend_from_slice(keys.map_or(&[], |keys| keys.value(*row as usize)));
            bytes.extend(number.to_be_bytes());
            order.append_value(&bytes);
        }
    }
    Arc::new(order.finish())
}

/// Adds the bytes that each row has in a column of texts, bytes or lists of them; other types have few.
fn add_widths(column: &ArrayRef, widths: &mut Vec<usize>) {
    match column.data_type() {
        DataType::Utf8 => add_stretches(column.as_string::<i32>().value_offsets(), 1, widths),
        DataType::LargeUtf8 => add_stretches(column.as_string::<i64>().value_offsets(), 1, widths),
        DataType::Binary => add_stretches(column.as_binary::<i32>().value_offsets(), 1, widths),
        DataType::LargeBinary => add_stretches(column.as_binary::<i64>().value_offsets(), 1, widths),
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            add_stretches(lists.value_offsets(), bytes_each(lists.values()), widths);
        }
        DataType::LargeList(_) => {
            let lists = column.as_list::<i64>();
            add_stretches(lists.value_offsets(), bytes_each(lists.values()), widths);
        }
        DataType::Struct(_) => {
            column.as_struct().columns().iter().for_each(|column| add_widths(column, widths));
        }
        _ => {}
    }
}

fn add_stretches<O: OffsetSizeTrait>(offsets: &[O], bytes: usize, widths: &mut Vec<usize>) {
    widths.resize(offsets.len() - 1, 0);
    for (width, pair) in widths.iter_mut().zip(offsets.windows(2)) {
        *width = width.saturating_add((pair[1] - pair[0]).as_usize().saturating_mul(bytes));
    }
}

/// Bytes of an element, on average.
fn bytes_each(elements: &ArrayRef) -> usize {
    elements.get_buffer_memory_size().div_ceil(elements.len().max(1))
}

#[cfg(test)]
mod tests;
