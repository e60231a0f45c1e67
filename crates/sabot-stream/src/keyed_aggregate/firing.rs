//! Windows that have fired, on their way out in morsels of bounded size.
//!
//! Windows leave in order of their end and keys in their total order within a window. Small windows share
//! a morsel and a large one is cut; the cursor remembers where. A window is fetched when the one before
//! has left, so that however many fire at one watermark, the results of one are held.

use sabot_batch::Morsel;
use sabot_time::WindowBounds;

use super::layout::Layout;
use super::panes::{Panes, Table};
use super::results::{Part, Results};
use crate::OperatorError;

/// A window with its keys and state.
#[derive(Debug)]
pub(super) struct Fired {
    pub(super) bounds: WindowBounds,
    pub(super) table: Box<Table>,
}

/// The window whose rows have not all left, and where the next row stands.
#[derive(Debug)]
pub(super) struct Firing {
    current: Option<Fired>,
    /// The ids of the current window in the order of their keys.
    order: Vec<u32>,
    next: usize,
    results: Results,
}

impl Firing {
    pub(super) fn new(results: Results) -> Self {
        Self { current: None, order: Vec::new(), next: 0, results }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none()
    }

    pub(super) fn bytes(&self) -> usize {
        self.current.as_ref().map_or(0, |f| f.table.bytes()) + self.order.capacity() * size_of::<u32>()
    }

    /// The next at most `max_rows` rows; `None` when all have left. Windows come from `due`, in order of
    /// their end, and their tables go back to `panes`.
    pub(super) fn next(
        &mut self,
        max_rows: usize,
        layout: &Layout,
        panes: &mut Panes,
        mut due: impl FnMut(&mut Panes) -> Result<Option<Fired>, OperatorError>,
    ) -> Result<Option<Morsel>, OperatorError> {
        let max_rows = max_rows.max(1);
        let (mut parts, mut rows) = (Vec::new(), 0);
        while rows < max_rows {
            let fired = match self.current.take() {
                Some(fired) => fired,
                None => {
                    let Some(fired) = due(panes)? else { break };
                    fired.table.keys().sorted_ids(&mut self.order);
                    self.next = 0;
                    fired
                }
            };
            let end = self.order.len().min(self.next + (max_rows - rows));
            let ids = &self.order[self.next..end];
            let (keys, state) = (fired.table.keys(), &fired.table.state().0);
            self.results.append((keys, ids), (state, ids), layout, |_| fired.bounds)?;
            parts.push(Part { bounds: fired.bounds, rows: ids.len(), number: 0 });
            rows += ids.len();
            self.next = end;
            if end == self.order.len() {
                panes.recycle(*fired.table);
            } else {
                self.current = Some(fired);
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        self.results.morsel(&parts, rows, layout).map(Some)
    }
}
