//! What a filter-project has left in its slab, as columns.

use arrow::array::{Array, ArrayData, ArrayRef, BooleanArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Int8Type, Int16Type, UInt8Type, UInt16Type};
use sabot_codegen::{Bitmap, Evaluated, Parameters, Storage};
use std::sync::Arc;

use crate::slab::{Layout, load};
use crate::source::KernelSource;

/// Rows whose values lie in one chunk.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// The word at which it begins.
    at: usize,
    /// The rows that it was laid out for.
    room: usize,
    /// The rows that are in it.
    rows: usize,
}

/// The output of a launch.
pub(crate) struct Results<'a> {
    source: &'a KernelSource,
    /// Rows of the input.
    rows: usize,
    slab: &'a [u32],
    /// Bitmaps, one bit for each row of the input.
    bitmaps: Vec<BooleanBuffer>,
    /// In the order of rows.
    chunks: Vec<Chunk>,
    /// Which rows are kept, where some may not be.
    kept: Option<BooleanArray>,
}

impl<'a> Results<'a> {
    /// Of a slab with the head of the output and as many words of chunks as were claimed.
    ///
    /// # Errors
    /// In words, when a chunk lies outside: a bug.
    pub(crate) fn new(source: &'a KernelSource, layout: &'a Layout, slab: &'a [u32]) -> Result<Self, String> {
        let parameter = |number: usize| layout.parameters[number] as usize;
        let (rows, tile) = (parameter(Parameters::ROWS), source.tile_rows() as usize);
        let bitmap = |number: usize| {
            let at = parameter(source.parameters().bitmap(number));
            BooleanBuffer::new(Buffer::from_slice_ref(&slab[at..at + rows.div_ceil(32)]), 0, rows)
        };
        let bitmaps: Vec<BooleanBuffer> = (0..source.bitmaps.len()).map(bitmap).collect();
        let mut results = Self { source, rows, slab, bitmaps, chunks: Vec::new(), kept: None };
        let kept = results.find(Bitmap::Keep).map(|number| results.bitmaps[number].clone());
        results.kept = kept.map(|kept| BooleanArray::new(kept, None));
        let first = parameter(Parameters::CHUNKS);
        if !source.is_packed() {
            results.chunks = vec![Chunk { at: first, room: rows.next_multiple_of(tile), rows }];
            return Ok(results);
        }
        for number in 0..rows.div_ceil(tile) {
            let rows = results.bits(number * tile, ((number + 1) * tile).min(rows));
            let at = first + slab[parameter(Parameters::TILES) + number] as usize;
            if at + source.chunk.words(rows) > slab.len() {
                return Err(format!("chunk {number}, of {rows} rows, begins at word {at} of {}", slab.len()));
            }
            results.chunks.push(Chunk { at, room: rows, rows });
        }
        Ok(results)
    }

    /// Which rows of the input are kept; `None` where none is dropped.
    pub(crate) fn kept(&self) -> Option<&BooleanArray> {
        self.kept.as_ref()
    }

    /// How many rows are kept of some that begin and end with a word.
    fn bits(&self, from: usize, to: usize) -> usize {
        self.kept.as_ref().map_or(to - from, |kept| kept.values().slice(from, to - from).count_set_bits())
    }

    fn find(&self, wanted: Bitmap) -> Option<usize> {
        self.source.bitmaps.iter().position(|bitmap| *bitmap == wanted)
    }

    /// The bits of a bitmap, one for each row of a column.
    fn bits_of_column(&self, number: usize) -> Result<BooleanBuffer, String> {
        let bits = self.bitmaps[number].clone();
        let Some(kept) = self.kept.as_ref().filter(|_| self.source.is_packed()) else { return Ok(bits) };
        let packed = filter(&BooleanArray::new(bits, None), kept).map_err(|error| error.to_string())?;
        Ok(packed.as_any().downcast_ref::<BooleanArray>().ok_or("bits became no bits")?.values().clone())
    }

