//! Columns of the host as slabs of words, and back.
//!
//! Every column begins at a multiple of [`ALIGNMENT`], so that devices may read it in whole lines. A slice is copied from
//! its first row on, bitmaps shifted to their first bit.

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{DataType, Int8Type, Int16Type, UInt8Type, UInt16Type};
use sabot_batch::Selection;
use sabot_codegen::{Bitmap, NOWHERE, Parameters, Storage};
use std::sync::Arc;

use crate::source::KernelSource;

/// Words between which columns begin: 256 bytes.
const ALIGNMENT: usize = 64;

/// Where a kernel finds its input and leaves its output, for so many rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The parameters of the kernel.
    pub(crate) parameters: Vec<u32>,
    /// Words of the input's slab.
    pub(crate) input_words: usize,
    /// Words of the output's slab.
    pub(crate) output_words: usize,
}

/// A slab that is being planned.
#[derive(Default)]
struct Plan {
    words: usize,
}

impl Plan {
    /// Room for values; gives its offset.
    fn take(&mut self, storage: Storage, rows: usize) -> u32 {
        let at = self.words;
        self.words += (storage.bytes(rows) / 4).next_multiple_of(ALIGNMENT);
        at as u32
    }
}

impl Layout {
    /// The layout for these columns, of which those with nulls need a bitmap. All offsets fit 32 bits as long as the
    /// slabs do not exceed 16 GiB.
    pub(crate) fn new(source: &KernelSource, columns: &[ArrayRef], rows: usize, live: bool) -> Self {
        let at: Parameters = source.parameters();
        let mut parameters = vec![NOWHERE; at.count(source.bitmaps.len())];
        let mut input = Plan::default();
        parameters[Parameters::ROWS] = rows as u32;
        parameters[Parameters::ZERO] = 0;
        if live {
            parameters[Parameters::LIVE] = input.take(Storage::Bit, rows);
        }
        for (number, described) in source.program.inputs().iter().enumerate() {
            parameters[at.input(number)] = input.take(described.storage, rows);
            if columns[described.column].null_count() > 0 {
                parameters[at.input_valid(number)] = input.take(Storage::Bit, rows);
            }
        }
        let mut output = Plan::default();
        for (number, storage) in source.stored.iter().enumerate().filter(|(_, s)| **s != Storage::Bit) {
            parameters[at.output(number)] = output.take(*storage, rows);
        }
        for number in 0..source.bitmaps.len() {
            parameters[at.bitmap(number)] = output.take(Storage::Bit, rows);
        }
        // No device binds a buffer of nothing.
        let some = |words: usize| words.max(ALIGNMENT);
        Self { parameters, input_words: some(input.words), output_words: some(output.words) }
    }

    /// Writes the input's slab.
    pub(crate) fn pack(
        &self,
        source: &KernelSource,
        columns: &[ArrayRef],
        live: Option<&Selection>,
        slab: &mut [u32],
    ) {
        let at = source.parameters();
        if let Some(live) = live {
            let words: Vec<u32> = live.words().iter().flat_map(|w| [*w as u32, (*w >> 32) as u32]).collect();
            let rows = self.parameters[Parameters::ROWS] as usize;
            copy(slab, self.parameters[Parameters::LIVE], bytemuck::cast_slice(&words), rows.div_ceil(8));
        }
        for (number, described) in source.program.inputs().iter().enumerate() {
            let column = &columns[described.column];
            let values = self.parameters[at.input(number)];
            if described.storage == Storage::Bit {
                copy_bits(slab, values, column.as_boolean().values());
            } else {
                let data = column.to_data();
                let width = described.storage.bits() / 8;
                let bytes = data.buffers().first().map_or(&[][..], |buffer| {
                    &buffer.as_slice()[data.offset() * width..(data.offset() + column.len()) * width]
                });
                copy(slab, values, bytes, bytes.len());
            }
            if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
                copy_bits(slab, self.parameters[at.input_valid(number)], nulls.inner());
            }
        }
    }

    /// The bits of a bitmap of the output.
    pub(crate) fn bitmap(&self, source: &KernelSource, number: usize, slab: &[u32]) -> BooleanBuffer {
        let rows = self.parameters[Parameters::ROWS] as usize;
        let at = self.parameters[source.parameters().bitmap(number)] as usize;
        BooleanBuffer::new(Buffer::from_slice_ref(&slab[at..at + rows.div_ceil(32)]), 0, rows)
    }

    /// Which rows are kept; all are without.
    pub(crate) fn kept(&self, source: &KernelSource, slab: &[u32]) -> Option<BooleanBuffer> {
        let number = source.bitmaps.iter().position(|bitmap| *bitmap == Bitmap::Keep)?;
        Some(self.bitmap(source, number, slab))
    }

    /// An output as an array of a type.
    ///
    /// # Errors
    /// In words, when the type and what the kernel stores do not fit: a bug.
    pub(crate) fn unpack(
        &self,
        source: &KernelSource,
        number: usize,
        (data_type, nullable): (&DataType, bool),
        slab: &[u32],
    ) -> Result<ArrayRef, String> {
        let rows = self.parameters[Parameters::ROWS] as usize;
        let find = |wanted| source.bitmaps.iter().position(|bitmap| *bitmap == wanted);
        // Of rows that nobody asked for a value may be missing although the column has no nulls.
        let valid = find(Bitmap::Valid(number)).filter(|_| nullable);
        let nulls = valid.map(|valid| NullBuffer::new(self.bitmap(source, valid, slab)));
        let stored = source.stored[number];
        if stored == Storage::Bit {
            let values = find(Bitmap::Values(number)).ok_or("a bool without values")?;
            let values = self.bitmap(source, values, slab);
            return Ok(Arc::new(arrow::array::BooleanArray::new(values, nulls)));
        }
        let at = self.parameters[source.parameters().output(number)] as usize;
        let words = &slab[at..at + stored.bytes(rows) / 4];
        let bytes: &[u8] = bytemuck::cast_slice(words);
        let narrow = source.program.outputs()[number].storage;
        let buffer = if narrow == stored {
            Buffer::from_slice_ref(&bytes[..rows * stored.bits() / 8])
        } else {
            narrowed(narrow, &words[..rows])
        };
        let data =
            arrow::array::ArrayData::builder(data_type.clone()).len(rows).add_buffer(buffer).nulls(nulls);
        data.build().map(make_array).map_err(|error| error.to_string())
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

fn copy(slab: &mut [u32], at: u32, from: &[u8], bytes: usize) {
    let to: &mut [u8] = bytemuck::cast_slice_mut(&mut slab[at as usize..]);
    to[..bytes].copy_from_slice(&from[..bytes]);
}

fn copy_bits(slab: &mut [u32], at: u32, bits: &BooleanBuffer) {
    let bytes = bits.sliced();
    copy(slab, at, bytes.as_slice(), bits.len().div_ceil(8));
}

/// The bits of a value as a register holds them, from a slab in which its column begins at a word.
pub(crate) fn load(bytes: &[u8], at: usize, storage: Storage, row: usize) -> u64 {
    if storage == Storage::Bit {
        return u64::from(bytes[at * 4 + row / 8] >> (row % 8) & 1);
    }
    let width = storage.bits() / 8;
    let mut word = [0u8; 8];
    word[..width].copy_from_slice(&bytes[at * 4 + row * width..][..width]);
    let bits = u64::from_le_bytes(word);
    match storage {
        Storage::I8 => u64::from(i32::from(bits as u8 as i8) as u32),
        Storage::I16 => u64::from(i32::from(bits as u16 as i16) as u32),
        _ => bits,
    }
}
