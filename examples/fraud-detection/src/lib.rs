//! Which card transactions are fraudulent, and why.
//!
//! From raw transactions to explained alerts: [`generate`] makes transactions with known frauds, [`input`] reads
//! them from files, [`pipeline`] computes for each what its card and its terminal did before and asks rules,
//! [`score`] asks a model, [`alerts`] tells what was found, and [`metrics`] says how good that was.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod generate;
pub mod input;
pub mod metrics;
pub mod pipeline;
pub mod score;
