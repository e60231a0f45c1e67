//! How two outputs differ, in words.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::util::display::array_value_to_string;
use sabot_batch::{Morsel, RowKind, hidden};
use std::collections::BTreeMap;

use crate::spec::{describe, same_columns};
use crate::{Failure, Fragment, Output};

/// When two values of a column count as equal. It matters for floats only; all else is equal or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equality {
    /// The same bits, also of NaNs: for values that are only passed through.
    Bits,
    /// The same bits, and any NaN equals any NaN: for values that are computed with one rounding each.
    Exact,
    /// At most so many units in the last place apart: for functions without an exact definition.
    Ulp(u32),
    /// Not further apart than the bound that the operator states; zeros of both signs are equal.
    Bound,
}

/// What a column is held to: its equality, and for [`Equality::Bound`] the distance allowed in each row.
#[derive(Clone, Debug)]
pub(super) struct Yardstick {
    pub(super) equality: Equality,
    pub(super) distances: Vec<f64>,
}

impl From<Equality> for Yardstick {
    fn from(equality: Equality) -> Self {
        Yardstick { equality, distances: Vec::new() }
    }
}

/// Compares what a fragment should make of a morsel with what a backend made of it.
pub(super) fn compare(
    fragment: &Fragment,
    expected: &Result<Output, Failure>,
    got: &Result<Output, Failure>,
    columns: &[Yardstick],
) -> Result<(), String> {
    match (expected, got) {
        (Ok(expected), Ok(got)) => compare_outputs(fragment, expected, got, columns),
        (Err(Failure::Row(a)), Err(Failure::Row(b))) if a == b => Ok(()),
        (Err(Failure::Internal(_)), Err(Failure::Internal(_))) => Ok(()),
        (Err(Failure::Device { device: a, .. }), Err(Failure::Device { device: b, .. })) if a == b => Ok(()),
        (Err(a), Err(b)) => Err(format!("expected to fail {}, failed {}", failure(a), failure(b))),
        (Ok(_), Err(b)) => Err(format!("expected a result, failed {}", failure(b))),
        (Err(a), Ok(_)) => Err(format!("expected to fail {}, got a result", failure(a))),
    }
}

fn failure(failure: &Failure) -> String {
    match failure {
        Failure::Row(error) => format!("in row {} ({error})", error.row),
        Failure::Internal(message) => format!("as an internal failure ({message})"),
        Failure::Device { .. } => format!("by its device ({failure})"),
    }
}

fn compare_outputs(
    fragment: &Fragment,
    expected: &Output,
    got: &Output,
    columns: &[Yardstick],
) -> Result<(), String> {
    if let Some((target, _)) = got.morsels.iter().find(|(target, _)| *target >= fragment.targets()) {
        return Err(format!("a morsel for target {target} of {}", fragment.targets()));
    }
    let joined = |output: &Output| -> Result<BTreeMap<u32, Joined>, String> {
        let mut targets: BTreeMap<u32, Vec<&Morsel>> = BTreeMap::new();
        for (target, morsel) in &output.morsels {
            targets.entry(*target).or_default().push(morsel);
        }
        targets.into_iter().map(|(t, m)| Ok((t, Joined::of(&m, fragment.output())?))).collect()
    };
    let (expected_by_target, mut got_by_target) = (joined(expected)?, joined(got)?);
    for (target, wanted) in &expected_by_target {
        let place = if fragment.targets() > 1 { format!("target {target}: ") } else { String::new() };
        let found = got_by_target.remove(target).map_or_else(|| Joined::of(&[], fragment.output()), Ok)?;
        wanted.compare(&found, columns).map_err(|difference| format!("{place}{difference}"))?;
    }
    for (target, extra) in got_by_target {
        // A partition leaves targets without rows out; elsewhere an empty morsel does no harm.
        if extra.kinds.is_empty() && fragment.targets() == 1 {
            continue;
        }
        return Err(format!("target {target}: expected no morsel, got one with {} rows", extra.kinds.len()));
    }
    compare_late(fragment, expected, got)
}

fn compare_late(fragment: &Fragment, expected: &Output, got: &Output) -> Result<(), String> {
    let Some(schema) = fragment.late() else {
        return if got.late.is_empty() { Ok(()) } else { Err("late rows without a window step".to_owned()) };
    };
    let wanted = Joined::of(&expected.late.iter().collect::<Vec<_>>(), &schema)?;
    let found = Joined::of(&got.late.iter().collect::<Vec<_>>(), &schema)?;
    let exact: Vec<Yardstick> = schema.fields().iter().map(|_| Equality::Bits.into()).collect();
    wanted.compare(&found, &exact).map_err(|difference| format!("late rows: {difference}"))
}

/// The live rows of some morsels, one after the other.
pub(super) struct Joined {
    pub(super) batch: RecordBatch,
    kinds: Vec<RowKind>,
}

