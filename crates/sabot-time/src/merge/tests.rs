//! The merge against its definition over the whole history of events, and its promises one by one.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Watermark(usize, i64),
    Idle(usize),
    Active(usize),
    End(usize),
    Add,
}

fn apply(merge: &mut WatermarkMerge, event: Event) -> Option<MergeEvent> {
    match event {
        Event::Watermark(i, t) => merge.on_watermark(i, EventTime(t)),
        Event::Idle(i) => merge.on_idle(i),
        Event::Active(i) => merge.on_active(i),
        Event::End(i) => merge.on_end(i),
        Event::Add => merge.add_input().1,
    }
}

/// The states after some events, computed anew from all of them.
fn replay(inputs: usize, events: &[Event]) -> Vec<Input> {
    let new = Input { state: InputState::Active, watermark: EventTime::MIN };
    let mut all = vec![new; inputs];
    for &event in events {
        let (i, state, t) = match event {
            Event::Add => {
                all.push(new);
                continue;
            }
            Event::Watermark(i, t) => (i, InputState::Active, t),
            Event::Idle(i) => (i, InputState::Idle, i64::MIN),
            Event::Active(i) => (i, InputState::Active, i64::MIN),
            Event::End(i) => (i, InputState::Ended, i64::MIN),
        };
        if all[i].state != InputState::Ended {
            all[i] = Input { state, watermark: all[i].watermark.max(EventTime(t)) };
        }
    }
    all
}

/// What the inputs together promise, and whether the stage is idle.
fn promise(inputs: &[Input]) -> (EventTime, bool) {
    let of = |state| inputs.iter().filter(move |i| i.state == state).map(|i| i.watermark);
    match of(InputState::Active).min() {
        Some(t) => (t, false),
        None => match of(InputState::Idle).max() {
            Some(t) => (t, true),
            None => (EventTime::MAX, false),
        },
    }
}

/// What the events lead to by the definition: the largest promise so far and the state now, and of each
/// event what changed. `back` is the canary's mistake: the promise of now instead of the largest.
fn slow(inputs: usize, events: &[Event], back: bool) -> Vec<Option<MergeEvent>> {
    let mut before = (EventTime::MIN, false);
    (1..=events.len())
        .map(|n| {
            let (now, idle) = promise(&replay(inputs, &events[..n]));
            let sent = if back { now } else { before.0.max(now) };
            let (old, was_idle) = std::mem::replace(&mut before, (sent, idle));
            let speak = sent != old || (was_idle && !idle);
            match (speak, idle && !was_idle) {
                (true, true) => Some(MergeEvent::WatermarkThenIdle(sent)),
                (true, false) => Some(MergeEvent::Watermark(sent)),
                (false, true) => Some(MergeEvent::Idle),
                (false, false) => None,
            }
        })
        .collect()
}

fn fast(inputs: usize, events: &[Event]) -> Vec<Option<MergeEvent>> {
    let mut merge = WatermarkMerge::new(inputs);
    events.iter().map(|&event| apply(&mut merge, event)).collect()
}

/// Events over as many inputs as there are when they happen.
fn histories() -> impl Strategy<Value = (usize, Vec<Event>)> {
    let step = (any::<prop::sample::Index>(), -20i64..20, 0usize..24);
    (1usize..5, prop::collection::vec(step, 0..60)).prop_map(|(inputs, steps)| {
        let mut count = inputs;
        let events = steps.into_iter().map(|(index, t, kind)| {
            let i = index.index(count);
            match kind {
                0..=12 => Event::Watermark(i, t),
                13..=18 => Event::Idle(i),
                19..=21 => Event::Active(i),
                22 => Event::End(i),
                _ => {
                    count += 1;
                    Event::Add
                }
            }
        });
        (inputs, events.collect())
    })
}

