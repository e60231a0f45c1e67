//! Blocks: the immutable files that state is kept in, named by what they hold.
//!
//! The name is a hash of the bytes, so that a block can be checked by whoever reads it, written twice
//! without harm, and referred to by any number of manifests. Whoever makes blocks puts the generation and
//! the epoch into their bytes: then a name that nobody refers to any more never comes back, and a writer
//! that was taken over cannot delete what its successor has just written.
//!
//! The hash is BLAKE3, and that of the first bytes, [`BlockId::HEAD`] of them, followed by the hash of all others: whoever
//! keeps that one in the head, as the block format does, has the name without going through the bytes again. A second of
//! much state is gigabytes; SHA-256, which names were before, went through them at 0.4 of the rate (one core of the
//! development machine), and three times.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

use crate::hex;

/// The name of a block: a hash of its bytes.
///
/// ```
/// # use sabot_checkpoint::BlockId;
/// let id = BlockId::of(b"abc");
/// assert_eq!(id.to_string().len(), 64);
/// assert_eq!(id.to_string().parse(), Ok(id));
///
/// let block = [7; 100];
/// let (head, body) = block.split_at(BlockId::HEAD);
/// assert_eq!(BlockId::of(&block), BlockId::of_parts(head, &BlockId::hash(body)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockId([u8; 32]);

impl BlockId {
    /// How many bytes at the front are the head.
    pub const HEAD: usize = 80;

    /// The name of a block that holds `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let (head, body) = bytes.split_at(bytes.len().min(Self::HEAD));
        Self::of_parts(head, &Self::hash(body))
    }

    /// The name of a block with this head, given the [`BlockId::hash`] of what follows. A head that is shorter is all of
    /// the block.
    pub fn of_parts(head: &[u8], body: &[u8; 32]) -> Self {
        Self(*blake3::Hasher::new().update(head).update(body).finalize().as_bytes())
    }

    /// The hash of bytes that come piece by piece.
    pub fn hasher() -> BlockHasher {
        BlockHasher(blake3::Hasher::new())
    }

    /// The hash of some bytes.
    pub fn hash(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    /// Whether the block that holds `bytes` has this name, or had it in the first version.
    pub(crate) fn names(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes) || self.0[..] == Sha256::digest(bytes)[..]
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What [`BlockId::hash`] is of bytes that come piece by piece.
///
/// ```
/// use sabot_checkpoint::BlockId;
/// let mut hasher = BlockId::hasher();
/// hasher.update(b"ab");
/// hasher.update(b"c");
/// assert_eq!(hasher.finish(), BlockId::hash(b"abc"));
/// ```
#[derive(Clone, Debug)]
pub struct BlockHasher(blake3::Hasher);

impl BlockHasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all of them.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

impl From<[u8; 32]> for BlockId {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlockId({self})")
    }
}

/// A text that names no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{got}\" is not the name of a block: 64 lower-case hexadecimal digits")]
pub struct BlockIdError {
    /// The text.
    pub got: String,
}

impl FromStr for BlockId {
    type Err = BlockIdError;
    fn from_str(text: &str) -> Result<Self, BlockIdError> {
        let bytes = hex::decode(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| BlockIdError { got: text.to_owned() })
    }
}

impl TryFrom<String> for BlockId {
    type Error = BlockIdError;
    fn try_from(text: String) -> Result<Self, BlockIdError> {
        text.parse()
    }
}

impl From<BlockId> for String {
    fn from(id: BlockId) -> String {
        id.to_string()
    }
}

/// A block as a manifest refers to it.
///
/// ```
/// # use sabot_checkpoint::{BlockId, BlockRef};
/// assert_eq!(BlockRef::of(b"abc"), BlockRef { id: BlockId::of(b"abc"), bytes: 3 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRef {
    /// Its name.
    pub id: BlockId,
    /// Its length.
    pub bytes: u64,
}

impl BlockRef {
    /// The reference to a block that holds `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { id: BlockId::of(bytes), bytes: bytes.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_64_digits_and_nothing_else() {
        let name = BlockId::of(b"").to_string();
        for text in ["", &name[1..], &format!("{name}0"), &name.to_uppercase(), &name.replace('e', "x")] {
            assert!(text.parse::<BlockId>().is_err(), "{text}");
            assert!(serde_json::from_value::<BlockId>(text.into()).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_text_in_json() {
        let id = BlockId::of(b"abc");
        let json = serde_json::to_value(id).unwrap();
        assert_eq!(json, serde_json::Value::from(id.to_string()));
        assert_eq!(serde_json::from_value::<BlockId>(json).unwrap(), id);
    }
}
