//! From when to when rows are learned from and checked with.

use fraud_detection::pipeline::LABEL_DELAY_DAYS;
use std::ops::Range;
use std::str::FromStr;

const DAY_MICROS: i64 = 86_400_000_000;
const WEEK_MICROS: i64 = 7 * DAY_MICROS;
const LABEL_DELAY_MICROS: i64 = LABEL_DELAY_DAYS * DAY_MICROS;

/// Weeks by number, from 1, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weeks {
    first: i64,
    last: i64,
}

impl FromStr for Weeks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("two numbers of weeks are expected, such as 7-16, found \"{text}\"");
        let (first, last) = text.split_once('-').ok_or_else(wanted)?;
        let number = |text: &str| text.trim().parse::<u16>().map(i64::from).map_err(|_| wanted());
        let (first, last) = (number(first)?, number(last)?);
        match 0 < first && first <= last {
            true => Ok(Self { first, last }),
            false => Err(format!("weeks count from 1 and the first comes first, found \"{text}\"")),
        }
    }
}

/// Event times in µs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Of rows that are learned from.
    pub(crate) learned: Range<i64>,
    /// Of rows that are checked with.
    pub(crate) checked: Range<i64>,
}

/// Why nothing can be learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "to check what was learned up to week {last} takes labels of the week after next, which are known in week {needs}; \
     the input ends in week {has}"
)]
pub(crate) struct TooShort {
    last: i64,
    needs: i64,
    has: i64,
}

impl Plan {
    /// The weeks, and the week to check with, which begins when the labels of the last one are known. `period` is that
    /// of the input, both ends included; labels of its last seven days are not known yet.
    pub(crate) fn new(weeks: Weeks, period: (i64, i64)) -> Result<Self, TooShort> {
        let (first, last) = period;
        let begin = |week: i64| first.saturating_add((week - 1) * WEEK_MICROS);
        let learned = begin(weeks.first)..begin(weeks.last + 1);
        let start = learned.end.saturating_add(LABEL_DELAY_MICROS);
        let known = last.saturating_sub(LABEL_DELAY_MICROS).saturating_add(1);
        let checked = start..known.min(start.saturating_add(WEEK_MICROS));
        match checked.is_empty() {
            true => {
                let (weeks, has) = (weeks.last, last.saturating_sub(first) / WEEK_MICROS + 1);
                Err(TooShort { needs: weeks + 3, last: weeks, has })
            }
            false => Ok(Self { learned, checked }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_two_numbers() {
        assert_eq!("7-16".parse(), Ok(Weeks { first: 7, last: 16 }));
        assert_eq!("3-3".parse(), Ok(Weeks { first: 3, last: 3 }));
        for wrong in ["", "7", "a-b", "0-3", "9-8", "-1-3", "1-70000"] {
            assert!(wrong.parse::<Weeks>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_never_younger_than_their_delay() {
        let weeks = Weeks { first: 2, last: 3 };
        let day = |day: i64| 1_000 + day * DAY_MICROS;
        let plan = Plan::new(weeks, (day(0), day(60))).unwrap();
        assert_eq!(plan.learned, day(7)..day(21));
        // The labels of day 20 are known on day 28, when the first row that is checked with comes.
        assert_eq!(plan.checked, day(28)..day(35));
        // The input ends on day 40, when those of day 33 are known.
        let plan = Plan::new(weeks, (day(0), day(40))).unwrap();
        assert_eq!(plan.checked, day(28)..day(33) + 1);
        let refused = Plan::new(weeks, (day(0), day(34))).unwrap_err();
        assert_eq!(refused, TooShort { last: 3, needs: 6, has: 5 });
    }
}
