//! From [`Expr`] to [`TypedExpr`]: names become indices, types are checked, implicit casts are written out.
//!
//! Everything that can be wrong with an expression is found here, so that running it can only fail on
//! rows. The type rules are those of [`types::rules`](crate::types::rules).

mod arithmetic;
mod function;
mod operand;

use arrow::datatypes::{DataType, Schema};

use crate::cast::cast_scalar;
use crate::error::ExprError;
use crate::expr::{BinaryOp, CastMode, Expr};
use crate::registry::FunctionRegistry;
use crate::scalar::Scalar;
use crate::typed::{BoundFunction, TypedExpr, TypedKind};
use crate::types::{
    check_type, decoded_type, is_encoded, is_integer, is_plain_string, is_unsigned_integer, rules, type_name,
};
use operand::Operand;

/// Levels of nesting that an expression may have. Evaluation and storage recurse, and must not exhaust
/// the stack of a worker thread.
pub const DEPTH_MAX: usize = 200;

/// Nodes that the operand of a BETWEEN may have. It is written out twice, so BETWEENs nested in each
/// other's operands would double the expression at every level.
const BETWEEN_NODES_MAX: usize = 1_000;

/// Checks an expression against the columns of its input and gives its typed form.
///
/// # Errors
/// [`ExprError`] for an unknown or ambiguous column, types that do not fit, an unknown function, or
/// anything else that would keep the expression from having a meaning.
///
/// ```
/// use arrow::datatypes::{DataType, Field, Schema};
/// use sabot_expr::{FunctionRegistry, col, resolve};
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int16, false)]);
/// // The literal takes the column's type; the division shows its implicit cast.
/// let hours = resolve(&(col("delay") / 60.0), &schema, &FunctionRegistry::new())?;
/// assert_eq!(hours.to_string(), "CAST(delay AS float64) / 60.0");
/// assert_eq!(hours.data_type(), &DataType::Float64);
/// # Ok::<(), sabot_expr::ExprError>(())
/// ```
pub fn resolve(expr: &Expr, schema: &Schema, registry: &FunctionRegistry) -> Result<TypedExpr, ExprError> {
    check_depth(expr.depth())?;
    let operand = Resolver { schema, registry }.operand(expr)?;
    if operand.is_untyped_null() {
        return Err(untyped_null(expr));
    }
    // Casts and BETWEEN have become several nodes.
    check_depth(operand.expr.depth())?;
    Ok(operand.expr)
}

fn check_depth(depth: usize) -> Result<(), ExprError> {
    if depth > DEPTH_MAX { Err(ExprError::TooDeep { depth, limit: DEPTH_MAX }) } else { Ok(()) }
}

struct Resolver<'a> {
    schema: &'a Schema,
    registry: &'a FunctionRegistry,
}

