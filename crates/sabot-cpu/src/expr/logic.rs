//! What decides which rows reach an expression: AND, OR, CASE, COALESCE, IN; and NOT, IS NULL.

use arrow::array::{Array, ArrayRef, BooleanArray, Datum, Scalar, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and_kleene, not, or_kleene};
use arrow::datatypes::DataType;
use sabot_expr::TypedExpr;
use sabot_ops::Failure;
use std::sync::Arc;

use super::value::{Value, booleans};
use super::{Active, Scope, arrow_bug};
use crate::simd::compare::Comparison;

impl Scope<'_> {
    /// Three-valued AND; the right side is reached where the left is not false.
    pub(super) fn and(
        &self,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let left = self.evaluate_predicate(left, active)?;
        let reach = narrow(active, &!&is_false(&left));
        if reach.count_set_bits() == 0 {
            return Ok(Value::column(Arc::new(left)));
        }
        let right = self.evaluate_predicate(right, Some(&reach))?;
        Ok(Value::column(Arc::new(and_kleene(&left, &right).map_err(arrow_bug)?)))
    }

    /// Three-valued OR; the right side is reached where the left is not true.
    pub(super) fn or(
        &self,
        left: &TypedExpr,
        right: &TypedExpr,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let left = self.evaluate_predicate(left, active)?;
        let reach = narrow(active, &!&is_true(&left));
        if reach.count_set_bits() == 0 {
            return Ok(Value::column(Arc::new(left)));
        }
        let right = self.evaluate_predicate(right, Some(&reach))?;
        Ok(Value::column(Arc::new(or_kleene(&left, &right).map_err(arrow_bug)?)))
    }

    /// Three-valued NOT.
    pub(super) fn not(&self, input: &TypedExpr, active: Active<'_>) -> Result<Value, Failure> {
        let input = self.evaluate_predicate(input, active)?;
        Ok(Value::column(Arc::new(not(&input).map_err(arrow_bug)?)))
    }

    /// IS NULL (`wanted`) and IS NOT NULL; a dictionary is null where its key or the key's value is.
    pub(super) fn is_null(
        &self,
        input: &TypedExpr,
        active: Active<'_>,
        wanted: bool,
    ) -> Result<Value, Failure> {
        let value = self.value(input, active)?;
        let rows = value.array().len();
        let bits = match value.array().logical_nulls() {
            Some(nulls) if wanted => !nulls.inner(),
            Some(nulls) => nulls.into_inner(),
            None if wanted => BooleanBuffer::new_unset(rows),
            None => BooleanBuffer::new_set(rows),
        };
        Ok(Value::of(booleans(bits, None), value.is_constant()))
    }

    /// The first branch whose condition is true; a condition is reached by rows that no earlier one took.
    pub(super) fn case(
        &self,
        data_type: &DataType,
        whens: &[(TypedExpr, TypedExpr)],
        otherwise: Option<&TypedExpr>,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let mut open = self.all(active);
        let mut taken = Vec::with_capacity(whens.len());
        for (when, then) in whens {
            if open.count_set_bits() == 0 {
                break;
            }
            let hit = &is_true(&self.evaluate_predicate(when, Some(&open))?) & &open;
            if hit.count_set_bits() > 0 {
                let value = self.value(then, Some(&hit))?;
                open = &open & &!&hit;
                taken.push((hit, value));
            }
        }
        let mut result = match otherwise {
            Some(expr) if open.count_set_bits() > 0 => self.value(expr, Some(&open))?,
            _ => Value::constant(new_null_array(data_type, 1)),
        };
        for (hit, value) in taken.into_iter().rev() {
            result = select(hit, &value, &result)?;
        }
        Ok(result)
    }

    /// The first value that is not null; an argument is reached by rows for which all earlier ones are.
    pub(super) fn coalesce(
        &self,
        data_type: &DataType,
        args: &[TypedExpr],
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        let mut open = self.all(active);
        let mut taken = Vec::with_capacity(args.len());
        for arg in args {
            if open.count_set_bits() == 0 {
                break;
            }
            let value = self.value(arg, Some(&open))?;
            if value.is_null_constant() {
                continue;
            }
            let valid = match value.array().logical_nulls() {
                Some(nulls) if !value.is_constant() => nulls.into_inner(),
                _ => BooleanBuffer::new_set(self.rows),
            };
            let hit = &valid & &open;
            open = &open & &!&hit;
            taken.push((hit, value));
        }
        let mut result = Value::constant(new_null_array(data_type, 1));
        for (hit, value) in taken.into_iter().rev() {
            result = select(hit, &value, &result)?;
        }
        Ok(result)
    }

    /// Whether the input equals a member; a member is reached by rows that no earlier one equals.
    pub(super) fn in_list(
        &self,
        input: &TypedExpr,
        list: &[TypedExpr],
        negated: bool,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        if list.iter().all(|member| member.as_literal().is_some()) {
            let members = list.iter().map(|m| self.value(m, None)).collect::<Result<Vec<_>, _>>()?;
            let lookup = |input: &Value| self.in_members(input, &members, negated);
            if let Some(result) = self.over_dictionary(input, lookup)? {
                return Ok(result);
            }
            return self.in_members(&self.value(input, active)?, &members, negated);
        }
        let input = self.value(input, active)?;
        let mut search = Search::new(self.rows);
        for member in list {
            let open = narrow(active, &!&search.found);
            if open.count_set_bits() == 0 {
                break;
            }
            let member = self.value(member, Some(&open))?;
            search.add(self.compare(Comparison::Eq, &input, &member)?.into_booleans(self.rows)?);
        }
        Ok(Value::column(search.finish(negated)))
    }

    /// [`Scope::in_list`] with members that are constants.
    fn in_members(&self, input: &Value, members: &[Value], negated: bool) -> Result<Value, Failure> {
        let rows = input.array().len();
        let mut search = Search::new(rows);
        for member in members {
            search.add(self.compare(Comparison::Eq, input, member)?.into_booleans(rows)?);
        }
        Ok(Value::of(search.finish(negated), input.is_constant()))
    }

    /// The active rows as a bitmap.
    fn all(&self, active: Active<'_>) -> BooleanBuffer {
        active.cloned().unwrap_or_else(|| BooleanBuffer::new_set(self.rows))
    }
}

