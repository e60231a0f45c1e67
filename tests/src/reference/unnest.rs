//! Unnest: each list by itself.

use sabot_expr::Scalar;
use sabot_expr::types::list_item;
use sabot_plan::Unnest;

use super::{Cell, Rank, Row};

/// A row for each element of each row's list.
pub(super) fn unnest(unnest: &Unnest, rows: &[Row]) -> Vec<Row> {
    rows.iter().flat_map(|row| unnest_one(unnest, row)).collect()
}

fn unnest_one(unnest: &Unnest, row: &Row) -> Vec<Row> {
    let list = &row.cells[unnest.column].value;
    let elements = match list {
        Scalar::List { items, .. } => items.to_vec(),
        _ => Vec::new(),
    };
    let mut found: Vec<(i64, Scalar)> = (1..).zip(elements).collect();
    if found.is_empty() && unnest.keep_empty {
        let list = list.data_type();
        found.push((0, Scalar::Null(list_item(&list).expect("a list").data_type().clone())));
    }
    let result = |(position, element): (i64, Scalar)| {
        let mut cells = row.cells.clone();
        cells[unnest.column] = element.into();
        if unnest.position.is_some() {
            let number = if position == 0 {
                Scalar::Null(arrow::datatypes::DataType::Int64)
            } else {
                Scalar::Int64(position)
            };
            cells.insert(unnest.column + 1, Cell::from(number));
        }
        let mut key = row.key.clone();
        key.push(Rank::Integer(position.into()));
        Row { cells, key, ..row.clone() }
    };
    found.into_iter().map(result).collect()
}