impl Joined {
    pub(super) fn of(morsels: &[&Morsel], schema: &SchemaRef) -> Result<Self, String> {
        let (mut batches, mut kinds) = (Vec::new(), Vec::new());
        for morsel in morsels {
            if !same_columns(&morsel.schema(), schema) {
                return Err(format!(
                    "expected columns {}, got {}",
                    describe(schema),
                    describe(&morsel.schema())
                ));
            }
            check_metadata(morsel)?;
            let dense = (*morsel).clone().compact().map_err(|e| e.to_string())?;
            kinds.extend((0..dense.rows()).map(|row| dense.kinds().get(row).unwrap_or(RowKind::Insert)));
            batches.push(dense.to_host().map_err(|e| e.to_string())?);
        }
        let columns = (0..schema.fields().len())
            .map(|i| whole_column(schema, &batches, i))
            .collect::<Result<_, _>>()?;
        let batch = crate::reference::batch_of(schema, columns, kinds.len()).map_err(|e| e.to_string())?;
        Ok(Joined { batch, kinds })
    }

    fn compare(&self, got: &Joined, columns: &[Yardstick]) -> Result<(), String> {
        if self.kinds.len() != got.kinds.len() {
            return Err(format!("expected {} rows, got {}", self.kinds.len(), got.kinds.len()));
        }
        if let Some(row) = (0..self.kinds.len()).find(|row| self.kinds[*row] != got.kinds[*row]) {
            let (wanted, found) = (self.kinds[row].symbol(), got.kinds[row].symbol());
            return Err(format!("row {row}: expected kind {wanted}, got {found}"));
        }
        match first_difference(&self.batch, &got.batch, columns)? {
            None => Ok(()),
            Some(difference) => Err(difference),
        }
    }
}

/// The first difference of two batches, column by column; columns without yardstick are to be exact.
///
/// # Errors
/// When the batches cannot be compared: their schemas differ.
pub(super) fn first_difference(
    expected: &RecordBatch,
    got: &RecordBatch,
    columns: &[Yardstick],
) -> Result<Option<String>, String> {
    if !same_columns(&expected.schema(), &got.schema()) {
        let (wanted, found) = (describe(&expected.schema()), describe(&got.schema()));
        return Err(format!("expected columns {wanted}, got {found}"));
    }
    if expected.num_rows() != got.num_rows() {
        return Ok(Some(format!("expected {} rows, got {}", expected.num_rows(), got.num_rows())));
    }
    for (i, field) in expected.schema().fields().iter().enumerate() {
        let yardstick = columns.get(i).cloned().unwrap_or(Equality::Exact.into());
        if let Some(row) = differs(expected.column(i), got.column(i), &yardstick)? {
            let text = |array: &ArrayRef| array_value_to_string(array, row).map_err(|e| e.to_string());
            let (wanted, found) = (text(expected.column(i))?, text(got.column(i))?);
            let (name, equality) = (field.name(), yardstick.equality);
            return Ok(Some(format!(
                "column \"{name}\", row {row}: expected {wanted}, got {found} ({equality:?})"
            )));
        }
    }
    Ok(None)
}

/// Dictionaries are looked up, because equal columns may number their values differently.
fn whole_column(schema: &SchemaRef, batches: &[RecordBatch], index: usize) -> Result<ArrayRef, String> {
    let field = schema.field(index);
    let one = std::sync::Arc::new(arrow::datatypes::Schema::new(vec![field.clone()]));
    let parts: Result<Vec<RecordBatch>, _> = batches.iter().map(|batch| batch.project(&[index])).collect();
    let parts = parts.map_err(|e| e.to_string())?;
    let parts: Result<Vec<RecordBatch>, _> =
        parts.iter().map(|part| RecordBatch::try_new(one.clone(), part.columns().to_vec())).collect();
    let parts = parts.map_err(|e| e.to_string())?;
    Ok(concat_batches(&one, &parts).map_err(|e| e.to_string())?.column(0).clone())
}

/// Time bounds must hold all rows, and an origin must name the row numbers that rows carry.
fn check_metadata(morsel: &Morsel) -> Result<(), String> {
    let batch = morsel.to_host().map_err(|e| e.to_string())?;
    let live = |row: usize| morsel.selection().is_none_or(|s| s.contains(row));
    if let (Some(bounds), Some(times)) = (morsel.time_bounds(), hidden::times(&batch)) {
        let outside = |row: &usize| !(bounds.min.micros()..=bounds.max.micros()).contains(&times.value(*row));
        if let Some(row) = (0..morsel.rows()).filter(|row| live(*row)).find(outside) {
            return Err(format!(
                "row {row}: time {} outside the time bounds of its morsel",
                times.value(row)
            ));
        }
    }
    if let (Some(origin), Some(numbers)) = (morsel.origin(), hidden::row_numbers(&batch)) {
        let wrong = |row: &usize| origin.locate(*row).row != numbers.value(*row);
        if let Some(row) = (0..morsel.rows()).filter(|row| live(*row)).find(wrong) {
            let (named, is) = (origin.locate(row).row, numbers.value(row));
            return Err(format!(
                "row {row}: the origin of its morsel calls it row {named} of the source, it is {is}"
            ));
        }
    }
    Ok(())
}