impl Resolver<'_> {
    fn operand(&self, expr: &Expr) -> Result<Operand, ExprError> {
        Ok(match expr {
            Expr::Column(name) => self.column(name)?.into(),
            Expr::Literal(value) => literal(value)?,
            Expr::Binary { op, left, right } => self.binary(expr, *op, left, right)?.into(),
            Expr::Not(inner) => {
                let input = self.boolean(expr, inner)?;
                let nullable = input.nullable();
                TypedExpr::new(TypedKind::Not(Box::new(input)), DataType::Boolean, nullable).into()
            }
            Expr::Negate(inner) => self.negate(expr, inner)?,
            Expr::IsNull(inner) => self.null_test(inner, TypedKind::IsNull)?.into(),
            Expr::IsNotNull(inner) => self.null_test(inner, TypedKind::IsNotNull)?.into(),
            Expr::Case { whens, otherwise } => self.case(expr, whens, otherwise.as_deref())?.into(),
            Expr::Cast { expr: inner, to, mode } => self.cast(expr, inner, to, *mode)?.into(),
            Expr::Coalesce(args) => self.coalesce(expr, args)?.into(),
            Expr::Between { expr: inner, low, high, negated } => {
                self.between(expr, inner, low, high, *negated)?.into()
            }
            Expr::InList { expr: inner, list, negated } => self.in_list(expr, inner, list, *negated)?.into(),
            Expr::Like { expr: inner, pattern, negated, insensitive, escape } => {
                let (input, pattern) = (self.string(expr, inner)?, self.string(expr, pattern)?);
                let nullable = input.nullable() || pattern.nullable();
                let (input, pattern) = (Box::new(input), Box::new(pattern));
                let (negated, insensitive, escape) = (*negated, *insensitive, *escape);
                let kind = TypedKind::Like { input, pattern, negated, insensitive, escape };
                TypedExpr::new(kind, DataType::Boolean, nullable).into()
            }
            Expr::Function { name, args } => self.function(expr, name, args)?.into(),
            Expr::Call { name, version, args } => self.call(name, *version, args)?.into(),
            Expr::Alias { expr: inner, .. } => self.operand(inner)?,
        })
    }

    fn column(&self, name: &str) -> Result<TypedExpr, ExprError> {
        let names = || self.schema.fields().iter().map(|field| field.name().as_str());
        let mut found =
            names().enumerate().filter(|(_, candidate)| *candidate == name).map(|(index, _)| index);
        let Some(index) = found.next() else {
            return Err(ExprError::unknown_column(name, names()));
        };
        match found.count() {
            0 => TypedExpr::column(index, self.schema),
            more => Err(ExprError::AmbiguousColumn { name: name.to_owned(), count: more + 1 }),
        }
    }

    fn binary(&self, whole: &Expr, op: BinaryOp, left: &Expr, right: &Expr) -> Result<TypedExpr, ExprError> {
        let (left, right, data_type) = if op.is_logical() {
            (self.boolean(whole, left)?, self.boolean(whole, right)?, DataType::Boolean)
        } else {
            let operands = vec![self.operand(left)?, self.operand(right)?];
            if op.is_comparison() {
                let (left, right) = compared(whole, op, operands)?;
                (left, right, DataType::Boolean)
            } else {
                arithmetic::resolve(whole, op, operands)?
            }
        };
        let nullable = left.nullable() || right.nullable();
        let kind = TypedKind::Binary { op, left: Box::new(left), right: Box::new(right) };
        Ok(TypedExpr::new(kind, data_type, nullable))
    }

    /// A boolean operand; NULL becomes a boolean null.
    fn boolean(&self, whole: &Expr, expr: &Expr) -> Result<TypedExpr, ExprError> {
        let operand = self.operand(expr)?;
        if operand.is_untyped_null() || *operand.expr.data_type() == DataType::Boolean {
            return operand.coerce(whole, &DataType::Boolean);
        }
        Err(wrong_type(whole, "a truth value", operand.expr.data_type()))
    }

    /// A string operand; dictionaries are decoded, NULL becomes a null string.
    fn string(&self, whole: &Expr, expr: &Expr) -> Result<TypedExpr, ExprError> {
        let operand = self.operand(expr)?;
        if operand.is_untyped_null() {
            return operand.coerce(whole, &DataType::Utf8);
        }
        let wanted = decoded_type(operand.expr.data_type()).clone();
        if is_plain_string(&wanted) {
            // Patterns are matched over strings with offsets.
            let wanted = if wanted == DataType::Utf8View { DataType::Utf8 } else { wanted };
            operand.coerce(whole, &wanted)
        } else {
            Err(wrong_type(whole, "a string", &wanted))
        }
    }

    fn negate(&self, whole: &Expr, inner: &Expr) -> Result<Operand, ExprError> {
        let operand = arithmetic::negated_operand(whole, self.operand(inner)?)?;
        let data_type = operand.expr.data_type().clone();
        if data_type == DataType::Null {
            return Ok(operand);
        }
        if is_unsigned_integer(&data_type) {
            return Err(wrong_type(whole, "a signed number", &data_type));
        }
        // The parser of a language reads -5 as the negation of 5; as one literal it adapts like 5 does.
        if let Some(negated) = operand.as_free_literal().and_then(negated) {
            return Ok(Operand::literal(negated));
        }
        let nullable = operand.expr.nullable();
        Ok(TypedExpr::new(TypedKind::Negate(Box::new(operand.expr)), data_type, nullable).into())
    }

    fn null_test(&self, inner: &Expr, kind: fn(Box<TypedExpr>) -> TypedKind) -> Result<TypedExpr, ExprError> {
        let operand = self.operand(inner)?;
        let input =
            if operand.is_untyped_null() { operand.coerce(inner, &DataType::Boolean)? } else { operand.expr };
        Ok(TypedExpr::new(kind(Box::new(input)), DataType::Boolean, false))
    }

    fn case(
        &self,
        whole: &Expr,
        whens: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
    ) -> Result<TypedExpr, ExprError> {
        if whens.is_empty() {
            return Err(incomplete(whole, "a CASE needs at least one WHEN"));
        }
        let conditions =
            whens.iter().map(|(when, _)| self.boolean(whole, when)).collect::<Result<Vec<_>, ExprError>>()?;
        let values = whens.iter().map(|(_, then)| then).chain(otherwise);
        let values = values.map(|value| self.operand(value)).collect::<Result<Vec<_>, ExprError>>()?;
        let (mut values, data_type) = operand::unify(whole, values)?;
        let nullable = otherwise.is_none() || values.iter().any(TypedExpr::nullable);
        let otherwise = if otherwise.is_some() { values.pop().map(Box::new) } else { None };
        let whens = conditions.into_iter().zip(values).collect();
        Ok(TypedExpr::new(TypedKind::Case { whens, otherwise }, data_type, nullable))
    }

    fn coalesce(&self, whole: &Expr, args: &[Expr]) -> Result<TypedExpr, ExprError> {
        if args.is_empty() {
            return Err(incomplete(whole, "coalesce needs at least one value"));
        }
        let args = args.iter().map(|arg| self.operand(arg)).collect::<Result<Vec<_>, ExprError>>()?;
        let (args, data_type) = operand::unify(whole, args)?;
        let nullable = args.iter().all(TypedExpr::nullable);
        Ok(TypedExpr::new(TypedKind::Coalesce(args), data_type, nullable))
    }

    fn cast(
        &self,
        whole: &Expr,
        inner: &Expr,
        to: &DataType,
        mode: CastMode,
    ) -> Result<TypedExpr, ExprError> {
        check_type(to)?;
        let input = self.operand(inner)?.expr;
        let from = input.data_type().clone();
        if from == *to {
            return Ok(input);
        }
        if from != DataType::Null && !rules::can_cast(&from, to) {
            let (from, to) = (type_name(&from), type_name(to));
            return Err(ExprError::UnsupportedCast { from, to, expression: whole.to_string() });
        }
        // A literal is cast now. If it cannot be, the error stays one of the rows that reach it.
        if let Some(value) = input.as_literal() {
            match (cast_scalar(value, to), mode) {
                (Some(value), _) => return Ok(TypedExpr::literal(value)),
                (None, CastMode::Try) => return Ok(TypedExpr::literal(Scalar::Null(to.clone()))),
                (None, CastMode::Strict) => {}
            }
        }
        let nullable = input.nullable() || (mode == CastMode::Try && !rules::cast_is_total(&from, to));
        Ok(TypedExpr::new(TypedKind::Cast { input: Box::new(input), mode }, to.clone(), nullable))
    }

    /// `low <= x AND x <= high`, written out. As `x` stands there twice it must be the same both times.
    fn between(
        &self,
        whole: &Expr,
        inner: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
    ) -> Result<TypedExpr, ExprError> {
        let input = self.operand(inner)?;
        if !input.expr.is_deterministic() {
            return Err(unsupported(
                whole,
                "BETWEEN reads its operand twice, and this one may change in between",
            ));
        }
        if input.expr.nodes() > BETWEEN_NODES_MAX {
            return Err(unsupported(
                whole,
                "BETWEEN reads its operand twice, and this one is too large for that",
            ));
        }
        let bound = |op: BinaryOp, bound: &Expr| -> Result<TypedExpr, ExprError> {
            let (left, right) = compared(whole, op, vec![input.clone(), self.operand(bound)?])?;
            let nullable = left.nullable() || right.nullable();
            let kind = TypedKind::Binary { op, left: Box::new(left), right: Box::new(right) };
            Ok(TypedExpr::new(kind, DataType::Boolean, nullable))
        };
        let (left, right) = (bound(BinaryOp::GtEq, low)?, bound(BinaryOp::LtEq, high)?);
        let nullable = left.nullable() || right.nullable();
        let kind = TypedKind::Binary { op: BinaryOp::And, left: Box::new(left), right: Box::new(right) };
        let both = TypedExpr::new(kind, DataType::Boolean, nullable);
        Ok(if negated {
            TypedExpr::new(TypedKind::Not(Box::new(both)), DataType::Boolean, nullable)
        } else {
            both
        })
    }

    fn in_list(
        &self,
        whole: &Expr,
        inner: &Expr,
        list: &[Expr],
        negated: bool,
    ) -> Result<TypedExpr, ExprError> {
        if list.is_empty() {
            return Err(incomplete(whole, "IN needs at least one value"));
        }
        let operands = std::iter::once(inner).chain(list).map(|expr| self.operand(expr));
        let (mut list, data_type) = operand::unify(whole, operands.collect::<Result<Vec<_>, ExprError>>()?)?;
        check_comparable(whole, &data_type)?;
        if data_type == DataType::Float16 {
            let wider = |side: TypedExpr| Operand::from(side).coerce(whole, &DataType::Float32);
            list = list.into_iter().map(wider).collect::<Result<_, _>>()?;
        }
        let nullable = list.iter().any(TypedExpr::nullable);
        let input = Box::new(list.remove(0));
        Ok(TypedExpr::new(TypedKind::InList { input, list, negated }, DataType::Boolean, nullable))
    }

    fn call(&self, name: &str, version: u32, args: &[Expr]) -> Result<TypedExpr, ExprError> {
        let function = self.registry.get(name, version)?;
        let mut typed = Vec::with_capacity(args.len());
        for arg in args {
            let operand = self.operand(arg)?;
            if operand.is_untyped_null() {
                return Err(untyped_null(arg));
            }
            let wanted = decoded_type(operand.expr.data_type()).clone();
            typed.push(operand.coerce(arg, &wanted)?);
        }
        let types: Vec<DataType> = typed.iter().map(|arg| arg.data_type().clone()).collect();
        let invalid = |message| ExprError::InvalidFunction { name: name.to_owned(), version, message };
        let returns = function.return_type(&types).map_err(|error| invalid(error.message))?;
        check_type(&returns)?;
        if is_encoded(&returns) {
            return Err(invalid(format!("functions cannot return {}", type_name(&returns))));
        }
        let kind = TypedKind::Call { function: BoundFunction::new(function), args: typed };
        Ok(TypedExpr::new(kind, returns, true))
    }
}