    /// An output as an array of a type: of the rows that are kept where the kernel packs them, or else of all.
    ///
    /// # Errors
    /// In words, when the type and what the kernel stores do not fit: a bug.
    pub(crate) fn column(
        &self,
        number: usize,
        (data_type, nullable): (&DataType, bool),
    ) -> Result<ArrayRef, String> {
        // Of rows that nobody asked for a value may be missing although the column has no nulls.
        let valid = self.find(Bitmap::Valid(number)).filter(|_| nullable);
        let nulls = valid.map(|valid| self.bits_of_column(valid)).transpose()?.map(NullBuffer::new);
        let stored = self.source.stored[number];
        if stored == Storage::Bit {
            let values = self.find(Bitmap::Values(number)).ok_or("a bool without values")?;
            return Ok(Arc::new(BooleanArray::new(self.bits_of_column(values)?, nulls)));
        }
        let rows: usize = self.chunks.iter().map(|chunk| chunk.rows).sum();
        let width = stored.bits() / 8;
        let slab: &[u8] = bytemuck::cast_slice(self.slab);
        let mut values = MutableBuffer::with_capacity(rows * width);
        for Chunk { at, room, rows } in &self.chunks {
            let offset = self.source.chunk.offset(number, *room).ok_or("a column without a chunk")?;
            values.extend_from_slice(&slab[(at + offset) * 4..][..rows * width]);
        }
        let values = Buffer::from(values);
        let narrow = self.source.program.outputs()[number].storage;
        let buffer = if narrow == stored { values } else { narrowed(narrow, values.typed_data()) };
        let data = ArrayData::builder(data_type.clone()).len(rows).add_buffer(buffer).nulls(nulls);
        data.build().map(make_array).map_err(|error| error.to_string())
    }

    /// What the kernel made of each row of the input; rows that are dropped have no values.
    pub(crate) fn rows(&self, failed: bool) -> Vec<Evaluated> {
        let row = |row: usize| Evaluated {
            keep: self.kept.as_ref().is_none_or(|kept| kept.value(row)),
            failed,
            outputs: (0..self.source.stored.len()).map(|number| self.value(number, row)).collect(),
        };
        (0..self.rows).map(row).collect()
    }

    /// The bits of a value of a row of the input as a register holds them; `None` for null and for rows that are dropped.
    fn value(&self, number: usize, row: usize) -> Option<u64> {
        if self.kept.as_ref().is_some_and(|kept| !kept.value(row)) {
            return None;
        }
        let bit = |bitmap: usize| self.bitmaps[bitmap].value(row);
        if self.find(Bitmap::Valid(number)).is_some_and(|valid| !bit(valid)) {
            return None;
        }
        let stored = self.source.stored[number];
        if stored == Storage::Bit {
            return self.find(Bitmap::Values(number)).map(|values| u64::from(bit(values)));
        }
        let tile = self.source.tile_rows() as usize;
        let (tile, place) = match self.source.is_packed() {
            true => (row / tile, self.bits(row / tile * tile, row)),
            false => (0, row),
        };
        let chunk = self.chunks.get(tile)?;
        let at = chunk.at + self.source.chunk.offset(number, chunk.room)?;
        Some(load(bytemuck::cast_slice(self.slab), at, stored, place))
    }
}

/// Values that were stored in words of their own.
pub(crate) fn narrowed(storage: Storage, words: &[u32]) -> Buffer {
    use arrow::array::PrimitiveArray;
    let values = words.iter();
    match storage {
        Storage::I8 => {
            PrimitiveArray::<Int8Type>::from_iter_values(values.map(|w| *w as i8)).values().inner().clone()
        }
        Storage::U8 => {
            PrimitiveArray::<UInt8Type>::from_iter_values(values.map(|w| *w as u8)).values().inner().clone()
        }
        Storage::I16 => {
            PrimitiveArray::<Int16Type>::from_iter_values(values.map(|w| *w as i16)).values().inner().clone()
        }
        _ => {
            PrimitiveArray::<UInt16Type>::from_iter_values(values.map(|w| *w as u16)).values().inner().clone()
        }
    }
}
