//! Functions of lists and structs.
//!
//! A list is a range of one long array of items, so an item is taken from that, and a value is compared
//! with all items of all lists at once.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use sabot_batch::gather;
use sabot_expr::functions::NestedFunction;
use sabot_ops::Failure;
use std::ops::Range;
use std::sync::Arc;

use super::super::arrow_bug;
use super::super::logic::is_true;
use super::super::value::Value;
use super::Call;
use crate::simd::compare::Comparison;

/// Lists of any kind: all items, and where those of each list stand among them.
struct Lists {
    items: ArrayRef,
    /// What lies under a null may be any range of items, or an empty one.
    ranges: Vec<Range<usize>>,
}

impl Lists {
    fn of(array: &ArrayRef) -> Option<Lists> {
        fn offsets<O: Copy + Into<i64>>(offsets: &[O]) -> Vec<Range<usize>> {
            let at = |offset: O| usize::try_from(offset.into()).unwrap_or(0);
            offsets.windows(2).map(|pair| at(pair[0])..at(pair[1])).collect()
        }
        fn views<O: Copy + Into<i64>>(offsets: &[O], sizes: &[O]) -> Vec<Range<usize>> {
            let at = |offset: O| usize::try_from(offset.into()).unwrap_or(0);
            offsets.iter().zip(sizes).map(|(offset, size)| at(*offset)..at(*offset) + at(*size)).collect()
        }
        Some(match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list_opt::<i32>()?;
                Lists { items: list.values().clone(), ranges: offsets(list.value_offsets()) }
            }
            DataType::LargeList(_) => {
                let list = array.as_list_opt::<i64>()?;
                Lists { items: list.values().clone(), ranges: offsets(list.value_offsets()) }
            }
            DataType::ListView(_) => {
                let list = array.as_list_view_opt::<i32>()?;
                Lists {
                    items: list.values().clone(),
                    ranges: views(list.value_offsets(), list.value_sizes()),
                }
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view_opt::<i64>()?;
                Lists {
                    items: list.values().clone(),
                    ranges: views(list.value_offsets(), list.value_sizes()),
                }
            }
            DataType::FixedSizeList(_, size) => {
                let list = array.as_fixed_size_list_opt()?;
                let size = usize::try_from(*size).ok()?;
                let ranges = (0..list.len()).map(|row| row * size..(row + 1) * size).collect();
                Lists { items: list.values().clone(), ranges }
            }
            _ => return None,
        })
    }
}

impl Call<'_> {
    pub(super) fn nested_function(&self, function: NestedFunction) -> Result<ArrayRef, Failure> {
        match function {
            NestedFunction::ListLength => {
                let lists = self.lists()?;
                Ok(self.counts(|row| lists.ranges[row].len() as i64))
            }
            NestedFunction::ListElement => self.list_element(),
            NestedFunction::ListContains => self.list_contains(),
            NestedFunction::StructField => self.struct_field(),
        }
    }

    /// The lists of the first argument, one a row.
    fn lists(&self) -> Result<Lists, Failure> {
        let array = self.arg(0)?.clone().into_array(self.rows)?;
        Lists::of(&array).ok_or_else(|| self.wrong_type())
    }

    fn list_element(&self) -> Result<ArrayRef, Failure> {
        let (list, position) = (self.arg(0)?.clone().into_array(self.rows)?, self.count(1)?);
        let lists = self.lists()?;
        let positions = self.arg(1)?;
        let is_null = |row: usize| {
            list.is_null(row) || positions.array().is_null(if positions.is_constant() { 0 } else { row })
        };
        let place = |row: usize| -> Option<u64> {
            if is_null(row) {
                return None;
            }
            let range = lists.ranges[row].clone();
            let at = match position.get(row) {
                from_end @ ..0 => (range.len() as i64).checked_add(from_end)?,
                from_start => from_start - 1,
            };
            let at = usize::try_from(at).ok().filter(|at| *at < range.len())?;
            Some((range.start + at) as u64)
        };
        let places: UInt64Array = (0..self.rows).map(place).collect();
        self.decoded(gather(&lists.items, &places).map_err(arrow_bug)?)
    }

    fn list_contains(&self) -> Result<ArrayRef, Failure> {
        let lists = self.lists()?;
        let value = self.arg(1)?;
        let rows = || (0..self.rows).filter(|row| self.is_valid(*row));
        // The items of the lists one after the other, and beside each of them the value of its row.
        let places: UInt64Array =
            rows().flat_map(|row| lists.ranges[row].clone()).map(|at| at as u64).collect();
        let items = take(&lists.items, &places, None).map_err(arrow_bug)?;
        let wanted = match value.is_constant() {
            true => value.clone(),
            false => {
                let owners = rows().flat_map(|row| lists.ranges[row].clone().map(move |_| row as u64));
                let owners: UInt64Array = owners.collect();
                Value::column(take(value.array(), &owners, None).map_err(arrow_bug)?)
            }
        };
        let count = items.len();
        let items = Value::column(self.decoded_to(items, value.array().data_type())?);
        let equal = self.scope.compare(Comparison::Eq, &items, &wanted)?.into_booleans(count)?;
        let equal = is_true(&equal);
        let mut next = 0;
        let bits = BooleanBuffer::collect_bool(self.rows, |row| {
            if !self.is_valid(row) {
                return false;
            }
            let first = next;
            next += lists.ranges[row].len();
            (first..next).any(|at| equal.value(at))
        });
        Ok(Arc::new(BooleanArray::new(bits, self.nulls.clone())))
    }

    fn struct_field(&self) -> Result<ArrayRef, Failure> {
        let array = self.arg(0)?.array();
        let fields = array.as_struct_opt().ok_or_else(|| self.wrong_type())?;
        let name = self.literal_text(1)?.unwrap_or_default();
        let field = fields.column_by_name(name).ok_or_else(|| self.wrong_type())?;
        let field = self.decoded(field.clone())?;
        // Where the struct is null its fields are, whatever they hold.
        let nulls = NullBuffer::union(fields.nulls(), field.nulls());
        let data = field.to_data().into_builder().nulls(nulls).build().map_err(arrow_bug)?;
        Ok(arrow::array::make_array(data))
    }

    /// Items or fields with their encoding undone, as the result has it.
    fn decoded(&self, array: ArrayRef) -> Result<ArrayRef, Failure> {
        self.decoded_to(array, self.returns)
    }

    fn decoded_to(&self, array: ArrayRef, wanted: &DataType) -> Result<ArrayRef, Failure> {
        if array.data_type() == wanted { Ok(array) } else { cast(&array, wanted).map_err(arrow_bug) }
    }
}
