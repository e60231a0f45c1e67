//! Lists and structs as keys: rows of bytes that are equal when the values are and ordered as they are.
//!
//! Arrow's row format is such an encoding. It is made of canonical columns, so that zeros and NaNs are one,
//! and null comes last at every depth.

use arrow::array::ArrayRef;
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use super::canonical;
use crate::key_hash::supports_key;

/// Whether keys of this type are kept as rows.
pub(super) fn is_nested_key(data_type: &DataType) -> bool {
    data_type.is_nested() && supports_key(data_type)
}

fn converter(data_type: &DataType) -> Result<RowConverter, ArrowError> {
    let options = SortOptions { descending: false, nulls_first: false };
    RowConverter::new(vec![SortField::new_with_options(data_type.clone(), options)])
}

/// The rows of a column as bytes that are equal when the values are, and ordered as they are in the total order, with
/// null last. For lists and structs; columns of other types have faster ways.
///
/// # Errors
/// Those of Arrow, for types that have no such form.
pub fn ordered_rows(array: &ArrayRef) -> Result<Rows, ArrowError> {
    let plain = canonical(array)?;
    converter(plain.data_type())?.convert_columns(&[plain])
}

/// The bytes of all rows, one after the other, and where each ends.
pub(super) fn encode(array: &ArrayRef) -> Result<(Vec<u8>, Vec<usize>), ArrowError> {
    let rows = ordered_rows(array)?;
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(rows.num_rows()));
    for row in &rows {
        bytes.extend_from_slice(row.as_ref());
        ends.push(bytes.len());
    }
    Ok((bytes, ends))
}

/// A column of this type from the bytes of its rows.
pub(super) fn decode(data_type: &DataType, bytes: &[u8], ends: &[usize]) -> Result<ArrayRef, ArrowError> {
    let converter = converter(data_type)?;
    let parser = converter.parser();
    let mut start = 0;
    let rows = ends.iter().map(|end| {
        let row = parser.parse(bytes.get(start..*end).unwrap_or_default());
        start = *end;
        row
    });
    let mut columns = converter.convert_rows(rows)?;
    columns.pop().ok_or_else(|| ArrowError::CastError("a row without a column".to_owned()))
}
