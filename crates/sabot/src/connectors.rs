//! The connectors that are known by kind: the one place where leaves meet plans.

use sabot_connect::ConnectorRegistry;

/// Every kind that this build knows: `csv`, `ndjson`, `arrow`, `parquet`, `file`, `generator`.
pub(crate) fn registry() -> ConnectorRegistry {
    let mut registry = ConnectorRegistry::new();
    sabot_files::register(&mut registry);
    registry
}
