//! A file of the disk becomes an object: whole, or not at all.

use bytes::Bytes;
use object_store::path::Path as Key;
use object_store::{MultipartUpload, ObjectStoreExt};
use sabot_connect::ConnectError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::remote::Access;

/// Size of a part. Stores want 5 MiB at least, and every part costs a request.
const PART_BYTES: u64 = 8 << 20;

/// A store takes 10,000 parts at most, and all of one size in some.
const PARTS_MAX: u64 = 9_000;

/// Parts that are sent at the same time, which bounds memory: one connection rarely fills a network.
const PARTS_IN_FLIGHT: usize = 4;

/// Makes `file` the object with a key. Until the last request is answered, nobody sees anything of it.
pub(crate) fn upload(access: &Access, file: &Path, path: &Path, key: &Key) -> Result<(), ConnectError> {
    let read_failed = |error: io::Error| ConnectError::io("read", file, error);
    let mut from = File::open(file).map_err(read_failed)?;
    let length = from.metadata().map_err(read_failed)?.len();
    let part_bytes = PART_BYTES.max(length.div_ceil(PARTS_MAX));
    let mut next = || {
        let mut part = Vec::new();
        from.by_ref().take(part_bytes).read_to_end(&mut part).map_err(read_failed)?;
        Ok(Bytes::from(part))
    };
    let (client, key) = (access.client.clone(), key.clone());
    if length <= part_bytes {
        let whole = next()?;
        access.wait("write", path, async move { client.put(&key, whole.into()).await })?;
        return Ok(());
    }
    let begun = access.wait("write", path, async move { client.put_multipart(&key).await })?;
    let mut upload = Abandoned { access, path, upload: Some(begun) };
    upload.send(next)?;
    upload.complete()
}

/// An upload that is aborted unless it is completed: stores keep and charge for what was sent.
struct Abandoned<'a> {
    access: &'a Access,
    path: &'a Path,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Abandoned<'_> {
    /// Sends parts until an empty one comes.
    fn send(&mut self, mut next: impl FnMut() -> Result<Bytes, ConnectError>) -> Result<(), ConnectError> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let mut sending = VecDeque::new();
        loop {
            let part = next()?;
            let is_last = part.is_empty();
            if !is_last {
                sending.push_back(self.access.io.spawn(upload.put_part(part.into())));
            }
            while sending.len() > if is_last { 0 } else { PARTS_IN_FLIGHT - 1 } {
                let Some(oldest) = sending.pop_front() else { break };
                let sent = oldest.wait().map_err(|error| ConnectError::io("write", self.path, error))?;
                sent.map_err(|error| self.access.secrets.explain("write", self.path, 0, error))?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn complete(&mut self) -> Result<(), ConnectError> {
        let Some(mut upload) = self.upload.take() else { return Ok(()) };
        self.access.wait("write", self.path, async move {
            let completed = upload.complete().await;
            if completed.is_err() {
                // The first failure is the one to tell.
                let _ = upload.abort().await;
            }
            completed.map(|_| ())
        })
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            let _ = self.access.wait("abort", self.path, async move { upload.abort().await });
        }
    }
}
