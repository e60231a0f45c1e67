//! Source and sink life cycles, positions, in-memory channels and the seeded generator.
