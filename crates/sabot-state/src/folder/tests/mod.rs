//! The store on a real file system, and on one that fails.

mod crash;
mod real;
mod simulated;
