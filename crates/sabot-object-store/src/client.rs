//! Clients of the kinds of stores, made of a URL's beginning and options.

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::ClientConfigKey;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ObjectStore, Result, RetryConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::connector::Connector;

/// What a scheme stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    S3,
    Google,
    Azure,
    Web,
}

/// The schemes that there are.
pub(crate) const SCHEMES: [(&str, Kind); 11] = [
    ("memory", Kind::Memory),
    ("s3", Kind::S3),
    ("s3a", Kind::S3),
    ("gs", Kind::Google),
    ("az", Kind::Azure),
    ("adl", Kind::Azure),
    ("azure", Kind::Azure),
    ("abfs", Kind::Azure),
    ("abfss", Kind::Azure),
    ("http", Kind::Web),
    ("https", Kind::Web),
];

/// Whether some kind of store has an option of this name.
pub(crate) fn is_option(name: &str) -> bool {
    name.parse::<AmazonS3ConfigKey>().is_ok()
        || name.parse::<GoogleConfigKey>().is_ok()
        || name.parse::<AzureConfigKey>().is_ok()
        || name.parse::<ClientConfigKey>().is_ok()
}

/// A client for the URLs that begin with `root`. Options that another kind of store has are passed over, so
/// that one set of them can serve several.
pub(crate) fn connect(
    kind: Kind,
    root: &str,
    options: &BTreeMap<String, String>,
    retry: RetryConfig,
) -> Result<Arc<dyn ObjectStore>> {
    macro_rules! connect {
        ($builder:expr) => {{
            let builder = $builder.with_url(root).with_retry(retry).with_http_connector(Connector);
            let builder = options.iter().fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Ok(Arc::new(builder.build()?))
        }};
    }
    match kind {
        Kind::Memory => Ok(Arc::new(object_store::memory::InMemory::new())),
        Kind::S3 => connect!(AmazonS3Builder::from_env()),
        Kind::Google => connect!(GoogleCloudStorageBuilder::from_env()),
        Kind::Azure => connect!(MicrosoftAzureBuilder::from_env()),
        Kind::Web => connect!(HttpBuilder::new()),
    }
}
