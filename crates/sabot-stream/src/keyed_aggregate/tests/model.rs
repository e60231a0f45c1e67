//! What should come out, from a map of windows and keys; and random histories.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sabot_common::{EventTime, Span};
use sabot_time::{CumulateWindow, HoppingWindow, SessionWindow, TumblingWindow, Windows};
use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::SIZE;

/// A key with the total order that results have.
#[derive(Clone, Debug)]
pub(super) struct Key(pub(super) Option<String>, pub(super) Option<f64>);

impl Key {
    fn order(&self, other: &Key) -> Ordering {
        let text = (self.0.is_none(), self.0.as_ref()).cmp(&(other.0.is_none(), other.0.as_ref()));
        let rank = |f: &Option<f64>| f.map_or((2, 0.0), |x| if x.is_nan() { (1, 0.0) } else { (0, x) });
        let float = || rank(&self.1).partial_cmp(&rank(&other.1)).unwrap();
        text.then_with(float)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.order(other).is_eq()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.order(other)
    }
}

/// One input row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) key: Key,
    pub(super) value: Option<i64>,
}

/// One result: end and start of the window, key, count of rows, sum and largest of the values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Result1 {
    pub(super) window: (i64, i64),
    pub(super) key: Key,
    pub(super) rows: i64,
    pub(super) sum: Option<i64>,
    pub(super) largest: Option<i64>,
}

/// What happens to the operator.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Rows(Vec<Row>),
    Watermark(i64),
    /// All tasks are snapshot and as many others restored from that.
    Rescale(usize),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) windows: Option<Windows>,
    pub(super) keys: usize,
    pub(super) lateness: i64,
    pub(super) raw: bool,
}

/// What a test does wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// The expectation merges late rows.
    MergeLate,
    /// One task's snapshot is not handed on.
    LoseSnapshot,
    /// Windows fire although the input is suspended.
    FireOnSuspend,
    /// The expectation counts a row in the last of its windows alone.
    OneWindow,
}

/// The window of everything, where there are no windows.
pub(super) const WHOLE: (i64, i64) = (i64::MAX, i64::MIN);

impl Shape {
    /// End and start of the windows that hold a time.
    fn windows_of(&self, time: i64) -> Vec<(i64, i64)> {
        let Some(windows) = &self.windows else { return vec![WHOLE] };
        let last = windows.last_window(EventTime(time));
        let all = std::iter::successors(windows.first_window(EventTime(time)), |w| windows.next_window(*w));
        let held = all.take_while(|window| last.is_some_and(|last| *window <= last));
        held.map(|window| (window.end().micros(), window.start.micros())).collect()
    }

    /// The key of a row, of as many columns as there are.
    fn key_of(&self, row: &Row) -> Key {
        let name = row.key.0.clone().filter(|_| self.keys > 0);
        let level = row.key.1.filter(|_| self.keys > 1);
        Key(name, level.map(|x| x + 0.0))
    }

    /// Whether a time lies in a window; other rows do not reach the operator.
    pub(super) fn holds(&self, time: i64) -> bool {
        !self.windows_of(time).is_empty()
    }
}

/// What should come of sessions. Rows are late whose session, were they alone in it, would have fired.
fn expected_sessions(
    gap: i64,
    events: &[Event],
    shape: Shape,
    drain: bool,
    fault: Fault,
) -> (Vec<Result1>, u64) {
    let (mut open, mut results): (Vec<(Key, Vec<Row>)>, Vec<Result1>) = (Vec::new(), Vec::new());
    let (mut watermark, mut late) = (i64::MIN, 0);
    let closes = |last: i64, watermark: i64| last + gap - 1 + shape.lateness <= watermark;
    let mut fire = |open: &mut Vec<(Key, Vec<Row>)>, all: bool, watermark: i64| {
        let last = |rows: &[Row]| rows.iter().map(|row| row.time).max().unwrap();
        let due = |session: &mut (Key, Vec<Row>)| all || closes(last(&session.1), watermark);
        let mut fired: Vec<Result1> = open
            .extract_if(.., due)
            .map(|(key, rows)| {
                let first = rows.iter().map(|row| row.time).min().unwrap();
                let values: Vec<i64> = rows.iter().filter_map(|row| row.value).collect();
                let sum = (!values.is_empty()).then(|| values.iter().sum());
                let largest = values.iter().max().copied();
                let window = (last(&rows) + gap, first);
                Result1 { window, key, rows: rows.len() as i64, sum, largest }
            })
            .collect();
        fired.sort_by(|a, b| (a.window.0, &a.key, a.window.1).cmp(&(b.window.0, &b.key, b.window.1)));
        results.extend(fired);
    };
    for event in events {
        match event {
            Event::Rows(rows) => {
                for row in rows {
                    if closes(row.time, watermark) && fault != Fault::MergeLate {
                        late += 1;
                        continue;
                    }
                    let key = shape.key_of(row);
                    let near = |session: &mut (Key, Vec<Row>)| {
                        session.0 == key && session.1.iter().any(|r| (r.time - row.time).abs() < gap)
                    };
                    let mut rows: Vec<Row> = open.extract_if(.., near).flat_map(|s| s.1).collect();
                    rows.push(row.clone());
                    if fault == Fault::OneWindow && rows.len() > 5 {
                        rows.pop();
                    }
                    open.push((key, rows));
                }
            }
            Event::Watermark(w) => {
                watermark = watermark.max(*w);
                fire(&mut open, false, watermark);
            }
            Event::Rescale(_) => {}
        }
    }
    if drain || fault == Fault::FireOnSuspend {
        fire(&mut open, true, watermark);
    }
    (results, late)
}

