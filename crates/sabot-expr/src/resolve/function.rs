//! Calls of built-in functions: arguments against the parameters of the function's row.

use arrow::datatypes::DataType;

use super::operand::{self, Operand};
use super::{Resolver, check_number, unsupported, wrong_type};
use crate::error::ExprError;
use crate::expr::Expr;
use crate::functions::{
    Function, MathFunction, Nulls, PatternFunction, RegexPattern, Replacement, Returns, Takes,
};
use crate::scalar::Scalar;
use crate::temporal::Zone;
use crate::typed::{TypedExpr, TypedKind};
use crate::types::rules::{Adapted, adapt_literal, can_cast, common_type, is_comparable, is_ordered};
use crate::types::{
    decoded_type, is_integer, is_numeric, is_plain_string, is_unsigned_integer, list_item, type_name,
};

impl Resolver<'_> {
    pub(super) fn function(&self, whole: &Expr, name: &str, args: &[Expr]) -> Result<TypedExpr, ExprError> {
        let function = Function::from_name(name)?;
        let entry = function.entry();
        if !entry.takes_count(args.len()) {
            return Err(ExprError::WrongArguments {
                expression: whole.to_string(),
                count: args.len(),
                signature: entry.signature(),
            });
        }
        let operands = args.iter().map(|arg| self.operand(arg)).collect::<Result<Vec<_>, _>>()?;
        let takes: Vec<Takes> =
            (0..args.len()).filter_map(|i| entry.parameter(i)).map(|parameter| parameter.takes).collect();
        let mut args = Vec::with_capacity(operands.len());
        let meet = Meet::of(whole, &takes, &operands)?;
        for (operand, takes) in operands.into_iter().zip(takes) {
            args.push(argument(whole, operand, takes, &meet)?);
        }
        check_literals(function, &args)?;
        if changes_nothing(function, &args)
            && let Some(only) = args.pop()
        {
            return Ok(only);
        }
        let returns = returns(entry.returns, &args);
        let nullable = match entry.nulls {
            Nulls::AnyArgument => args.iter().any(TypedExpr::nullable),
            Nulls::AllArguments => args.iter().all(TypedExpr::nullable),
            Nulls::FirstArgument => args.first().is_some_and(TypedExpr::nullable),
            Nulls::Also(_) => true,
            Nulls::Never => false,
        };
        Ok(TypedExpr::new(TypedKind::Function { function, args }, returns, nullable))
    }
}

/// The types in which arguments of one kind meet.
struct Meet {
    /// Of arguments that are [`Takes::Comparable`] or [`Takes::Integer`].
    common: DataType,
    /// Of arguments that are [`Takes::Float`].
    float: DataType,
    /// The first argument's own, which says what [`Takes::Item`] and [`Takes::Field`] are.
    first: DataType,
}

impl Meet {
    fn of(whole: &Expr, takes: &[Takes], operands: &[Operand]) -> Result<Meet, ExprError> {
        let of = |wanted: fn(&Takes) -> bool| -> Vec<Operand> {
            let pairs = operands.iter().zip(takes).filter(|(_, takes)| wanted(takes));
            pairs.map(|(operand, _)| operand.clone()).collect()
        };
        let common = of(|takes| matches!(takes, Takes::Comparable | Takes::Integer));
        let integers = takes.iter().any(|takes| matches!(takes, Takes::Integer));
        let common = match common.iter().all(Operand::is_untyped_null) {
            true if integers || common.is_empty() => DataType::Int64,
            _ => operand::unify(whole, common)?.1,
        };
        let floats = of(|takes| matches!(takes, Takes::Float));
        let narrow = |operand: &Operand| match operand.as_free_literal() {
            Some(literal) => matches!(adapt_literal(literal, &DataType::Float32), Adapted::Value(_)),
            None => *operand.expr.data_type() == DataType::Float32,
        };
        let any_float32 = floats.iter().any(|operand| *operand.expr.data_type() == DataType::Float32);
        let float =
            if any_float32 && floats.iter().all(narrow) { DataType::Float32 } else { DataType::Float64 };
        let first = operands.first().map_or(&DataType::Null, |first| decoded_type(first.expr.data_type()));
        Ok(Meet { common, float, first: first.clone() })
    }
}

