//! Over: ranks over every order, values of every type from other rows, and aggregates over every kind of
//! frame.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use sabot_batch::hidden;
use sabot_common::Span;
use sabot_expr::type_name;
use sabot_expr::types::is_float;

use super::Cases;
use super::group_by::{argument_types, bound, with_magnitudes};
use super::rank::{orders, sortable_types};
use crate::conformance::bench::{Checked, NotPassed};
use crate::conformance::data::{Values, integers, key_types, payload_types, schema_of, times, with_hidden};
use crate::conformance::difference::{Equality, Yardstick};
use crate::conformance::keyed::KeyedBench;
use crate::{
    AggregateFunction, AggregateSpec, Distance, Failure, Frame, FrameBound, FrameUnits, OverCall,
    OverFunction, OverSpec, Quantile, SortKey, reference,
};

/// What is tried over frames: each aggregate that does not depend on the order of rows. Moments, which
/// round as they are merged, are tried over integers only; how far they may be off is held in a group-by.
const AGGREGATES: [AggregateFunction; 11] = {
    use AggregateFunction as F;
    [
        F::Count,
        F::CountDistinct,
        F::Sum,
        F::Avg,
        F::Min,
        F::Max,
        F::BoolAnd,
        F::BoolOr,
        F::VarSamp,
        F::ApproxCountDistinct,
        F::ApproxQuantile { quantile: Quantile(0.4) },
    ]
};

pub(super) fn add(cases: &mut Cases) {
    for data_type in sortable_types() {
        let name = format!("over/ranks/{}", type_name(&data_type));
        let rows = schema(&data_type);
        for key in orders(VALUE) {
            let functions = [OverFunction::RowNumber, OverFunction::Rank, OverFunction::DenseRank];
            let calls = functions.map(|function| call(function, Frame::RUNNING)).to_vec();
            case(cases, name.clone(), key.to_string(), &spec(vec![], vec![key], calls), &rows);
        }
    }
    for data_type in key_types() {
        let name = format!("over/partition/{}", type_name(&data_type));
        let calls = vec![
            call(OverFunction::RowNumber, Frame::WHOLE),
            call(OverFunction::LastValue(OTHER), Frame::WHOLE),
            call(of(&AggregateFunction::Count, OTHER, &DataType::Int8), Frame::RUNNING),
        ];
        let spec = spec(vec![VALUE], vec![SortKey::ascending(OTHER)], calls);
        case(cases, name, "", &spec, &schema(&data_type));
    }
    for data_type in payload_types() {
        let name = format!("over/values/{}", type_name(&data_type));
        let around = |function| call(function, rows_between(preceding(2), following(1)));
        let calls = vec![
            around(OverFunction::Lag(VALUE, 1)),
            around(OverFunction::Lead(VALUE, 3)),
            around(OverFunction::FirstValue(VALUE)),
            around(OverFunction::LastValue(VALUE)),
            call(OverFunction::FirstValue(VALUE), rows_between(following(2), following(4))),
            call(OverFunction::LastValue(VALUE), Frame::RUNNING),
        ];
        let spec = spec(vec![PARTITION], vec![SortKey::ascending(OTHER)], calls);
        case(cases, name, "", &spec, &schema(&data_type));
    }
    for (data_type, distance) in measured_types() {
        let name = format!("over/range/{}", type_name(&data_type));
        for key in orders(VALUE) {
            for frame in range_frames(distance) {
                let rows = schema(&data_type);
                let spec = spec(vec![], vec![key], around(frame));
                case(cases, name.clone(), format!("{key}, {frame}"), &spec, &rows);
            }
        }
    }
    // Event time is an order like others.
    for frame in range_frames(Distance::Span(Span(1))) {
        let rows = with_hidden(schema_of(&COLUMNS), &[hidden::TIME, hidden::ROW]);
        let spec = spec(vec![PARTITION], vec![SortKey::ascending(COLUMNS.len())], around(frame));
        case(cases, "over/range/event-time".to_owned(), frame.to_string(), &spec, &rows);
    }
    for frame in row_frames() {
        for order in [
            vec![],
            vec![SortKey::descending(OTHER)],
            vec![SortKey::ascending(OTHER), SortKey::descending(VALUE)],
        ] {
            let detail = format!("{} keys, {frame}", order.len());
            let spec = spec(vec![PARTITION], order, around(frame));
            case(cases, "over/rows".to_owned(), detail, &spec, &schema(&DataType::Float32));
        }
    }
    for data_type in argument_types() {
        for function in AGGREGATES {
            aggregates(cases, &function, &data_type);
        }
    }
    cases.keyed("over/sum-beyond-its-type", "", |bench| {
        let sum = of(&AggregateFunction::Sum, VALUE, &DataType::Int64);
        let order = vec![SortKey::ascending(OTHER)];
        let spec = spec(vec![PARTITION], order, vec![call(sum, Frame::RUNNING)]);
        for rows in bench
            .batches(&schema(&DataType::Int64), &|i| if i == VALUE { Values::Wild } else { Values::Few })?
        {
            bench.check_over(&spec, &rows, &[])?;
        }
        Ok(())
    });
}

