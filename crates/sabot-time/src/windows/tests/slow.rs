//! What windows are, by definition: lists, scans and 128 bits.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Weekday};

use super::*;

/// The windows that hold `t`, in order of their end; of calendars only for times in everyday years.
pub(super) fn windows_of(windows: &Windows, t: i64) -> Vec<WindowBounds> {
    let mut found = match windows {
        Windows::Tumbling(w) => {
            let (size, offset) = (w.size().micros(), w.offset().micros());
            let start = at_or_before(t, size, offset);
            vec![bounds(start, start + i128::from(size) - 1)]
        }
        Windows::Hopping(w) => {
            let (size, slide) = (i128::from(w.size().micros()), w.slide().micros());
            let latest = at_or_before(t, slide, w.offset().micros());
            let starts = (0..).map(|back| latest - back * i128::from(slide));
            starts
                .take_while(|start| start + size > i128::from(t))
                .map(|start| bounds(start, start + size - 1))
                .collect()
        }
        Windows::Cumulate(w) => {
            let (size, step) = (w.size().micros(), i128::from(w.step().micros()));
            let start = at_or_before(t, size, w.offset().micros());
            let ends = (1..=i128::from(size) / step).map(|steps| start + steps * step);
            ends.filter(|end| *end > i128::from(t)).map(|end| bounds(start, end - 1)).collect()
        }
        Windows::Calendar(w) => vec![calendar(w, t)],
        Windows::Session(_) | Windows::Count(_) => Vec::new(),
    };
    found.sort();
    found.dedup();
    found
}

fn at_or_before(t: i64, size: i64, offset: i64) -> i128 {
    let (t, size, offset) = (i128::from(t), i128::from(size), i128::from(offset));
    (t - offset).div_euclid(size) * size + offset
}

fn bounds(start: i128, last: i128) -> WindowBounds {
    let clamp = |x: i128| EventTime(x.clamp(i64::MIN.into(), i64::MAX.into()) as i64);
    WindowBounds { start: clamp(start), last: clamp(last) }
}

/// The boundaries around `t` among those of every day that starts a unit within some years.
fn calendar(window: &CalendarWindow, t: i64) -> WindowBounds {
    let year = DateTime::from_timestamp_micros(t).unwrap().year();
    let mut boundaries = Vec::new();
    let mut day = NaiveDate::from_ymd_opt(year - 2, 1, 1).unwrap();
    while day.year() <= year + 2 {
        let midnight = day.and_hms_opt(0, 0, 0).unwrap();
        let near = (midnight.and_utc().timestamp_micros() - t).abs() < 800 * 86_400_000_000;
        if near && begins(window.unit(), day) {
            let local = midnight + TimeDelta::microseconds(window.offset().micros());
            boundaries.push(local);
        }
        day = day.succ_opt().unwrap();
    }
    // Only those next to `t` are worth a scan.
    let here = boundaries.partition_point(|local| local.and_utc().timestamp_micros() <= t);
    let near = &boundaries[here.saturating_sub(3)..(here + 3).min(boundaries.len())];
    let instants: Vec<i64> = near.iter().map(|local| first_showing(window.zone(), *local)).collect();
    let start = instants.iter().copied().filter(|b| *b <= t).max().unwrap();
    let end = instants.iter().copied().filter(|b| *b > t).min().unwrap();
    bounds(start.into(), i128::from(end) - 1)
}

fn begins(unit: CalendarUnit, day: NaiveDate) -> bool {
    match unit {
        CalendarUnit::Day => true,
        CalendarUnit::Week => day.weekday() == Weekday::Mon,
        CalendarUnit::Month => day.day() == 1,
        CalendarUnit::Quarter => day.day() == 1 && [1, 4, 7, 10].contains(&day.month()),
        CalendarUnit::Year => day.day() == 1 && day.month() == 1,
    }
}

/// The first second at which clocks show a time or a later one, looked for one by one (by minutes, then
/// by seconds).
fn first_showing(zone: Zone, local: NaiveDateTime) -> i64 {
    let whole = local.with_nanosecond(0).unwrap();
    let shown = |second: i64| zone.local(DateTime::from_timestamp(second, 0).unwrap());
    let from = local.and_utc().timestamp() - 27 * 3600;
    let minute = (0..).map(|minutes| from + minutes * 60).find(|second| shown(*second) >= whole).unwrap();
    let second = (minute - 60..=minute).find(|second| shown(*second) >= whole).unwrap();
    let rest = if shown(second) == whole { local.and_utc().timestamp_subsec_micros() } else { 0 };
    second * 1_000_000 + i64::from(rest)
}
