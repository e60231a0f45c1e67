//! Functions of your own: of columns, called in expressions, and of whole batches.

use sabot::arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use sabot::arrow::compute::kernels::length::length;
use sabot::arrow::datatypes::{Field, Int32Type, Schema};
use sabot::prelude::*;
use sabot::{ClosureFunction, FunctionError, FunctionRegistry, ScalarFunction, call};
use std::sync::Arc;

// ANCHOR: function
/// Whether the check digit of a card number is right (Luhn's formula). Null stays null.
struct CardIsValid;

impl ScalarFunction for CardIsValid {
    fn name(&self) -> &str {
        "card_is_valid"
    }

    /// Other results than before would be version 2, beside this one.
    fn version(&self) -> u32 {
        1
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
        match arguments {
            [DataType::Utf8] => Ok(DataType::Boolean),
            _ => Err(FunctionError::new("takes one string")),
        }
    }

    fn evaluate(&self, arguments: &[ArrayRef], _rows: usize) -> Result<ArrayRef, FunctionError> {
        let cards = arguments[0].as_string::<i32>().iter();
        Ok(Arc::new(cards.map(|card| card.map(luhn)).collect::<BooleanArray>()))
    }

    /// It never fails, so it may be computed ahead of a filter.
    fn fallible(&self) -> bool {
        false
    }
}
// ANCHOR_END: function

fn luhn(card: &str) -> bool {
    let digits: Option<Vec<u32>> = card.chars().filter(|c| *c != ' ').map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits.filter(|digits| !digits.is_empty()) else { return false };
    let doubled =
        |(i, digit): (usize, &u32)| if i % 2 == 1 { digit * 2 / 10 + digit * 2 % 10 } else { *digit };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cards = StringArray::from(vec![Some("4539 1488 0343 6467"), Some("8273 1232 7352 0569"), None]);
    let payments = RecordBatch::try_from_iter([("card", Arc::new(cards) as ArrayRef)])?;

    // ANCHOR: register
    let masked = ClosureFunction::new("masked", 1, [DataType::Utf8], DataType::Utf8, |arguments, _rows| {
        let cards = arguments[0].as_string::<i32>().iter();
        let last_four =
            |card: &str| format!("**** {}", card.get(card.len().saturating_sub(4)..).unwrap_or(card));
        Ok(Arc::new(cards.map(|card| card.map(last_four)).collect::<StringArray>()) as ArrayRef)
    });
    let mut functions = FunctionRegistry::new();
    functions.register(Arc::new(CardIsValid))?;
    functions.register(Arc::new(masked))?;
    // ANCHOR_END: register

    // ANCHOR: call
    let payments = Stream::from_batches([payments])?.with_functions(Arc::new(functions));
    let valid = payments.filter(call("card_is_valid", 1, [col("card")]))?.select([call(
        "masked",
        1,
        [col("card")],
    )
    .alias("card")])?;
    // ANCHOR_END: call

    // ANCHOR: batches
    // Anything that Arrow can do, or a library that takes its batches.
    let mut fields = valid.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("letters", DataType::Int32, true)));
    let measured = valid.map_batches(Arc::new(Schema::new(fields.clone())), move |batch| {
        let mut columns = batch.columns().to_vec();
        columns.push(length(&columns[0])?);
        RecordBatch::try_new(Arc::new(Schema::new(fields.clone())), columns)
    })?;
    // ANCHOR_END: batches

    measured.show()?;
    let rows = measured.collect()?;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1, "one of the three is valid");
    let card = rows[0].column(0).as_string::<i32>();
    let letters = rows[0].column(1).as_primitive::<Int32Type>();
    assert_eq!((card.value(0), letters.value(0)), ("**** 6467", 9));
    Ok(())
}
