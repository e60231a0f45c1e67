//! Watermarks, window arithmetic and lateness as pure functions and state machines.
