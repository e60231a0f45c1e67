//! Seeded generators and batch assertions for Sabot's own tests.
//!
//! A test that draws its data here meets, without asking, what breaks kernels: nulls with poison under
//! them, NaN and −0.0, the ends of every range, empty and long strings, dictionaries with unused and
//! null values, columns that are slices at odd offsets. Everything is drawn from a generator that the
//! caller seeds, so a failure is repeated by its seed alone.
//!
//! - [`array`](mod@array) and [`batch`]: arrays and batches of every type that expressions support.
//! - [`expr`]: random typed expressions over a schema.
//! - [`compare`]: assertions that say where two batches differ.
#![forbid(unsafe_code)]
#![allow(clippy::panic, clippy::expect_used, reason = "a test kit fails tests by panicking")]

pub mod array;
pub mod batch;
pub mod compare;
pub mod expr;

pub use batch::{random_batch, random_schema};
pub use compare::{assert_batches_equal, assert_rows_equal, batch_difference};
