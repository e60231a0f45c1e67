//! What of an unnest the conformance suite cannot see: how parts are cut, and what is copied.

use super::*;
use arrow::array::{ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Int64Type, Schema};
use sabot_ops::UnnestColumn;
use sabot_ops::conformance::{self, Options};

use crate::CpuBackend;

/// Texts beside lists of counted numbers with these lengths.
fn unnesting(texts: &[&str], lengths: &[usize], keep_empty: bool) -> Unnesting {
    let elements = Int64Array::from_iter_values(0..lengths.iter().sum::<usize>() as i64);
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    let lists = ListArray::new(item, offsets, Arc::new(elements), None);
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(texts.to_vec())), Arc::new(lists)];
    let fields = [("s", false), ("list", false)].into_iter().zip(&columns);
    let fields = fields.map(|((name, nullable), c)| Field::new(name, c.data_type().clone(), nullable));
    let input: SchemaRef = Schema::new(fields.collect::<Vec<_>>()).into();
    let column = |name: &str, source| UnnestColumn { name: name.to_owned(), source };
    let columns_out = vec![
        column("s", UnnestSource::Input(0)),
        column("e", UnnestSource::Element),
        column("n", UnnestSource::Position),
    ];
    let spec = UnnestSpec { list: 1, keep_empty, columns: columns_out };
    let step = Unnest::new(&spec, &spec.output_schema(&input).unwrap());
    step.start(Rows::dense(columns, lengths.len(), RowKinds::AllInsert), None).unwrap()
}

/// Rows of each part, and all elements.
fn parts(mut unnesting: Unnesting, limit: usize) -> (Vec<usize>, Vec<Option<i64>>) {
    let (mut rows, mut elements) = (Vec::new(), Vec::new());
    while !unnesting.is_done() {
        let batch = unnesting.next(limit).unwrap().unwrap().into_dense_host().unwrap();
        rows.push(batch.num_rows());
        elements.extend(batch.column(1).as_primitive::<Int64Type>().iter());
    }
    assert!(unnesting.next(limit).unwrap().is_none(), "nothing is behind the end");
    (rows, elements)
}

#[test]
fn parts_are_full_and_cut_lists_where_they_must() {
    let lengths = [2, 0, 9, 0, 1];
    let (rows, elements) = parts(unnesting(&["a", "b", "c", "d", "e"], &lengths, false), 4);
    assert_eq!(rows, [4, 4, 4]);
    assert_eq!(elements, (0..12).map(Some).collect::<Vec<_>>());
    let (rows, elements) = parts(unnesting(&["a", "b", "c", "d", "e"], &lengths, true), 4);
    assert_eq!(rows, [4, 4, 4, 2]);
    assert_eq!(elements.iter().filter(|e| e.is_none()).count(), 2);
}

#[test]
fn rows_without_elements_leave_no_part_behind() {
    assert!(unnesting(&["a", "b"], &[0, 0], false).is_done());
    let (rows, _) = parts(unnesting(&["a", "b", "c"], &[3, 0, 0], false), 3);
    assert_eq!(rows, [3], "the empty lists at the end are passed at once");
}

#[test]
fn elements_that_lie_side_by_side_are_not_copied() {
    let mut unnesting = unnesting(&["a", "b", "c"], &[3, 2, 3], false);
    let whole = unnesting.elements.to_data().buffers()[0].as_ptr();
    let first = unnesting.next(4).unwrap().unwrap().into_dense_host().unwrap();
    assert_eq!(first.column(1).to_data().buffers()[0].as_ptr(), whole);
    let second = unnesting.next(4).unwrap().unwrap().into_dense_host().unwrap();
    assert_eq!(second.column(1).as_primitive::<Int64Type>().values(), &[4, 5, 6, 7]);
}

#[test]
fn a_long_text_ends_a_part_early() {
    let text = "x".repeat(PART_BYTES / 4 + 1);
    let (rows, elements) = parts(unnesting(&[&text, "short"], &[10, 10], false), 1_000);
    assert_eq!(rows, [4, 4, 12], "the long text stands in few rows of a part");
    assert_eq!(elements.len(), 20);
}

/// The cells of the suite with parts of a few rows, so that most lists are cut somewhere.
#[test]
fn parts_of_seven_rows_are_the_same_rows() {
    let options = Options { only: Some("unnest/".to_owned()), morsel_rows: 7, ..Options::quick() };
    let report = conformance::run(&CpuBackend::new(), &options);
    assert!(report.failed.is_empty() && !report.passed.is_empty(), "{report}");
}
