//! The start of a row's slice. Windows of a fixed length are arithmetic; those of the calendar are a column that the host
//! computes.

use sabot_common::Span;
use sabot_time::Windows;

use super::{Lowering, Value};
use crate::ir::{Binary, Kind, Reg};

impl Lowering {
    /// The start of the slice that holds a time, and whether it lies in a window; `None` where windows follow the calendar.
    pub(super) fn slice_of(&mut self, windows: &Windows, time: Reg) -> Option<(Value, Option<Reg>)> {
        let (start, inside) = match windows {
            Windows::Tumbling(window) => {
                let past = self.past_boundary(time, window.size(), window.offset());
                (self.back_from(time, past), None)
            }
            Windows::Cumulate(window) => {
                let past = self.past_boundary(time, window.step(), window.offset());
                (self.back_from(time, past), None)
            }
            Windows::Hopping(window) => {
                let past = self.past_boundary(time, window.slide(), window.offset());
                let rest = window.size().micros() % window.slide().micros();
                let start = self.back_from(time, past);
                if rest == 0 {
                    (start, None)
                } else {
                    let rest = self.builder.number(Kind::I64, rest);
                    let first = self.builder.binary(Binary::Lt, past, rest);
                    let behind = self.builder.binary(Binary::Sub, past, rest);
                    let second = self.back_from(time, behind);
                    let start = self.builder.select(first, start, second);
                    // A slide longer than the windows leaves gaps behind them.
                    (start, (window.size() < window.slide()).then_some(first))
                }
            }
            Windows::Session(_) | Windows::Count(_) => (time, None),
            Windows::Calendar(_) => return None,
        };
        Some((Value { reg: start, valid: None }, inside))
    }

    /// How far a time is from the boundary at or before it.
    fn past_boundary(&mut self, time: Reg, size: Span, offset: Span) -> Reg {
        let size = self.builder.number(Kind::I64, size.micros());
        let past = self.floor_rest(time, size);
        // Steps of cumulating windows may be shorter than the offset.
        let offset = self.builder.number(Kind::I64, offset.micros());
        let offset = self.floor_rest(offset, size);
        let past = self.builder.binary(Binary::Sub, past, offset);
        self.floor_rest(past, size)
    }

    /// The instant so far before another, or the first there is.
    fn back_from(&mut self, time: Reg, by: Reg) -> Reg {
        let start = self.builder.binary(Binary::Sub, time, by);
        let wraps = self.builder.binary(Binary::Lt, time, start);
        let first = self.builder.number(Kind::I64, i64::MIN);
        self.builder.select(wraps, first, start)
    }
}