fn literal(value: &Scalar) -> Result<Operand, ExprError> {
    let data_type = value.data_type();
    if data_type != DataType::Null {
        check_type(&data_type)?;
    }
    if is_encoded(&data_type) {
        return Err(ExprError::unsupported_type(
            &data_type,
            "a literal has the type of its value, not of how it is stored",
        ));
    }
    Ok(Operand::literal(value.clone()))
}

fn negated(value: &Scalar) -> Option<Scalar> {
    match value {
        Scalar::Float32(v) => Some(Scalar::Float32(-v)),
        Scalar::Float64(v) => Some(Scalar::Float64(-v)),
        other => match other.as_decimal() {
            Some((digits, _)) => Scalar::from_decimal(digits.wrapping_neg(), &other.data_type()),
            None => Scalar::from_integer(-other.as_integer()?, &other.data_type()),
        },
    }
}

/// Two operands of a comparison in their common type; a float16 is compared as a float32.
fn compared(whole: &Expr, op: BinaryOp, operands: Vec<Operand>) -> Result<(TypedExpr, TypedExpr), ExprError> {
    let (left, right, data_type) = pair(whole, operands)?;
    check_comparable(whole, &data_type)?;
    if !matches!(op, BinaryOp::Eq | BinaryOp::NotEq) && !rules::is_ordered(&data_type) {
        let reason =
            format!("values of type {} have no order; only = and <> compare them", type_name(&data_type));
        return Err(unsupported(whole, &reason));
    }
    let wider = |side: TypedExpr| match data_type {
        DataType::Float16 => Operand::from(side).coerce(whole, &DataType::Float32),
        _ => Ok(side),
    };
    Ok((wider(left)?, wider(right)?))
}

