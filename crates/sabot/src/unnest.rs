//! Unnest: one row for each element of a list.

use sabot_plan::UnnestRequest;

use crate::{Result, Stream};

impl Stream {
    /// One row for each element of a column of lists, the other columns repeated: the name of the column,
    /// or [`elements`](crate::elements) with options. The elements take the place of the list, under its name
    /// unless `alias` gives them another; `position` adds a column that counts them from 1. Elements that are
    /// null stay. A row whose list is null or empty gives no row; with `keep_empty` it gives one, with a null.
    ///
    /// Rows keep their event time and their order, and stand in the order of their list. A list of any
    /// length comes in batches of the usual size.
    ///
    /// ```
    /// use sabot::prelude::*;
    /// # use std::sync::Arc;
    /// # use sabot::arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    /// # use sabot::arrow::datatypes::Int64Type;
    /// # let lists = [Some(vec![Some(7), None]), None, Some(vec![Some(9)])];
    /// # let rows = RecordBatch::try_from_iter([
    /// #     ("card", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef),
    /// #     ("amounts", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
    /// # ])?;
    /// let cards = Stream::from_batches([rows])?; // a: [7, null], b: null, c: [9]
    /// let amounts = cards.clone().unnest("amounts")?.collect()?;
    /// assert_eq!(amounts[0].column(1).as_ref(), &Int64Array::from(vec![Some(7), None, Some(9)]));
    ///
    /// let numbered = cards.unnest(elements("amounts").alias("amount").position("nth").keep_empty())?;
    /// let rows = numbered.collect()?.remove(0);
    /// assert_eq!(rows.column(0).as_ref(), &StringArray::from(vec!["a", "a", "b", "c"]));
    /// assert_eq!(rows.column(2).as_ref(), &Int64Array::from(vec![Some(1), Some(2), None, Some(1)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown column, one that holds no lists, or two columns of one name.
    pub fn unnest(self, list: impl Into<UnnestRequest>) -> Result<Self> {
        let node = self.builder().unnest(self.node(), &list.into())?;
        Ok(self.with_node(node))
    }
}
