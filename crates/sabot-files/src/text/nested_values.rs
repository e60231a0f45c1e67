//! Lists, structs and maps as JSON text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use std::ops::Range;

use super::values::{Style, TextCells, text_cells};

/// Values that may be null, which JSON has a word for.
pub(crate) struct JsonCells<'a> {
    cells: Box<dyn TextCells + 'a>,
    /// Also of a dictionary whose word is null.
    nulls: Option<NullBuffer>,
}

impl<'a> JsonCells<'a> {
    pub(crate) fn new(array: &'a ArrayRef, style: Style) -> Result<Self, ArrowError> {
        Ok(Self { cells: text_cells(array, style)?, nulls: array.logical_nulls() })
    }

    /// Appends the value in a row.
    pub(crate) fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            true => {
                out.extend_from_slice(b"null");
                Ok(())
            }
            false => self.cells.append(row, out),
        }
    }
}

/// The values of a nested column; `None` for a type that JSON has no form for.
pub(super) fn nested(array: &dyn Array, style: Style) -> Result<Option<Box<dyn TextCells + '_>>, ArrowError> {
    Ok(Some(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let range = move |row: usize| {
                let ends = list.value_offsets();
                usize::try_from(ends[row]).unwrap_or(0)..usize::try_from(ends[row + 1]).unwrap_or(0)
            };
            Box::new(Lists { items: JsonCells::new(list.values(), style)?, range })
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let range = move |row: usize| {
                let ends = list.value_offsets();
                usize::try_from(ends[row]).unwrap_or(0)..usize::try_from(ends[row + 1]).unwrap_or(0)
            };
            Box::new(Lists { items: JsonCells::new(list.values(), style)?, range })
        }
        DataType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            let size = usize::try_from(*size).unwrap_or(0);
            let start = move |row| usize::try_from(list.value_offset(row)).unwrap_or(0);
            let range = move |row| start(row)..start(row) + size;
            Box::new(Lists { items: JsonCells::new(list.values(), style)?, range })
        }
        DataType::Struct(fields) => {
            let names = fields.iter().map(|field| field.name().as_str());
            let columns = array.as_struct().columns().iter().map(|column| JsonCells::new(column, style));
            let columns = names.zip(columns).map(|(name, column)| Ok::<_, ArrowError>((name, column?)));
            Box::new(Structs { columns: columns.collect::<Result<_, _>>()?, style })
        }
        DataType::Map(entries, _) if has_text_keys(entries.data_type()) => {
            let map = array.as_map();
            let (keys, values) = (text_cells(map.keys(), style)?, JsonCells::new(map.values(), style)?);
            let range = move |row: usize| {
                let ends = map.value_offsets();
                usize::try_from(ends[row]).unwrap_or(0)..usize::try_from(ends[row + 1]).unwrap_or(0)
            };
            Box::new(Maps { keys, values, range })
        }
        _ => return Ok(None),
    }))
}

fn has_text_keys(entries: &DataType) -> bool {
    match entries {
        DataType::Struct(fields) => {
            fields.first().is_some_and(|key| matches!(key.data_type(), DataType::Utf8 | DataType::LargeUtf8))
        }
        _ => false,
    }
}

struct Lists<'a, F> {
    items: JsonCells<'a>,
    range: F,
}

impl<F: Fn(usize) -> Range<usize>> TextCells for Lists<'_, F> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.push(b'[');
        let range = (self.range)(row);
        for item in range.clone() {
            if item > range.start {
                out.push(b',');
            }
            self.items.append(item, out)?;
        }
        out.push(b']');
        Ok(())
    }
}

struct Structs<'a> {
    columns: Vec<(&'a str, JsonCells<'a>)>,
    style: Style,
}

impl TextCells for Structs<'_> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.push(b'{');
        for (i, (name, column)) in self.columns.iter_mut().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            (self.style.text)(name, out);
            out.push(b':');
            column.append(row, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}

struct Maps<'a, F> {
    keys: Box<dyn TextCells + 'a>,
    values: JsonCells<'a>,
    range: F,
}

impl<F: Fn(usize) -> Range<usize>> TextCells for Maps<'_, F> {
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        out.push(b'{');
        let range = (self.range)(row);
        for entry in range.clone() {
            if entry > range.start {
                out.push(b',');
            }
            self.keys.append(entry, out)?;
            out.push(b':');
            self.values.append(entry, out)?;
        }
        out.push(b'}');
        Ok(())
    }
}
