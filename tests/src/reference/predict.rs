//! Predict: each row by itself.

use arrow::record_batch::RecordBatch;
use sabot_expr::Scalar;
use sabot_ops::PredictSpec;

use super::Row;

/// Each row with what the model says of it, by the reference of the operator.
pub(super) fn predict(spec: &PredictSpec, batch: &RecordBatch, rows: &[Row]) -> Vec<Row> {
    let added = sabot_ops::reference::predict(spec, batch).expect("no row can fail");
    let with_added = |(number, row): (usize, &Row)| {
        let mut row = row.clone();
        let cell = |column| Scalar::from_array(column, number).expect("a supported type").into();
        row.cells.extend(added.iter().map(|column| cell(column.as_ref())));
        row
    };
    rows.iter().enumerate().map(with_added).collect()
}
