//! The connectors that are known by kind: the one place where leaves meet plans.

use sabot_connect::{ConnectorRegistry, Stores};
use std::sync::Arc;

/// What knows the URLs that are no paths of this machine.
#[cfg(feature = "object-store")]
pub(crate) type UrlStores = sabot_object_store::ObjectStores;

/// Nothing does: URLs are refused, with the feature that would read them.
#[cfg(not(feature = "object-store"))]
pub(crate) type UrlStores = sabot_files::DiskOnly;

/// The name in plans of what opens URLs with these stores. Clones of the same stores share it.
#[cfg(feature = "object-store")]
pub(crate) fn opener(stores: &UrlStores) -> Option<String> {
    Some(format!("stores-{}", stores.id()))
}

/// The disk is opened alike by all.
#[cfg(not(feature = "object-store"))]
pub(crate) fn opener(_stores: &UrlStores) -> Option<String> {
    None
}

/// Every kind that this build knows: `csv`, `ndjson`, `arrow`, `parquet`, `file`, `generator`.
pub(crate) fn registry(stores: UrlStores) -> ConnectorRegistry {
    let mut registry = ConnectorRegistry::new();
    let stores: Arc<dyn Stores> = Arc::new(stores);
    sabot_files::register(&mut registry, &stores);
    registry
}