/// What is known while the members of an IN list are compared one by one.
struct Search {
    found: BooleanBuffer,
    /// Rows for which no comparison was null.
    certain: BooleanBuffer,
}

impl Search {
    fn new(rows: usize) -> Self {
        Self { found: BooleanBuffer::new_unset(rows), certain: BooleanBuffer::new_set(rows) }
    }

    fn add(&mut self, equal: BooleanArray) {
        self.found = &self.found | &is_true(&equal);
        if let Some(nulls) = equal.nulls() {
            self.certain = &self.certain & nulls.inner();
        }
    }

    /// Found is true; not found is null if any comparison was, else false.
    fn finish(self, negated: bool) -> ArrayRef {
        let valid = NullBuffer::new(&self.certain | &self.found);
        let bits = if negated { !&self.found } else { self.found };
        booleans(bits, Some(valid).filter(|v| v.null_count() > 0))
    }
}

/// The active rows that are also in `mask`.
fn narrow(active: Active<'_>, mask: &BooleanBuffer) -> BooleanBuffer {
    active.map_or_else(|| mask.clone(), |active| active & mask)
}

/// Where a condition is true, and not false or null.
pub(crate) fn is_true(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// Where a condition is false, and not true or null.
fn is_false(condition: &BooleanArray) -> BooleanBuffer {
    let not_true = !condition.values();
    match condition.nulls() {
        Some(nulls) => &not_true & nulls.inner(),
        None => not_true,
    }
}

/// Row by row the one value where the mask is set, else the other.
pub(super) fn select(mask: BooleanBuffer, yes: &Value, no: &Value) -> Result<Value, Failure> {
    let mask = BooleanArray::new(mask, None);
    let of = |value: &Value| -> Box<dyn Datum> {
        let array = value.array().clone();
        if value.is_constant() { Box::new(Scalar::new(array)) } else { Box::new(array) }
    };
    let (yes, no) = (of(yes), of(no));
    Ok(Value::column(zip(&mask, yes.as_ref(), no.as_ref()).map_err(arrow_bug)?))
}
