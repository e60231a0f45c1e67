//! Windows against their definition, and together with the clock that makes rows late.

mod slow;

use super::*;
use proptest::prelude::*;

use crate::{PartitionClock, TimeError};

fn tumbling(size: i64, offset: i64) -> Windows {
    TumblingWindow::new(Span(size), Span(offset)).unwrap().into()
}

fn hopping(size: i64, slide: i64, offset: i64) -> Windows {
    HoppingWindow::new(Span(size), Span(slide), Span(offset)).unwrap().into()
}

fn cumulate(steps: i64, step: i64, offset: i64) -> Windows {
    CumulateWindow::new(Span(steps * step), Span(step), Span(offset)).unwrap().into()
}

fn calendar(unit: CalendarUnit, zone: &str, offset: i64) -> Windows {
    CalendarWindow::new(unit, zone.parse().unwrap(), Span(offset)).unwrap().into()
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => -100i64..100,
        2 => any::<i64>(),
        1 => (0i64..50).prop_map(|x| i64::MIN + x),
        1 => (0i64..50).prop_map(|x| i64::MAX - x),
    ]
}

fn sizes() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1i64..40, 1 => 1..i64::MAX, 1 => Just(i64::MAX), 1 => Just(3_600_000_000i64)]
}

/// Aligned windows of every kind that is simple arithmetic; few of them hold a time.
fn aligned() -> impl Strategy<Value = Windows> {
    let large = prop_oneof![4 => Just(1i64), 1 => Just(1_000_003), 1 => Just(1 << 55)];
    prop_oneof![
        (sizes(), any_time()).prop_map(|(size, offset)| tumbling(size, offset)),
        (1i64..60, 1i64..30, any_time(), large).prop_map(|(size, slide, offset, unit)| hopping(
            size * unit,
            slide * unit,
            offset
        )),
        (1i64..12, 1i64..9, any_time()).prop_map(|(steps, step, offset)| cumulate(steps, step, offset)),
    ]
}

/// Everything that is asked of windows about the slice of `t`, against the list of those that hold it.
fn check(windows: &Windows, t: i64, watermark: i64, allowed: i64) -> Result<(), TestCaseError> {
    let wanted = slow::windows_of(windows, t);
    let slice = windows.slice_of(EventTime(t));
    prop_assert!(slice.contains(EventTime(t)));
    for edge in [slice.start, slice.last] {
        prop_assert_eq!(windows.slice_of(edge), slice, "a slice is one from end to end");
        prop_assert_eq!(&slow::windows_of(windows, edge.micros()), &wanted, "no window divides a slice");
    }
    // What is cut at an end of time may be cut to the same.
    let whole = |w: &WindowBounds| w.start > EventTime::MIN && w.last < EventTime::MAX;
    for beyond in [slice.start.micros().checked_sub(1), slice.last.micros().checked_add(1)] {
        let Some(beyond) = beyond.filter(|_| wanted.iter().all(whole)) else { continue };
        prop_assert_ne!(slow::windows_of(windows, beyond), wanted.clone(), "slices are as long as can be");
    }
    prop_assert_eq!(windows.is_gap(EventTime(t)), wanted.is_empty());
    prop_assert!(windows.has_gaps() || !wanted.is_empty());
    prop_assert!(windows.is_sliced() || wanted.len() <= 1);

    let at = EventTime(t);
    prop_assert_eq!(windows.first_window(at), wanted.first().copied());
    prop_assert_eq!(windows.last_window(at), wanted.last().copied());
    for pair in wanted.windows(2) {
        prop_assert_eq!(windows.next_window(pair[0]), Some(pair[1]));
    }
    let (watermark, allowed) = (EventTime(watermark), Span(allowed));
    let open = wanted.iter().find(|w| !w.is_fired(watermark, allowed));
    prop_assert_eq!(windows.first_open(at, watermark, allowed), open.copied());
    prop_assert_eq!(windows.is_closed(at, watermark, allowed), !wanted.is_empty() && open.is_none());
    Ok(())
}