/// The first row in which two columns of one type and length differ.
fn differs(expected: &ArrayRef, got: &ArrayRef, yardstick: &Yardstick) -> Result<Option<usize>, String> {
    // Floats inside of lists and structs are held to equality of bits, which is right for what is passed on; keys
    // are canonical in what is expected already.
    let plain = |array: &ArrayRef| match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value).map_err(|e| e.to_string()),
        _ => Ok(array.clone()),
    };
    let (a, b) = (plain(expected)?, plain(got)?);
    // Unions and runs have no nulls of their own; as values they are compared whole.
    let same = |row: usize| match (a.is_null(row), b.is_null(row)) {
        (true, true) => true,
        (false, false) => match a.data_type() {
            DataType::Float64 => {
                let value = |array: &ArrayRef| array.as_primitive::<Float64Type>().value(row);
                same_f64(value(&a), value(&b), yardstick, row)
            }
            DataType::Float32 => {
                let value = |array: &ArrayRef| array.as_primitive::<Float32Type>().value(row);
                same_f32(value(&a), value(&b), yardstick.equality)
            }
            _ => a.slice(row, 1) == b.slice(row, 1),
        },
        _ => false,
    };
    let float = matches!(a.data_type(), DataType::Float32 | DataType::Float64);
    if !float && a.as_ref() == b.as_ref() {
        return Ok(None);
    }
    Ok((0..a.len()).find(|row| !same(*row)))
}

fn same_f64(a: f64, b: f64, yardstick: &Yardstick, row: usize) -> bool {
    let bits = a.to_bits() == b.to_bits();
    match yardstick.equality {
        Equality::Bits => bits,
        _ if a.is_nan() && b.is_nan() => true,
        Equality::Exact => bits,
        Equality::Ulp(units) => ordered_f64(a).abs_diff(ordered_f64(b)) <= u64::from(units),
        Equality::Bound if a.is_finite() && b.is_finite() => {
            (a - b).abs() <= yardstick.distances.get(row).copied().unwrap_or(0.0)
        }
        Equality::Bound => a == b,
    }
}

fn same_f32(a: f32, b: f32, equality: Equality) -> bool {
    let bits = a.to_bits() == b.to_bits();
    match equality {
        Equality::Bits => bits,
        _ if a.is_nan() && b.is_nan() => true,
        Equality::Exact => bits,
        Equality::Ulp(units) => ordered_f32(a).abs_diff(ordered_f32(b)) <= units,
        Equality::Bound => a == b,
    }
}

/// Floats as integers in the same order, neighbours next to each other; both zeros are 0.
fn ordered_f64(x: f64) -> i64 {
    let bits = x.to_bits().cast_signed();
    if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
}

fn ordered_f32(x: f32) -> i32 {
    let bits = x.to_bits().cast_signed();
    if bits < 0 { i32::MIN.wrapping_sub(bits) } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(distance: f64) -> Yardstick {
        Yardstick { equality: Equality::Bound, distances: vec![distance] }
    }

    #[test]
    fn each_equality_draws_its_own_line() {
        let other_nan = f64::from_bits(f64::NAN.to_bits() ^ 1);
        let next = f64::from_bits(1f64.to_bits() + 1);
        let same = |a, b, equality: Equality| same_f64(a, b, &equality.into(), 0);
        assert!(same(f64::NAN, f64::NAN, Equality::Bits) && !same(f64::NAN, other_nan, Equality::Bits));
        assert!(same(f64::NAN, other_nan, Equality::Exact) && !same(0.0, -0.0, Equality::Exact));
        assert!(same(1.0, next, Equality::Ulp(1)) && !same(1.0, 1.0 + 3e-16, Equality::Ulp(0)));
        assert!(same(0.0, -0.0, Equality::Ulp(0)) && same(-1.0, -next, Equality::Ulp(1)));
        assert!(!same(-f64::MIN_POSITIVE, f64::MIN_POSITIVE, Equality::Ulp(1000)));
        assert!(same_f64(1.0, 1.5, &bound(0.5), 0) && !same_f64(1.0, 1.6, &bound(0.5), 0));
        assert!(same_f64(f64::INFINITY, f64::INFINITY, &bound(0.0), 0));
        assert!(!same_f64(f64::INFINITY, f64::NAN, &bound(f64::INFINITY), 0));
        assert!(!same_f64(1.0, f64::NAN, &bound(f64::INFINITY), 0));
    }
}
