//! An aggregate function as a user writes it.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use sabot::{FunctionError, Scalar, UserAggregate, UserState};

/// The distance from the least value to the greatest; null without values.
pub(super) struct Spread;

#[derive(Debug, Default)]
struct Ends(Option<(i64, i64)>);

impl Ends {
    fn widen(&mut self, least: i64, greatest: i64) {
        let (a, b) = self.0.unwrap_or((least, greatest));
        self.0 = Some((a.min(least), b.max(greatest)));
    }
}

impl UserAggregate for Spread {
    fn name(&self) -> &str {
        "spread"
    }

    fn version(&self) -> u32 {
        1
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, FunctionError> {
        match arguments {
            [DataType::Int64] => Ok(DataType::Int64),
            _ => Err(FunctionError::new("takes one int64")),
        }
    }

    fn state_types(&self, _arguments: &[DataType]) -> Result<Vec<DataType>, FunctionError> {
        Ok(vec![DataType::Int64, DataType::Int64])
    }

    fn start(&self, _arguments: &[DataType]) -> Box<dyn UserState> {
        Box::new(Ends::default())
    }
}

impl UserState for Ends {
    fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), FunctionError> {
        let values = arguments[0].as_primitive::<Int64Type>();
        values.iter().flatten().for_each(|value| self.widen(value, value));
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef]) -> Result<(), FunctionError> {
        let (least, greatest) = (state[0].as_primitive::<Int64Type>(), state[1].as_primitive::<Int64Type>());
        for row in (0..least.len()).filter(|row| least.is_valid(*row)) {
            self.widen(least.value(row), greatest.value(row));
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<Vec<Scalar>, FunctionError> {
        let part = |value: Option<i64>| value.map_or(Scalar::Null(DataType::Int64), Scalar::Int64);
        Ok(vec![part(self.0.map(|ends| ends.0)), part(self.0.map(|ends| ends.1))])
    }

    fn result(&self) -> Result<Scalar, FunctionError> {
        Ok(self.0.map_or(Scalar::Null(DataType::Int64), |(least, greatest)| Scalar::Int64(greatest - least)))
    }
}
