//! The connectors that are known by kind: the one place where leaves meet plans.

use sabot_connect::{ConnectorRegistry, Stores};
use sabot_files::DiskOnly;
use std::sync::Arc;

/// Every kind that this build knows: `csv`, `ndjson`, `arrow`, `parquet`, `file`, `generator`.
pub(crate) fn registry() -> ConnectorRegistry {
    let mut registry = ConnectorRegistry::new();
    let stores: Arc<dyn Stores> = Arc::new(DiskOnly);
    sabot_files::register(&mut registry, &stores);
    registry
}
