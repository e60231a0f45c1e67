//! Keyed columnar state, cut by key group.
//!
//! A [`KeyedTable`] finds a dense id for each key and keeps whatever an operator knows of its keys in
//! columns of its own ([`StateColumns`]), indexed by that id. In memory rows stand in order of first
//! appearance; a snapshot of a range of key groups is a record batch whose rows are contiguous by key
//! group, so that a change of parallelism moves slices. Why not contiguous in memory as well:
//! `docs/decisions/0002-keyed-table-layout.md`.
//!
//! Outside of operators state lies in *blocks* ([`block`]), the one format of checkpoints, of spilled and of
//! cold state. A [`Layer`] makes those of a cut, which are the rows that have changed; [`Layers`] are the cuts that a
//! checkpoint needs, and [`Sweep`] says which these are; [`join_snapshot`] makes batches of them. A [`FolderStore`] keeps
//! them on a disk.
#![forbid(unsafe_code)]

pub mod block;
mod changes;
mod folder;
pub mod inspect;
mod keying;
mod snapshot;
mod sweep;
mod table;
#[cfg(test)]
mod tests;

pub use changes::Changes;
pub use folder::FolderStore;
pub use keying::Keying;
pub use snapshot::{BlockMemory, Layer, Layers, Needed, NewBlock, SnapshotJoiner, join_snapshot};
pub use sweep::{Stretch, Sweep};
pub use table::{FIRST, GROUP, KEY_COLUMNS, KeyedTable, PART, ROWS, StateColumns, StateError};
