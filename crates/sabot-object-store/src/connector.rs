//! HTTP for the client library, with `ring` for its cryptography.
//!
//! The library's own connector wants a cryptographic provider for the whole process, which is not a guest's
//! to install.

use object_store::client::{ClientConfigKey, HttpClient, HttpConnector};
use object_store::{ClientOptions, Error, Result};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
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

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let value = |key: &ClientConfigKey| options.get_config_value(key);
        for key in REFUSED {
            if value(&key).is_some_and(|value| value != "false") {
                return Err(config_error(format!("the option {} does not exist here", key.as_ref())));
            }
        }
        let is_set = |key: ClientConfigKey| value(&key).is_some_and(|value| value == "true");
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
            .pool_idle_timeout(time(ClientConfigKey::PoolIdleTimeout)?)
            .http2_keep_alive_interval(time(ClientConfigKey::Http2KeepAliveInterval)?)
            .http2_keep_alive_while_idle(is_set(ClientConfigKey::Http2KeepAliveWhileIdle));
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
