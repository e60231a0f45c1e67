//! Random expressions that cannot fail, over the columns that are there.

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type};
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot::{ClosureFunction, DatePart, Expr, FunctionRegistry, call, coalesce, col, lit, when};
use std::sync::{Arc, LazyLock};

/// The user functions that expressions and aggregations call.
pub fn functions() -> Arc<FunctionRegistry> {
    static FUNCTIONS: LazyLock<Arc<FunctionRegistry>> = LazyLock::new(|| {
        let twice = ClosureFunction::new("twice", 1, [DataType::Int64], DataType::Int64, |args, _| {
            let doubled: Int64Array =
                args[0].as_primitive::<Int64Type>().iter().map(|v| v.map(|v| v.wrapping_mul(2))).collect();
            Ok(Arc::new(doubled) as ArrayRef)
        });
        let reverse = ClosureFunction::new("reverse", 3, [DataType::Utf8], DataType::Utf8, |args, _| {
            let turned: StringArray = args[0]
                .as_string::<i32>()
                .iter()
                .map(|v| v.map(|v| v.chars().rev().collect::<String>()))
                .collect();
            Ok(Arc::new(turned) as ArrayRef)
        });
        let mut registry = FunctionRegistry::new();
        for function in [twice.infallible(), reverse] {
            registry.register(Arc::new(function)).expect("the names are new");
        }
        registry.register_aggregate(Arc::new(super::spread::Spread)).expect("the name is new");
        Arc::new(registry)
    });
    FUNCTIONS.clone()
}

/// Draws expressions over some columns.
pub(super) struct Exprs<'a> {
    rng: &'a mut ChaCha8Rng,
    columns: &'a [Field],
}

impl<'a> Exprs<'a> {
    pub(super) fn new(rng: &'a mut ChaCha8Rng, columns: &'a [Field]) -> Self {
        Self { rng, columns }
    }

    fn column(&mut self, wanted: impl Fn(&DataType) -> bool) -> Option<(Expr, DataType)> {
        let fitting: Vec<&Field> = self.columns.iter().filter(|f| wanted(f.data_type())).collect();
        let field = fitting.choose(self.rng)?;
        Some((col(field.name().as_str()), field.data_type().clone()))
    }

    /// A boolean.
    pub(super) fn truth(&mut self, depth: usize) -> Expr {
        if depth > 0 && self.rng.random_ratio(1, 3) {
            let left = self.truth(depth - 1);
            return match self.rng.random_range(0..3) {
                0 => left.and(self.truth(depth - 1)),
                1 => left.or(self.truth(depth - 1)),
                _ => left.not(),
            };
        }
        for _ in 0..4 {
            let kind = self.rng.random_range(0..6);
            if let Some(found) = self.test(kind) {
                return found;
            }
        }
        lit(true)
    }

    /// One test of a column, if there is one of a type that it takes.
    fn test(&mut self, kind: u32) -> Option<Expr> {
        Some(match kind {
            0 => {
                let (value, _) = self.column(DataType::is_signed_integer)?;
                // Mostly true: filters that leave nothing test little.
                value.gt(lit(self.rng.random_range(-60i64..20)))
            }
            1 => {
                let (value, _) = self.column(DataType::is_signed_integer)?;
                let low = self.rng.random_range(-50i64..50);
                value.between(lit(low), lit(low + self.rng.random_range(0..300)))
            }
            2 => {
                let (value, _) = self.column(is_text)?;
                let listed = value.in_list([lit("SFO"), lit("Zürich"), lit("")]);
                if self.rng.random() { listed } else { listed.not() }
            }
            3 => {
                let (value, _) = self.column(is_text)?;
                value
                    .like(*["%", "S%", "%r%", "_FO", "J_K%"].choose(self.rng)?)
                    .or(lit(self.rng.random_bool(0.5)))
            }
            4 => {
                let (value, _) = self.column(|_| true)?;
                value.is_not_null()
            }
            _ => match self.rng.random_ratio(1, 2) {
                true => self.column(|t| t == &DataType::Boolean)?.0,
                false => self
                    .column(|t| t == &DataType::Float64)?
                    .0
                    .lt(lit(f64::from(self.rng.random_range(-100..900)))),
            },
        })
    }

    /// A 64-bit integer that stays small.
    fn integer(&mut self) -> Expr {
        let Some((value, data_type)) = self.column(DataType::is_signed_integer) else {
            return lit(self.rng.random_range(-9i64..9));
        };
        let value = if data_type == DataType::Int64 { value } else { value.cast(DataType::Int64) };
        match self.rng.random_range(0..5) {
            0 => value.wrapping_add(lit(self.rng.random_range(-9i64..9))),
            1 => {
                let condition = self.truth(0);
                when(condition).then(value).otherwise(lit(-1i64))
            }
            2 => coalesce([value, lit(7i64)]),
            3 => call("twice", 1, [value]),
            _ => value,
        }
    }

    fn text(&mut self) -> Expr {
        let Some((value, data_type)) = self.column(is_text) else { return lit("nothing") };
        let value = if data_type == DataType::Utf8 { value } else { value.cast(DataType::Utf8) };
        match self.rng.random_range(0..4) {
            0 => coalesce([value, lit("none")]),
            1 => {
                let condition = self.truth(0);
                when(condition).then(value).end()
            }
            2 => call("reverse", 3, [value]),
            _ => value,
        }
    }

    /// Something computed, of any type.
    pub(super) fn any(&mut self) -> Expr {
        match self.rng.random_range(0..6) {
            0..=1 => self.integer(),
            2 => self.text(),
            3 => self.truth(1),
            4 => match self.column(|t| matches!(t, DataType::Timestamp(..))) {
                Some((time, _)) => time.date_part(DatePart::Minute),
                None => self.integer(),
            },
            _ => match self.column(|t| t == &DataType::Float64) {
                Some((value, _)) => coalesce([value, lit(0.5)]),
                None => self.text(),
            },
        }
    }

    /// Something with few values.
    pub(super) fn key(&mut self) -> Expr {
        match self.rng.random_range(0..5) {
            0..=1 => match self.column(is_text) {
                Some((text, _)) => text,
                None => self.truth(0),
            },
            2 => match self.column(|t| t == &DataType::Int32) {
                Some((value, _)) => value,
                None => self.integer(),
            },
            3 => self.text(),
            _ => self.truth(1),
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 => true,
        DataType::Dictionary(_, value) => value.as_ref() == &DataType::Utf8,
        _ => false,
    }
}