proptest! {
    #[test]
    fn slices_and_windows_are_those_of_the_definition(
        windows in aligned(), t in any_time(), ahead in -50i64..50, allowed in 0i64..30,
    ) {
        check(&windows, t, t.saturating_add(ahead), allowed)?;
        check(&windows, t, i64::MAX, allowed)?;
        check(&windows, t, i64::MIN, allowed)?;
    }

    #[test]
    fn windows_follow_each_other_without_leaving_one_out(windows in aligned(), t in any_time()) {
        let Some(mut window) = windows.last_window(EventTime(t)) else { return Ok(()) };
        for _ in 0..5 {
            let Some(next) = windows.next_window(window) else { break };
            prop_assert!(next > window);
            prop_assert!(next.start >= window.start, "the window that ends later starts no earlier");
            prop_assert!(slow::windows_of(&windows, next.last.micros()).contains(&next));
            // No window that holds an instant between the two ends lies between the two.
            for between in [window.last.micros().saturating_add(1), next.start.micros(), next.last.micros()] {
                let other = slow::windows_of(&windows, between);
                prop_assert!(other.iter().all(|other| *other <= window || *other >= next));
            }
            window = next;
        }
    }

    #[test]
    fn assigning_a_slice_equals_assigning_each(
        windows in aligned(), times in prop::collection::vec(any_time(), 0..50),
    ) {
        let mut starts = vec![1, 2];
        windows.assign(&times, &mut starts);
        let each: Vec<i64> = times.iter().map(|&t| windows.slice_of(EventTime(t)).start.micros()).collect();
        prop_assert_eq!(&starts, &each);

        let (Some(&min), Some(&max)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
        let same = each.iter().all(|start| *start == each[0]);
        let one = windows.one_slice(EventTime(min), EventTime(max));
        prop_assert_eq!(one, same.then(|| EventTime(each[0])));
    }

    /// The rules together: no row that is in time comes for a window that has fired.
    #[test]
    fn rows_in_time_find_all_their_windows_open(
        windows in aligned(),
        delay in 0i64..20,
        allowed in 0i64..30,
        times in prop::collection::vec(-100i64..100, 1..60),
    ) {
        let mut clock = PartitionClock::new(Span(delay)).unwrap();
        let mut behind = Vec::new();
        for t in times {
            let watermark = clock.watermark();
            clock.observe(&[t], &mut behind);
            for window in slow::windows_of(&windows, t) {
                let fired = window.is_fired(watermark, Span(allowed));
                prop_assert!(!fired || is_late(behind[0], Span(allowed)));
                // What a window gives has the time end − 1, which no watermark sent on before has denied.
                prop_assert!(fired || window.last > output_watermark(watermark, Span(allowed)));
            }
        }
    }
}

fn units() -> impl Strategy<Value = CalendarUnit> {
    prop::sample::select(vec![
        CalendarUnit::Day,
        CalendarUnit::Week,
        CalendarUnit::Month,
        CalendarUnit::Quarter,
        CalendarUnit::Year,
    ])
}

/// Zones with the usual clocks, with half an hour of summer time, with summer time that begins at
/// midnight, with a day that was left out, and without any.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Zurich",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Kolkata",
    "-09:30",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn calendar_windows_are_those_of_the_definition(
        unit in units(),
        zone in prop::sample::select(ZONES.to_vec()),
        offset in prop::sample::select(vec![0, 21_600_000_000, -86_400_000_000, 1, 9_000_000_000]),
        // 1990 to 2030, mostly around the days on which clocks change.
        t in prop_oneof![
            631_152_000_000_000i64..1_893_456_000_000_000,
            (1_711_843_200_000_000i64..1_711_857_600_000_000),
            (1_325_200_000_000_000i64..1_325_350_000_000_000),
            (1_540_000_000_000_000i64..1_541_400_000_000_000),
        ],
        ahead in -100_000_000_000i64..100_000_000_000,
    ) {
        check(&calendar(unit, zone, offset), t, t + ahead, 3_600_000_000)?;
    }
}

/// UTC, by the clock: `2024-03-31 01:00`.
fn utc(text: &str) -> EventTime {
    let parsed = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    EventTime(parsed.and_utc().timestamp_micros())
}

fn window_at(windows: &Windows, text: &str) -> (EventTime, EventTime) {
    let window = windows.slice_of(utc(text));
    (window.start, window.end())
}

#[test]
fn days_have_23_to_25_hours_where_clocks_change() {
    let zurich = calendar(CalendarUnit::Day, "Europe/Zurich", 0);
    let spring = window_at(&zurich, "2024-03-31 12:00");
    assert_eq!(spring, (utc("2024-03-30 23:00"), utc("2024-03-31 22:00")));
    let autumn = window_at(&zurich, "2024-10-27 00:30");
    assert_eq!(autumn, (utc("2024-10-26 22:00"), utc("2024-10-27 23:00")));
    // The day begins at 6 o'clock on the local clock, before and after the change.
    let early = calendar(CalendarUnit::Day, "Europe/Zurich", 6 * 3_600_000_000);
    assert_eq!(window_at(&early, "2024-03-31 03:59"), (utc("2024-03-30 05:00"), utc("2024-03-31 04:00")));
    assert_eq!(window_at(&early, "2024-03-31 04:00"), (utc("2024-03-31 04:00"), utc("2024-04-01 04:00")));
}

