//! The first bytes of a block: what it is, how long it is, and whether it is whole.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `SABOTBLK` |
//! | 8..10 | format |
//! | 10..12 | flags; none is defined, so all are 0 |
//! | 12..16 | key groups of the block: first, one past the last |
//! | 16..24 | length of the body |
//! | 24..40 | origin: generation, epoch |
//! | 40..72 | hash of the body ([`BlockId::hash`]; in format 1 SHA-256) |
//! | 72..80 | XXH64 of bytes 0..72; in format 1 of those and the body |
//!
//! Numbers are little-endian. A later format may have another header behind the first ten bytes.

use sabot_checkpoint::{BlockId, BlockRef};
use sabot_common::{Epoch, KeyGroupRange};
use std::hash::Hasher;
use twox_hash::XxHash64;

use super::BlockError;

const MAGIC: &[u8; 8] = b"SABOTBLK";

/// The newest format that this version reads, and the one that it writes. In format 1 the hash of the body was another, and
/// the checksum went over the body as well: now that is what its hash is for. Up to format 2 the table of contents was the
/// first part of the body, and up to format 3 columns were kept as they are.
pub const FORMAT: u16 = 4;

/// When and by whom a block was written.
///
/// It is part of the bytes, so that a block that nobody refers to any more never comes back under the same
/// name: a writer that was taken over cannot delete what its successor has just written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The writer's generation.
    pub generation: u64,
    /// The epoch for which the block was written first.
    pub epoch: Epoch,
}

/// What a block says of itself.
///
/// ```
/// # use sabot_common::{Epoch, KeyGroupRange};
/// # use sabot_state::block::{self, Header, Origin};
/// let origin = Origin { generation: 1, epoch: Epoch(7) };
/// let groups = KeyGroupRange { start: 3, end: 7 };
/// let bytes = block::encode(&[], groups, origin)?;
/// let header = Header::read(&bytes)?;
/// assert_eq!((header.origin, header.groups), (origin, groups));
/// assert_eq!(bytes.len() as u64, Header::BYTES as u64 + header.body_bytes);
/// # Ok::<(), block::BlockError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The key groups whose rows the block holds. Not every one need have some.
    pub groups: KeyGroupRange,
    /// Length of the body.
    pub body_bytes: u64,
    /// Who wrote the block.
    pub origin: Origin,
    /// The hash of the body: of two blocks with the same, the rows are the same, whoever wrote them.
    pub content: [u8; 32],
}

impl Header {
    /// Length of the header.
    pub const BYTES: usize = BlockId::HEAD;
    /// Where the checksum stands, behind all that it covers of the header.
    const CHECKSUM: usize = 72;

    /// Reads the header of a block, of which as little as the header may be there. Neither checksum nor hash are
    /// checked: that takes the body.
    ///
    /// # Errors
    /// [`BlockError::NotABlock`], [`BlockError::Newer`], and [`BlockError::Damaged`] where it is short or has
    /// flags.
    pub fn read(bytes: &[u8]) -> Result<Self, BlockError> {
        let whole = &bytes[..bytes.len().min(Self::BYTES)];
        if !whole.starts_with(&MAGIC[..whole.len().min(8)]) || whole.is_empty() {
            return Err(BlockError::NotABlock);
        }
        if let Some(version) = whole.get(8..10) {
            match u16::from_le_bytes(array(version)) {
                1..=FORMAT => {}
                0 => return Err(BlockError::damaged("format 0 was never written")),
                format => return Err(BlockError::Newer { format }),
            }
        }
        if whole.len() < Self::BYTES {
            return Err(BlockError::damaged(format!(
                "it has {} bytes, and the header alone has {}",
                whole.len(),
                Self::BYTES
            )));
        }
        let u16_at = |at: usize| u16::from_le_bytes(array(&whole[at..at + 2]));
        let u64_at = |at: usize| u64::from_le_bytes(array(&whole[at..at + 8]));
        if u16_at(10) != 0 {
            return Err(BlockError::damaged(format!(
                "format {} has no flags {:#06x}",
                u16_at(8),
                u16_at(10)
            )));
        }
        let groups = KeyGroupRange { start: u16_at(12), end: u16_at(14) };
        if groups.start > groups.end {
            return Err(BlockError::damaged(format!("key groups {}..{}", groups.start, groups.end)));
        }
        Ok(Self {
            groups,
            body_bytes: u64_at(16),
            origin: Origin { generation: u64_at(24), epoch: Epoch(u64_at(32)) },
            content: array(&whole[40..72]),
        })
    }

    /// How a manifest refers to a block that [`encode`](super::encode) has made, without another look at its body.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn block_ref(block: &[u8]) -> Result<BlockRef, BlockError> {
        let header = Self::read(block)?;
        let id = BlockId::of_parts(&block[..Self::BYTES], &header.content);
        Ok(BlockRef { id, bytes: block.len() as u64 })
    }

    /// The header of a block that has the length that it should have.
    pub(super) fn check_length(bytes: &[u8]) -> Result<Self, BlockError> {
        let header = Self::read(bytes)?;
        let body = &bytes[Self::BYTES..];
        if body.len() as u64 != header.body_bytes {
            return Err(BlockError::damaged(format!(
                "its body has {} bytes and should have {}",
                body.len(),
                header.body_bytes
            )));
        }
        Ok(header)
    }

    /// The header of a whole block: length, checksum and hash are right.
    pub(super) fn check(bytes: &[u8]) -> Result<Self, BlockError> {
        let header = Self::check_length(bytes)?;
        let body = &bytes[Self::BYTES..];
        let wanted = u64::from_le_bytes(array(&bytes[Self::CHECKSUM..Self::BYTES]));
        let is_first = bytes[8..10] == 1u16.to_le_bytes();
        let found = checksum(&bytes[..Self::CHECKSUM], if is_first { body } else { &[] });
        if wanted != found {
            return Err(BlockError::damaged(format!(
                "its bytes have the checksum {found:016x} and should have {wanted:016x}"
            )));
        }
        if !is_first && BlockId::hash(body) != header.content {
            return Err(BlockError::damaged("its body has another hash than it should have"));
        }
        Ok(header)
    }

    /// Fills the header of a block whose body is there, and has this hash.
    pub(super) fn write(bytes: &mut [u8], groups: KeyGroupRange, origin: Origin, hash: &[u8; 32]) {
        let (header, body) = bytes.split_at_mut(Self::BYTES);
        header[..8].copy_from_slice(MAGIC);
        header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        header[10..12].fill(0);
        header[12..14].copy_from_slice(&groups.start.to_le_bytes());
        header[14..16].copy_from_slice(&groups.end.to_le_bytes());
        header[16..24].copy_from_slice(&(body.len() as u64).to_le_bytes());
        header[24..32].copy_from_slice(&origin.generation.to_le_bytes());
        header[32..40].copy_from_slice(&origin.epoch.0.to_le_bytes());
        header[40..72].copy_from_slice(hash);
        let sum = checksum(&header[..Self::CHECKSUM], &[]);
        header[Self::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u64 {
    let mut hash = XxHash64::with_seed(0);
    hash.write(header);
    hash.write(body);
    hash.finish()
}

/// The first bytes of a slice that has at least as many.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[..N]);
    array
}
