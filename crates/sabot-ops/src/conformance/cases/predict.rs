//! Predict: features of every type, missing and on thresholds, by models of both arithmetics.

use arrow::datatypes::{DataType, Field, Schema};
use sabot_batch::hidden;
use sabot_expr::{FunctionRegistry, col, resolve, type_name};
use std::sync::Arc;

use super::Cases;
use crate::conformance::bench::Bench;
use crate::conformance::data::{Values, numbers, schema_of, with_hidden};
use crate::conformance::{Equality, tree_model};
use crate::{FilterProjectSpec, Fragment, PredictColumn, PredictSpec, PredictValue, Projection};

/// Everything that can be had of a model.
const VALUES: [PredictValue; 4] = [
    PredictValue::Margin,
    PredictValue::Prediction,
    PredictValue::Reasons { most: 2 },
    PredictValue::Reasons { most: 99 },
];

/// What the operator states: probabilities may differ by 4 ULP, everything else by nothing.
const STATED: [Equality; 4] = [Equality::Exact, Equality::Ulp(4), Equality::Bits, Equality::Bits];

/// Models are drawn: enough of them for trees of each shape in each arithmetic.
const MODELS: usize = 6;

pub(super) fn add(cases: &mut Cases) {
    let decimals = [DataType::Decimal128(10, 1), DataType::Decimal256(40, 3)];
    for feature in numbers().into_iter().chain(decimals) {
        cases.case(format!("predict/feature/{}", type_name(&feature)), String::new(), move |bench| {
            let columns = [("a", feature.clone()), ("s", DataType::Utf8), ("b", feature.clone())];
            let input = Arc::new(schema_of(&columns));
            for _ in 0..MODELS {
                let spec = spec(bench, &[2, 0]);
                let fragment = Fragment::new(input.clone(), vec![spec.into()])?;
                for values in [Values::Tame, Values::Mixed] {
                    let morsels = bench.morsels(&input, false, &|_| values)?;
                    bench.check(&fragment, &morsels, &[&[Equality::Bits; 3][..], &STATED].concat())?;
                }
            }
            Ok(())
        });
    }
    cases.cell("predict/row-kinds", |bench| {
        let columns = vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Float64, false)];
        let input = with_hidden(Schema::new(columns), &[hidden::ROW]);
        let spec = spec(bench, &[0, 1]);
        let fragment = Fragment::new(input.clone(), vec![spec.into()])?;
        let morsels = bench.morsels(&input, true, &|_| Values::Mixed)?;
        bench.check(&fragment, &morsels, &[&[Equality::Bits; 3][..], &STATED].concat())
    });
    cases.cell("predict/no-features", |bench| {
        let input = Arc::new(schema_of(&[("a", DataType::Utf8)]));
        let spec = spec(bench, &[]);
        let fragment = Fragment::new(input.clone(), vec![spec.into()])?;
        let morsels = bench.morsels(&input, false, &|_| Values::Tame)?;
        bench.check(&fragment, &morsels, &[&[Equality::Bits][..], &STATED].concat())
    });
    // Dead rows and failing ones come before the trees; what is predicted is computed with behind them.
    cases.cell("predict/between-filters", |bench| {
        let input = Arc::new(schema_of(&[("n", DataType::Int8), ("x", DataType::Float32)]));
        for _ in 0..MODELS {
            let typed = |expr, schema: &Schema| resolve(&expr, schema, &FunctionRegistry::new());
            let column = |name: &str, schema: &Schema| -> Result<Projection, sabot_expr::ExprError> {
                Ok(Projection { name: name.to_owned(), expr: typed(col(name), schema)? })
            };
            let before = FilterProjectSpec {
                predicate: Some(typed((col("n") * 2).gt(-3), &input)?),
                projections: vec![column("x", &input)?, column("n", &input)?],
                carried: vec![],
            };
            let spec = PredictSpec {
                columns: vec![PredictColumn { name: "m".to_owned(), value: PredictValue::Margin }],
                ..spec(bench, &[0, 1])
            };
            let predicted = spec.output_schema(&before.output_schema(&input)?)?;
            let after = FilterProjectSpec {
                predicate: Some(typed(col("m").gt(0.25), &predicted)?),
                projections: vec![column("m", &predicted)?, column("n", &predicted)?],
                carried: vec![],
            };
            let fragment = Fragment::new(input.clone(), vec![before.into(), spec.into(), after.into()])?;
            for values in [Values::Tame, Values::Mixed] {
                let morsels = bench.morsels(&input, false, &|_| values)?;
                bench.check(&fragment, &morsels, &[Equality::Exact, Equality::Bits])?;
            }
        }
        Ok(())
    });
}

fn spec(bench: &mut Bench<'_>, features: &[usize]) -> PredictSpec {
    let names = (0..features.len()).map(|feature| format!("f{feature}")).collect();
    let column =
        |(number, value): (usize, &PredictValue)| PredictColumn { name: format!("p{number}"), value: *value };
    PredictSpec {
        model: Arc::new(tree_model(&mut bench.rng, names)),
        features: features.to_vec(),
        columns: VALUES.iter().enumerate().map(column).collect(),
    }
}