/// Two operands of a comparison or of arithmetic in their common type.
fn pair(whole: &Expr, operands: Vec<Operand>) -> Result<(TypedExpr, TypedExpr, DataType), ExprError> {
    let (mut both, data_type) = operand::unify(whole, operands)?;
    match (both.pop(), both.pop()) {
        (Some(right), Some(left)) => Ok((left, right, data_type)),
        _ => Err(incomplete(whole, "an operator needs two operands")),
    }
}

fn check_number(whole: &Expr, operand: &Operand, integers_only: bool) -> Result<(), ExprError> {
    match decoded_type(operand.expr.data_type()) {
        DataType::Null => Ok(()),
        integer if is_integer(integer) => Ok(()),
        number if rules::is_any_number(number) && !integers_only => Ok(()),
        other => Err(wrong_type(whole, if integers_only { "integers" } else { "numbers" }, other)),
    }
}

fn check_comparable(whole: &Expr, data_type: &DataType) -> Result<(), ExprError> {
    if rules::is_comparable(data_type) {
        return Ok(());
    }
    Err(unsupported(whole, &format!("values of type {} are not compared", type_name(data_type))))
}

fn wrong_type(whole: &Expr, expected: &str, actual: &DataType) -> ExprError {
    let (expected, actual) = (expected.to_owned(), type_name(actual));
    ExprError::WrongType { expression: whole.to_string(), expected, actual }
}

fn unsupported(whole: &Expr, reason: &str) -> ExprError {
    ExprError::Unsupported { expression: whole.to_string(), reason: reason.to_owned() }
}

fn incomplete(whole: &Expr, reason: &str) -> ExprError {
    ExprError::Incomplete { expression: whole.to_string(), reason: reason.to_owned() }
}

fn untyped_null(whole: &Expr) -> ExprError {
    ExprError::InvalidLiteral {
        literal: whole.to_string(),
        expected: "typed value".to_owned(),
        reason: "nothing here gives NULL a type; cast it to the type you mean".to_owned(),
    }
}

#[cfg(test)]
mod tests;
