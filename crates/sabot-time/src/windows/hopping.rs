//! Hopping windows: one size, and a slide that need not divide it.
//!
//! Slices lie between any two neighbouring boundaries of windows. A window starts every slide, and ends
//! `size mod slide` after one: so there are two slices to a slide at most, whatever the two have for a
//! greatest common divisor, and one where the slide divides the size.

use sabot_common::{EventTime, Span};
use std::fmt;

use super::{TumblingWindow, WindowBounds, cut, positive};
use crate::TimeError;

/// Windows of one size that start one slide apart. With a slide below the size they overlap, with one
/// above it they leave gaps; times in a gap lie in no window.
///
/// ```
/// use sabot_common::Span;
/// use sabot_time::HoppingWindow;
///
/// let hour = Span::from_secs(3600);
/// let hourly = HoppingWindow::new(Span::from_secs(3 * 3600), hour, Span::ZERO)?;
/// assert_eq!(hourly.to_string(), "hopping(3 h, every 1 h)");
/// # Ok::<(), sabot_time::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HoppingWindow {
    size: i64,
    /// From one start to the next.
    slides: TumblingWindow,
    /// How far behind a start windows end; 0 where they end with one.
    rest: i64,
}

impl HoppingWindow {
    /// Windows of `size`, one of which starts at `offset`, the others whole multiples of `slide` from
    /// there. An offset outside `0..slide` means the same windows as its remainder.
    ///
    /// # Errors
    /// [`TimeError::WindowSize`] or [`TimeError::NotPositive`] when size or slide is zero or negative.
    pub fn new(size: Span, slide: Span, offset: Span) -> Result<Self, TimeError> {
        if size <= Span::ZERO {
            return Err(TimeError::WindowSize { got: size });
        }
        positive("the slide of hopping windows", slide)?;
        let rest = size.micros() % slide.micros();
        Ok(Self { size: size.micros(), slides: TumblingWindow::new(slide, offset)?, rest })
    }

    /// The length of a window.
    pub fn size(&self) -> Span {
        Span(self.size)
    }

    /// From the start of one window to that of the next.
    pub fn slide(&self) -> Span {
        self.slides.size()
    }

    /// Where windows start, counted from the epoch; at least 0 and less than the slide.
    pub fn offset(&self) -> Span {
        self.slides.offset()
    }

    pub(super) fn is_sliced(&self) -> bool {
        self.size > self.slides.size().micros()
    }

    pub(super) fn has_gaps(&self) -> bool {
        self.size < self.slides.size().micros()
    }

    #[inline]
    pub(super) fn slice_of(&self, t: i64) -> WindowBounds {
        let slide = self.slides.window_of(t);
        if self.rest == 0 {
            return slide;
        }
        let past = self.slides.past_boundary(t);
        if past < self.rest {
            let last = EventTime(t.saturating_add(self.rest - past - 1));
            WindowBounds { start: slide.start, last }
        } else {
            WindowBounds { start: EventTime(t.saturating_sub(past - self.rest)), last: slide.last }
        }
    }

    pub(super) fn is_gap(&self, t: i64) -> bool {
        self.has_gaps() && self.slides.past_boundary(t) >= self.rest
    }

    /// The latest start at or before `t`, uncut.
    fn start_at_or_before(&self, t: i128) -> i128 {
        let (slide, offset) = (i128::from(self.slides.size().micros()), i128::from(self.offset().micros()));
        t - (t - offset).rem_euclid(slide)
    }

    fn window(&self, start: i128) -> Option<WindowBounds> {
        let inside = start <= i128::from(i64::MAX);
        inside.then(|| WindowBounds { start: cut(start), last: cut(start + i128::from(self.size) - 1) })
    }

    pub(super) fn last_window(&self, t: i64) -> Option<WindowBounds> {
        if self.is_gap(t) { None } else { self.window(self.start_at_or_before(t.into())) }
    }

    pub(super) fn first_window(&self, t: i64) -> Option<WindowBounds> {
        // No boundary lies in a slice, so what holds one instant of it holds all.
        if self.is_gap(t) { None } else { self.first_ending_after(i128::from(t) - 1) }
    }

    /// The first window whose last instant lies behind `t`.
    pub(super) fn first_ending_after(&self, t: i128) -> Option<WindowBounds> {
        let slide = i128::from(self.slides.size().micros());
        // The latest start of a window that ends at or before `t` (its last instant is `t` or earlier).
        let passed = self.start_at_or_before(t - i128::from(self.size) + 1);
        self.window(passed + slide)
    }

    pub(super) fn next_window(&self, window: WindowBounds) -> Option<WindowBounds> {
        let start = match window.start {
            // Cut: its end tells where it would start.
            EventTime::MIN => i128::from(window.last.micros()) - i128::from(self.size) + 1,
            start => i128::from(start.micros()),
        };
        self.window(start + i128::from(self.slides.size().micros()))
    }
}

impl fmt::Display for HoppingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hopping({}, every {}", self.size(), self.slide())?;
        match self.offset() {
            Span::ZERO => f.write_str(")"),
            offset => write!(f, ", offset {offset})"),
        }
    }
}
