//! Calls of built-in functions that give a type, drawn from their rows in the table of functions.

use arrow::datatypes::DataType;
use rand::Rng;
use rand::seq::IndexedRandom;
use sabot_expr::functions::{Function, Need, Parameter, Returns, Takes};
use sabot_expr::types::rules::{can_cast, is_comparable, is_ordered};
use sabot_expr::types::{decoded_type, is_float, is_integer, is_numeric, is_plain_string, list_item};
use sabot_expr::{Expr, Scalar};

use super::Draw;
use crate::array::types;

const PATTERNS: [&str; 8] = ["[0-9]+", "(a)|(b)", "^S", "", ".", "(?i)[sfo]{2}", "(\\d+)-(\\d+)", "(x*)y?"];
const REPLACEMENTS: [&str; 5] = ["", "-", "\\0\\0", "<\\1>", "a\\\\b"];
const ZONES: [&str; 7] = [
    "Europe/Zurich",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "-02:30",
    "UTC",
];

impl<R: Rng> Draw<'_, R> {
    /// A call that gives a type; a leaf where no function does.
    pub(super) fn function(&mut self, target: &DataType, depth: usize) -> Expr {
        let fitting: Vec<Function> = Function::all().filter(|function| gives(*function, target)).collect();
        let Some(function) = fitting.choose(self.rng).copied() else { return self.leaf(target) };
        let entry = function.entry();
        // Arguments that meet are all of one type.
        let floats = if is_float(target) { target.clone() } else { self.pick_type(is_float) };
        let (common, integers) = match entry.returns {
            Returns::SameAs(_) => (target.clone(), target.clone()),
            _ => (self.pick_type(is_ordered), self.pick_type(is_integer)),
        };
        let list = match entry.returns {
            Returns::Item => self.pick_type(|t| holds_item(t, target)),
            _ => self.pick_type(|t| list_item(t).is_some_and(|item| compares_as_it_is(item.data_type()))),
        };
        let record = match entry.returns {
            Returns::Field => self.pick_type(|t| !fields_of(t, target).is_empty()),
            _ => DataType::Null,
        };
        let mut args = Vec::new();
        for parameter in entry.parameters {
            let times = match parameter.need {
                Need::Once => 1,
                Need::Optional => self.rng.random_range(0..2),
                Need::Repeated => self.rng.random_range(1..4),
            };
            for _ in 0..times {
                let meet = [&floats, &common, &integers, &list, &record];
                args.push(self.argument(function, parameter, target, meet, depth));
            }
            if times == 0 {
                break;
            }
        }
        Expr::Function { name: function.name().to_owned(), args }
    }

    fn argument(
        &mut self,
        function: Function,
        parameter: &Parameter,
        target: &DataType,
        [floats, common, integers, list, record]: [&DataType; 5],
        depth: usize,
    ) -> Expr {
        let same = matches!(function.entry().returns, Returns::SameAs(_));
        let literal = |text: &str| Expr::Literal(Scalar::from(text));
        match parameter.takes {
            Takes::Text if parameter.name == "replacement" && self.rng.random_bool(0.9) => {
                literal(self.pick(&REPLACEMENTS))
            }
            Takes::Text => {
                let text = if has_offsets(target) { target.clone() } else { self.text_type() };
                let depth = if self.rng.random_bool(0.6) { depth } else { 0 };
                self.of(&text, depth)
            }
            // Only what prints the same everywhere; of a large string the result would be one too.
            Takes::Printable if has_offsets(target) && self.rng.random_bool(0.6) => self.of(target, depth),
            Takes::Printable => {
                let from = self.pick_type(|t| !is_plain_string(t) && can_cast(t, &DataType::Utf8));
                if *target == DataType::LargeUtf8 { self.of(target, depth) } else { self.of(&from, depth) }
            }
            Takes::Pattern if self.rng.random_bool(0.9) => literal(self.pick(&PATTERNS)),
            Takes::Pattern => self.of(&DataType::Utf8, depth),
            Takes::Count if self.rng.random_bool(0.8) => {
                Expr::Literal(Scalar::Int64(self.rng.random_range(-3..6)))
            }
            Takes::Count => self.of(&DataType::Int64, depth),
            Takes::Integer => self.of(integers, depth),
            Takes::Number if same => self.of(target, depth),
            Takes::Number => {
                let number = self.pick_type(is_numeric);
                self.of(&number, depth)
            }
            Takes::Float => self.of(floats, depth),
            Takes::Time if same => self.of(target, depth),
            Takes::Time => {
                let time = self.pick_type(is_time);
                self.of(&time, depth)
            }
            Takes::Comparable => self.of(common, depth),
            Takes::Key => {
                let key = self.pick_type(is_comparable);
                self.of(&key, depth)
            }
            Takes::List => self.of(list, depth),
            Takes::Item => {
                let item =
                    list_item(list).map_or(DataType::Int64, |item| decoded_type(item.data_type()).clone());
                self.of(&item, depth)
            }
            Takes::Struct => self.of(record, depth),
            Takes::Field => {
                let names = fields_of(record, target);
                literal(names.choose(self.rng).map_or("", String::as_str))
            }
            Takes::Word { words, .. } => literal(self.pick(&words())),
            Takes::Letters(known) => {
                let letters: String = known.chars().filter(|_| self.rng.random_bool(0.3)).collect();
                literal(&letters)
            }
            Takes::Zone => literal(self.pick(&ZONES)),
        }
    }

    fn pick_type(&mut self, wanted: impl Fn(&DataType) -> bool) -> DataType {
        loop {
            let drawn = self.any_type();
            if wanted(&drawn) {
                return drawn;
            }
        }
    }
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(_, _))
}

/// Whether a type is one of lists whose items are, once decoded, of another.
fn holds_item(list: &DataType, item: &DataType) -> bool {
    list_item(list).is_some_and(|own| decoded_type(own.data_type()) == item)
}

/// The names of a struct's fields that are, once decoded, of a type.
fn fields_of(record: &DataType, wanted: &DataType) -> Vec<String> {
    let DataType::Struct(fields) = record else { return Vec::new() };
    let fitting = fields.iter().filter(|field| decoded_type(field.data_type()) == wanted);
    fitting.map(|field| field.name().clone()).collect()
}

fn compares_as_it_is(data_type: &DataType) -> bool {
    is_comparable(data_type) && *decoded_type(data_type) != DataType::Float16
}

fn has_offsets(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8)
}

/// Whether some call of a function gives a type.
fn gives(function: Function, target: &DataType) -> bool {
    let entry = function.entry();
    match entry.returns {
        Returns::Boolean => *target == DataType::Boolean,
        Returns::Int8 => *target == DataType::Int8,
        Returns::Int64 => *target == DataType::Int64,
        Returns::UInt64 => *target == DataType::UInt64,
        Returns::Float64 => *target == DataType::Float64,
        Returns::Text => has_offsets(target),
        Returns::Item => types().iter().any(|t| holds_item(decoded_type(t), target)),
        Returns::Field => types().iter().any(|t| !fields_of(decoded_type(t), target).is_empty()),
        Returns::SameAs(at) => match entry.parameter(at).map(|parameter| parameter.takes) {
            Some(Takes::Number) => is_numeric(target),
            Some(Takes::Float) => is_float(target),
            Some(Takes::Integer) => is_integer(target),
            Some(Takes::Comparable) => is_ordered(target) && *target != DataType::Float16,
            Some(Takes::Time) => is_time(target),
            _ => false,
        },
    }
}