#[test]
fn a_midnight_that_is_left_out_is_replaced_by_the_jump() {
    // Clocks were set from 0 to 1 o'clock on 2018-11-04.
    let days = calendar(CalendarUnit::Day, "America/Sao_Paulo", 0);
    assert_eq!(window_at(&days, "2018-11-04 12:00"), (utc("2018-11-04 03:00"), utc("2018-11-05 02:00")));
    // There was no 2011-12-30 in Samoa: a day without an instant is no window.
    let days = calendar(CalendarUnit::Day, "Pacific/Apia", 0);
    let before = days.slice_of(utc("2011-12-30 09:59"));
    assert_eq!((before.start, before.end()), (utc("2011-12-29 10:00"), utc("2011-12-30 10:00")));
    let next = days.next_window(before).unwrap();
    assert_eq!((next.start, next.end()), (utc("2011-12-30 10:00"), utc("2011-12-31 10:00")));
}

#[test]
fn units_begin_where_calendars_say() {
    let of = |unit, offset| window_at(&calendar(unit, "UTC", offset), "2024-02-29 12:00");
    assert_eq!(of(CalendarUnit::Week, 0), (utc("2024-02-26 00:00"), utc("2024-03-04 00:00")));
    let day = 86_400_000_000;
    assert_eq!(of(CalendarUnit::Week, -day), (utc("2024-02-25 00:00"), utc("2024-03-03 00:00")));
    assert_eq!(of(CalendarUnit::Month, 0), (utc("2024-02-01 00:00"), utc("2024-03-01 00:00")));
    assert_eq!(of(CalendarUnit::Quarter, 0), (utc("2024-01-01 00:00"), utc("2024-04-01 00:00")));
    assert_eq!(of(CalendarUnit::Year, 0), (utc("2024-01-01 00:00"), utc("2025-01-01 00:00")));
}

#[test]
fn times_beyond_the_calendar_lie_in_one_window_at_each_end() {
    for unit in [CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Year] {
        for zone in ["UTC", "Europe/Zurich", "+14:00"] {
            let windows = calendar(unit, zone, 0);
            let (first, last) = (windows.slice_of(EventTime::MIN), windows.slice_of(EventTime::MAX));
            assert_eq!((first.start, last.last), (EventTime::MIN, EventTime::MAX));
            let inner = windows.slice_of(first.end());
            assert_eq!(inner.start, first.end(), "{windows}");
            assert_eq!(windows.slice_of(EventTime(last.start.micros() - 1)).end(), last.start, "{windows}");
            assert_eq!(windows.slice_of(last.start), last);
            assert_eq!(windows.next_window(last), None);
        }
    }
}

/// The canary: division that truncates, the usual mistake, differs from the floor below zero.
#[test]
fn truncating_division_would_be_noticed() {
    let truncated = |t: i64| t / 10 * 10;
    let start = |t: i64| tumbling(10, 0).slice_of(EventTime(t)).start.micros();
    assert_eq!(start(25), truncated(25));
    assert_ne!(start(-25), truncated(-25));
}

#[test]
fn windows_are_cut_at_the_ends_of_time() {
    let windows = tumbling(10, 0);
    // -2^63 is 2 after a boundary that no i64 can name.
    let first = windows.slice_of(EventTime::MIN);
    assert_eq!((first.start, first.end()), (EventTime::MIN, EventTime(i64::MIN + 8)));
    let last = windows.slice_of(EventTime::MAX);
    assert_eq!((last.start, last.end()), (EventTime(i64::MAX - 7), EventTime::MAX));
    assert_eq!(last.fires_at(Span::ZERO), EventTime::MAX);
    assert!(!last.is_fired(EventTime(i64::MAX - 1), Span::ZERO));
    assert!(last.is_fired(EventTime::MAX, Span(1)));
}

#[test]
fn an_offset_is_taken_within_the_size() {
    assert_eq!(tumbling(10, 13), tumbling(10, 3));
    assert_eq!(tumbling(10, -7), tumbling(10, 3));
    assert_eq!(hopping(10, 4, -3), hopping(10, 4, 1));
    assert_eq!(tumbling(10, 3).slice_of(EventTime(2)).start, EventTime(-7));
}

