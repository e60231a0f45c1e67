//! Cumulating windows: they start together and end one step apart.

use sabot_common::Span;
use std::fmt;

use super::{TumblingWindow, WindowBounds, positive};
use crate::TimeError;

/// Windows that grow by a step up to a size, then start anew: of `cumulate(1 d, every 1 h)` one lasts
/// from midnight to 1 o'clock, the next from midnight to 2 o'clock, the last one the whole day.
///
/// ```
/// use sabot_common::Span;
/// use sabot_time::CumulateWindow;
///
/// let day = CumulateWindow::new(Span::from_secs(86_400), Span::from_secs(3600), Span::ZERO)?;
/// assert_eq!(day.to_string(), "cumulate(1 d, every 1 h)");
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CumulateWindow {
    /// From one start to the next.
    whole: TumblingWindow,
    steps: TumblingWindow,
}

impl CumulateWindow {
    /// Windows up to `size` that grow by `step` and start at `offset` and at all whole multiples of
    /// `size` from there.
    ///
    /// # Errors
    /// [`TimeError::WindowSize`] or [`TimeError::NotPositive`] when size or step is zero or negative,
    /// [`TimeError::Steps`] when the size is not a multiple of the step.
    pub fn new(size: Span, step: Span, offset: Span) -> Result<Self, TimeError> {
        let whole = TumblingWindow::new(size, offset)?;
        positive("the step of cumulating windows", step)?;
        if size.micros() % step.micros() != 0 {
            return Err(TimeError::Steps { size, step });
        }
        Ok(Self { whole, steps: TumblingWindow::new(step, offset)? })
    }

    /// The length of the longest window.
    pub fn size(&self) -> Span {
        self.whole.size()
    }

    /// By how much windows grow.
    pub fn step(&self) -> Span {
        self.steps.size()
    }

    /// Where windows start, counted from the epoch; at least 0 and less than the size.
    pub fn offset(&self) -> Span {
        self.whole.offset()
    }

    /// The slices.
    pub(super) fn steps(&self) -> &TumblingWindow {
        &self.steps
    }

    pub(super) fn is_sliced(&self) -> bool {
        self.size() != self.step()
    }

    pub(super) fn first_window(&self, t: i64) -> WindowBounds {
        WindowBounds { start: self.whole.window_of(t).start, last: self.steps.window_of(t).last }
    }

    pub(super) fn last_window(&self, t: i64) -> WindowBounds {
        self.whole.window_of(t)
    }

    /// The first window whose last instant lies behind `t`.
    pub(super) fn first_ending_after(&self, t: i128) -> Option<WindowBounds> {
        // That of the instant behind `t`: its slice ends there or later, and no window between.
        i64::try_from(t + 1).ok().map(|next| self.first_window(next))
    }

    pub(super) fn next_window(&self, window: WindowBounds) -> Option<WindowBounds> {
        self.first_ending_after(window.last.micros().into())
    }
}

impl fmt::Display for CumulateWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cumulate({}, every {}", self.size(), self.step())?;
        match self.offset() {
            Span::ZERO => f.write_str(")"),
            offset => write!(f, ", offset {offset})"),
        }
    }
}
