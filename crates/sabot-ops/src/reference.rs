//! Reference implementations: slow, row by row, obviously right.