proptest! {
    #[test]
    fn any_history_equals_the_definition((inputs, events) in histories()) {
        prop_assert_eq!(fast(inputs, &events), slow(inputs, &events, false));
    }

    #[test]
    fn what_is_sent_never_goes_back_and_repeats_only_on_waking((inputs, events) in histories()) {
        let mut merge = WatermarkMerge::new(inputs);
        let (mut last, mut idle) = (EventTime::MIN, false);
        for event in events {
            match apply(&mut merge, event) {
                Some(MergeEvent::Watermark(t)) => {
                    prop_assert!(t > last || (idle && t == last));
                    (last, idle) = (t, false);
                }
                Some(MergeEvent::WatermarkThenIdle(t)) => {
                    prop_assert!(t > last && !idle);
                    (last, idle) = (t, true);
                }
                Some(MergeEvent::Idle) => {
                    prop_assert!(!idle);
                    idle = true;
                }
                None => {}
            }
            prop_assert_eq!((merge.watermark(), merge.is_idle()), (last, idle));
        }
    }

    /// Two stages in a row, the second fed with what the first sends, know the same as one.
    #[test]
    fn what_is_sent_tells_the_next_stage_everything((inputs, events) in histories()) {
        let mut first = WatermarkMerge::new(inputs);
        let mut second = WatermarkMerge::new(1);
        for event in events {
            match apply(&mut first, event) {
                Some(MergeEvent::Watermark(t)) => { second.on_watermark(0, t); }
                Some(MergeEvent::Idle) => { second.on_idle(0); }
                Some(MergeEvent::WatermarkThenIdle(t)) => {
                    second.on_watermark(0, t);
                    second.on_idle(0);
                }
                None => {}
            }
            prop_assert_eq!(first.watermark(), second.watermark());
            prop_assert_eq!(first.is_idle(), second.is_idle());
        }
    }
}

/// The canary: an input that returns from idle and takes the watermark back with it.
#[test]
fn going_back_would_be_noticed() {
    let events = [Event::Watermark(0, 5), Event::Idle(1), Event::Watermark(1, 3)];
    let watermark = |t| Some(MergeEvent::Watermark(EventTime(t)));
    assert_eq!(fast(2, &events), [None, watermark(5), None]);
    assert_eq!(slow(2, &events, true), [None, watermark(5), watermark(3)]);
}

#[test]
fn the_order_in_which_inputs_become_idle_does_not_matter() {
    let mut ends = Vec::new();
    for (a, b) in [(0, 1), (1, 0)] {
        let mut merge = WatermarkMerge::new(2);
        merge.on_watermark(0, EventTime(100));
        merge.on_watermark(1, EventTime(50));
        merge.on_idle(a);
        merge.on_idle(b);
        assert!(merge.is_idle());
        ends.push(merge.watermark());
    }
    assert_eq!(ends, [EventTime(100); 2]);
}

#[test]
fn rows_wake_an_idle_stage_with_its_last_watermark() {
    let mut merge = WatermarkMerge::new(1);
    merge.on_watermark(0, EventTime(7));
    assert_eq!(merge.on_idle(0), Some(MergeEvent::Idle));
    assert_eq!(merge.on_idle(0), None);
    assert_eq!(merge.on_active(0), Some(MergeEvent::Watermark(EventTime(7))));
    assert_eq!(merge.on_active(0), None);
}

#[test]
fn ended_inputs_hold_nothing_back_and_stay_ended() {
    let mut merge = WatermarkMerge::new(2);
    merge.on_watermark(0, EventTime(9));
    assert_eq!(merge.on_end(1), Some(MergeEvent::Watermark(EventTime(9))));
    assert_eq!(merge.on_watermark(1, EventTime(3)), None);
    assert_eq!(merge.on_active(1), None);
    assert_eq!(merge.state(1), Some(InputState::Ended));
    assert_eq!(merge.on_end(0), Some(MergeEvent::Watermark(EventTime::MAX)));
    assert_eq!(merge.state(2), None);
}

#[test]
fn a_stage_of_ended_and_idle_inputs_is_idle() {
    let mut merge = WatermarkMerge::new(2);
    merge.on_end(0);
    assert_eq!(merge.on_idle(1), Some(MergeEvent::Idle));
    assert_eq!(merge.on_end(1), Some(MergeEvent::Watermark(EventTime::MAX)));
}

#[test]
fn a_restart_keeps_what_was_sent() {
    let mut merge = WatermarkMerge::resume(1, EventTime(40));
    assert_eq!(merge.on_watermark(0, EventTime(30)), None);
    assert_eq!(merge.watermark(), EventTime(40));
    assert_eq!(merge.on_watermark(0, EventTime(41)), Some(MergeEvent::Watermark(EventTime(41))));
}
