//! The plan as data: builder with every check, cutting into fragments, explain.
