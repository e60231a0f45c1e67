//! Time zones: where the local day begins, and how clocks are set forward and back.

use chrono::offset::LocalResult;
use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use sabot_common::did_you_mean;
use std::fmt;
use std::str::FromStr;

use crate::TimeError;

/// A time zone: a name of the IANA database (`Europe/Zurich`, `UTC`), or a fixed offset (`+05:30`).
///
/// ```
/// use sabot_time::Zone;
/// let zone: Zone = "Europe/Zurich".parse()?;
/// assert_eq!(zone.to_string(), "Europe/Zurich");
/// let error = "Europe/Zurch".parse::<Zone>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "unknown time zone \"Europe/Zurch\"; did you mean \"Europe/Zurich\"? Zones are names such as UTC or \
///      Europe/Zurich, and offsets such as +05:30"
/// );
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Named(Tz),
    Fixed(FixedOffset),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Zone = Zone(Kind::Named(Tz::UTC));

    /// What clocks show at an instant.
    pub(super) fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        let offset = match &self.0 {
            Kind::Named(zone) => zone.offset_from_utc_datetime(&utc).fix(),
            Kind::Fixed(offset) => *offset,
        };
        utc.checked_add_offset(offset).unwrap_or(utc)
    }

    /// The first instant at which clocks show this time or a later one: where they are set forward over
    /// it, that of the jump; where they show it twice, the earlier one.
    pub(super) fn first_instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let found = match &self.0 {
            Kind::Named(zone) => zone.from_local_datetime(&local).map(|at| at.to_utc()),
            Kind::Fixed(offset) => offset.from_local_datetime(&local).map(|at| at.to_utc()),
        };
        match found {
            LocalResult::Single(at) => at,
            LocalResult::Ambiguous(one, other) => one.min(other),
            LocalResult::None => self.jump_over(local),
        }
    }

    /// The instant at which clocks are set forward over `local`, which they never show.
    fn jump_over(&self, local: NaiveDateTime) -> DateTime<Utc> {
        // No place is more than a day and some hours from UTC; jumps are by whole seconds.
        let naive = local.and_utc().timestamp();
        let (mut before, mut after) = (naive - 30 * 3600, naive + 30 * 3600);
        while after - before > 1 {
            let middle = before.midpoint(after);
            let shows = DateTime::from_timestamp(middle, 0).map(|at| self.local(at));
            if shows.is_some_and(|shows| shows >= local) { after = middle } else { before = middle }
        }
        DateTime::from_timestamp(after, 0).unwrap_or_else(|| local.and_utc())
    }
}

impl FromStr for Zone {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        if let Ok(offset) = text.parse::<FixedOffset>() {
            return Ok(Zone(Kind::Fixed(offset)));
        }
        text.parse::<Tz>().map(|zone| Zone(Kind::Named(zone))).map_err(|_| TimeError::Zone {
            got: text.to_owned(),
            meant: did_you_mean(text, TZ_VARIANTS.iter().map(|zone| zone.name())).map(str::to_owned),
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Named(zone) => f.write_str(zone.name()),
            Kind::Fixed(offset) => offset.fmt(f),
        }
    }
}
