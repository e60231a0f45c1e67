//! Files and checkpoints in object stores: S3 and what speaks like it, Google Cloud Storage, Azure, web servers, memory.
//!
//! Formats read blobs and publish files through the blocking traits of `sabot-connect`. This crate stands
//! behind them: it alone knows the client library, keeps the threads that speak to the network, and lets
//! callers wait. Reads are of the version that was found first; text is read ahead within a bound, columns
//! of Parquet are fetched at once; an object is written in parts and visible when it is complete. Retries
//! are those of the client library.
//!
//! The invariant: no secret reaches a plan, a debug text or an error. Credentials live in [`ObjectStores`]
//! and nowhere else, and whatever the client says passes through one place that takes them out.
#![forbid(unsafe_code)]

mod checkpoints;
mod client;
mod connector;
mod error;
mod io;
mod object;
mod remote;
mod stores;
mod stream;
mod upload;

pub use checkpoints::ObjectCheckpoints;
pub use stores::ObjectStores;
