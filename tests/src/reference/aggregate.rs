//! Aggregation as it is defined: gather the values of each group, then compute.

use arrow::datatypes::{DataType, Field};
use sabot_batch::key_hash::{KeyValue, reference_hash};
use sabot_common::EventTime;
use sabot_expr::Scalar;
use sabot_expr::types::decoded_type;
use sabot_ops::sketch::{DdSketch, HLL_SEED, HyperLogLog};
use sabot_ops::{AggregateFunction, UserFunction};
use sabot_plan::{Aggregation, KeyedWindow};
use sabot_time::Windows;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::row::{Cell, Rank, Row, order};

/// The exclusive end and the start of a window, or zeros where there are no windows.
pub(super) type Bounds = (i64, i64);

/// The rows of one key by window, in order of the windows' ends: each with the numbers of its rows.
pub(super) fn windows(window: Option<&KeyedWindow>, rows: &[&Row]) -> Vec<(Bounds, Vec<usize>)> {
    let mut windows: BTreeMap<Bounds, Vec<usize>> = BTreeMap::new();
    let Some(window) = window else {
        return vec![((0, 0), (0..rows.len()).collect())];
    };
    let time = |row: usize| rows[row].time.expect("windows need event time");
    if let Windows::Session(session) = &window.window {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| time(*row));
        let gap = session.gap().micros();
        for rows in order.chunk_by(|a, b| time(*b) - time(*a) < gap) {
            windows.insert((time(rows[rows.len() - 1]) + gap, time(rows[0])), rows.to_vec());
        }
        return windows.into_iter().collect();
    }
    if let Windows::Count(count) = &window.window {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| (time(*row), rows[*row].partition, rows[*row].number, &rows[*row].key));
        let size = usize::try_from(count.rows()).expect("few rows");
        // What is left over at the end is no window.
        return order.chunks_exact(size).map(|w| ((time(w[size - 1]) + 1, time(w[0])), w.to_vec())).collect();
    }
    for row in 0..rows.len() {
        for (start, end) in windows_of(&window.window, time(row)) {
            windows.entry((end, start)).or_default().push(row);
        }
    }
    windows.into_iter().collect()
}

/// Start and exclusive end of the windows that a time lies in.
fn windows_of(windows: &Windows, time: i64) -> Vec<(i64, i64)> {
    // The last multiple of `size`, counted from `offset`, at or before the time; test data stays away from
    // the ends of time.
    let boundary = |size: i64, offset: i64| time - (time - offset).rem_euclid(size);
    match windows {
        Windows::Tumbling(w) => {
            let start = boundary(w.size().micros(), w.offset().micros());
            vec![(start, start + w.size().micros())]
        }
        Windows::Hopping(w) => {
            let (size, slide) = (w.size().micros(), w.slide().micros());
            let mut start = boundary(slide, w.offset().micros());
            let mut found = Vec::new();
            while start + size > time {
                found.push((start, start + size));
                start -= slide;
            }
            found
        }
        Windows::Cumulate(w) => {
            let start = boundary(w.size().micros(), w.offset().micros());
            let ends = (1..=w.size().micros() / w.step().micros()).map(|n| start + n * w.step().micros());
            ends.filter(|end| *end > time).map(|end| (start, end)).collect()
        }
        // What a calendar says is held against a scan of the clock where it is computed.
        Windows::Calendar(_) => {
            let window = windows.slice_of(EventTime(time));
            vec![(window.start.micros(), window.end().micros())]
        }
        Windows::Session(_) | Windows::Count(_) => Vec::new(),
    }
}

/// A row that takes part in an aggregate.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) arguments: Vec<Cell>,
    pub(super) place: (i64, u64, u64, Vec<Rank>),
}

/// What an aggregate gives over the rows of a group that take part.
///
/// # Errors
/// The text of an integer sum that does not fit its type.
pub(super) fn aggregate(spec: &Aggregation, rows: &[Taken]) -> Result<Cell, String> {
    use AggregateFunction as F;
    let values = rows.iter().filter_map(|row| row.arguments.first());
    let present: Vec<&Cell> = values.filter(|cell| !cell.value.is_null()).collect();
    let whole = |count: usize| Scalar::Int64(i64::try_from(count).expect("few rows")).into();
    Ok(match &spec.function {
        F::Count if spec.arguments.is_empty() => whole(rows.len()),
        F::Count => whole(present.len()),
        F::CountDistinct => {
            whole(present.iter().map(|cell| Rank::of(&cell.value)).collect::<BTreeSet<_>>().len())
        }
        F::Sum => sum(spec, &present)?,
        F::Avg => average(&present),
        F::Min | F::BoolAnd => extreme(spec, &present, false),
        F::Max | F::BoolOr => extreme(spec, &present, true),
        F::First => end(spec, rows, false),
        F::Last => end(spec, rows, true),
        F::StringAgg { separator } => joined(spec, rows, separator),
        F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::CovarSamp | F::CovarPop | F::Corr => {
            moments(spec, rows)
        }
        F::ApproxCountDistinct => {
            let mut sketch = HyperLogLog::default();
            for cell in &present {
                let array = cell.value.to_array(1).expect("a supported type");
                let key = KeyValue::from_array(array.as_ref(), 0).expect("a value that can be a key");
                sketch.add_hash(reference_hash(HLL_SEED, &[key]));
            }
            Scalar::Int64(sketch.estimate()).into()
        }
        F::ApproxQuantile { quantile } => {
            let mut sketch = DdSketch::default();
            present.iter().for_each(|cell| sketch.add(double(&cell.value)));
            let value = sketch.quantile(*quantile);
            value.map_or(Scalar::Null(DataType::Float64), Scalar::Float64).into()
        }
        F::User(function) => user(spec, function, rows),
        F::ArrayAgg => listed(spec, rows),
    })
}