#[test]
fn a_slide_that_does_not_divide_the_size_makes_two_slices() {
    let windows = hopping(7, 3, 0);
    let starts = |from: i64| windows.slice_of(EventTime(from)).start.micros();
    assert_eq!((0..6).map(starts).collect::<Vec<_>>(), [0, 1, 1, 3, 4, 4]);
    let windows = hopping(2, 5, 0);
    let gaps: Vec<bool> = (0..5).map(|t| windows.is_gap(EventTime(t))).collect();
    assert_eq!(gaps, [false, false, true, true, true]);
}

#[test]
fn windows_say_what_they_are() {
    let text = [
        (tumbling(10, 3), "tumbling(10 µs, offset 3 µs)"),
        (hopping(10, 4, 1), "hopping(10 µs, every 4 µs, offset 1 µs)"),
        (cumulate(4, 1_000, 0), "cumulate(4 ms, every 1 ms)"),
        (calendar(CalendarUnit::Quarter, "+05:30", -1_000), "calendar(quarter, +05:30, offset -1 ms)"),
        (SessionWindow::new(Span::from_secs(60)).unwrap().into(), "session(1 min)"),
        (CountWindow::new(3).unwrap().into(), "count(3 rows)"),
    ];
    for (windows, expected) in text {
        assert_eq!(windows.to_string(), expected);
    }
}

#[test]
fn rows_are_late_beyond_the_allowed_lateness_only() {
    assert!(!is_late(0, Span::ZERO));
    assert!(is_late(1, Span::ZERO));
    assert!(!is_late(5, Span(5)));
    assert!(is_late(6, Span(5)));
}

#[test]
fn the_ends_of_time_pass_a_window_operator_unchanged() {
    for end in [EventTime::MIN, EventTime::MAX] {
        assert_eq!(output_watermark(end, Span(9)), end);
    }
    assert_eq!(output_watermark(EventTime(100), Span(9)), EventTime(91));
}

#[test]
fn windows_survive_being_stored() {
    let all = [
        (tumbling(10, 3), r#"{"size":10,"offset":3}"#),
        (hopping(10, 4, 1), r#"{"hopping":{"size":10,"slide":4,"offset":1}}"#),
        (cumulate(3, 4, 0), r#"{"cumulate":{"size":12,"step":4,"offset":0}}"#),
        (
            calendar(CalendarUnit::Week, "Europe/Zurich", -5),
            r#"{"calendar":{"unit":"week","zone":"Europe/Zurich","offset":-5}}"#,
        ),
        (SessionWindow::new(Span(7)).unwrap().into(), r#"{"session":{"gap":7}}"#),
        (CountWindow::new(7).unwrap().into(), r#"{"count":{"rows":7}}"#),
    ];
    for (windows, text) in all {
        assert_eq!(serde_json::to_string(&windows).unwrap(), text);
        assert_eq!(serde_json::from_str::<Windows>(text).unwrap(), windows);
    }
    assert_eq!(serde_json::from_str::<Windows>(r#"{"size": 10}"#).unwrap(), tumbling(10, 0));
}

#[test]
fn windows_that_cannot_be_are_refused_also_from_a_stored_plan() {
    let error = TumblingWindow::new(Span(0), Span::ZERO).unwrap_err();
    assert_eq!(error, TimeError::WindowSize { got: Span(0) });
    for (text, expected) in [
        (r#"{"size": -5, "offset": 0}"#, "a window of -5 µs; its size must be at least 1 µs"),
        (
            r#"{"hopping": {"size": 5, "slide": 0}}"#,
            "the slide of hopping windows is 0 s; it must be at least 1 µs",
        ),
        (
            r#"{"cumulate": {"size": 5000000, "step": 2000000}}"#,
            "cumulating windows of 5 s grow by 2 s, which does not divide it; take a step that does",
        ),
        (r#"{"session": {"gap": -1}}"#, "the gap of sessions is -1 µs; it must be at least 1 µs"),
        (r#"{"count": {"rows": 0}}"#, "count windows of 0 rows; a window must have at least one"),
        (r#"{"size": 5, "slide": 3}"#, "windows: {size, offset} for tumbling ones"),
        (r#"{"calendar": {"unit": "day", "zone": "Mars"}}"#, "unknown time zone \"Mars\"; "),
    ] {
        let error = serde_json::from_str::<Windows>(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let far = CalendarWindow::new(CalendarUnit::Day, Zone::UTC, Span::from_secs(400 * 86_400)).unwrap_err();
    assert_eq!(
        far.to_string(),
        "calendar windows with an offset of 400 d; an offset is at most 366 d, either way"
    );
}