/// An operand as what a parameter takes.
fn argument(whole: &Expr, operand: Operand, takes: Takes, meet: &Meet) -> Result<TypedExpr, ExprError> {
    let own = decoded_type(operand.expr.data_type()).clone();
    let null = operand.is_untyped_null();
    let refused = |wanted: &str| Err(wrong_type(whole, wanted, &own));
    match takes {
        Takes::Text | Takes::Pattern if null => operand.coerce(whole, &DataType::Utf8),
        Takes::Text | Takes::Pattern if is_plain_string(&own) => operand.coerce(whole, with_offsets(&own)),
        Takes::Text | Takes::Pattern => refused("a string"),
        Takes::Printable if is_plain_string(&own) => operand.coerce(whole, with_offsets(&own)),
        Takes::Printable if null || can_cast(&own, &DataType::Utf8) => operand.coerce(whole, &DataType::Utf8),
        Takes::Printable => refused("a value that can be cast to a string"),
        Takes::Count if null || is_integer(&own) => operand.coerce(whole, &DataType::Int64),
        Takes::Count => refused("an integer"),
        Takes::Integer if null || is_integer(&own) => operand.coerce(whole, &meet.common),
        Takes::Integer => refused("integers"),
        Takes::Number => {
            check_number(whole, &operand, false)?;
            // Of a decimal and a float16 a float is computed.
            operand.coerce(whole, if is_numeric(&own) { &own } else { &DataType::Float64 })
        }
        Takes::Float => {
            check_number(whole, &operand, false)?;
            operand.coerce(whole, &meet.float)
        }
        Takes::Time => match &own {
            DataType::Null => operand.coerce(whole, &DataType::Date32),
            DataType::Timestamp(_, Some(zone)) if Zone::parse(zone).is_none() => {
                Err(unsupported(whole, &format!("the time zone {zone} is unknown")))
            }
            DataType::Date32 | DataType::Timestamp(_, _) => Ok(operand.expr),
            _ => refused("a date or timestamp"),
        },
        Takes::Comparable if meet.common == DataType::Float16 => operand.coerce(whole, &DataType::Float32),
        Takes::Comparable if is_ordered(&meet.common) => operand.coerce(whole, &meet.common),
        Takes::Comparable => {
            Err(unsupported(whole, &format!("values of type {} have no order", type_name(&meet.common))))
        }
        Takes::Key if null => operand.coerce(whole, &DataType::Boolean),
        Takes::Key if sabot_batch::key_hash::supports_key(&own) => operand.coerce(whole, &own),
        Takes::Key => Err(unsupported(whole, &format!("{} cannot be a key", type_name(&own)))),
        Takes::List if list_item(&own).is_some() => operand.coerce(whole, &own),
        Takes::List => refused("a list"),
        Takes::Item => item(whole, operand, meet),
        Takes::Struct if matches!(own, DataType::Struct(_)) => operand.coerce(whole, &own),
        Takes::Struct => refused("a struct"),
        Takes::Field => field(whole, operand, meet),
        Takes::Word { what, words } => word(whole, operand, what, &words()),
        Takes::Letters(known) => letters(whole, operand, known),
        Takes::Zone => zone(whole, operand),
    }
}

/// A string type that functions compute with, for one that may be of views.
fn with_offsets(data_type: &DataType) -> &DataType {
    if *data_type == DataType::Utf8View { &DataType::Utf8 } else { data_type }
}

/// A value that is looked for among the items of the list that is the first argument.
fn item(whole: &Expr, operand: Operand, meet: &Meet) -> Result<TypedExpr, ExprError> {
    let Some(wanted) = list_item(&meet.first).map(|item| decoded_type(item.data_type())) else {
        return Err(wrong_type(whole, "a list", &meet.first));
    };
    if !is_comparable(wanted) || *wanted == DataType::Float16 {
        return Err(unsupported(whole, &format!("values of type {} are not compared", type_name(wanted))));
    }
    let own = operand.expr.data_type();
    let adapts =
        operand.as_free_literal().is_some_and(|v| matches!(adapt_literal(v, wanted), Adapted::Value(_)));
    if adapts || common_type(own, wanted).as_ref() == Some(wanted) {
        return operand.coerce(whole, wanted);
    }
    Err(ExprError::TypeMismatch {
        left: type_name(&meet.first),
        right: type_name(own),
        expression: whole.to_string(),
        hint: format!("the value must be one that the list can hold; cast it to {}", type_name(wanted)),
    })
}

/// The name of a field of the struct that is the first argument.
fn field(whole: &Expr, operand: Operand, meet: &Meet) -> Result<TypedExpr, ExprError> {
    let DataType::Struct(fields) = &meet.first else {
        return Err(wrong_type(whole, "a struct", &meet.first));
    };
    let text = literal_text(whole, &operand, "field name")?;
    let names = || fields.iter().map(|field| field.name().as_str());
    if names().any(|name| name == text) {
        return Ok(operand.expr);
    }
    let near = sabot_common::did_you_mean(text, names());
    let near = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
    Err(invalid(text, "field", format!("{near}fields: {}", sabot_common::list_names(names()))))
}

/// The text of an operand that has to be a literal.
fn literal_text<'a>(whole: &Expr, operand: &'a Operand, what: &str) -> Result<&'a str, ExprError> {
    let text = operand.as_free_literal().and_then(Scalar::as_str);
    text.ok_or_else(|| wrong_type(whole, &format!("a literal {what}"), operand.expr.data_type()))
}

