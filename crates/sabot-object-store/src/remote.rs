//! A store that is reached through a client.

use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};
use sabot_connect::{ConnectError, Entry, Found, Store};
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::client::Kind;
use crate::error::Secrets;
use crate::io::Io;
use crate::object::Object;
use crate::upload;

/// The objects whose URLs begin with `root`.
#[derive(Debug)]
pub(crate) struct RemoteStore {
    kind: Kind,
    root: String,
    pub(crate) access: Access,
}

/// A client, and what is needed to use it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) client: Arc<dyn ObjectStore>,
    pub(crate) io: Arc<Io>,
    pub(crate) secrets: Secrets,
}

impl Access {
    /// Does something with the client, and waits for it.
    pub(crate) fn wait<F, T>(&self, action: &'static str, path: &Path, work: F) -> Result<T, ConnectError>
    where
        F: Future<Output = object_store::Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let done = self.io.wait(work).map_err(|error| ConnectError::io(action, path, error))?;
        done.map_err(|error| self.secrets.explain(action, path, 0, error))
    }
}

impl RemoteStore {
    pub(crate) fn new(kind: Kind, root: &str, access: Access) -> Self {
        Self { kind, root: root.to_owned(), access }
    }

    /// The key of a path; the empty one for the root.
    fn key(&self, path: &Path) -> Result<Key, ConnectError> {
        let text = path.to_string_lossy();
        // Joining paths gives a backslash on Windows.
        let text = if cfg!(windows) { text.replace('\\', "/").into() } else { text };
        let key = text.strip_prefix(&self.root).unwrap_or_default().trim_matches('/');
        let parsed = match self.kind {
            Kind::Web => Key::from_url_path(key),
            _ => Key::parse(key),
        };
        parsed.map_err(|error| self.bad_path(path, format!("the name of an object: {error}")))
    }

    fn bad_path(&self, path: &Path, expected: impl Into<String>) -> ConnectError {
        ConnectError::BadOption {
            kind: "object store".to_owned(),
            option: "path".to_owned(),
            expected: expected.into(),
            found: format!("\"{}\"", path.display()),
        }
    }

    fn found(&self, path: PathBuf, meta: ObjectMeta) -> Found {
        Found::Blob(Arc::new(Object::new(self.access.clone(), path, meta)))
    }
}

impl Store for RemoteStore {
    fn look(&self, path: &Path) -> Result<Option<Found>, ConnectError> {
        let key = self.key(path)?;
        if key == Key::ROOT {
            return Ok(Some(Found::Folder));
        }
        if !path.to_string_lossy().ends_with('/') {
            let (client, object) = (self.access.client.clone(), key.clone());
            let head = async move {
                match client.head(&object).await {
                    Err(Error::NotFound { .. }) => Ok(None),
                    other => other.map(Some),
                }
            };
            if let Some(meta) = self.access.wait("read", path, head)? {
                return Ok(Some(self.found(path.to_owned(), meta)));
            }
        }
        if self.kind == Kind::Web {
            return Ok(None);
        }
        // A folder is there as long as something is in it, and the first page of a list says whether there is.
        let mut below = self.access.client.list(Some(&key));
        let first = async move { poll_fn(|cx| below.as_mut().poll_next(cx)).await.transpose() };
        Ok(self.access.wait("list", path, first)?.map(|_| Found::Folder))
    }

    fn list(&self, folder: &Path) -> Result<Vec<Entry>, ConnectError> {
        if self.kind == Kind::Web {
            return Err(self.bad_path(folder, "the name of a file: web servers have no folders to list"));
        }
        let key = self.key(folder)?;
        let (client, prefix) =
            (self.access.client.clone(), Some(key.clone()).filter(|key| *key != Key::ROOT));
        let listed = self
            .access
            .wait("list", folder, async move { client.list_with_delimiter(prefix.as_ref()).await })?;
        let name = |key: &Key| key.filename().unwrap_or_default().to_owned();
        // Consoles and file systems keep empty folders as objects whose key ends in a slash. They are listed among
        // what lies in the folder, and the client library drops the slash.
        let objects = listed.objects.into_iter().filter(|meta| meta.location != key);
        let folders = listed.common_prefixes.iter().map(|key| Entry {
            name: name(key).into(),
            found: Found::Folder,
            linked: false,
        });
        let objects = objects.map(|meta| {
            let name = name(&meta.location);
            Entry { found: self.found(folder.join(&name), meta), name: name.into(), linked: false }
        });
        Ok(objects.chain(folders).filter(|entry| !entry.name.is_empty()).collect())
    }

    fn check_output(&self, _kind: &str, path: &Path) -> Result<(), ConnectError> {
        if self.kind == Kind::Web {
            return Err(self.bad_path(path, "an object store: web servers are read only"));
        }
        let is_folder = path.to_string_lossy().ends_with('/');
        match self.key(path)? == Key::ROOT && !is_folder {
            true => Err(self.bad_path(path, "the name of an object behind the bucket")),
            false => Ok(()),
        }
    }

    fn on_disk(&self, _folder: &Path) -> Option<PathBuf> {
        None
    }

    fn publish(&self, file: &Path, path: &Path) -> Result<(), ConnectError> {
        upload::upload(&self.access, file, path, &self.key(path)?)
    }

    /// Stores acknowledge what is safe.
    fn settle(&self, _folder: &Path) -> Result<(), ConnectError> {
        Ok(())
    }
}
