//! Unnest beside arrow-rs: short lists, lists of which one in three is empty, and long ones.
//!
//! The result is a number that is repeated, an element and its position: a row too few, too many or in
//! another place is a wrong checksum.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::kernel::Runner;
use sabot_benches::{Contest, Size, data};
use sabot_ops::{UnnestColumn, UnnestSource, UnnestSpec};
use std::ops::Range;
use std::sync::Arc;

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    contest(criterion, "lists of 1 to 8", 1..9);
    contest(criterion, "lists of 0 to 2", 0..3);
    contest(criterion, "lists of 1000", 1_000..1_001);
}

fn contest(criterion: &mut Criterion, name: &str, lengths: Range<i64>) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    // About as many elements as other benchmarks have rows.
    let mean = usize::try_from((lengths.start + lengths.end) / 2).map_or(1, |mean| mean.max(1));
    let lists = rows.div_ceil(mean);
    let keys = data::ints(21, lists, 0..1_000);
    let lengths: Vec<usize> =
        data::ints(22, lists, lengths).into_iter().filter_map(|n| usize::try_from(n).ok()).collect();
    let elements = data::ints(23, lengths.iter().sum(), 0..1_000_000);
    let item = Arc::new(Field::new_list_field(DataType::Int64, false));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    let list = ListArray::new(item, offsets, Arc::new(Int64Array::from(elements.clone())), None);
    let batch = data::batch([
        ("key", Arc::new(Int64Array::from(keys.clone())) as ArrayRef),
        ("elements", Arc::new(list)),
    ]);
    let morsels = data::morsels(&batch, morsel_rows.div_ceil(mean));
    let mut next = elements.iter();
    let expected = keys.iter().zip(&lengths).flat_map(|(key, length)| {
        let of_one: Vec<Row> = (1..=*length as i64)
            .zip(&mut next)
            .map(|(position, element)| Row::new().int(*key).int(*element).int(position))
            .collect();
        of_one
    });
    let contest = Contest {
        group: "unnest",
        name: name.to_owned(),
        rows: elements.len() as u64,
        bytes: data::bytes(&morsels),
        expected: checksum::of_rows(expected),
    };
    let column = |name: &str, source| UnnestColumn { name: name.to_owned(), source };
    let columns = vec![
        column("key", UnnestSource::Input(0)),
        column("element", UnnestSource::Element),
        column("position", UnnestSource::Position),
    ];
    let spec = UnnestSpec { list: 1, keep_empty: false, columns };
    let mut runner = Runner::new(&batch.schema(), spec, morsel_rows);
    let by_arrow = || -> Vec<RecordBatch> {
        let results = morsels.iter().map(with_arrow);
        results.collect::<Result<_, _>>().expect("columns that arrow-rs can take from")
    };
    let sum = |rows: &Vec<RecordBatch>| checksum::of_batches(rows.iter().map(|batch| (Row::new(), batch)));
    contest.with_peer(criterion, (|| runner.rows(&morsels), sum), "arrow-rs", (by_arrow, sum));
}

/// The same with arrow-rs: which row each element is of, then one `take`; the elements are a slice.
fn with_arrow(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let lists = batch.column(1).as_list::<i32>();
    let (mut rows, mut positions) = (Vec::new(), Vec::new());
    for (row, length) in (0u32..).zip(lists.offsets().lengths()) {
        rows.resize(rows.len() + length, row);
        positions.extend(1..=length as i64);
    }
    let first = lists.value_offsets().first().map_or(0, |first| *first as usize);
    let elements = lists.values().slice(first, rows.len());
    let keys = take(batch.column(0), &UInt32Array::from(rows), None)?;
    let positions: ArrayRef = Arc::new(Int64Array::from(positions));
    RecordBatch::try_from_iter([("key", keys), ("element", elements), ("position", positions)])
}
