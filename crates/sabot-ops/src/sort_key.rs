//! In which order values of a column stand.

use arrow::datatypes::{DataType, FieldRef};
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;

/// One column of an order.
///
/// The ascending order is the total order of keys: false before true, numbers and times by value,
/// strings bytewise, −0.0 equal to 0.0, all NaNs equal and greater than every number. Descending turns
/// that around. Nulls stand where `nulls_first` says, whichever the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SortKey {
    /// The column.
    pub column: usize,
    /// From the greatest to the smallest.
    pub descending: bool,
    /// Nulls before all values rather than behind them.
    pub nulls_first: bool,
}

impl SortKey {
    /// From the smallest to the greatest, nulls last.
    pub fn ascending(column: usize) -> Self {
        Self { column, descending: false, nulls_first: false }
    }

    /// From the greatest to the smallest, nulls last all the same.
    pub fn descending(column: usize) -> Self {
        Self { descending: true, ..Self::ascending(column) }
    }
}

/// `#2 desc nulls first`; what is not said is ascending, and nulls last.
impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.column)?;
        if self.descending {
            f.write_str(" desc")?;
        }
        if self.nulls_first {
            f.write_str(" nulls first")?;
        }
        Ok(())
    }
}

/// Whether values of this type have an order.
pub fn is_sortable(data_type: &DataType) -> bool {
    use DataType::*;
    match data_type {
        Dictionary(_, values) => is_sortable(values),
        List(item) | LargeList(item) | FixedSizeList(item, _) => is_sortable(item.data_type()),
        Struct(fields) => fields.iter().all(|field| is_sortable(field.data_type())),
        Null | Boolean | Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => true,
        FixedSizeBinary(_) | Date32 | Date64 | Time32(_) | Time64(_) | Timestamp(..) | Duration(_) => true,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => true,
        other => other.is_numeric(),
    }
}

/// Checks that a column can be sorted by.
pub(crate) fn check_sortable(operator: &'static str, field: &FieldRef) -> Result<(), SpecError> {
    if is_sortable(field.data_type()) {
        return Ok(());
    }
    Err(SpecError::ColumnType {
        operator,
        role: "sort key",
        column: field.name().clone(),
        got: field.data_type().clone(),
        expected: "of a type whose values have an order; sort by a part of it instead".to_owned(),
    })
}
