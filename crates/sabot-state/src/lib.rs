//! Keyed columnar state by key group.
