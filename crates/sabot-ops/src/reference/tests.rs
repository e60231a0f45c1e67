//! The reference implementations against hand-made examples.
