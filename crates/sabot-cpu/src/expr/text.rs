//! LIKE and ILIKE, and the strings of an operand.
//!
//! A pattern that is one value is compiled once a morsel; over a dictionary it is matched once per
//! dictionary value.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;
use sabot_expr::{LikePattern, TypedExpr};
use sabot_ops::Failure;
use std::sync::Arc;

use super::value::{Value, booleans, both_valid, is_valid};
use super::{Active, Scope, wrong_type};

impl Scope<'_> {
    /// LIKE and ILIKE, and their negations.
    pub(super) fn like(
        &self,
        input: &TypedExpr,
        pattern: &TypedExpr,
        negated: bool,
        insensitive: bool,
        escape: char,
        active: Active<'_>,
    ) -> Result<Value, Failure> {
        self.matching(input, pattern, active, |texts, pattern| {
            if let Some(pattern) = pattern.constant() {
                let pattern = LikePattern::new(pattern, escape, insensitive);
                return Box::new(move |row| pattern.matches(texts.value(row)) != negated);
            }
            Box::new(move |row| {
                let pattern = LikePattern::new(pattern.value(row), escape, insensitive);
                pattern.matches(texts.value(row)) != negated
            })
        })
    }

    /// A test of two strings; null where one of them is.
    fn matching(
        &self,
        input: &TypedExpr,
        pattern: &TypedExpr,
        active: Active<'_>,
        test: impl for<'t> Fn(Texts<'t>, Texts<'t>) -> Box<dyn Fn(usize) -> bool + 't>,
    ) -> Result<Value, Failure> {
        let run = |input: &Value, pattern: &Value| {
            if input.is_null_constant() || pattern.is_null_constant() {
                return Ok(Value::constant(Arc::new(BooleanArray::new_null(1))));
            }
            let constant = input.is_constant() && pattern.is_constant();
            let rows = if input.is_constant() { pattern.array().len() } else { input.array().len() };
            let nulls: Option<NullBuffer> = both_valid(input, pattern);
            let test = test(Texts::of(input)?, Texts::of(pattern)?);
            let bits = BooleanBuffer::collect_bool(rows, |row| is_valid(nulls.as_ref(), row) && test(row));
            Ok(Value::of(booleans(bits, nulls), constant))
        };
        if pattern.as_literal().is_some() {
            let pattern = self.value(pattern, active)?;
            if let Some(result) = self.over_dictionary(input, |values| run(values, &pattern))? {
                return Ok(result);
            }
            return run(&self.value(input, active)?, &pattern);
        }
        let input = self.value(input, active)?;
        run(&input, &self.value(pattern, active)?)
    }
}

/// The strings of an array of either string type, or the one string that stands for all rows.
#[derive(Clone, Copy)]
pub(super) enum Texts<'a> {
    Small(&'a StringArray),
    Large(&'a LargeStringArray),
    One(&'a str),
}

impl<'a> Texts<'a> {
    /// The strings of an array.
    pub(super) fn new(array: &'a ArrayRef) -> Result<Self, Failure> {
        match array.data_type() {
            DataType::Utf8 => Ok(Texts::Small(array.as_string())),
            DataType::LargeUtf8 => Ok(Texts::Large(array.as_string())),
            other => Err(wrong_type("text", other)),
        }
    }

    /// The strings of an operand.
    pub(super) fn of(value: &'a Value) -> Result<Self, Failure> {
        let texts = Texts::new(value.array())?;
        Ok(if value.is_constant() { Texts::One(texts.value(0)) } else { texts })
    }

    /// The string at `row`, which may be anything where the row is null.
    pub(super) fn value(&self, row: usize) -> &'a str {
        match self {
            Texts::Small(array) => array.value(row),
            Texts::Large(array) => array.value(row),
            Texts::One(text) => text,
        }
    }

    /// The one string that stands for all rows.
    pub(super) fn constant(&self) -> Option<&'a str> {
        match self {
            Texts::One(text) => Some(text),
            _ => None,
        }
    }
}