/// What should come out, and how many raw rows are late.
pub(super) fn expected(events: &[Event], shape: Shape, drain: bool, fault: Fault) -> (Vec<Result1>, u64) {
    if let Some(Windows::Session(session)) = shape.windows {
        return expected_sessions(session.gap().micros(), events, shape, drain, fault);
    }
    type Open = BTreeMap<((i64, i64), Key), Result1>;
    let mut open = Open::new();
    let (mut watermark, mut late, mut results) = (i64::MIN, 0, Vec::new());
    let closes = |end: i64, watermark: i64| shape.windows.is_some() && end - 1 + shape.lateness <= watermark;
    let mut fire = |open: &mut Open, all: bool, watermark: i64| {
        while let Some(entry) = open.first_entry().filter(|e| all || closes(e.key().0.0, watermark)) {
            results.push(entry.remove());
        }
    };
    let new = |window: (i64, i64), key: &Key| Result1 {
        window,
        key: key.clone(),
        rows: 0,
        sum: None,
        largest: None,
    };
    for event in events {
        match event {
            Event::Rows(rows) => {
                for row in rows.iter().filter(|row| shape.holds(row.time)) {
                    let mut windows = shape.windows_of(row.time);
                    if closes(windows[windows.len() - 1].0, watermark) && fault != Fault::MergeLate {
                        late += 1;
                        continue;
                    }
                    if fault == Fault::OneWindow {
                        windows.drain(..windows.len() - 1);
                    }
                    let key = shape.key_of(row);
                    for window in windows {
                        if closes(window.0, watermark) && fault != Fault::MergeLate {
                            continue;
                        }
                        let group = open.entry((window, key.clone())).or_insert_with(|| new(window, &key));
                        group.rows += 1;
                        if let Some(value) = row.value {
                            group.sum = Some(group.sum.unwrap_or(0) + value);
                            group.largest = group.largest.max(Some(value));
                        }
                    }
                }
            }
            Event::Watermark(w) => {
                watermark = watermark.max(*w);
                fire(&mut open, false, watermark);
            }
            Event::Rescale(_) => {}
        }
    }
    if drain && shape.windows.is_none() && shape.keys == 0 && open.is_empty() {
        let key = Key(None, None);
        open.insert((WHOLE, key.clone()), new(WHOLE, &key));
    }
    if drain || fault == Fault::FireOnSuspend {
        fire(&mut open, true, watermark);
    }
    (results, late)
}

pub(super) fn random_row(rng: &mut ChaCha8Rng, now: i64) -> Row {
    let names =
        [None, Some(""), Some("ORD"), Some("SFO"), Some("SFO\0"), Some("a name beyond a view"), Some("é")];
    let levels =
        [None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), Some(-1.5), Some(f64::INFINITY)];
    Row {
        time: now + rng.random_range(-25..25),
        key: Key(
            names[rng.random_range(0..names.len())].map(str::to_owned),
            levels[rng.random_range(0..levels.len())],
        ),
        value: rng.random_bool(0.8).then(|| rng.random_range(-1000..1000)),
    }
}

pub(super) fn random_events(rng: &mut ChaCha8Rng) -> Vec<Event> {
    let mut now = -30;
    (0..rng.random_range(0..25))
        .map(|_| {
            now += rng.random_range(0..12);
            match rng.random_range(0..10) {
                0..=5 => Event::Rows((0..rng.random_range(0..60)).map(|_| random_row(rng, now)).collect()),
                6..=8 => Event::Watermark(now - rng.random_range(0..20)),
                _ => Event::Rescale(rng.random_range(1..5)),
            }
        })
        .collect()
}

pub(super) fn random_shape(rng: &mut ChaCha8Rng) -> Shape {
    Shape {
        windows: random_windows(rng),
        keys: rng.random_range(0..3),
        lateness: [0, 0, 7, 30][rng.random_range(0..4)],
        raw: rng.random_bool(0.5),
    }
}

fn random_windows(rng: &mut ChaCha8Rng) -> Option<Windows> {
    let hopping = |size, slide, offset| HoppingWindow::new(Span(size), Span(slide), Span(offset)).unwrap();
    let cumulate = |size, step| CumulateWindow::new(Span(size), Span(step), Span(3)).unwrap();
    Some(match rng.random_range(0..12) {
        0 => return None,
        1 | 2 => tumbling(),
        // Slides that divide the size and that do not, a slide of one instant, and windows with gaps.
        3 => hopping(30, 10, 0).into(),
        4 => hopping(rng.random_range(1..40), rng.random_range(1..20), rng.random_range(0..20)).into(),
        5 => hopping(25, 1, 0).into(),
        6 => hopping(7, 3, 2).into(),
        7 => cumulate(24, 6).into(),
        8 => hopping(6, 10, 0).into(),
        _ => SessionWindow::new(Span(rng.random_range(1..12))).unwrap().into(),
    })
}

/// Windows of [`SIZE`].
pub(super) fn tumbling() -> Windows {
    TumblingWindow::new(Span(SIZE), Span::ZERO).unwrap().into()
}
