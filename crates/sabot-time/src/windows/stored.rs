//! Windows as plans store them.
//!
//! Tumbling windows came first and are stored without a name; every other kind stands under its own. So
//! old plans load, and the ids that are made of a stored operator stay what they were.

use sabot_common::Span;
use serde::{Deserialize, Serialize};

use super::tumbling::Parts;
use super::{
    CalendarUnit, CalendarWindow, CountWindow, CumulateWindow, HoppingWindow, SessionWindow, TumblingWindow,
    Windows,
};
use crate::TimeError;

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "windows: {size, offset} for tumbling ones, else {kind: {…}} with the kind hopping, cumulate, calendar, session or count"
)]
pub(super) enum Stored {
    Tumbling(Parts),
    Named(Named),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Named {
    Hopping {
        size: Span,
        slide: Span,
        #[serde(default)]
        offset: Span,
    },
    Cumulate {
        size: Span,
        step: Span,
        #[serde(default)]
        offset: Span,
    },
    Calendar {
        unit: CalendarUnit,
        zone: String,
        #[serde(default)]
        offset: Span,
    },
    Session {
        gap: Span,
    },
    Count {
        rows: u64,
    },
}

impl TryFrom<Stored> for Windows {
    type Error = TimeError;

    fn try_from(stored: Stored) -> Result<Self, TimeError> {
        Ok(match stored {
            Stored::Tumbling(Parts { size, offset }) => TumblingWindow::new(size, offset)?.into(),
            Stored::Named(Named::Hopping { size, slide, offset }) => {
                HoppingWindow::new(size, slide, offset)?.into()
            }
            Stored::Named(Named::Cumulate { size, step, offset }) => {
                CumulateWindow::new(size, step, offset)?.into()
            }
            Stored::Named(Named::Calendar { unit, zone, offset }) => {
                CalendarWindow::new(unit, zone.parse()?, offset)?.into()
            }
            Stored::Named(Named::Session { gap }) => SessionWindow::new(gap)?.into(),
            Stored::Named(Named::Count { rows }) => CountWindow::new(rows)?.into(),
        })
    }
}

impl From<Windows> for Stored {
    fn from(windows: Windows) -> Self {
        Stored::Named(match windows {
            Windows::Tumbling(w) => return Stored::Tumbling(w.into()),
            Windows::Hopping(w) => Named::Hopping { size: w.size(), slide: w.slide(), offset: w.offset() },
            Windows::Cumulate(w) => Named::Cumulate { size: w.size(), step: w.step(), offset: w.offset() },
            Windows::Calendar(w) => {
                Named::Calendar { unit: w.unit(), zone: w.zone().to_string(), offset: w.offset() }
            }
            Windows::Session(w) => Named::Session { gap: w.gap() },
            Windows::Count(w) => Named::Count { rows: w.rows() },
        })
    }
}