/// An aggregate that is tried over frames, and what its results are held to.
pub(super) struct Tried {
    pub(super) argument: AggregateSpec,
    adds: bool,
    equality: Equality,
}

impl Tried {
    /// `None` where the function does not take the type, or is held to its bound elsewhere.
    pub(super) fn new(function: &AggregateFunction, data_type: &DataType) -> Option<Self> {
        let argument = aggregate(function, VALUE, data_type);
        let moment = *function == AggregateFunction::VarSamp;
        if argument.result_field().is_err() || (moment && !data_type.is_integer()) {
            return None;
        }
        let equality = match function {
            AggregateFunction::VarSamp => Equality::Ulp(4),
            // Either zero may be the least.
            _ => Equality::Ulp(0),
        };
        let adds = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
        Some(Self { argument, adds, equality })
    }

    /// A call over each of some frames.
    pub(super) fn calls<const N: usize>(&self, frames: [Frame; N]) -> Vec<OverCall> {
        frames.map(|frame| call(OverFunction::Aggregate(self.argument.clone()), frame)).to_vec()
    }

    /// The values of a column: what is added up must not reach beyond its type.
    pub(super) fn values(&self, column: usize) -> Values {
        match (column == VALUE, self.adds) {
            (true, true) => Values::Tame,
            (true, false) => Values::Mixed,
            (false, _) => Values::Few,
        }
    }

    /// What each column is held to; `columns` gives those of the reference, in the order of the results.
    pub(super) fn yardsticks(
        &self,
        spec: &OverSpec,
        rows: &RecordBatch,
        columns: fn(&OverSpec, &RecordBatch) -> Result<Vec<ArrayRef>, Failure>,
    ) -> Result<Vec<Yardstick>, NotPassed> {
        match self.adds && is_float(rows.column(VALUE).data_type()) {
            true => sum_yardsticks(spec, rows, columns),
            false => Ok(vec![self.equality.into(); spec.calls.len()]),
        }
    }
}

/// One function over the rows around and over all before, unless it does not take the type.
fn aggregates(cases: &mut Cases, function: &AggregateFunction, data_type: &DataType) {
    let Some(tried) = Tried::new(function, data_type) else { return };
    let calls = tried.calls([rows_between(preceding(3), FrameBound::CurrentRow), Frame::RUNNING]);
    let spec = spec(vec![PARTITION], vec![SortKey::ascending(OTHER)], calls);
    let (name, rows) = (format!("over/{}/{}", function.name(), type_name(data_type)), schema(data_type));
    cases.keyed(name, "", move |bench| {
        for rows in bench.batches(&rows, &|column| tried.values(column))? {
            let yardsticks =
                tried.yardsticks(&spec, &rows, |spec, rows| Ok(reference::over(spec, rows)?.1))?;
            bench.check_over(&spec, &rows, &yardsticks)?;
        }
        Ok(())
    });
}

/// The bound of a group-by, over the rows of each frame: n · 2⁻⁵² · Σ|x|, and one rounding of a division.
fn sum_yardsticks(
    spec: &OverSpec,
    rows: &RecordBatch,
    columns: fn(&OverSpec, &RecordBatch) -> Result<Vec<ArrayRef>, Failure>,
) -> Result<Vec<Yardstick>, NotPassed> {
    let magnitudes = with_magnitudes(rows, VALUE)?;
    let data_type = magnitudes.column(VALUE).data_type();
    let mut yardsticks = Vec::with_capacity(spec.calls.len());
    for given in &spec.calls {
        let probe = [AggregateFunction::Count, AggregateFunction::Sum]
            .map(|function| call(of(&function, VALUE, data_type), given.frame));
        let columns = columns(&OverSpec { calls: probe.to_vec(), ..spec.clone() }, &magnitudes)?;
        let (counts, sums) =
            (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Float64Type>());
        let average = given.function.name() == "avg";
        let distance = |row: usize| {
            let (count, sum) = (counts.value(row), sums.value(row));
            match average {
                true => (bound(count, sum) + sum * f64::EPSILON) / count as f64,
                false => bound(count, sum),
            }
        };
        let distances = (0..rows.num_rows()).map(|row| if sums.is_null(row) { 0.0 } else { distance(row) });
        yardsticks.push(Yardstick { equality: Equality::Bound, distances: distances.collect() });
    }
    Ok(yardsticks)
}

