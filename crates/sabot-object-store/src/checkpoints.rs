//! Checkpoints in an object store.
//!
//! ```text
//! <url>/blocks/<name>                     a block
//! <url>/epochs/<20 digits>.manifest       the manifest of an epoch
//! ```
//!
//! What is asked of the store: an object is there as a whole or not at all; what was acknowledged stays, and is listed from
//! then on; and an object can be created only where there is none, which S3, Google and Azure do. An answer that was lost
//! leaves open whether the object is there: a manifest is then asked for, and its bytes say whose it is.

use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use sabot_checkpoint::{
    BlockId, CheckpointStore, Created, StoreError, StoreErrorKind, epoch_of_name, manifest_name,
};
use sabot_common::Epoch;
use sabot_connect::ConnectError;
use std::fmt;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

use crate::client::Kind;
use crate::remote::Access;

/// Blocks and manifests below a URL. Several processes may use the same one.
///
/// ```
/// # use sabot_checkpoint::{BlockId, CheckpointStore, Created};
/// # use sabot_common::Epoch;
/// use sabot_object_store::ObjectStores;
/// let store = ObjectStores::new().checkpoints("memory://kept")?;
/// let id = BlockId::of(b"state");
/// store.put_block(id, b"state")?;
/// assert_eq!(store.block(id)?, b"state");
/// assert_eq!(store.create_manifest(Epoch(1), b"one")?, Created::Written);
/// assert_eq!(store.create_manifest(Epoch(1), b"two")?, Created::Exists);
/// assert_eq!(store.manifests()?, [Epoch(1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectCheckpoints {
    url: String,
    prefix: Key,
    access: Access,
}

impl fmt::Debug for ObjectCheckpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl ObjectCheckpoints {
    pub(crate) fn new(url: &str, (kind, root): (Kind, &str), access: Access) -> Result<Self, ConnectError> {
        let bad = |expected: String| ConnectError::BadOption {
            kind: "object store".to_owned(),
            option: "path".to_owned(),
            expected,
            found: format!("\"{url}\""),
        };
        if kind == Kind::Web {
            return Err(bad("an object store: web servers are read only".to_owned()));
        }
        let key = url.strip_prefix(root).unwrap_or_default().trim_matches('/');
        let prefix = Key::parse(key).map_err(|error| bad(format!("the name of a folder: {error}")))?;
        Ok(Self { url: url.to_owned(), prefix, access })
    }

    fn key(&self, folder: &str, name: &str) -> Key {
        self.prefix.clone().join(folder).join(name)
    }

    /// Does something with the client, and waits for it.
    fn wait<F, T>(&self, what: &str, work: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let done = self.access.io.wait(work(self.access.client.clone()));
        let io = |problem: String| StoreError::new(what, self.url.clone(), StoreErrorKind::Io { problem });
        done.map_err(|error| io(error.to_string()))?.map_err(|error| match error {
            Error::NotFound { .. } => StoreError::new(what, self.url.clone(), StoreErrorKind::NotFound),
            Error::NotImplemented { .. } | Error::NotSupported { .. } => {
                io("the store cannot create an object only where there is none".to_owned())
            }
            error => io(self.access.secrets.explain("use", Path::new(&self.url), 0, error).to_string()),
        })
    }

    /// The last parts of the names of all objects in a folder.
    fn list(&self, what: &str, folder: &'static str) -> Result<Vec<String>, StoreError> {
        let prefix = self.prefix.clone().join(folder);
        self.wait(what, |client| async move {
            let mut listed = client.list(Some(&prefix));
            let mut names = Vec::new();
            while let Some(found) = poll_fn(|cx| listed.as_mut().poll_next(cx)).await {
                names.extend(found?.location.filename().map(str::to_owned));
            }
            Ok(names)
        })
    }

    fn get(&self, what: &str, key: Key) -> Result<Vec<u8>, StoreError> {
        self.wait(what, |client| async move { Ok(client.get(&key).await?.bytes().await?.to_vec()) })
    }

    fn delete(&self, what: &str, key: Key) -> Result<(), StoreError> {
        let deleted = self.wait(what, |client| async move { client.delete(&key).await });
        match deleted {
            Err(StoreError { kind: StoreErrorKind::NotFound, .. }) => Ok(()),
            other => other,
        }
    }
}

impl CheckpointStore for ObjectCheckpoints {
    fn put_block(&self, id: BlockId, bytes: &[u8]) -> Result<(), StoreError> {
        let what = format!("write block {id}");
        let (key, bytes) = (self.key("blocks", &id.to_string()), bytes.to_vec());
        self.wait(&what, |client| async move { client.put(&key, bytes.into()).await.map(drop) })
    }

    fn block(&self, id: BlockId) -> Result<Vec<u8>, StoreError> {
        let what = format!("read block {id}");
        let bytes = self.get(&what, self.key("blocks", &id.to_string()))?;
        id.check(&bytes).map_err(|kind| StoreError::new(what.as_str(), self.url.clone(), kind))?;
        Ok(bytes)
    }

    fn create_manifest(&self, epoch: Epoch, bytes: &[u8]) -> Result<Created, StoreError> {
        let what = format!("create the manifest of epoch {epoch}");
        let (key, bytes) = (self.key("epochs", &manifest_name(epoch)), bytes.to_vec());
        self.wait(&what, |client| async move {
            match client.put_opts(&key, bytes.into(), PutOptions::from(PutMode::Create)).await {
                Ok(_) => Ok(Created::Written),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
                Err(error) => Err(error),
            }
        })
    }

    fn manifest(&self, epoch: Epoch) -> Result<Vec<u8>, StoreError> {
        self.get(&format!("read the manifest of epoch {epoch}"), self.key("epochs", &manifest_name(epoch)))
    }

    fn manifests(&self) -> Result<Vec<Epoch>, StoreError> {
        let names = self.list("list manifests", "epochs")?;
        let mut epochs: Vec<Epoch> = names.iter().filter_map(|name| epoch_of_name(name)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn delete_manifest(&self, epoch: Epoch) -> Result<(), StoreError> {
        let what = format!("delete the manifest of epoch {epoch}");
        self.delete(&what, self.key("epochs", &manifest_name(epoch)))
    }

    fn blocks(&self) -> Result<Vec<BlockId>, StoreError> {
        let names = self.list("list blocks", "blocks")?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn delete_block(&self, id: BlockId) -> Result<(), StoreError> {
        self.delete(&format!("delete block {id}"), self.key("blocks", &id.to_string()))
    }
}