fn invalid(literal: &str, expected: &str, reason: String) -> ExprError {
    let literal = Scalar::from(literal).to_string();
    ExprError::InvalidLiteral { literal, expected: expected.to_owned(), reason }
}

fn word(whole: &Expr, operand: Operand, what: &str, words: &[&str]) -> Result<TypedExpr, ExprError> {
    let text = literal_text(whole, &operand, what)?;
    if words.contains(&text) {
        return Ok(operand.expr);
    }
    let near = sabot_common::did_you_mean(text, words.iter().copied());
    let near = near.map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
    Err(invalid(text, what, format!("{near}known: {}", sabot_common::list_names(words.iter().copied()))))
}

fn letters(whole: &Expr, operand: Operand, known: &str) -> Result<TypedExpr, ExprError> {
    let text = literal_text(whole, &operand, "string of option letters")?;
    match text.chars().find(|letter| !known.contains(*letter)) {
        None => Ok(operand.expr),
        Some(letter) => {
            let all: Vec<String> = known.chars().map(String::from).collect();
            let all = sabot_common::list_names(all.iter().map(String::as_str));
            Err(invalid(text, "list of options", format!("there is no option {letter}; options: {all}")))
        }
    }
}

fn zone(whole: &Expr, operand: Operand) -> Result<TypedExpr, ExprError> {
    let text = literal_text(whole, &operand, "time zone")?;
    if Zone::parse(text).is_some() {
        return Ok(operand.expr);
    }
    Err(invalid(text, "time zone", "zones have the form 'Europe/Zurich' or '+01:00'".to_owned()))
}

/// Arguments that are literals and must fit each other: found now, and not by the first row.
fn check_literals(function: Function, args: &[TypedExpr]) -> Result<(), ExprError> {
    let Function::Pattern(function) = function else { return Ok(()) };
    let literal = |at: usize| args.get(at).and_then(TypedExpr::as_literal);
    let Some(pattern) = literal(1).and_then(Scalar::as_str) else { return Ok(()) };
    let options = match function {
        PatternFunction::RegexpMatches | PatternFunction::RegexpFullMatch => literal(2),
        PatternFunction::RegexpExtract => None,
        PatternFunction::RegexpReplace => literal(3),
    };
    let options = options.and_then(Scalar::as_str).unwrap_or_default();
    let compiled = RegexPattern::new(pattern, options)
        .map_err(|reason| invalid(pattern, "regular expression", reason))?;
    match (function, literal(2)) {
        (PatternFunction::RegexpExtract, Some(group)) => match group.as_integer() {
            Some(wanted) if !(0..=compiled.groups() as i128).contains(&wanted) => {
                Err(ExprError::InvalidLiteral {
                    literal: group.to_string(),
                    expected: "group".to_owned(),
                    reason: format!("the pattern '{pattern}' has {}", compiled.groups()),
                })
            }
            _ => Ok(()),
        },
        (PatternFunction::RegexpReplace, Some(replacement)) => {
            let Some(text) = replacement.as_str() else { return Ok(()) };
            let read = Replacement::new(text, compiled.groups());
            read.map(drop).map_err(|reason| invalid(text, "replacement", reason))
        }
        _ => Ok(()),
    }
}

/// Whether the result is the only argument, whatever its value.
fn changes_nothing(function: Function, args: &[TypedExpr]) -> bool {
    let [number] = args else { return false };
    match function {
        Function::Math(MathFunction::Abs) => is_unsigned_integer(number.data_type()),
        Function::Math(
            MathFunction::Round | MathFunction::Trunc | MathFunction::Ceil | MathFunction::Floor,
        ) => is_integer(number.data_type()),
        _ => false,
    }
}

fn returns(returns: Returns, args: &[TypedExpr]) -> DataType {
    match returns {
        Returns::Boolean => DataType::Boolean,
        Returns::Int8 => DataType::Int8,
        Returns::Int64 => DataType::Int64,
        Returns::UInt64 => DataType::UInt64,
        Returns::Float64 => DataType::Float64,
        Returns::Text if args.iter().any(|arg| *arg.data_type() == DataType::LargeUtf8) => {
            DataType::LargeUtf8
        }
        Returns::Text => DataType::Utf8,
        Returns::Item => {
            let item = args.first().and_then(|list| list_item(list.data_type()));
            item.map_or(DataType::Null, |item| decoded_type(item.data_type()).clone())
        }
        Returns::Field => {
            let name = args.get(1).and_then(TypedExpr::as_literal).and_then(Scalar::as_str);
            let field = match args.first().map(TypedExpr::data_type) {
                Some(DataType::Struct(fields)) => {
                    fields.iter().find(|field| Some(field.name().as_str()) == name)
                }
                _ => None,
            };
            field.map_or(DataType::Null, |field| decoded_type(field.data_type()).clone())
        }
        Returns::SameAs(at) => args.get(at).map_or(DataType::Null, |arg| arg.data_type().clone()),
    }
}
