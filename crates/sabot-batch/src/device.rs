//! What the host may know of a batch that lives on a device.
//!
//! The engine passes such batches along, accounts for their bytes and asks for them on the host when
//! something there needs them. It never looks inside: only the crate that owns the device does.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use sabot_common::DeviceId;
use std::any::Any;
use std::fmt::Debug;

/// A record batch in device memory.
pub trait DeviceBatch: Debug + Send + Sync {
    /// The Arrow schema that the batch has on the host.
    fn schema(&self) -> SchemaRef;
    /// Rows.
    fn rows(&self) -> usize;
    /// Bytes of device memory that the batch keeps alive.
    fn bytes(&self) -> usize;
    /// The device that holds it.
    fn device(&self) -> DeviceId;
    /// Whether the work that fills the batch has finished; false while its event is pending.
    fn is_ready(&self) -> bool;
    /// Copies the batch to the host, waiting for the work that fills it.
    ///
    /// # Errors
    /// [`DeviceError`] when the copy fails or the device is lost.
    fn to_host(&self) -> Result<RecordBatch, DeviceError>;
    /// For the owning crate, to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// A device could not hand over a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("device {device} could not copy a batch to the host: {reason}")]
pub struct DeviceError {
    /// The device.
    pub device: DeviceId,
    /// What the driver said.
    pub reason: String,
    /// Whether the device is gone for the rest of the process.
    pub lost: bool,
}
