//! Seeded generators and batch assertions for Sabot's own tests.
