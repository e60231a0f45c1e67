//! Operands on their way to a common type.
//!
//! A literal that a user wrote is free: it takes the type of what it meets. The same literal in a cast
//! is not. That difference exists only while resolving, so it lives here and not in the typed tree.

use arrow::datatypes::DataType;

use crate::cast::cast_scalar;
use crate::error::ExprError;
use crate::expr::{CastMode, Expr};
use crate::scalar::Scalar;
use crate::typed::{TypedExpr, TypedKind};
use crate::types::rules::{Adapted, adapt_literal, common_type};
use crate::types::{decoded_type, is_integer, type_name};

use super::untyped_null;

/// A resolved operand that may still have to change its type.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) expr: TypedExpr,
    /// Whether this is a literal that adapts.
    free: bool,
}

impl From<TypedExpr> for Operand {
    fn from(expr: TypedExpr) -> Self {
        Operand { expr, free: false }
    }
}

impl Operand {
    /// A literal as written by the user.
    pub(super) fn literal(value: Scalar) -> Self {
        Operand { expr: TypedExpr::literal(value), free: true }
    }

    /// The value of a literal that adapts.
    pub(super) fn as_free_literal(&self) -> Option<&Scalar> {
        if self.free { self.expr.as_literal() } else { None }
    }

    /// Whether this is a NULL without type. A column of type null has one.
    pub(super) fn is_untyped_null(&self) -> bool {
        *self.expr.data_type() == DataType::Null && self.expr.as_literal().is_some()
    }

    /// The operand as type `to`, with a cast where it needs one. Literals are cast at once.
    pub(super) fn coerce(self, whole: &Expr, to: &DataType) -> Result<TypedExpr, ExprError> {
        if self.expr.data_type() == to {
            return Ok(self.expr);
        }
        if let Some(value) = self.as_free_literal()
            && let Adapted::Value(value) = adapt_literal(value, to)
        {
            return Ok(TypedExpr::literal(value));
        }
        if let Some(value) = self.expr.as_literal() {
            return match cast_scalar(value, to) {
                Some(value) => Ok(TypedExpr::literal(value)),
                None => Err(ExprError::InvalidLiteral {
                    literal: value.to_string(),
                    expected: type_name(to),
                    reason: format!("it has no such value, which `{whole}` needs"),
                }),
            };
        }
        let nullable = self.expr.nullable();
        let kind = TypedKind::Cast { input: Box::new(self.expr), mode: CastMode::Strict };
        Ok(TypedExpr::new(kind, to.clone(), nullable))
    }
}

/// All operands in their common type, which comes back with them.
pub(super) fn unify(whole: &Expr, operands: Vec<Operand>) -> Result<(Vec<TypedExpr>, DataType), ExprError> {
    let fixed = operands.iter().filter(|o| o.as_free_literal().is_none()).map(|o| o.expr.data_type());
    let mut meet: Option<DataType> = None;
    for data_type in fixed {
        meet = Some(join(whole, meet, data_type)?);
    }
    let only_literals = meet.is_none();
    for literal in operands.iter().filter_map(Operand::as_free_literal) {
        let adapted = match &meet {
            Some(to) if !only_literals => adapt_literal(literal, to),
            _ => Adapted::Keeps,
        };
        match adapted {
            Adapted::Value(_) => {}
            Adapted::Keeps => meet = Some(join(whole, meet, &literal.data_type())?),
            Adapted::Unreadable => return Err(unreadable(whole, literal, meet.as_ref())),
        }
    }
    let Some(to) = meet.filter(|to| *to != DataType::Null) else {
        return Err(untyped_null(whole));
    };
    let typed =
        operands.into_iter().map(|operand| operand.coerce(whole, &to)).collect::<Result<Vec<_>, _>>()?;
    Ok((typed, to))
}

fn join(whole: &Expr, meet: Option<DataType>, next: &DataType) -> Result<DataType, ExprError> {
    let Some(meet) = meet else { return Ok(decoded_type(next).clone()) };
    common_type(&meet, next).ok_or_else(|| ExprError::TypeMismatch {
        left: type_name(&meet),
        right: type_name(next),
        expression: whole.to_string(),
        hint: hint(&meet, next),
    })
}

fn hint(left: &DataType, right: &DataType) -> String {
    let unsigned_64 = |a: &DataType, b: &DataType| *a == DataType::UInt64 && is_integer(b);
    if unsigned_64(left, right) || unsigned_64(right, left) {
        return "no integer type holds both; cast one side, for example .cast(DataType::Int64)".to_owned();
    }
    match (left, right) {
        (DataType::Timestamp(_, _), DataType::Timestamp(_, _)) => {
            "a timestamp without zone is UTC; cast one side to the other's zone if that is what it means"
                .to_owned()
        }
        _ => "cast one side to the other's type".to_owned(),
    }
}

fn unreadable(whole: &Expr, literal: &Scalar, to: Option<&DataType>) -> ExprError {
    let form = if to == Some(&DataType::Date32) { "2001-01-31" } else { "2001-01-31T23:59:59" };
    ExprError::InvalidLiteral {
        literal: literal.to_string(),
        expected: to.map(type_name).unwrap_or_default(),
        reason: format!("`{whole}` needs the form {form}"),
    }
}
