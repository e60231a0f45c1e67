//! The table of contents in a block's body.

use sabot_common::KeyGroupRange;
use std::ops::Range;

use super::header::array;
use super::{ALIGNMENT, BlockError};

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) parts: Vec<Part>,
}

/// One batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Length of its stream.
    pub(super) bytes: u64,
    pub(super) rows: u32,
    /// The groups that have rows, ascending.
    pub(super) index: Vec<Entry>,
}

/// Where a key group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) group: u16,
    pub(super) first_row: u32,
}

impl Part {
    /// The rows of a range of key groups.
    pub(super) fn rows_of(&self, groups: KeyGroupRange) -> Range<usize> {
        let first_of = |group: u16| {
            let at = self.index.partition_point(|entry| entry.group < group);
            self.index.get(at).map_or(self.rows, |entry| entry.first_row) as usize
        };
        let start = first_of(groups.start);
        start..first_of(groups.end).max(start)
    }
}

impl Contents {
    /// What stands behind it: its length, and zeros.
    const FOOT: usize = 16;

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), BlockError> {
        let start = out.len();
        let u32_of = |number: usize| u32::try_from(number).map(u32::to_le_bytes).map_err(BlockError::rows);
        out.extend_from_slice(&u32_of(self.parts.len())?);
        out.extend_from_slice(&[0; 4]);
        for part in &self.parts {
            out.extend_from_slice(&part.bytes.to_le_bytes());
            out.extend_from_slice(&part.rows.to_le_bytes());
            out.extend_from_slice(&u32_of(part.index.len())?);
        }
        for entry in self.parts.iter().flat_map(|part| &part.index) {
            out.extend_from_slice(&entry.group.to_le_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&entry.first_row.to_le_bytes());
        }
        out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
        let length = (out.len() - start) as u64;
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; Self::FOOT - 8]);
        Ok(())
    }

    /// Reads it from the end of a body.
    pub(super) fn read_behind(body: &[u8]) -> Result<Self, BlockError> {
        let damaged = || BlockError::damaged("it ends in its table of contents");
        let (rest, foot) = body.split_at_checked(body.len().wrapping_sub(Self::FOOT)).ok_or_else(damaged)?;
        if foot[8..] != [0; Self::FOOT - 8] {
            return Err(BlockError::damaged("there is something behind its table of contents"));
        }
        let length = usize::try_from(u64::from_le_bytes(array(&foot[..8]))).map_err(BlockError::damaged)?;
        let start = rest.len().checked_sub(length).ok_or_else(damaged)?;
        Ok(Self::read(&rest[start..])?.0)
    }

    /// Reads it from the beginning of a body, as it was up to format 2, and says where the streams begin.
    pub(super) fn read(body: &[u8]) -> Result<(Self, usize), BlockError> {
        let mut reader = Reader { body, at: 0 };
        let count = u32::from_le_bytes(reader.take()?);
        reader.take::<4>()?;
        let mut parts = Vec::new();
        for _ in 0..count {
            let bytes = u64::from_le_bytes(reader.take()?);
            let rows = u32::from_le_bytes(reader.take()?);
            let entries = u32::from_le_bytes(reader.take()?);
            parts.push((entries, Part { bytes, rows, index: Vec::new() }));
        }
        for (entries, part) in &mut parts {
            for _ in 0..*entries {
                let group = u16::from_le_bytes(reader.take()?);
                reader.take::<2>()?;
                let entry = Entry { group, first_row: u32::from_le_bytes(reader.take()?) };
                let follows = |last: &Entry| last.group < group && last.first_row < entry.first_row;
                let right = part.index.last().map_or(entry.first_row == 0, follows);
                if !right || entry.first_row >= part.rows {
                    return Err(BlockError::damaged("its index of key groups is not in order"));
                }
                part.index.push(entry);
            }
            if part.index.is_empty() && part.rows > 0 {
                return Err(BlockError::damaged("its index of key groups lacks rows"));
            }
        }
        let parts = parts.into_iter().map(|(_, part)| part).collect();
        Ok((Self { parts }, reader.at.next_multiple_of(ALIGNMENT).min(body.len())))
    }
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BlockError> {
        let bytes = self.body.get(self.at..self.at + N);
        let bytes = bytes.ok_or_else(|| BlockError::damaged("it ends in its table of contents"))?;
        self.at += N;
        Ok(array(bytes))
    }
}
