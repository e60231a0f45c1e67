//! Aggregation as it is defined: gather the values of each group, then compute.

use sabot_common::EventTime;
use sabot_expr::Scalar;
use sabot_ops::AggregateFunction;
use sabot_plan::{Aggregation, KeyedWindow};
use sabot_time::Windows;
use std::collections::BTreeMap;

use super::row::{Cell, Row, order};

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

/// What an aggregate gives over the values of a group; `None` stands for `count(*)`'s missing argument.
///
/// # Errors
/// The text of an integer sum that does not fit its type.
pub(super) fn aggregate(spec: &Aggregation, values: &[Option<Cell>]) -> Result<Cell, String> {
    let present: Vec<&Cell> = values.iter().flatten().filter(|cell| !cell.value.is_null()).collect();
    let count = match spec.argument {
        None => values.len(),
        Some(_) => present.len(),
    };
    Ok(match spec.function {
        AggregateFunction::Count => Scalar::Int64(i64::try_from(count).expect("few rows")).into(),
        AggregateFunction::Sum => sum(spec, &present)?,
        AggregateFunction::Avg => average(&present),
        AggregateFunction::Min => extreme(spec, &present, false),
        AggregateFunction::Max => extreme(spec, &present, true),
    })
}

fn sum(spec: &Aggregation, present: &[&Cell]) -> Result<Cell, String> {
    let data_type = spec.argument.as_ref().expect("sum has an argument").data_type().clone();
    if data_type.is_floating() {
        return Ok(match present.is_empty() {
            true => Scalar::Null(arrow::datatypes::DataType::Float64).into(),
            false => float_sum(present),
        });
    }
    let unsigned = data_type.is_unsigned_integer();
    let wide = if unsigned { arrow::datatypes::DataType::UInt64 } else { arrow::datatypes::DataType::Int64 };
    if present.is_empty() {
        return Ok(Scalar::Null(wide).into());
    }
    let total: i128 = present.iter().map(|cell| cell.value.as_integer().expect("an integer")).sum();
    let fits = Scalar::from_integer(total, &wide);
    fits.map(Cell::from).ok_or_else(|| format!("{} of {total} does not fit", spec.name))
}

fn average(present: &[&Cell]) -> Cell {
    if present.is_empty() {
        return Scalar::Null(arrow::datatypes::DataType::Float64).into();
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
    best.cloned().unwrap_or_else(|| null_like(spec)).into()
}

fn null_like(spec: &Aggregation) -> Scalar {
    let data_type = spec.argument.as_ref().expect("min and max have an argument").data_type();
    Scalar::Null(match data_type {
        arrow::datatypes::DataType::Dictionary(_, value) => value.as_ref().clone(),
        other => other.clone(),
    })
}
