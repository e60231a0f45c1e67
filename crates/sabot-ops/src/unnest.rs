//! Unnest: one row for each element of a list.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_expr::types::list_item;
use serde::{Deserialize, Serialize};
use std::fmt;

use crate::SpecError;
use crate::spec::{column, unique_names};

const OPERATOR: &str = "unnest";

/// Gives one row for each element of a list.
///
/// * A row whose list is null or has no element gives no row, as SQL's `CROSS JOIN UNNEST`. With
///   `keep_empty` it gives one, in which the element and its position are null, as SQL's
///   `LEFT JOIN UNNEST`. What lies under a null list is not looked at.
/// * An element that is null is an element like any other, and keeps its place. Lists in lists are undone by
///   one level.
/// * Lists of every layout are taken: `list`, `large_list`, `list_view`, `large_list_view` and
///   `fixed_size_list`. Elements keep their bits, and their encoding.
/// * Positions count from 1, as those of SQL's `WITH ORDINALITY`.
/// * Rows stand in the order of the rows that they come from, and those of one in the order of its list. They
///   have its event time and its place in its source.
/// * Row kinds go with their rows; an update pair becomes deletes and inserts, because its two lists need
///   not be of one length.
/// * No row can fail.
///
/// One row may become any number of rows, so an unnest is the last step of its fragment, and its result
/// comes in parts of at most as many rows as a morsel may have.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_ops::{UnnestColumn, UnnestSource, UnnestSpec};
/// # use std::sync::Arc;
/// let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
/// let input = Arc::new(Schema::new(vec![Field::new("tags", DataType::List(item), true)]));
/// let columns = vec![UnnestColumn { name: "tag".to_owned(), source: UnnestSource::Element }];
/// let spec = UnnestSpec { list: 0, keep_empty: false, columns };
/// assert_eq!(spec.output_schema(&input)?.field(0), &Field::new("tag", DataType::Utf8, true));
/// # Ok::<(), sabot_ops::SpecError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnnestSpec {
    /// The column with the lists.
    pub list: usize,
    /// Whether a row without elements gives one row nevertheless.
    pub keep_empty: bool,
    /// What comes out.
    pub columns: Vec<UnnestColumn>,
}

/// A column of the result of an unnest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnnestColumn {
    /// Its name.
    pub name: String,
    /// Its values.
    pub source: UnnestSource,
}

/// Where the values of a result column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnnestSource {
    /// A column of the row, for each of its elements.
    Input(usize),
    /// The elements.
    Element,
    /// The place of the element in its list, from 1.
    Position,
    /// The hidden key ([`hidden::KEY`]) that gives results of one row their order: the row's own, if it
    /// brings one, and behind it the position as 8 bytes, the first byte most significant.
    Order(Option<usize>),
}

impl UnnestSpec {
    /// The schema of the result.
    ///
    /// # Errors
    /// [`SpecError`] when a column is missing, the column with the lists holds something else, or two result
    /// columns share a name.
    pub fn output_schema(&self, input: &SchemaRef) -> Result<SchemaRef, SpecError> {
        let list = column(OPERATOR, input, self.list)?;
        let item = list_item(list.data_type()).ok_or_else(|| SpecError::ColumnType {
            operator: OPERATOR,
            role: "column",
            column: list.name().clone(),
            got: list.data_type().clone(),
            expected: "a list".to_owned(),
        })?;
        let field = |out: &UnnestColumn| {
            let (data_type, nullable) = match out.source {
                UnnestSource::Input(index) => {
                    let field = column(OPERATOR, input, index)?;
                    (field.data_type().clone(), field.is_nullable())
                }
                UnnestSource::Element => (item.data_type().clone(), item.is_nullable() || self.keep_empty),
                UnnestSource::Position => (DataType::Int64, self.keep_empty),
                UnnestSource::Order(key) => {
                    if let Some(key) = key {
                        check_key(column(OPERATOR, input, key)?)?;
                    }
                    (DataType::Binary, false)
                }
            };
            Ok(Field::new(&out.name, data_type, nullable))
        };
        let fields = self.columns.iter().map(field).collect::<Result<Vec<_>, SpecError>>()?;
        unique_names(OPERATOR, Schema::new(fields))
    }
}

/// Keys of rows are bytes, and each row has one.
fn check_key(key: &Field) -> Result<(), SpecError> {
    if key.data_type() == &DataType::Binary && !key.is_nullable() {
        return Ok(());
    }
    Err(SpecError::ColumnType {
        operator: OPERATOR,
        role: "order",
        column: key.name().clone(),
        got: key.data_type().clone(),
        expected: format!("binary and never null, as {} is", hidden::KEY),
    })
}

impl fmt::Display for UnnestSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OPERATOR} column {}", self.list)?;
        for column in &self.columns {
            match column.source {
                UnnestSource::Element => write!(f, " as {}", column.name)?,
                UnnestSource::Position => write!(f, " numbered as {}", column.name)?,
                UnnestSource::Input(_) | UnnestSource::Order(_) => {}
            }
        }
        f.write_str(if self.keep_empty { " keeping rows without elements" } else { "" })
    }
}
