//! Lists and structs of JSON as Arrow columns.
//!
//! A value that turns out to be malformed half way through has left some of its parts in the builders
//! below. They end up in the row that is filled in for it and that nobody sees, so nothing has to be taken
//! back.

use arrow::array::{ArrayRef, GenericListArray, NullBufferBuilder, OffsetSizeTrait, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{FieldRef, Fields};
use arrow::error::ArrowError;
use std::collections::HashMap;
use std::sync::Arc;

use super::columns::{Column, Json, Values};
use crate::ndjson::{items, members, value};

/// Lists; `None` where the items have no text.
pub(super) fn lists<O: OffsetSizeTrait>(item: &FieldRef) -> Option<Box<dyn Values>> {
    let items = Column::new(item)?;
    let nulls = NullBufferBuilder::new(0);
    Some(Box::new(Lists::<O> { item: item.clone(), items, ends: vec![O::usize_as(0)], nulls }))
}

struct Lists<O> {
    item: FieldRef,
    items: Column,
    /// Where each list ends; one more than there are lists.
    ends: Vec<O>,
    nulls: NullBufferBuilder,
}

impl<O: OffsetSizeTrait> Lists<O> {
    fn end(&mut self, valid: bool) -> bool {
        let Some(end) = O::from_usize(self.items.len()) else { return false };
        self.ends.push(end);
        self.nulls.append(valid);
        true
    }
}

impl<O: OffsetSizeTrait> Values for Lists<O> {
    fn text(&mut self, _cell: &str) -> bool {
        false
    }

    fn json(&mut self, list: &Json<'_>) -> bool {
        let Json::Nested(text) = list else { return false };
        let Some(found) = items(text) else { return false };
        let all = found.iter().all(|raw| value(raw).is_some_and(|item| self.items.json(&item)));
        all && self.end(true)
    }

    fn null(&mut self) {
        self.end(false);
    }

    fn filler(&mut self) {
        self.end(true);
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let ends = std::mem::replace(&mut self.ends, vec![O::usize_as(0)]);
        let (items, nulls) = (self.items.finish()?, self.nulls.finish());
        Ok(Arc::new(GenericListArray::try_new(
            self.item.clone(),
            OffsetBuffer::new(ends.into()),
            items,
            nulls,
        )?))
    }
}

/// Structs; `None` where a field has no text.
pub(super) fn structs(fields: &Fields) -> Option<Box<dyn Values>> {
    let columns = fields.iter().map(|field| Column::new(field)).collect::<Option<Vec<_>>>()?;
    let places = fields.iter().map(|field| field.name().clone()).zip(0..).collect();
    Some(Box::new(Structs { fields: fields.clone(), columns, places, nulls: NullBufferBuilder::new(0) }))
}

struct Structs {
    fields: Fields,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    nulls: NullBufferBuilder,
}

impl Values for Structs {
    fn text(&mut self, _cell: &str) -> bool {
        false
    }

    fn json(&mut self, object: &Json<'_>) -> bool {
        let Json::Nested(text) = object else { return false };
        let row = self.nulls.len();
        let mut fits = true;
        let whole = members(text.as_bytes(), |name, raw| {
            if let Some(column) = self.places.get(name).and_then(|place| self.columns.get_mut(*place)) {
                fits &= column.len() == row && value(raw).is_some_and(|value| column.json(&value));
            }
            Ok(())
        });
        fits &= whole.is_ok();
        let missing = self.columns.iter_mut().filter(|column| column.len() == row);
        fits &= missing.map(|column| column.json(&Json::Null)).fold(true, |all, fits| all & fits);
        if fits {
            self.nulls.append_non_null();
        }
        fits
    }

    fn null(&mut self) {
        self.nulls.append_null();
        let rows = self.nulls.len();
        self.columns.iter_mut().for_each(|column| column.fill(rows));
    }

    fn filler(&mut self) {
        self.nulls.append_non_null();
        let rows = self.nulls.len();
        self.columns.iter_mut().for_each(|column| column.fill(rows));
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        let columns = self.columns.iter_mut().map(Column::finish).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?))
    }
}
