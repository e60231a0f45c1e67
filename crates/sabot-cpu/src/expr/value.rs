//! What evaluating a node gives: an array, or one value that stands for all rows.
//!
//! Keeping constants apart saves the copy of a literal into every row, and lets kernels compare and
//! compute with a register instead of a second array. A node whose operands are all constant is
//! computed once and stays constant.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use sabot_ops::Failure;
use std::sync::Arc;

use super::arrow_bug;

/// The values of an expression.
#[derive(Clone, Debug)]
pub(super) struct Value {
    array: ArrayRef,
    constant: bool,
}

impl Value {
    /// One value a row.
    pub(super) fn column(array: ArrayRef) -> Self {
        Self { array, constant: false }
    }

    /// The only row of `array`, for every row.
    pub(super) fn constant(array: ArrayRef) -> Self {
        debug_assert_eq!(array.len(), 1);
        Self { array, constant: true }
    }

    /// The result of a node: constant when all its operands were.
    pub(super) fn of(array: ArrayRef, constant: bool) -> Self {
        Self { array, constant }
    }

    pub(super) fn array(&self) -> &ArrayRef {
        &self.array
    }

    pub(super) fn is_constant(&self) -> bool {
        self.constant
    }

    /// Whether the value is null for every row.
    pub(super) fn is_null_constant(&self) -> bool {
        // Of a union, whose nulls lie in the values that it holds, this is the only way to tell.
        self.constant && self.array.logical_nulls().is_some_and(|nulls| nulls.is_null(0))
    }

    /// One value a row.
    pub(super) fn into_array(self, rows: usize) -> Result<ArrayRef, Failure> {
        if !self.constant {
            return Ok(self.array);
        }
        // The one row again and again; of a string only the offsets and bytes are written.
        take(&self.array, &UInt32Array::from(vec![0; rows]), None).map_err(arrow_bug)
    }

    /// One truth value a row.
    pub(super) fn into_booleans(self, rows: usize) -> Result<BooleanArray, Failure> {
        let array = self.into_array(rows)?;
        array.as_boolean_opt().cloned().ok_or_else(|| super::wrong_type("truth value", array.data_type()))
    }

    /// The values of a primitive type; `None` when the array is of another type.
    pub(super) fn operand<T: ArrowPrimitiveType>(&self) -> Option<Operand<'_, T::Native>> {
        let values = self.array.as_primitive_opt::<T>()?.values();
        Some(if self.constant { Operand::One(values[0]) } else { Operand::Many(values) })
    }
}

/// The native values of an operand, whatever lies under nulls included.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a, T> {
    /// One a row.
    Many(&'a [T]),
    /// The same for every row.
    One(T),
}

impl<T: Copy> Operand<'_, T> {
    /// The value at `row`.
    pub(super) fn get(&self, row: usize) -> T {
        match self {
            Operand::Many(values) => values[row],
            Operand::One(value) => *value,
        }
    }

    /// `f` of the values of both, row by row; one row when both are constant.
    pub(super) fn zip<U>(self, other: Self, mut f: impl FnMut(T, T) -> U) -> Vec<U> {
        match (self, other) {
            (Operand::Many(a), Operand::Many(b)) => a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect(),
            (Operand::Many(a), Operand::One(b)) => a.iter().map(|a| f(*a, b)).collect(),
            (Operand::One(a), Operand::Many(b)) => b.iter().map(|b| f(a, *b)).collect(),
            (Operand::One(a), Operand::One(b)) => vec![f(a, b)],
        }
    }

    /// The truth of `f` of the values of both, row by row; one row when both are constant.
    pub(super) fn zip_bits(self, other: Self, f: impl Fn(T, T) -> bool) -> BooleanBuffer {
        match (self, other) {
            (Operand::Many(a), Operand::Many(b)) => {
                BooleanBuffer::collect_bool(a.len().min(b.len()), |i| f(a[i], b[i]))
            }
            (Operand::Many(a), Operand::One(b)) => BooleanBuffer::collect_bool(a.len(), |i| f(a[i], b)),
            (Operand::One(a), Operand::Many(b)) => BooleanBuffer::collect_bool(b.len(), |i| f(a, b[i])),
            (Operand::One(a), Operand::One(b)) => BooleanBuffer::collect_bool(1, |_| f(a, b)),
        }
    }
}

/// Where a result of two operands is not null: where neither of them is. A constant that is null must
/// have been dealt with before; one that is not null takes nothing away.
pub(super) fn both_valid(left: &Value, right: &Value) -> Option<NullBuffer> {
    let of = |value: &Value| value.array.nulls().filter(|_| !value.constant).cloned();
    NullBuffer::union(of(left).as_ref(), of(right).as_ref())
}

/// Whether row `row` of a result with these nulls is not null.
pub(super) fn is_valid(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

/// A boolean result.
pub(super) fn booleans(bits: BooleanBuffer, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(BooleanArray::new(bits, nulls))
}
