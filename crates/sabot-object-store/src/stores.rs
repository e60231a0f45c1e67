//! The object stores of a program, with the credentials for them.

use object_store::{ObjectStore, RetryConfig};
use sabot_connect::{ConnectError, Store, Stores};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::checkpoints::ObjectCheckpoints;
use crate::client::{Kind, SCHEMES, connect, is_option};
use crate::error::{Secrets, is_secret};
use crate::io::Io;
use crate::remote::{Access, RemoteStore};

/// The object stores of a program: options, credentials and connections for all URLs that are read and
/// written with it. Clones are the same.
///
/// | URL | store |
/// |---|---|
/// | `s3://bucket/key`, `s3a://…` | S3, and what speaks like it |
/// | `gs://bucket/key` | Google Cloud Storage |
/// | `az://container/key`, `abfs[s]://…`, `adl://…`, `azure://…` | Azure Blob Storage and Data Lake |
/// | `http[s]://host/path` | a web server, one file at a time, to read |
/// | `memory://key` | the memory of these stores, gone with the last clone |
///
/// A key is what it says: nothing in it is an escape, except for web servers, whose paths are URLs.
///
/// Options are those of the crate `object_store`, such as `aws_region`, `aws_access_key_id`,
/// `google_service_account`, `azure_storage_account_key`, `allow_http`, `timeout`; for S3, Google and Azure
/// also the environment variables that it reads (`AWS_REGION`, …), behind the options. `max_retries` (10)
/// and `retry_timeout` (`3m`) bound how often and how long a request is repeated that failed because of the
/// network, throttling, or a fault of the server.
///
/// ```
/// use sabot_connect::{Found, Stores};
/// use sabot_object_store::ObjectStores;
/// let stores = ObjectStores::with_options([("aws_region", "eu-west-1"), ("aws_secret_access_key", "hidden")]);
/// assert!(!format!("{stores:?}").contains("hidden"));
///
/// let file = std::env::temp_dir().join(format!("sabot-doc-objects-{}", std::process::id()));
/// std::fs::write(&file, "hello")?;
/// let store = stores.store("memory://texts/a.txt")?;
/// store.publish(&file, "memory://texts/a.txt".as_ref())?;
/// let Some(Found::Blob(text)) = store.look("memory://texts/a.txt".as_ref())? else { panic!() };
/// assert_eq!(&text.range(1..5)?[..], b"ello");
/// # std::fs::remove_file(&file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ObjectStores {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    options: BTreeMap<String, String>,
    secrets: Secrets,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    io: Option<Arc<Io>>,
    /// By what their URLs begin with.
    clients: BTreeMap<String, Arc<dyn ObjectStore>>,
}

impl ObjectStores {
    /// With what the environment says.
    ///
    /// ```
    /// use sabot_object_store::ObjectStores;
    /// assert_eq!(format!("{:?}", ObjectStores::new()), "ObjectStores");
    /// ```
    pub fn new() -> Self {
        Self::with_options::<&str, &str>([])
    }

    /// With these options, and with what the environment says beside them. They are checked when a URL is
    /// used.
    ///
    /// ```
    /// use sabot_connect::Stores;
    /// use sabot_object_store::ObjectStores;
    /// let stores = ObjectStores::with_options([("aws_regoin", "eu-west-1")]);
    /// assert!(stores.store("s3://bucket/a.csv").unwrap_err().to_string().contains("aws_regoin"));
    /// ```
    pub fn with_options<K: Into<String>, V: Into<String>>(options: impl IntoIterator<Item = (K, V)>) -> Self {
        let options = options.into_iter().map(|(name, value)| (name.into().to_lowercase(), value.into()));
        let options: BTreeMap<String, String> = options.collect();
        let secrets = Secrets::of(options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::new(Shared { id, options, secrets, state: Mutex::default() }) }
    }

    /// A number that no other stores of this process have. Clones are the same stores and have the same.
    ///
    /// ```
    /// use sabot_object_store::ObjectStores;
    /// let (one, other) = (ObjectStores::new(), ObjectStores::new());
    /// assert!(one.id() == one.clone().id() && one.id() != other.id());
    /// ```
    pub fn id(&self) -> u64 {
        self.shared.id
    }
}

impl Default for ObjectStores {
    fn default() -> Self {
        Self::new()
    }
}

