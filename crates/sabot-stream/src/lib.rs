//! The state part of keyed operators: single-threaded, no I/O, steppable in tests.
