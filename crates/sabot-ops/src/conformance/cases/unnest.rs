//! Unnest: lists of every layout and element, empty and null, and far longer than a morsel.

use arrow::array::{ArrayRef, Int64Array, ListViewArray, RecordBatch};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rand::Rng;
use sabot_batch::{Morsel, hidden};
use sabot_expr::{FunctionRegistry, col, resolve};
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, NotPassed};
use crate::conformance::data::{self, Alive, Dress, Values, payload_types, with_hidden};
use crate::{FilterProjectSpec, Fragment, SpecError, UnnestColumn, UnnestSource, UnnestSpec};

pub(super) fn add(cases: &mut Cases) {
    for (number, element) in payload_types().into_iter().enumerate() {
        // Each element in one layout, and each layout with many elements.
        let list = layout(number % 5, element);
        for keep_empty in [false, true] {
            let detail = format!("{list}{}", if keep_empty { ", empty ones kept" } else { "" });
            let list = list.clone();
            cases.case("unnest/lists", detail, move |bench| {
                let morsels = bench.morsels(&schema(&list), false, &|_| Values::Mixed)?;
                check(bench, &list, (keep_empty, true), &morsels)
            });
        }
    }
    for size in [1, 3] {
        let list = DataType::FixedSizeList(Arc::new(Field::new_list_field(DataType::Utf8, true)), size);
        for keep_empty in [false, true] {
            let detail = format!("{list}{}", if keep_empty { ", empty ones kept" } else { "" });
            let list = list.clone();
            cases.case("unnest/fixed-size", detail, move |bench| {
                let morsels = bench.morsels(&schema(&list), false, &|_| Values::Mixed)?;
                check(bench, &list, (keep_empty, true), &morsels)
            });
        }
    }
    for number in 0..5 {
        let list = layout(number, DataType::Int64);
        cases.case("unnest/row-kinds", list.to_string(), move |bench| {
            let morsels = bench.morsels(&schema(&list), true, &|_| Values::Tame)?;
            check(bench, &list, (number % 2 == 0, true), &morsels)
        });
    }
    for keep_empty in [false, true] {
        let detail = if keep_empty { "empty ones kept" } else { "empty ones dropped" };
        cases.case("unnest/long", detail, move |bench| {
            let list = layout(2, DataType::Int64);
            let morsels = long(bench, &schema(&list))?;
            check(bench, &list, (keep_empty, false), &morsels)
        });
    }
    // Dead rows and failing ones come before the lists are looked at.
    cases.cell("unnest/behind-filter", |bench| {
        let list = layout(0, DataType::Int32);
        let input = schema(&list);
        let typed = |expr| resolve(&expr, &input, &FunctionRegistry::new());
        let filter = FilterProjectSpec {
            predicate: Some(typed((col("n") * 2).gt(-3))?),
            projections: vec![
                crate::Projection { name: "n".to_owned(), expr: typed(col("n"))? },
                crate::Projection { name: "list".to_owned(), expr: typed(col("list"))? },
            ],
            carried: vec![3],
        };
        let columns = vec![
            column("list", UnnestSource::Element),
            column(hidden::KEY, UnnestSource::Order(Some(2))),
            column("n", UnnestSource::Input(0)),
        ];
        let unnest = UnnestSpec { list: 1, keep_empty: true, columns };
        let fragment = Fragment::new(input.clone(), vec![filter.into(), unnest.into()])?;
        for values in [Values::Tame, Values::Mixed] {
            let morsels = bench.morsels(&input, false, &|_| values)?;
            bench.check(&fragment, &morsels, &[Equality::Bits; 3])?;
        }
        Ok(())
    });
    // Rows are counted although no column is left.
    cases.cell("unnest/no-columns", |bench| {
        let list = layout(1, DataType::Utf8);
        let spec = UnnestSpec { list: 2, keep_empty: false, columns: Vec::new() };
        let fragment = Fragment::new(schema(&list), vec![spec.into()])?;
        let morsels = bench.morsels(&schema(&list), false, &|_| Values::Tame)?;
        bench.check(&fragment, &morsels, &[])
    });
}

