//! What work asks of a device, as far as it is known before it runs.

use crate::limits;

/// What a fragment asks of a device for each of its rows. Estimates, from types and steps alone: what rows are like is not
/// known when a plan is made.
///
/// ```
/// # use sabot_common::RowWork;
/// let sum = RowWork { bytes_up: 12.0, folds: 1.0, ..RowWork::default() };
/// assert_eq!(sum.bytes_shipped(), 12.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowWork {
    /// Bytes that are copied to the device.
    pub bytes_up: f64,
    /// Bytes that are copied back.
    pub bytes_down: f64,
    /// Bytes that are read and written in its memory, once each.
    pub bytes: f64,
    /// Operations of expressions: an addition is one.
    pub operations: f64,
    /// Look-ups in a table of groups.
    pub folds: f64,
    /// Bytes that the host reads and writes for the device: gathering rows, filling slabs, making columns of what comes back.
    pub host_bytes: f64,
    /// Look-ups that the host does before the device begins.
    pub host_folds: f64,
}

impl RowWork {
    /// Bytes that go over the link to the device, both ways.
    pub fn bytes_shipped(&self) -> f64 {
        self.bytes_up + self.bytes_down
    }

    /// Rows of which so many bytes are copied to the device and back; `None` where nothing is copied, and rows may as well be
    /// few.
    ///
    /// ```
    /// # use sabot_common::RowWork;
    /// let sum = RowWork { bytes_up: 16.0, ..RowWork::default() };
    /// assert_eq!((sum.rows_of(16 << 20), RowWork::default().rows_of(16 << 20)), (Some(1 << 20), None));
    /// ```
    pub fn rows_of(&self, shipped_bytes: usize) -> Option<usize> {
        let bytes = self.bytes_shipped();
        (bytes > 0.0).then(|| ((shipped_bytes as f64 / bytes) as usize).min(limits::SHIPPED_ROWS_MAX))
    }
}