/// Names of options, and the values of those that are no secrets.
impl fmt::Debug for ObjectStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ObjectStores");
        for (name, value) in &self.shared.options {
            let value =
                if is_secret(name) { "***".to_owned() } else { self.shared.secrets.hide(value.clone()) };
            shown.field(name, &value);
        }
        shown.finish()
    }
}

impl PartialEq for ObjectStores {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for ObjectStores {}

impl ObjectStores {
    /// A place for checkpoints below a URL, which none else should use.
    ///
    /// ```
    /// use sabot_object_store::ObjectStores;
    /// let refused = ObjectStores::new().checkpoints("https://example.com/kept").unwrap_err();
    /// assert!(refused.to_string().contains("web servers are read only"));
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] for a URL of no store, options that are wrong, and a store that cannot be written to.
    pub fn checkpoints(&self, url: &str) -> Result<ObjectCheckpoints, ConnectError> {
        let (kind, root, access) = self.access(url)?;
        ObjectCheckpoints::new(url, (kind, root), access)
    }

    /// The kind of store that a URL is of, what all of its URLs begin with, and the client for it.
    fn access<'a>(&self, url: &'a str) -> Result<(Kind, &'a str, Access), ConnectError> {
        let (kind, root) = root(url)?;
        let shared = &self.shared;
        let retry = retry(&shared.options)?;
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let io = match &state.io {
            Some(io) => io.clone(),
            None => state.io.insert(Arc::new(Io::start()?)).clone(),
        };
        let client = match state.clients.get(root) {
            Some(client) => client.clone(),
            None => {
                let client = connect(kind, root, &shared.options, retry)
                    .map_err(|error| shared.secrets.explain("connect to", root.as_ref(), 0, error))?;
                state.clients.insert(root.to_owned(), client.clone());
                client
            }
        };
        Ok((kind, root, Access { client, io, secrets: shared.secrets.clone() }))
    }
}

impl Stores for ObjectStores {
    fn store(&self, url: &str) -> Result<Arc<dyn Store>, ConnectError> {
        let (kind, root, access) = self.access(url)?;
        Ok(Arc::new(RemoteStore::new(kind, root, access)))
    }
}

/// How requests are repeated; checks all options.
fn retry(options: &BTreeMap<String, String>) -> Result<RetryConfig, ConnectError> {
    let mut retry = RetryConfig::default();
    for (name, value) in options {
        let bad = |expected: &str, found: String| ConnectError::BadOption {
            kind: "object store".to_owned(),
            option: name.clone(),
            expected: expected.to_owned(),
            found,
        };
        match name.as_str() {
            "max_retries" => {
                retry.max_retries =
                    value.parse().map_err(|_| bad("a number of retries", format!("\"{value}\"")))?;
            }
            "retry_timeout" => {
                retry.retry_timeout = humantime::parse_duration(value)
                    .map_err(|_| bad("a time such as \"30s\" or \"3m\"", format!("\"{value}\"")))?;
                retry.backoff.max_backoff = retry.backoff.max_backoff.min(retry.retry_timeout);
                retry.backoff.init_backoff =
                    retry.backoff.init_backoff.min(retry.retry_timeout.max(Duration::from_millis(1)));
            }
            known if is_option(known) => {}
            _ => {
                let expected = "an option of the crate object_store such as aws_region, \
                                azure_storage_account_name or timeout, max_retries, or retry_timeout";
                return Err(bad(expected, "an option that does not exist".to_owned()));
            }
        }
    }
    Ok(retry)
}

/// The kind of store that a URL is of, and what all of that store's URLs begin with.
fn root(url: &str) -> Result<(Kind, &str), ConnectError> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let Some((_, kind)) = SCHEMES.iter().find(|(known, _)| *known == scheme) else {
        let known: Vec<&str> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
        let near = near_scheme(scheme, &known);
        let hint =
            format!("no object store has the scheme \"{scheme}\"{near}; schemes: {}", known.join(", "));
        return Err(ConnectError::NoStore { url: shown(url).into(), hint });
    };
    if *kind == Kind::Memory {
        return Ok((*kind, &url[..scheme.len() + 3]));
    }
    let host = rest.split('/').next().unwrap_or_default();
    let bad = |expected: &str| ConnectError::BadOption {
        kind: "object store".to_owned(),
        option: "path".to_owned(),
        expected: expected.to_owned(),
        found: format!("\"{}\"", shown(url)),
    };
    if host.is_empty() {
        return Err(bad("a bucket, a container or a host behind the two slashes"));
    }
    // What stands in a URL is in plans and messages.
    // The container of Azure stands before the account.
    let is_user = host.contains('@') && (*kind != Kind::Azure || host.contains(':'));
    let is_query = *kind == Kind::Web && rest.contains('?');
    if is_user || is_query {
        return Err(bad("a URL without user, password and query; credentials are options of the stores"));
    }
    Ok((*kind, &url[..scheme.len() + 3 + host.len()]))
}