pub(super) const VALUE: usize = 0;
pub(super) const OTHER: usize = 1;
pub(super) const PARTITION: usize = 2;
pub(super) const COLUMNS: [(&str, DataType); 3] =
    [("value", DataType::Int32), ("other", DataType::Int8), ("partition", DataType::Utf8)];

fn schema(value: &DataType) -> SchemaRef {
    let mut columns = COLUMNS;
    columns[VALUE].1 = value.clone();
    with_hidden(schema_of(&columns), &[hidden::ROW])
}

fn spec(partition: Vec<usize>, order: Vec<SortKey>, calls: Vec<OverCall>) -> OverSpec {
    OverSpec { partition, order, ties: Vec::new(), calls }
}

pub(super) fn call(function: OverFunction, frame: Frame) -> OverCall {
    OverCall { name: function.name().to_owned(), function, frame }
}

fn aggregate(function: &AggregateFunction, column: usize, data_type: &DataType) -> AggregateSpec {
    AggregateSpec::new(function.clone(), [(column, data_type.clone())], function.name())
}

pub(super) fn of(function: &AggregateFunction, column: usize, data_type: &DataType) -> OverFunction {
    OverFunction::Aggregate(aggregate(function, column, data_type))
}

/// What tells which rows a frame has.
pub(super) fn around(frame: Frame) -> Vec<OverCall> {
    let functions = [
        OverFunction::Aggregate(AggregateSpec::count("rows")),
        OverFunction::FirstValue(OTHER),
        OverFunction::LastValue(OTHER),
    ];
    functions.map(|function| call(function, frame)).to_vec()
}

pub(super) fn preceding(rows: u64) -> FrameBound {
    FrameBound::Preceding(rows.into())
}

fn following(rows: u64) -> FrameBound {
    FrameBound::Following(rows.into())
}

pub(super) fn rows_between(start: FrameBound, end: FrameBound) -> Frame {
    Frame { units: FrameUnits::Rows, start, end }
}

fn row_frames() -> Vec<Frame> {
    use FrameBound::{CurrentRow, UnboundedFollowing, UnboundedPreceding};
    vec![
        Frame::WHOLE,
        Frame::RUNNING,
        rows_between(UnboundedPreceding, CurrentRow),
        rows_between(CurrentRow, UnboundedFollowing),
        rows_between(CurrentRow, CurrentRow),
        rows_between(preceding(1), following(1)),
        rows_between(preceding(20), preceding(3)),
        rows_between(following(1), following(u64::MAX)),
        rows_between(preceding(u64::MAX), following(0)),
    ]
}

/// The types that have distances, and a distance that some of their few values are apart.
fn measured_types() -> Vec<(DataType, Distance)> {
    let mut types: Vec<(DataType, Distance)> = Vec::new();
    types.extend(integers().into_iter().map(|t| (t, Distance::Count(2))));
    types.extend([DataType::Float32, DataType::Float64].map(|t| (t, Distance::Float(1.5))));
    for instant in times() {
        let seconds = if instant == DataType::Date32 { 86_400 } else { 1 };
        types.push((instant, Distance::Span(Span::from_secs(seconds))));
    }
    types
}

fn range_frames(distance: Distance) -> Vec<Frame> {
    use FrameBound::{CurrentRow, Following, Preceding, UnboundedFollowing, UnboundedPreceding};
    let between = |start, end| Frame { units: FrameUnits::Range, start, end };
    vec![
        between(Preceding(distance), CurrentRow),
        between(Preceding(distance), Following(distance)),
        between(UnboundedPreceding, Preceding(distance)),
        between(Following(distance), UnboundedFollowing),
        between(CurrentRow, CurrentRow),
    ]
}

fn case(cases: &mut Cases, cell: String, detail: impl Into<String>, spec: &OverSpec, rows: &SchemaRef) {
    let (spec, rows) = (spec.clone(), rows.clone());
    cases.keyed(cell, detail, move |bench| check(bench, &spec, &rows));
}

/// Rows of few values: what is apart must be so by a distance that a double holds.
fn check(bench: &mut KeyedBench<'_>, spec: &OverSpec, schema: &SchemaRef) -> Checked {
    for rows in bench.batches(schema, &|_| Values::Few)? {
        bench.check_over(spec, &rows, &passed_on(spec))?;
    }
    Ok(())
}

/// Values of other rows are passed on bit by bit.
pub(super) fn passed_on(spec: &OverSpec) -> Vec<Yardstick> {
    let is_computed = |call: &OverCall| matches!(call.function, OverFunction::Aggregate(_));
    let equality = |call: &OverCall| if is_computed(call) { Equality::Exact } else { Equality::Bits };
    spec.calls.iter().map(|call| equality(call).into()).collect()
}
