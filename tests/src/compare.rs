//! Results held against the reference, with a message that says where they differ.

use arrow::record_batch::RecordBatch;
use sabot_expr::Scalar;

use crate::reference::{Cell, Row, cells};

/// The first difference between what a sink got and what it should have got: as sequences for ordered
/// sinks, else as multisets.
pub fn difference(expected: &[Row], got: &[RecordBatch], ordered: bool) -> Option<String> {
    let mut got: Vec<Vec<Cell>> = got.iter().flat_map(cells).collect();
    let mut expected: Vec<&Row> = expected.iter().collect();
    if !ordered {
        got.sort_by_cached_key(|row| sort_key(row));
        expected.sort_by_cached_key(|row| sort_key(&row.cells));
    }
    if let Some(row) = expected.iter().zip(&got).position(|(want, have)| !same_row(&want.cells, have)) {
        return Some(describe(row, &expected, &got));
    }
    (expected.len() != got.len()).then(|| {
        format!(
            "{} rows instead of {}\n{}",
            got.len(),
            expected.len(),
            describe(expected.len().min(got.len()), &expected, &got)
        )
    })
}

/// Orders rows for comparison as multisets. A value that may be off by a little must not decide, so
/// floats are left out: rows that agree in everything else are few and then compared as they come.
fn sort_key(row: &[Cell]) -> Vec<String> {
    let exact = |cell: &Cell| match cell.value {
        Scalar::Float32(_) | Scalar::Float64(_) => String::new(),
        _ => cell.value.to_string(),
    };
    let rounded = |cell: &Cell| match cell.value.as_float() {
        Some(value) => format!("{value:+.3e}"),
        None => String::new(),
    };
    row.iter().map(exact).chain(row.iter().map(rounded)).collect()
}

fn same_row(want: &[Cell], have: &[Cell]) -> bool {
    want.len() == have.len() && want.iter().zip(have).all(|(want, have)| same(want, &have.value))
}

/// Whether a value is right: identical, except that zeros and NaNs of one kind are equal and float sums
/// have their bound.
pub fn same(want: &Cell, have: &Scalar) -> bool {
    if let (Some(w), Some(h)) = (want.value.as_float(), have.as_float()) {
        let close = w == h || (w.is_nan() && h.is_nan()) || (w - h).abs() <= want.slack;
        return close && want.value.data_type() == have.data_type();
    }
    // Null in a union is a value of one of its types, whichever.
    if want.value.is_null() {
        return have.is_null() && want.value.data_type() == have.data_type();
    }
    want.value == *have
}

/// The rows around a difference, side by side.
fn describe(row: usize, expected: &[&Row], got: &[Vec<Cell>]) -> String {
    const AROUND: usize = 3;
    let from = row.saturating_sub(AROUND);
    let text = |cells: &[Cell]| cells.iter().map(|c| c.value.to_string()).collect::<Vec<_>>().join(", ");
    let mut lines = vec![format!("row {row} differs (of {} expected, {} got):", expected.len(), got.len())];
    for i in from..=row + AROUND {
        let mark = if i == row { ">" } else { " " };
        if let Some(want) = expected.get(i) {
            lines.push(format!("{mark} {i} expected {}   place {:?}", text(&want.cells), want.place()));
        }
        if let Some(have) = got.get(i) {
            lines.push(format!("{mark} {i} got      {}", text(have)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float64Array, Int64Array};
    use std::sync::Arc;

    fn rows(values: &[(i64, f64)], slack: f64) -> Vec<Row> {
        let row = |(a, x): &(i64, f64)| Row {
            cells: vec![Scalar::Int64(*a).into(), Cell { value: Scalar::Float64(*x), slack }],
            time: None,
            late: 0,
            partition: 0,
            number: 0,
            key: Vec::new(),
        };
        values.iter().map(row).collect()
    }

    fn batch(values: &[(i64, f64)]) -> RecordBatch {
        let a: Int64Array = values.iter().map(|v| v.0).collect::<Vec<_>>().into();
        let x: Float64Array = values.iter().map(|v| v.1).collect::<Vec<_>>().into();
        RecordBatch::try_from_iter([("a", Arc::new(a) as ArrayRef), ("x", Arc::new(x))]).unwrap()
    }

    #[test]
    fn sequences_and_multisets_are_told_apart() {
        let (forth, back) = ([(1, 0.5), (2, 1.5)], [(2, 1.5), (1, 0.5)]);
        assert!(difference(&rows(&forth, 0.0), &[batch(&back)], true).is_some());
        assert_eq!(difference(&rows(&forth, 0.0), &[batch(&back)], false), None);
        assert_eq!(difference(&rows(&forth, 0.0), &[batch(&forth[..1]), batch(&forth[1..])], true), None);
    }

    #[test]
    fn a_missing_an_extra_and_a_changed_row_are_found() {
        let all = [(1, 0.5), (2, 1.5)];
        assert!(
            difference(&rows(&all, 0.0), &[batch(&all[..1])], false).unwrap().contains("1 rows instead of 2")
        );
        assert!(
            difference(&rows(&all[..1], 0.0), &[batch(&all)], false).unwrap().contains("2 rows instead of 1")
        );
        assert!(difference(&rows(&all, 0.0), &[batch(&[(1, 0.5), (2, 1.25)])], false).is_some());
    }

    #[test]
    fn the_bound_is_used_and_kept() {
        let (want, have) = ([(1, 1.0)], [(1, 1.0 + 1e-12)]);
        assert!(difference(&rows(&want, 0.0), &[batch(&have)], true).is_some());
        assert_eq!(difference(&rows(&want, 2e-12), &[batch(&have)], true), None);
    }
}
