//! Sabot: a streaming engine on Arrow morsels.