/// What a user's function makes of all rows at once.
fn user(spec: &Aggregation, function: &UserFunction, rows: &[Taken]) -> Cell {
    let code = function.code().expect("the plan is bound");
    let types: Vec<DataType> = spec.arguments.iter().map(|a| decoded_type(a.data_type()).clone()).collect();
    let column = |(i, data_type): (usize, &DataType)| {
        let values: Vec<Scalar> = rows.iter().map(|row| row.arguments[i].value.clone()).collect();
        Scalar::collect(data_type, &values).expect("cells have the type of their column")
    };
    let columns: Vec<_> = types.iter().enumerate().map(column).collect();
    let mut state = code.start(&types);
    state.accumulate(&columns).expect("the function takes the rows");
    let returns = function.returns().expect("the plan is bound");
    code.result(state.as_ref(), returns).expect("the function has a result").into()
}

/// The type of a single argument, a dictionary looked up.
fn argument_type(spec: &Aggregation) -> DataType {
    let data_type = spec.arguments.first().expect("the function has an argument").data_type();
    decoded_type(data_type).clone()
}

/// The rows in their order: by place, copies of one row by value.
fn in_order(rows: &[Taken]) -> Vec<&Taken> {
    let mut sorted: Vec<&Taken> = rows.iter().collect();
    sorted.sort_by_cached_key(|row| (row.place.clone(), Rank::of(&row.arguments[0].value)));
    sorted
}

fn end(spec: &Aggregation, rows: &[Taken], last: bool) -> Cell {
    let sorted = in_order(rows);
    let row = if last { sorted.last() } else { sorted.first() };
    row.map_or_else(|| Scalar::Null(argument_type(spec)).into(), |row| row.arguments[0].clone())
}

fn joined(spec: &Aggregation, rows: &[Taken], separator: &str) -> Cell {
    let sorted = in_order(rows);
    let texts: Vec<&str> = sorted.iter().filter_map(|row| row.arguments[0].value.as_str()).collect();
    match (texts.is_empty(), argument_type(spec)) {
        (true, data_type) => Scalar::Null(data_type),
        (false, DataType::LargeUtf8) => Scalar::LargeUtf8(texts.join(separator).into()),
        _ => Scalar::Utf8(texts.join(separator).into()),
    }
    .into()
}

fn listed(spec: &Aggregation, rows: &[Taken]) -> Cell {
    let item = Arc::new(Field::new_list_field(argument_type(spec), true));
    let data_type = DataType::List(item);
    let items: Vec<Scalar> = in_order(rows).into_iter().map(|row| row.arguments[0].value.clone()).collect();
    match items.is_empty() {
        true => Scalar::Null(data_type).into(),
        false => Scalar::List { data_type, items }.into(),
    }
}

fn double(value: &Scalar) -> f64 {
    value.as_float().or(value.as_integer().map(|x| x as f64)).expect("a number")
}

/// Variance, standard deviation, covariance, correlation: in two passes, with the bound that is stated.
/// Integers have none: their sums are small here, so every double on the way is exact but the last.
fn moments(spec: &Aggregation, rows: &[Taken]) -> Cell {
    use AggregateFunction as F;
    let complete = rows.iter().filter(|row| row.arguments.iter().all(|cell| !cell.value.is_null()));
    let complete: Vec<&Taken> = complete.collect();
    let exact = spec.arguments.iter().all(|argument| argument.data_type().is_integer());
    let axis = |axis: usize| -> Vec<f64> {
        let values = complete.iter().map(|row| &row.arguments[axis.min(row.arguments.len() - 1)]);
        values
            .map(|cell| {
                assert!(cell.slack == 0.0, "a moment over results of float sums; the test asks too much");
                double(&cell.value)
            })
            .collect()
    };
    let (x, y, n) = (axis(0), axis(1), complete.len() as f64);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let about = |a: &[f64], b: &[f64]| -> f64 {
        if exact {
            let sum = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v as i128).sum::<i128>();
            let count = a.len() as i128;
            let product = sum(&mut a.iter().zip(b).map(|(a, b)| a * b)) * count;
            return (product - sum(&mut a.iter().copied()) * sum(&mut b.iter().copied())) as f64 / n;
        }
        let (ma, mb) = (mean(a), mean(b));
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum()
    };
    let (xx, yy, xy) = (about(&x, &x), about(&y, &y), about(&x, &y));
    let divisor = match &spec.function {
        F::VarPop | F::StddevPop | F::CovarPop => n,
        F::Corr => 1.0,
        _ => n - 1.0,
    };
    if complete.is_empty() || divisor == 0.0 || (spec.function == F::Corr && (xx == 0.0 || yy == 0.0)) {
        return Scalar::Null(DataType::Float64).into();
    }
    let square = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>();
    let e = n * f64::EPSILON;
    let lost = match exact {
        true => 0.0,
        false => {
            16.0 * e
                * ((xx * square(&y)).sqrt() + (yy * square(&x)).sqrt() + e * (square(&x) * square(&y)).sqrt())
        }
    };
    let (value, slack) = match &spec.function {
        F::VarSamp | F::VarPop => (xx / divisor, lost / divisor),
        F::StddevSamp | F::StddevPop => ((xx / divisor).sqrt(), (lost / divisor).sqrt()),
        F::Corr => (xy / (xx.sqrt() * yy.sqrt()), 4.0 * lost / (xx.min(yy))),
        _ => (xy / divisor, lost / divisor),
    };
    Cell { value: Scalar::Float64(value), slack: slack + 8.0 * value.abs() * f64::EPSILON }
}

