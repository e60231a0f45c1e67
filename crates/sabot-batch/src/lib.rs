//! Morsels: Arrow record batches as they travel through a pipeline, and the key hash.
//!
//! A [`Morsel`] is a record batch plus what a streaming engine must know about its rows: whether they
//! are inserts or changes ([`RowKinds`]), which of them are still alive ([`Selection`]), between which
//! event times they lie ([`TimeBounds`]) and where they came from ([`RowOrigin`]). Its columns are on
//! the host or on a device; code that works on the host takes `&RecordBatch`, so that a device morsel
//! cannot reach it by accident.
#![forbid(unsafe_code)]

mod concat;
mod device;
mod gather;
pub mod hidden;
pub mod key_hash;
pub mod key_index;
mod kinds;
mod morsel;
mod runs;
mod selection;

pub use device::{DeviceBatch, DeviceError};
pub use gather::gather;
pub use kinds::{RowKind, RowKinds, unpaired};
pub use morsel::{Columns, Morsel, MorselError, RowOrigin, TimeBounds};
pub use runs::run_values;
pub use selection::Selection;
