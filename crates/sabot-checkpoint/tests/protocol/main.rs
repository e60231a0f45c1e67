//! The protocol against a world in which everything that can fail does.
//!
//! `world` is a store, sinks, and several writers of one job; `calls` is what the outside does, `steps` what may
//! happen next and what comes of it. `search` visits every state that can be reached in a small world (`model`),
//! `simulate` walks at random through large ones. After every step `invariants` looks at what can be seen from
//! outside, and knows nothing of how the protocol works. `canaries` breaks the protocol on purpose, in one way
//! each, and each must be found. `alternating` is a world of its own, with a broker.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "how many states there are is part of the result")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod alternating;
mod calls;
mod canaries;
mod invariants;
mod model;
mod search;
mod simulate;
mod steps;
mod world;
