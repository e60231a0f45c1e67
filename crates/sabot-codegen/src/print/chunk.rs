//! How values lie in the output of a kernel: in chunks of rows, column after column.
//!
//! A kernel that keeps every row writes one chunk. Rows that a filter drops need not travel, so a kernel with a filter writes a chunk for
//! each tile of rows that a workgroup takes, of those that are kept, in their order; chunks lie one behind the other as workgroups have
//! claimed room for them, so nobody waits for another, which WGSL would not promise to end. A table says where the chunk of each tile
//! begins, and the host puts them in order while it copies them out of its slab.

use crate::ir::Storage;

/// Where in a chunk of rows which column lies: the widest first, each from a whole word on.
///
/// ```
/// # use sabot_codegen::{ChunkLayout, Storage};
/// let chunk = ChunkLayout::of(&[Storage::I32, Storage::Bit, Storage::I64]);
/// // Of five rows ten words for the wide one, five for the other, and one so that the next chunk begins at an even word.
/// assert_eq!((chunk.offset(2, 5), chunk.offset(0, 5), chunk.words(5)), (Some(0), Some(10), 16));
/// assert_eq!(chunk.offset(1, 5), None); // a bitmap
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkLayout {
    /// The outputs that have words of their own, in their order in a chunk.
    columns: Vec<(usize, Storage)>,
}

impl ChunkLayout {
    /// The layout of outputs that are stored like this. Bitmaps lie elsewhere.
    pub fn of(stored: &[Storage]) -> Self {
        let mut columns: Vec<(usize, Storage)> = stored.iter().copied().enumerate().collect();
        columns.retain(|(_, storage)| *storage != Storage::Bit);
        columns.sort_by_key(|(_, storage)| std::cmp::Reverse(storage.bits()));
        Self { columns }
    }

    /// Whether all outputs are bitmaps.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Words of a chunk of so many rows.
    pub fn words(&self, rows: usize) -> usize {
        let words = self.columns.iter().map(|(_, storage)| storage.bytes(rows) / 4).sum::<usize>();
        words.next_multiple_of(2)
    }

    /// The word of a chunk of so many rows at which an output begins.
    pub fn offset(&self, output: usize, rows: usize) -> Option<usize> {
        let at = self.columns.iter().position(|(number, _)| *number == output)?;
        Some(self.columns[..at].iter().map(|(_, storage)| storage.bytes(rows) / 4).sum())
    }

    /// The words of a chunk of `count` rows, in either language.
    pub(super) fn words_text(&self) -> String {
        let words: Vec<String> = self.columns.iter().map(|(_, storage)| column_words(*storage)).collect();
        let sum = if words.is_empty() { "0u".to_owned() } else { words.join(" + ") };
        format!("({sum} + 1u) & 4294967294u")
    }

    /// The outputs, and in either language the word at which each begins, of a chunk of `count` rows that begins `at` one.
    pub(super) fn columns_text(&self) -> impl Iterator<Item = (usize, Storage, String)> {
        let mut begin = "at".to_owned();
        self.columns.iter().map(move |(number, storage)| {
            let next = format!("{begin} + {}", column_words(*storage));
            (*number, *storage, std::mem::replace(&mut begin, next))
        })
    }
}

/// The words of a column of `count` rows.
fn column_words(storage: Storage) -> String {
    match storage.bits() {
        64 => "2u * count".to_owned(),
        32 => "count".to_owned(),
        bits => format!("(count * {bits}u + 31u) / 32u"),
    }
}