fn sum(spec: &Aggregation, present: &[&Cell]) -> Result<Cell, String> {
    let data_type = argument_type(spec);
    if data_type.is_floating() {
        return Ok(match present.is_empty() {
            true => Scalar::Null(DataType::Float64).into(),
            false => float_sum(present),
        });
    }
    let unsigned = data_type.is_unsigned_integer();
    let wide = if unsigned { DataType::UInt64 } else { DataType::Int64 };
    if present.is_empty() {
        return Ok(Scalar::Null(wide).into());
    }
    let total: i128 = present.iter().map(|cell| cell.value.as_integer().expect("an integer")).sum();
    let fits = Scalar::from_integer(total, &wide);
    fits.map(Cell::from).ok_or_else(|| format!("{} of {total} does not fit", spec.name))
}

fn average(present: &[&Cell]) -> Cell {
    if present.is_empty() {
        return Scalar::Null(DataType::Float64).into();
    }
    let count = present.len() as f64;
    if present[0].value.as_float().is_some() {
        let sum = float_sum(present);
        let value = sum.value.as_float().expect("a float") / count;
        let slack = if sum.slack == 0.0 { 0.0 } else { sum.slack / count + value.abs() * f64::EPSILON };
        return Cell { value: Scalar::Float64(value), slack };
    }
    let whole = |cell: &&Cell| match &cell.value {
        Scalar::Boolean(value) => i128::from(*value),
        integer => integer.as_integer().expect("an integer"),
    };
    let total: i128 = present.iter().map(whole).sum();
    Scalar::Float64(total as f64 / count).into()
}

/// The sum of floats, and how far a right answer may be off: nothing when every order of adding gives
/// the same, else n · 2⁻⁵² · Σ|x|.
fn float_sum(present: &[&Cell]) -> Cell {
    let slack: f64 = present.iter().map(|cell| cell.slack).sum();
    assert!(slack == 0.0, "a sum over results of float sums has no stated bound; the test asks too much");
    let values: Vec<f64> = present.iter().map(|cell| cell.value.as_float().expect("a float")).collect();
    if let Some(special) = values.iter().copied().filter(|x| !x.is_finite()).reduce(|a, b| a + b) {
        return Scalar::Float64(special).into();
    }
    if let Some(exact) = sum_of_multiples(&values) {
        return Scalar::Float64(exact).into();
    }
    // Twice the precision: what it loses is far below the bound.
    let (mut high, mut low) = (0.0f64, 0.0f64);
    for value in &values {
        let sum = high + value;
        let seen = sum - high;
        low += (high - (sum - seen)) + (value - seen);
        high = sum;
    }
    let magnitude: f64 = values.iter().map(|x| x.abs()).sum();
    Cell { value: Scalar::Float64(high + low), slack: values.len() as f64 * f64::EPSILON * magnitude }
}

/// The sum of values that are all multiples of 2⁻¹⁰ and small enough that no order of adding rounds.
fn sum_of_multiples(values: &[f64]) -> Option<f64> {
    let scaled: Vec<f64> = values.iter().map(|x| x * 1024.0).collect();
    let exact = scaled.iter().all(|x| x.fract() == 0.0);
    let magnitude: f64 = scaled.iter().map(|x| x.abs()).sum();
    (exact && magnitude < (1u64 << 53) as f64).then(|| scaled.iter().sum::<f64>() / 1024.0)
}

fn extreme(spec: &Aggregation, present: &[&Cell], largest: bool) -> Cell {
    let better = |a: &Scalar, b: &Scalar| if largest { order(a, b).is_gt() } else { order(a, b).is_lt() };
    let mut best: Option<&Scalar> = None;
    for cell in present {
        assert!(cell.slack == 0.0, "min or max over results of float sums; the test asks too much");
        if best.is_none_or(|best| better(&cell.value, best)) {
            best = Some(&cell.value);
        }
    }
    best.cloned().unwrap_or_else(|| Scalar::Null(argument_type(spec))).into()
}
