//! Rows as a trainer takes them: numbers, column by column, and labels.

use fraud_detection::input::Input;
use fraud_detection::score::numeric;
use sabot::arrow::array::{Array, AsArray, RecordBatch};
use sabot::arrow::datatypes::{Float64Type, Int64Type};
use sabot::prelude::*;
use std::error::Error;
use std::ops::Range;

use crate::weeks::Plan;

const TIME: &str = "time";
const LABEL: &str = "label";
const SCENARIO: &str = "scenario";

/// Rows with what is known of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// All rows of the first feature, then all of the second one. Missing values are NaN. They are float32, in which
    /// they are compared when the model is asked.
    pub(crate) features: Vec<f64>,
    /// 1 where it was a fraud.
    pub(crate) labels: Vec<f64>,
    /// By which scenario it was one; 0 where nobody says.
    pub(crate) scenarios: Vec<u8>,
}

/// The times of the first and the last row, in µs.
pub(crate) fn period(input: &Input) -> Result<(i64, i64), Box<dyn Error>> {
    let times = input.transactions.clone().select([col("event_time").cast(DataType::Int64).alias(TIME)])?;
    let ends = [min(col(TIME)).alias("first"), max(col(TIME)).alias("last")];
    let ends = times.group_by::<&str>([])?.aggregate(ends)?.collect()?;
    let end = |column: usize| {
        let ends = ends.first()?.column(column).as_primitive_opt::<Int64Type>()?;
        (!ends.is_empty() && ends.is_valid(0)).then(|| ends.value(0))
    };
    Ok(end(0).zip(end(1)).ok_or("the input has no rows")?)
}

/// The rows to learn from and those to check with, of one run. Rows without a label are in neither.
pub(crate) fn collect(
    features: &Stream,
    names: &[String],
    plan: &Plan,
) -> Result<(Rows, Rows), Box<dyn Error>> {
    let number = |name: &String| col(name).cast(DataType::Float32).cast(DataType::Float64).alias(name);
    let of_row = [
        col("event_time").cast(DataType::Int64).alias(TIME),
        col("is_fraud").cast(DataType::Float64).alias(LABEL),
        coalesce([col("fraud_scenario"), lit(0)]).cast(DataType::Float64).alias(SCENARIO),
    ];
    let within = |times: &Range<i64>| col(TIME).gt_eq(times.start).and(col(TIME).lt(times.end));
    let rows = numeric(features.clone().filter(col("is_fraud").is_not_null())?)?
        .select(of_row.into_iter().chain(names.iter().map(number)).collect::<Vec<_>>())?
        .filter(within(&plan.learned).or(within(&plan.checked)))?;
    let batches = rows.collect()?;
    Ok((taken(&batches, names, &plan.learned)?, taken(&batches, names, &plan.checked)?))
}

fn taken(batches: &[RecordBatch], names: &[String], times: &Range<i64>) -> Result<Rows, Box<dyn Error>> {
    let column =
        |batch: &RecordBatch, name: &str| batch.column_by_name(name).cloned().ok_or("a column is missing");
    let take = |name: &str, into: &mut Vec<f64>| -> Result<(), Box<dyn Error>> {
        for batch in batches {
            let (at, values) = (column(batch, TIME)?, column(batch, name)?);
            let (at, values) = (at.as_primitive::<Int64Type>(), values.as_primitive::<Float64Type>());
            let inside = values.iter().zip(at.values()).filter(|(_, time)| times.contains(time));
            into.extend(inside.map(|(value, _)| value.unwrap_or(f64::NAN)));
        }
        Ok(())
    };
    let (mut rows, mut scenarios) = (Rows::default(), Vec::new());
    for name in names {
        take(name, &mut rows.features)?;
    }
    take(LABEL, &mut rows.labels)?;
    take(SCENARIO, &mut scenarios)?;
    rows.scenarios = scenarios.iter().map(|scenario| *scenario as u8).collect();
    Ok(rows)
}
