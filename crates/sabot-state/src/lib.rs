//! Keyed columnar state, cut by key group.
//!
//! A [`KeyedTable`] finds a dense id for each key and keeps whatever an operator knows of its keys in
//! columns of its own ([`StateColumns`]), indexed by that id. In memory rows stand in order of first
//! appearance; a snapshot of a range of key groups is a record batch whose rows are contiguous by key
//! group, so that a change of parallelism moves slices. Why not contiguous in memory as well:
//! `docs/decisions/0002-keyed-table-layout.md`.
#![forbid(unsafe_code)]

pub mod block;
mod folder;
mod table;
#[cfg(test)]
mod tests;

pub use folder::FolderStore;
pub use table::{GROUP, KeyedTable, StateColumns, StateError};
