//! Many inputs into one watermark.
//!
//! A stage may promise only what all of its inputs promise, so its watermark is the minimum over its
//! active inputs. Idle inputs leave the minimum; ended ones can never hold it back again. The invariants:
//! what is emitted never goes back, and a stage is idle exactly when all inputs that have not ended are.

use sabot_common::EventTime;

/// What one input is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputState {
    /// It counts in the minimum.
    Active,
    /// It has no rows for now and does not count.
    Idle,
    /// It has no more rows at all.
    Ended,
}

/// What a stage must send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeEvent {
    /// The combined watermark. It is larger than the one before, with one exception: a stage that was
    /// idle repeats its last watermark when it becomes active, because that is how those behind it learn
    /// that they must wait for it again.
    Watermark(EventTime),
    /// The stage is idle from here on.
    Idle,
    /// First a watermark, then idle. It happens when the last active input becomes idle and another
    /// idle input had promised more: with nobody left to wait for, the furthest promise stands.
    WatermarkThenIdle(EventTime),
}

#[derive(Clone, Copy, Debug)]
struct Input {
    state: InputState,
    watermark: EventTime,
}

/// Combines the watermarks of several inputs. Inputs are numbered from 0 and start active, with nothing
/// promised.
///
/// Each `on_…` returns what to send on, or nothing. When the last active input becomes idle, the
/// watermark rises to the furthest promise among the idle ones, as in Flink: else it would depend on
/// which of them happened to become idle first.
///
/// ```
/// use sabot_common::EventTime;
/// use sabot_time::{MergeEvent, WatermarkMerge};
///
/// let mut merge = WatermarkMerge::new(2);
/// assert_eq!(merge.on_watermark(0, EventTime(10)), None); // input 1 has promised nothing
/// assert_eq!(merge.on_watermark(1, EventTime(5)), Some(MergeEvent::Watermark(EventTime(5))));
/// assert_eq!(merge.on_idle(1), Some(MergeEvent::Watermark(EventTime(10))));
/// assert_eq!(merge.on_watermark(1, EventTime(7)), None); // it is back, and 10 stays
/// assert_eq!(merge.on_end(0), None);
/// assert_eq!(merge.on_end(1), Some(MergeEvent::Watermark(EventTime::MAX)));
/// ```
#[derive(Clone, Debug)]
pub struct WatermarkMerge {
    inputs: Vec<Input>,
    /// The last watermark sent on.
    sent: EventTime,
    /// Whether `Idle` was the last thing sent on.
    idle: bool,
}

impl WatermarkMerge {
    /// A merge of `inputs` active inputs. Without inputs nothing is ever sent on.
    pub fn new(inputs: usize) -> Self {
        let input = Input { state: InputState::Active, watermark: EventTime::MIN };
        Self { inputs: vec![input; inputs], sent: EventTime::MIN, idle: false }
    }

    /// A merge that goes on after a restart, with the watermark that had been sent on.
    pub fn resume(inputs: usize, sent: EventTime) -> Self {
        Self { sent, ..Self::new(inputs) }
    }

    /// Adds an active input that has promised nothing; returns its number and what to send on. The
    /// combined watermark stays where it is until the new input has caught up.
    pub fn add_input(&mut self) -> (usize, Option<MergeEvent>) {
        self.inputs.push(Input { state: InputState::Active, watermark: EventTime::MIN });
        (self.inputs.len() - 1, self.decide())
    }

    /// Input `i` promises that no row at or before `t` follows. It is active from here on.
    ///
    /// A watermark below an earlier one of the same input changes nothing; one from an input that has
    /// ended is ignored.
    ///
    /// # Panics
    /// Like the other events, if there is no input `i`.
    pub fn on_watermark(&mut self, i: usize, t: EventTime) -> Option<MergeEvent> {
        let input = &mut self.inputs[i];
        if input.state == InputState::Ended {
            return None;
        }
        input.state = InputState::Active;
        input.watermark = input.watermark.max(t);
        self.decide()
    }

    /// Input `i` has no rows for now.
    pub fn on_idle(&mut self, i: usize) -> Option<MergeEvent> {
        self.change(i, InputState::Idle)
    }

    /// Input `i` has delivered an element. What is returned for the first active input of an idle stage
    /// must be sent on before that element: a filter may drop every row of it.
    pub fn on_active(&mut self, i: usize) -> Option<MergeEvent> {
        self.change(i, InputState::Active)
    }

    /// Input `i` has ended. When all have, the watermark is `MAX`.
    pub fn on_end(&mut self, i: usize) -> Option<MergeEvent> {
        self.change(i, InputState::Ended)
    }

    /// The last watermark sent on.
    pub fn watermark(&self) -> EventTime {
        self.sent
    }

    /// What input `i` is doing; none if there is no such input.
    pub fn state(&self, i: usize) -> Option<InputState> {
        self.inputs.get(i).map(|input| input.state)
    }

    /// Whether every input that has not ended is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    fn change(&mut self, i: usize, to: InputState) -> Option<MergeEvent> {
        let state = &mut self.inputs[i].state;
        // Nothing happens after the end, and most rows arrive on inputs that are active already.
        if *state == InputState::Ended || *state == to {
            return None;
        }
        *state = to;
        self.decide()
    }

    fn decide(&mut self) -> Option<MergeEvent> {
        let times = |state| self.inputs.iter().filter(move |i| i.state == state).map(|i| i.watermark);
        let (combined, idle) = match (times(InputState::Active).min(), times(InputState::Idle).max()) {
            (Some(slowest), _) => (slowest, false),
            (None, Some(furthest)) => (furthest, true),
            (None, None) => (EventTime::MAX, false),
        };
        let rises = combined > self.sent;
        self.sent = self.sent.max(combined);
        let was_idle = std::mem::replace(&mut self.idle, idle);
        let wakes = was_idle && !idle;
        match (rises || wakes, idle && !was_idle) {
            (true, true) => Some(MergeEvent::WatermarkThenIdle(self.sent)),
            (true, false) => Some(MergeEvent::Watermark(self.sent)),
            (false, true) => Some(MergeEvent::Idle),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests;
