//! key hash
