//! The state of an operator as blocks, cut by cut.
//!
//! A part of a checkpoint, what one task holds of one operator, is a list of blocks: the *head* and behind it the rows, as
//! [`Layers`]: those of the newest cut first, each with the rows that had changed in its epoch; of two rows with the same
//! key the first counts.
//!
//! *What changes with every epoch stands in the head.* Operators carry the watermark in the metadata of their schemas; left
//! with the rows it would stand in every block, and be that of the cut that wrote it. The head has no rows and some hundred
//! bytes.
//!
//! Why some MiB: each block is a file that is synced, 10 ms on the development machine, in which the same disk writes
//! 2 MB; so of blocks below that most of the time is waiting.

mod join;
mod layers;
mod series;
#[cfg(test)]
mod tests;

pub use join::{SnapshotJoiner, join_snapshot};
pub use layers::{BlockMemory, Layer, Layers, Needed, NewBlock};