fn near_scheme(scheme: &str, known: &[&str]) -> String {
    let near = known.iter().find(|known| known.starts_with(scheme) || scheme.starts_with(**known));
    near.map_or_else(String::new, |near| format!(" (did you mean \"{near}\"?)"))
}

/// A URL without what may be a secret in it.
fn shown(url: &str) -> String {
    let (before, after) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let host = after.split('/').next().unwrap_or_default();
    let visible = match host.rfind('@') {
        Some(at) => format!("***{}", &after[at..]),
        None => after.to_owned(),
    };
    let visible = visible.split_once('?').map_or(visible.clone(), |(path, _)| format!("{path}?***"));
    format!("{before}://{visible}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(url: &str) -> String {
        ObjectStores::new().store(url).unwrap_err().to_string()
    }

    #[test]
    fn urls_are_told_apart_and_the_wrong_ones_explained() {
        assert_eq!(root("s3://b/a/c").unwrap(), (Kind::S3, "s3://b"));
        assert_eq!(root("memory:///a/c").unwrap(), (Kind::Memory, "memory://"));
        assert_eq!(root("abfss://c@a.dfs.core.windows.net/x").unwrap().1, "abfss://c@a.dfs.core.windows.net");
        assert!(message("s3n://b/a").contains("did you mean \"s3\"?"));
        assert!(message("ftp://b/a").contains("schemes: memory, s3, s3a, gs"));
        assert!(message("s3:///a").contains("behind the two slashes"));
        for secret in ["https://me:hidden@host/a", "http://host/a?sig=hidden", "s3://hidden@b/a"] {
            let message = message(secret);
            assert!(message.contains("credentials are options") && !message.contains("hidden"), "{message}");
        }
    }

    #[test]
    fn options_are_checked_and_never_shown() {
        let stores = |name: &str, value: &str| ObjectStores::with_options([(name, value)]);
        let bad = |name: &str, value: &str| stores(name, value).store("memory://a").unwrap_err().to_string();
        assert!(bad("max_retries", "many").contains("a number of retries"));
        assert!(bad("retry_timeout", "soon").contains("such as \"30s\""));
        assert!(bad("azure_acount", "x").contains("does not exist"));
        assert!(stores("AWS_Region", "x").store("memory://a").is_ok());
        let invalid = stores("allow_invalid_certificates", "true").store("s3://b/a").unwrap_err().to_string();
        assert!(invalid.contains("cannot connect to s3://b") && invalid.contains("does not exist here"));
        for name in
            ["aws_secret_access_key", "azure_storage_master_key", "google_service_account_key", "token"]
        {
            assert_eq!(
                format!("{:?}", stores(name, "hidden")),
                format!("ObjectStores {{ {name}: \"***\" }}")
            );
        }
        let proxy = stores("proxy_url", "http://me:hidden@proxy:1");
        assert_eq!(format!("{proxy:?}"), "ObjectStores { proxy_url: \"http://***proxy:1\" }");
    }

    #[test]
    fn memory_belongs_to_its_stores() {
        let (one, other) = (ObjectStores::new(), ObjectStores::new());
        assert!(one == one.clone() && one != other);
        let file = std::env::temp_dir().join(format!("sabot-memory-{}", std::process::id()));
        std::fs::write(&file, "x").unwrap();
        let path = std::path::Path::new("memory://a/b");
        one.store("memory://a/b").unwrap().publish(&file, path).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(one.clone().store("memory:///a/b").unwrap().look(path).unwrap().is_some());
        assert!(other.store("memory:///a/b").unwrap().look(path).unwrap().is_none());
    }
}
