//! The plan as data: builder with every check, cutting into stages, explain.
#![forbid(unsafe_code)]

mod physical;
