//! Windows against their definition in 128 bits, and together with the clock that makes rows late.

use super::*;
use proptest::prelude::*;

use crate::PartitionClock;

fn window(size: i64, offset: i64) -> TumblingWindow {
    TumblingWindow::new(Span(size), Span(offset)).unwrap()
}

/// First and last time of the window of `t` by the definition, in 128 bits and cut to the range.
fn slow(size: i64, offset: i64, t: i64) -> (i64, i64) {
    let (size, offset) = (i128::from(size), i128::from(offset));
    let number = (i128::from(t) - offset).div_euclid(size);
    let start = number * size + offset;
    let clamp = |x: i128| i64::try_from(x).unwrap_or(if x > 0 { i64::MAX } else { i64::MIN });
    (clamp(start), clamp(start + size - 1))
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

proptest! {
    #[test]
    fn every_time_lies_in_the_window_of_the_definition(
        size in sizes(), offset in any_time(), t in any_time(),
    ) {
        let window = window(size, offset);
        let (start, last) = slow(size, offset, t);
        prop_assert_eq!(window.start_of(EventTime(t)), EventTime(start));
        prop_assert!(start <= t && t <= last);
        prop_assert_eq!(window.start_of(EventTime(start)), EventTime(start), "a start is in its own window");
        let end = last.saturating_add(1);
        prop_assert_eq!(window.end_of(EventTime(start)), EventTime(end));
        prop_assert_eq!(window.end_of(EventTime(t)), EventTime(end));
        if last < i64::MAX {
            prop_assert_eq!(window.start_of(EventTime(end)), EventTime(end), "windows leave no gap");
        }
        prop_assert_eq!(window.fires_at(EventTime(start), Span::ZERO), EventTime(last));
    }

    #[test]
    fn assigning_a_slice_equals_assigning_each(
        size in sizes(), offset in any_time(), times in prop::collection::vec(any_time(), 0..50),
    ) {
        let window = window(size, offset);
        let mut starts = vec![1, 2];
        window.assign(&times, &mut starts);
        let each: Vec<i64> = times.iter().map(|&t| slow(size, offset, t).0).collect();
        prop_assert_eq!(&starts, &each);

        let (Some(&min), Some(&max)) = (times.iter().min(), times.iter().max()) else { return Ok(()) };
        let same = each.iter().all(|start| *start == each[0]);
        let one = window.one_window(EventTime(min), EventTime(max));
        prop_assert_eq!(one, same.then(|| EventTime(each[0])));
    }

    /// The rules together: no row that is in time comes for a window that has fired.
    #[test]
    fn rows_in_time_find_their_window_open(
        size in 1i64..40,
        delay in 0i64..20,
        allowed in 0i64..30,
        times in prop::collection::vec(-100i64..100, 1..60),
    ) {
        let window = window(size, 0);
        let mut clock = PartitionClock::new(Span(delay)).unwrap();
        let mut behind = Vec::new();
        for t in times {
            let watermark = clock.watermark();
            clock.observe(&[t], &mut behind);
            let start = window.start_of(EventTime(t));
            if !is_late(behind[0], Span(allowed)) {
                prop_assert!(!window.is_closed(start, watermark, Span(allowed)));
            }
            // What a window gives has the time end − 1, which no watermark sent on before has denied.
            if !window.is_closed(start, watermark, Span(allowed)) {
                let last = window.fires_at(start, Span::ZERO);
                prop_assert!(last > output_watermark(watermark, Span(allowed)));
            }
        }
    }
}

/// The canary: division that truncates, the usual mistake, differs from the floor below zero.
#[test]
fn truncating_division_would_be_noticed() {
    let truncated = |t: i64| t / 10 * 10;
    assert_eq!(window(10, 0).start_of(EventTime(25)).micros(), truncated(25));
    assert_ne!(window(10, 0).start_of(EventTime(-25)).micros(), truncated(-25));
}

#[test]
fn windows_are_cut_at_the_ends_of_time() {
    let window = window(10, 0);
    // -2^63 is 2 after a boundary that no i64 can name.
    assert_eq!(window.start_of(EventTime::MIN), EventTime::MIN);
    assert_eq!(window.end_of(EventTime::MIN), EventTime(i64::MIN + 8));
    let last = window.start_of(EventTime::MAX);
    assert_eq!(last, EventTime(i64::MAX - 7));
    assert_eq!(window.end_of(last), EventTime::MAX);
    assert_eq!(window.fires_at(last, Span::ZERO), EventTime::MAX);
    assert!(!window.is_closed(last, EventTime(i64::MAX - 1), Span::ZERO));
    assert!(window.is_closed(last, EventTime::MAX, Span(1)));
}

#[test]
fn an_offset_is_taken_within_the_size() {
    assert_eq!(window(10, 13), window(10, 3));
    assert_eq!(window(10, -7), window(10, 3));
    assert_eq!(window(10, 3).start_of(EventTime(2)), EventTime(-7));
    assert_eq!(window(10, 3).to_string(), "tumbling(10 µs, offset 3 µs)");
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
fn sizes_below_one_are_refused_also_from_a_stored_plan() {
    let error = TumblingWindow::new(Span(0), Span::ZERO).unwrap_err();
    assert_eq!(error, TimeError::WindowSize { got: Span(0) });
    assert!(serde_json::from_str::<TumblingWindow>(r#"{"size": -5, "offset": 0}"#).is_err());
    let stored = serde_json::to_string(&window(10, 3)).unwrap();
    assert_eq!(stored, r#"{"size":10,"offset":3}"#);
    assert_eq!(serde_json::from_str::<TumblingWindow>(&stored).unwrap(), window(10, 3));
}
