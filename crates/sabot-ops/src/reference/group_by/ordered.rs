//! What depends on where rows stand: the first value, the last one, all of them in order.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, LargeStringArray, make_comparator, new_null_array,
};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use sabot_expr::RowErrorKind;
use std::cmp::Ordering;
use std::sync::Arc;

use super::distinct::one_list;
use super::state::{Row, State};
use crate::reference::internal;
use crate::{AggregateFunction, AggregateSpec, Failure};

/// A value and the bytes of its place.
#[derive(Clone)]
struct Item {
    place: Vec<u8>,
    value: ArrayRef,
}

impl Item {
    fn of(row: &Row<'_>) -> Result<Self, Failure> {
        let place = row.place.as_ref().ok_or_else(|| internal("a row that does not say where it stands"))?;
        Ok(Item { place: place.to_bytes(), value: row.arguments[0].clone() })
    }

    /// By place; among copies of one row by value, null last.
    fn compare(&self, other: &Item) -> Ordering {
        let options = SortOptions { descending: false, nulls_first: false };
        // Values that have no order are equal.
        let by_value = || {
            let compare = make_comparator(&self.value, &other.value, options);
            compare.map_or(Ordering::Equal, |compare| compare(0, 0))
        };
        self.place.cmp(&other.place).then_with(by_value)
    }
}

/// The first or the last value.
pub(super) struct End {
    best: Option<Item>,
    wanted: Ordering,
    returns: DataType,
}

impl End {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let wanted = match aggregate.function {
            AggregateFunction::First => Ordering::Less,
            _ => Ordering::Greater,
        };
        let returns = aggregate.result_field().map_err(internal)?.data_type().clone();
        Ok(Self { best: None, wanted, returns })
    }

    fn improve(&mut self, item: Item) {
        if self.best.as_ref().is_none_or(|best| item.compare(best) == self.wanted) {
            self.best = Some(item);
        }
    }
}

impl State for End {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        self.improve(Item::of(row)?);
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let places = parts[1].as_binary::<i32>();
        if places.is_valid(0) {
            self.improve(Item { place: places.value(0).to_vec(), value: parts[0].clone() });
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        Ok(match &self.best {
            Some(item) => vec![item.value.clone(), Arc::new(BinaryArray::from_vec(vec![&item.place]))],
            None => vec![new_null_array(&self.returns, 1), new_null_array(&DataType::Binary, 1)],
        })
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        Ok(Ok(self.parts()?.remove(0)))
    }
}

/// All values.
pub(super) struct Listed {
    items: Vec<Item>,
    item: FieldRef,
    /// What strings are joined with; a list is made where there is none.
    separator: Option<String>,
    returns: DataType,
}

impl Listed {
    pub(super) fn new(aggregate: &AggregateSpec) -> Result<Self, Failure> {
        let state = aggregate.state_fields().map_err(internal)?;
        let DataType::List(item) = state[0].data_type() else {
            return Err(internal("values that are no list"));
        };
        let separator = match &aggregate.function {
            AggregateFunction::StringAgg { separator } => Some(separator.clone()),
            _ => None,
        };
        let returns = aggregate.result_field().map_err(internal)?.data_type().clone();
        Ok(Self { items: Vec::new(), item: item.clone(), separator, returns })
    }

    fn sorted(&self) -> Vec<Item> {
        let mut sorted = self.items.clone();
        sorted.sort_by(Item::compare);
        sorted
    }
}

impl State for Listed {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        // A null is an item of a list; strings are joined without.
        if self.separator.is_none() || row.arguments[0].is_valid(0) {
            self.items.push(Item::of(row)?);
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let (values, places) = (parts[0].as_list::<i32>().value(0), parts[1].as_list::<i32>().value(0));
        let places = places.as_binary::<i32>();
        if values.len() != places.len() {
            return Err(internal("another number of values than of places"));
        }
        for i in 0..values.len() {
            self.items.push(Item { place: places.value(i).to_vec(), value: values.slice(i, 1) });
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let sorted = self.sorted();
        let values: Vec<ArrayRef> = sorted.iter().map(|item| item.value.clone()).collect();
        let place = |item: &Item| Arc::new(BinaryArray::from_vec(vec![&item.place])) as ArrayRef;
        let places: Vec<ArrayRef> = sorted.iter().map(place).collect();
        let bytes = Arc::new(Field::new_list_field(DataType::Binary, false));
        Ok(vec![one_list(&self.item, &values)?, one_list(&bytes, &places)?])
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        if self.items.is_empty() {
            return Ok(Ok(new_null_array(&self.returns, 1)));
        }
        let Some(separator) = &self.separator else { return Ok(Ok(self.parts()?.remove(0))) };
        let text = |item: &Item| {
            let text = cast(&item.value, &DataType::LargeUtf8)?;
            Ok(text.as_string::<i64>().value(0).to_owned())
        };
        let texts =
            self.sorted().iter().map(text).collect::<Result<Vec<_>, ArrowError>>().map_err(internal)?;
        let joined: ArrayRef = Arc::new(LargeStringArray::from(vec![texts.join(separator)]));
        Ok(Ok(cast(&joined, &self.returns).map_err(internal)?))
    }
}
