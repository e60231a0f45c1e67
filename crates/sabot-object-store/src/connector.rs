//! HTTP for the client library, with `ring` for its cryptography.
//!
//! The library's own connector wants a cryptographic provider for the whole process, which is not a guest's
//! to install.

use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{ClientOptions, Error, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;

/// Options that would be passed over in silence if they were not refused.
const REFUSED: [ClientConfigKey; 3] = [
    ClientConfigKey::AllowInvalidCertificates,
    ClientConfigKey::NoSystemCertificates,
    ClientConfigKey::ProxyCaCertificate,
];

/// Makes clients with certificates of the operating system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connector;

fn config_error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "HTTP", source: source.into() }
}

fn tls() -> std::result::Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        || ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let config = match builder()?.with_platform_verifier() {
        Ok(config) => config.with_no_client_auth(),
        // A machine without certificates can still speak to servers without them; all others are refused.
        Err(_) => builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth(),
    };
    Ok(config)
}

/// Looks names up and returns their addresses in an order by chance, so that not all connections go to the first
/// of a store's servers.
struct Shuffled;

impl Resolve for Shuffled {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is that of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(by_chance(found.collect()).into_iter()) as Addrs)
        })
    }
}

fn by_chance(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let chance = RandomState::new();
    addresses.sort_by_cached_key(|address| chance.hash_one(address));
    addresses
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let value = |key: &ClientConfigKey| options.get_config_value(key);
        for key in REFUSED {
            if value(&key).is_some_and(|value| value != "false") {
                return Err(config_error(format!("the option {} does not exist here", key.as_ref())));
            }
        }
        // As the client library reads them.
        let is_set = |key: ClientConfigKey| {
            let value = value(&key).unwrap_or_default().to_ascii_lowercase();
            matches!(&*value, "true" | "1" | "on" | "yes" | "y")
        };
        let time = |key: ClientConfigKey| {
            value(&key).map(|value| humantime::parse_duration(&value)).transpose().map_err(config_error)
        };
        let number = |key: ClientConfigKey| {
            value(&key).map(|value| value.parse::<usize>()).transpose().map_err(config_error)
        };
        let mut builder = reqwest::ClientBuilder::new()
            .tls_backend_preconfigured(tls().map_err(config_error)?)
            .https_only(!is_set(ClientConfigKey::AllowHttp))
            .user_agent(value(&ClientConfigKey::UserAgent).unwrap_or_else(|| "sabot".to_owned()))
            .http2_keep_alive_interval(time(ClientConfigKey::Http2KeepAliveInterval)?)
            .http2_keep_alive_while_idle(is_set(ClientConfigKey::Http2KeepAliveWhileIdle))
            // Lengths and offsets are those of what is stored. Somebody else in the build may have turned these on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate();
        if let Some(timeout) = time(ClientConfigKey::PoolIdleTimeout)? {
            builder = builder.pool_idle_timeout(timeout);
        }
        if let Some(size) = value(&ClientConfigKey::Http2MaxFrameSize) {
            builder = builder.http2_max_frame_size(size.parse::<u32>().map_err(config_error)?);
        }
        if is_set(ClientConfigKey::RandomizeAddresses) {
            builder = builder.dns_resolver(Arc::new(Shuffled));
        }
        if let Some(timeout) = time(ClientConfigKey::Timeout)? {
            builder = builder.timeout(timeout);
        }
        if let Some(timeout) = time(ClientConfigKey::ConnectTimeout)? {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(timeout) = time(ClientConfigKey::ReadTimeout)? {
            builder = builder.read_timeout(timeout);
        }
        if let Some(timeout) = time(ClientConfigKey::Http2KeepAliveTimeout)? {
            builder = builder.http2_keep_alive_timeout(timeout);
        }
        if let Some(most) = number(ClientConfigKey::PoolMaxIdlePerHost)? {
            builder = builder.pool_max_idle_per_host(most);
        }
        if is_set(ClientConfigKey::Http1Only) {
            builder = builder.http1_only();
        }
        if is_set(ClientConfigKey::Http2Only) {
            builder = builder.http2_prior_knowledge();
        }
        if let Some(url) = value(&ClientConfigKey::ProxyUrl) {
            let proxy = reqwest::Proxy::all(url).map_err(config_error)?;
            let excluded = value(&ClientConfigKey::ProxyExcludes);
            builder = builder
                .proxy(proxy.no_proxy(excluded.and_then(|hosts| reqwest::NoProxy::from_string(&hosts))));
        }
        Ok(HttpClient::new(builder.build().map_err(config_error)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn options_that_are_wrong_are_refused_and_none_is_passed_over() {
        let connected = |name: &str, value: &str| {
            let options = ClientOptions::new().with_config(name.parse().unwrap(), value);
            Connector.connect(&options).map(drop).map_err(|error| error.to_string())
        };
        for (name, right) in [
            ("http2_max_frame_size", "32768"),
            ("pool_idle_timeout", "10s"),
            ("randomize_addresses", "false"),
            ("pool_max_idle_per_host", "3"),
        ] {
            connected(name, right).unwrap();
        }
        for name in ["http2_max_frame_size", "pool_idle_timeout", "pool_max_idle_per_host"] {
            assert!(connected(name, "some").is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_come_in_any_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let looked_up = |name: &str| {
            let found = runtime.block_on(Shuffled.resolve(name.parse().unwrap()));
            found.map(Iterator::collect::<Vec<SocketAddr>>)
        };
        assert!(looked_up("localhost").unwrap().iter().all(|address| address.ip().is_loopback()));
        assert!(looked_up("no such name").is_err());
        let five: Vec<SocketAddr> = (1..=5).map(|last| ([10, 0, 0, last], 0).into()).collect();
        let orders: HashSet<_> = (0..50).map(|_| by_chance(five.clone())).collect();
        assert!(orders.len() > 1 && orders.iter().all(|order| order.len() == 5));
    }
}
