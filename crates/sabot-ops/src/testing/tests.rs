//! The test backends are late, refuse and fail as they say.
