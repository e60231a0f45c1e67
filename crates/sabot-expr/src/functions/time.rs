//! Functions of dates and timestamps.
//!
//! A timestamp is a point in time. Its parts are those that the clocks of its column's zone show; one
//! without zone is in UTC. A zone as last argument takes the place of the column's.

use arrow::datatypes::{DataType, TimeUnit};

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one, optional};
use crate::expr::{DatePart, TruncUnit};
use crate::scalar::Scalar;
use crate::temporal;
use crate::typed::TypedExpr;

fn part_names() -> Vec<&'static str> {
    DatePart::ALL.iter().map(|part| part.name()).collect()
}

fn unit_names() -> Vec<&'static str> {
    TruncUnit::ALL.iter().map(|unit| unit.name()).collect()
}

/// Flooring fails where the start of the unit lies before the first date or timestamp.
fn floor_can_fail(args: &[TypedExpr]) -> bool {
    let unit =
        args.first().and_then(TypedExpr::as_literal).and_then(Scalar::as_str).and_then(TruncUnit::from_name);
    match (unit, args.get(1).map(TypedExpr::data_type)) {
        (Some(unit), Some(DataType::Timestamp(tick, _))) => temporal::fixed_size(unit, *tick) != Some(1),
        (Some(unit), Some(DataType::Date32)) => unit < TruncUnit::Day,
        _ => true,
    }
}

/// One microsecond before the second of February 2001 in UTC.
fn moment() -> Scalar {
    Scalar::Timestamp { value: 981_071_999_999_999, unit: TimeUnit::Microsecond, zone: None }
}

family! {
    /// Functions of dates and timestamps.
    pub enum TimeFunction {
        DatePart => Entry {
            name: "date_part",
            about: "A part of a date or timestamp.",
            parameters: &[
                one("part", Takes::Word { what: "date part", words: part_names }),
                one("time", Takes::Time),
                optional("zone", Takes::Zone),
            ],
            returns: Returns::Int64,
            nulls: Nulls::AnyArgument,
            errors: Errors::NEVER,
            ulp: 0,
            example: example!("hour", moment(), "Europe/Zurich" => 0i64),
        },
        DateTrunc => Entry {
            name: "date_trunc",
            about: "The start of the unit that a date or timestamp lies in.",
            parameters: &[
                one("unit", Takes::Word { what: "time unit", words: unit_names }),
                one("time", Takes::Time),
                optional("zone", Takes::Zone),
            ],
            returns: Returns::SameAs(1),
            nulls: Nulls::AnyArgument,
            errors: Errors { when: "the start lies before the type's first value", possible: floor_can_fail },
            ulp: 0,
            example: example!("month", moment() => Scalar::Timestamp {
                value: 980_985_600_000_000,
                unit: TimeUnit::Microsecond,
                zone: None,
            }),
        },
    }
}
