//! Over while rows come in: values of every type from rows before, and aggregates over every frame that ends at
//! the row or before it.

use arrow::datatypes::{DataType, SchemaRef};
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_expr::type_name;

use super::Cases;
use super::group_by::argument_types;
use super::over::{
    COLUMNS, OTHER, PARTITION, Tried, VALUE, around, call, of, passed_on, preceding, rows_between,
};
use crate::conformance::data::{Values, key_types, payload_types, schema_of, with_hidden};
use crate::over::rolling::can_be_given_back;
use crate::{
    AggregateFunction, Distance, Frame, FrameBound, FrameUnits, OverCall, OverFunction, OverSpec, SortKey,
    reference,
};

/// Every aggregate that rolls, but for moments of floats: how far these may be off is held in a group-by.
const AGGREGATES: [AggregateFunction; 9] = {
    use AggregateFunction as F;
    [F::Count, F::CountDistinct, F::Sum, F::Avg, F::Min, F::Max, F::BoolAnd, F::BoolOr, F::VarSamp]
};

pub(super) fn add(cases: &mut Cases) {
    for data_type in key_types() {
        let name = format!("rolling/partition/{}", type_name(&data_type));
        let spec = spec(vec![VALUE], around(back(3)));
        case(cases, name, "", &spec, &schema(&data_type));
    }
    for data_type in payload_types().into_iter().filter(can_be_given_back) {
        let name = format!("rolling/values/{}", type_name(&data_type));
        let calls = vec![
            call(OverFunction::Lag(VALUE, 0), back(0)),
            call(OverFunction::Lag(VALUE, 2), back(0)),
            call(OverFunction::FirstValue(VALUE), rows_between(preceding(5), preceding(1))),
            call(OverFunction::LastValue(VALUE), rows_between(preceding(9), preceding(4))),
            call(OverFunction::FirstValue(VALUE), back(2)),
        ];
        case(cases, name, "", &spec(vec![PARTITION], calls), &schema(&data_type));
    }
    for frame in frames() {
        for ties in [vec![], vec![SortKey::descending(OTHER)]] {
            let detail = format!("{} keys, {frame}", ties.len());
            let spec = OverSpec { ties, ..spec(vec![PARTITION], around(frame)) };
            case(cases, "rolling/frames".to_owned(), detail, &spec, &schema(&DataType::Float32));
        }
    }
    for data_type in argument_types().into_iter().filter(can_be_given_back) {
        for function in AGGREGATES {
            aggregates(cases, &function, &data_type);
        }
    }
    cases.keyed("rolling/sum-beyond-its-type", "", |bench| {
        let sum = of(&AggregateFunction::Sum, VALUE, &DataType::Int64);
        let spec = spec(vec![PARTITION], vec![call(sum, back(1_000))]);
        let values = |i| if i == VALUE { Values::Wild } else { Values::Few };
        for rows in bench.batches(&schema(&DataType::Int64), &values)? {
            bench.check_rolling(&spec, &rows, &|_| Ok(Vec::new()))?;
        }
        Ok(())
    });
}

/// One function over frames of rows and of time, unless it does not take the type.
fn aggregates(cases: &mut Cases, function: &AggregateFunction, data_type: &DataType) {
    let Some(tried) = Tried::new(function, data_type) else { return };
    let calls = tried.calls([back(3), between(9, 4), rows_between(preceding(40), FrameBound::CurrentRow)]);
    let (spec, rows) = (spec(vec![PARTITION], calls), schema(data_type));
    let name = format!("rolling/{}/{}", function.name(), type_name(data_type));
    cases.keyed(name, "", move |bench| {
        for rows in bench.batches(&rows, &|column| tried.values(column))? {
            bench.check_rolling(&spec, &rows, &|rows| tried.yardsticks(&spec, rows, reference::rolling))?;
        }
        Ok(())
    });
}

/// The columns of the cases of over, with event time.
fn schema(value: &DataType) -> SchemaRef {
    let mut columns = COLUMNS;
    columns[VALUE].1 = value.clone();
    with_hidden(schema_of(&columns), &[hidden::TIME, hidden::ROW])
}

fn spec(partition: Vec<usize>, calls: Vec<OverCall>) -> OverSpec {
    let order = vec![SortKey::ascending(COLUMNS.len())];
    OverSpec { partition, order, ties: Vec::new(), calls }
}

/// The rows of so many µs up to the row.
fn back(micros: i64) -> Frame {
    Frame {
        units: FrameUnits::Range,
        start: FrameBound::Preceding(Distance::Span(Span(micros))),
        end: FrameBound::CurrentRow,
    }
}

/// From so many µs before the row to so many before it.
fn between(from: i64, to: i64) -> Frame {
    Frame { end: FrameBound::Preceding(Distance::Span(Span(to))), ..back(from) }
}

fn frames() -> Vec<Frame> {
    use FrameBound::CurrentRow;
    vec![
        back(0),
        back(1),
        back(i64::MAX),
        between(3, 1),
        // No row is in it.
        between(1, 3),
        rows_between(CurrentRow, CurrentRow),
        rows_between(preceding(1), CurrentRow),
        rows_between(preceding(20), preceding(3)),
        rows_between(preceding(3), preceding(20)),
        rows_between(preceding(u64::MAX), preceding(1)),
    ]
}

fn case(cases: &mut Cases, cell: String, detail: impl Into<String>, spec: &OverSpec, rows: &SchemaRef) {
    let (spec, rows) = (spec.clone(), rows.clone());
    cases.keyed(cell, detail, move |bench| {
        for rows in bench.batches(&rows, &|_| Values::Few)? {
            bench.check_rolling(&spec, &rows, &|_| Ok(passed_on(&spec)))?;
        }
        Ok(())
    });
}