/// A list of one of the five layouts.
fn layout(number: usize, element: DataType) -> DataType {
    let item = Arc::new(Field::new_list_field(element, true));
    match number {
        0 => DataType::List(item),
        1 => DataType::LargeList(item),
        2 => DataType::ListView(item),
        3 => DataType::LargeListView(item),
        _ => DataType::FixedSizeList(item, 2),
    }
}

fn schema(list: &DataType) -> SchemaRef {
    let columns = vec![
        Field::new("n", DataType::Int8, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("list", list.clone(), true),
    ];
    with_hidden(Schema::new(columns), &[hidden::KEY, hidden::ROW])
}

fn column(name: &str, source: UnnestSource) -> UnnestColumn {
    UnnestColumn { name: name.to_owned(), source }
}

/// All columns, then some of them alone, with and without a key of the rows' own; `repeated` says whether the
/// list itself is one of them.
fn fragments(list: &DataType, keep_empty: bool, repeated: bool) -> Result<Vec<(Fragment, usize)>, SpecError> {
    let mut all = vec![
        column("s", UnnestSource::Input(1)),
        column("element", UnnestSource::Element),
        column("position", UnnestSource::Position),
        column(hidden::ROW, UnnestSource::Input(4)),
        column(hidden::KEY, UnnestSource::Order(Some(3))),
    ];
    if repeated {
        all.push(column("list", UnnestSource::Input(2)));
    }
    let few =
        vec![column("position", UnnestSource::Position), column(hidden::KEY, UnnestSource::Order(None))];
    let fragment = |columns: Vec<UnnestColumn>| {
        let width = columns.len();
        let spec = UnnestSpec { list: 2, keep_empty, columns };
        Ok((Fragment::new(schema(list), vec![spec.into()])?, width))
    };
    [all, few].into_iter().map(fragment).collect()
}

fn check(
    bench: &mut Bench<'_>,
    list: &DataType,
    (keep_empty, repeated): (bool, bool),
    morsels: &[Morsel],
) -> Result<(), NotPassed> {
    for (fragment, width) in fragments(list, keep_empty, repeated)? {
        bench.check(&fragment, morsels, &vec![Equality::Bits; width])?;
    }
    Ok(())
}

/// Rows with lists of thousands of elements, which overlap and stand in any order, among empty ones.
fn long(bench: &mut Bench<'_>, schema: &SchemaRef) -> Result<Vec<Morsel>, NotPassed> {
    let mut morsels = Vec::new();
    for rows in [1, 3, 33] {
        let batch = bench.batch(schema, rows, data::Nulls::Some, &|_| Values::Tame)?;
        let elements: Int64Array = (0..6_000).map(|n| (n % 7 != 0).then_some(n)).collect();
        let mut sizes = Vec::with_capacity(rows);
        let mut offsets = Vec::with_capacity(rows);
        for _ in 0..rows {
            let size =
                *[0, 1, 1_023, 1_024, 1_025, 5_000].get(bench.rng.random_range(0..6usize)).unwrap_or(&0);
            sizes.push(size);
            offsets.push(bench.rng.random_range(0..=6_000 - size));
        }
        let nulls: NullBuffer = (0..rows).map(|_| bench.rng.random_bool(0.9)).collect();
        let item = Arc::new(Field::new_list_field(DataType::Int64, true));
        let (offsets, sizes) = (ScalarBuffer::from(offsets), ScalarBuffer::from(sizes));
        let lists: ArrayRef =
            Arc::new(ListViewArray::try_new(item, offsets, sizes, Arc::new(elements), Some(nulls))?);
        let mut columns = batch.columns().to_vec();
        columns[2] = lists;
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let alive = Alive::ALL[morsels.len() % 2];
        morsels.push(data::morsel(&mut bench.rng, batch, Dress { alive, kinds: false })?);
    }
    Ok(morsels)
}
