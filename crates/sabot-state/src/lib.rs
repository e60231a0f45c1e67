//! Keyed columnar state, cut by key group.
//!
//! A [`KeyedTable`] finds a dense id for each key and keeps whatever an operator knows of its keys in
//! columns of its own ([`StateColumns`]), indexed by that id. In memory rows stand in order of first
//! appearance; a snapshot of a range of key groups is a record batch whose rows are contiguous by key
//! group, so that a change of parallelism moves slices. Why not contiguous in memory as well:
//! `docs/decisions/0002-keyed-table-layout.md`.
//!
//! Outside of operators state lies in *blocks* ([`block`]), the one format of checkpoints, of spilled and of
//! cold state. A [`SnapshotCutter`] makes the blocks of an epoch and names those of the last one again where
//! nothing has changed; [`Layers`] do the same for operators that know which rows have changed, and [`Sweep`] says which of
//! these are needed; [`join_snapshot`] makes batches of them. A [`FolderStore`] keeps them on a disk.
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
pub use snapshot::{
    BlockMemory, BlockSizes, Cut, CutBlock, Layer, Layers, Needed, NewBlock, SnapshotCutter, SnapshotJoiner,
    join_snapshot,
};
pub use sweep::{Stretch, Sweep};
pub use table::{FIRST, GROUP, KEY_COLUMNS, KeyedTable, PART, ROWS, StateColumns, StateError};
