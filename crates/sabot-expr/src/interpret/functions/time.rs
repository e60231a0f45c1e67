//! Functions of dates and timestamps.

use super::Call;
use crate::error::RowErrorKind;
use crate::expr::{DatePart, TruncUnit};
use crate::functions::TimeFunction;
use crate::scalar::Scalar;
use crate::temporal::{self, Zone};

impl Call<'_> {
    pub(super) fn time_function(&self, function: TimeFunction) -> Result<Scalar, RowErrorKind> {
        let (word, time) = (self.text(0)?, self.arg(1)?);
        let unknown = || self.bug(format!("there is no '{word}'"));
        match function {
            TimeFunction::DatePart => {
                let part = DatePart::from_name(word).ok_or_else(unknown)?;
                match time {
                    Scalar::Date32(days) => Ok(Scalar::Int64(temporal::part_of_days(part, i64::from(*days)))),
                    Scalar::Timestamp { value, unit, zone } => {
                        Ok(Scalar::Int64(self.zone(zone.as_deref())?.part(part, *value, *unit)))
                    }
                    _ => Err(self.bug("of no time".to_owned())),
                }
            }
            TimeFunction::DateTrunc => {
                let trunc = TruncUnit::from_name(word).ok_or_else(unknown)?;
                let floored = match time {
                    Scalar::Date32(days) => temporal::floor_date(trunc, *days).map(Scalar::Date32),
                    Scalar::Timestamp { value, unit, zone } => {
                        let floored = self.zone(zone.as_deref())?.floor(trunc, *value, *unit);
                        floored.map(|value| Scalar::Timestamp { value, unit: *unit, zone: zone.clone() })
                    }
                    _ => return Err(self.bug("of no time".to_owned())),
                };
                floored.ok_or_else(|| RowErrorKind::Overflow {
                    op: "date_trunc",
                    left: time.to_string(),
                    right: None,
                    data_type: self.returns.clone(),
                })
            }
        }
    }

    /// The zone that the last argument names, else the value's own.
    fn zone(&self, own: Option<&str>) -> Result<Zone, RowErrorKind> {
        let name = self.optional_text(2)?.or(own).unwrap_or("UTC");
        Zone::parse(name).ok_or_else(|| self.bug(format!("the time zone {name} is unknown")))
    }
}
