//! The state part of keyed operators: who owns a key group keeps its keys' state and says what comes out.
//!
//! Operators here are single-threaded and do no I/O. They are stepped from outside with morsels,
//! watermarks and the end of the input, and asked for output until there is none; that is all a runtime,
//! a simulator or a test needs. State can be taken out by key group between any two steps and put into
//! operators of another parallelism.
#![forbid(unsafe_code)]

#[cfg(test)]
mod cut_checks;
mod error;
mod gather;
mod join;
mod key_cuts;
mod keyed_aggregate;
mod operator;
mod over;
mod progress;
mod rank;
mod ready;
mod row_cuts;
mod row_state;
mod waiting;

pub use error::OperatorError;
pub use join::KeyedJoin;
pub use keyed_aggregate::KeyedAggregate;
pub use operator::{CutPart, KeptRows, KeyedOperator, keyed_operator};
pub use over::{KeyedOver, KeyedRolling};
pub use rank::{KeyedFirst, KeyedRank};
pub use row_cuts::{InCut, RowCuts};

/// Bits of the hidden partition ordinal that count partitions within what gives rows their order.
const PARTITION_BITS: u32 = 20;
