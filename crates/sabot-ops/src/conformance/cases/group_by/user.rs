//! A function that a user wrote, with a state of two parts.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use sabot_expr::{FunctionError, FunctionRegistry, Scalar, UserAggregate, UserState};
use std::sync::Arc;

use super::{inputs, schema, spec};
use crate::conformance::bench::{Bench, Checked};
use crate::conformance::data::Values;
use crate::{AggregateFunction, AggregateSpec, GroupByMode, GroupBySpec, UserFunction};

/// The distance from the least value to the greatest; null without values.
struct Spread;

#[derive(Debug, Default)]
struct Ends {
    ends: Option<(i64, i64)>,
}

impl Ends {
    fn widen(&mut self, least: i64, greatest: i64) {
        let (a, b) = self.ends.unwrap_or((least, greatest));
        self.ends = Some((a.min(least), b.max(greatest)));
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
        let null = || Scalar::Null(DataType::Int64);
        let part = |value: Option<i64>| value.map_or_else(null, Scalar::Int64);
        Ok(vec![part(self.ends.map(|e| e.0)), part(self.ends.map(|e| e.1))])
    }

    fn result(&self) -> Result<Scalar, FunctionError> {
        let Some((least, greatest)) = self.ends else { return Ok(Scalar::Null(DataType::Int64)) };
        let spread = greatest.checked_sub(least);
        spread
            .map(Scalar::Int64)
            .ok_or_else(|| FunctionError::new(format!("{least} to {greatest} is too far")))
    }
}

/// The function in one mode. Wild values make it fail at the end.
pub(super) fn function(bench: &mut Bench<'_>, mode: GroupByMode) -> Checked {
    let types = [DataType::Int64];
    let mut functions = FunctionRegistry::new();
    functions.register_aggregate(Arc::new(Spread))?;
    let mut function = AggregateFunction::User(UserFunction::new("spread", 1));
    function.bind(&types, &functions)?;
    let aggregates = vec![AggregateSpec::new(function, [(1, DataType::Int64)], "spread")];
    let spec = GroupBySpec { aggregates, ..spec(1, vec![0]) };
    let schema = schema(&types);
    for values in [Values::Tame, Values::Wild] {
        let of_column = |i| if i == 1 { values } else { Values::Few };
        let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &of_column)?;
        bench.check(&fragment, &morsels, &[])?;
    }
    Ok(())
}
