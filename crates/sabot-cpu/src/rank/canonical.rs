//! One zero and one NaN, also inside of lists and structs.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray,
    OffsetSizeTrait, PrimitiveArray, StructArray, downcast_run_array,
};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use sabot_ops::Failure;
use std::sync::Arc;

use super::internal;

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// The column with −0.0 as 0.0 and every NaN as the one that is greater than all numbers. Columns without
/// floats come back as they are.
///
/// # Errors
/// [`Failure::Internal`] when Arrow cannot put a nested column together again.
pub fn one_zero_one_nan(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    if !has_floats(column.data_type()) {
        return Ok(column.clone());
    }
    Ok(match column.data_type() {
        DataType::Float16 => floats::<Float16Type>(column, |x| {
            let wide = f32::from(x);
            if wide.is_nan() {
                Half::NAN
            } else if wide == 0.0 {
                Half::ZERO
            } else {
                x
            }
        }),
        DataType::Float32 => {
            floats::<Float32Type>(column, |x| if x.is_nan() { f32::from_bits(0x7fc0_0000) } else { x + 0.0 })
        }
        DataType::Float64 => {
            let nan = f64::from_bits(0x7ff8_0000_0000_0000);
            floats::<Float64Type>(column, |x| if x.is_nan() { nan } else { x + 0.0 })
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            dictionary.with_values(one_zero_one_nan(dictionary.values())?)
        }
        DataType::List(_) => list::<i32>(column)?,
        DataType::LargeList(_) => list::<i64>(column)?,
        DataType::ListView(_) => list_view::<i32>(column)?,
        DataType::LargeListView(_) => list_view::<i64>(column)?,
        DataType::RunEndEncoded(..) => downcast_run_array!(
            column => Arc::new(column.with_values(one_zero_one_nan(column.values())?)),
            _ => column.clone(),
        ),
        DataType::FixedSizeList(field, size) => {
            let lists = column.as_fixed_size_list();
            let items = one_zero_one_nan(lists.values())?;
            let built = FixedSizeListArray::try_new(field.clone(), *size, items, lists.nulls().cloned());
            Arc::new(built.map_err(internal)?)
        }
        _ => match column.as_struct_opt() {
            Some(structs) => {
                let columns =
                    structs.columns().iter().map(one_zero_one_nan).collect::<Result<Vec<_>, _>>()?;
                let built = StructArray::try_new(structs.fields().clone(), columns, structs.nulls().cloned());
                Arc::new(built.map_err(internal)?)
            }
            None => column.clone(),
        },
    })
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => true,
        DataType::Dictionary(_, values) => has_floats(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::RunEndEncoded(_, item) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_floats(field.data_type())),
        _ => false,
    }
}

fn floats<T: ArrowPrimitiveType>(column: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let floats: PrimitiveArray<T> = column.as_primitive::<T>().unary(one);
    Arc::new(floats)
}

fn list<O: OffsetSizeTrait>(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    let lists = column.as_list::<O>();
    let (field, offsets, items, nulls) = lists.clone().into_parts();
    let built = GenericListArray::<O>::try_new(field, offsets, one_zero_one_nan(&items)?, nulls);
    Ok(Arc::new(built.map_err(internal)?))
}

fn list_view<O: OffsetSizeTrait>(column: &ArrayRef) -> Result<ArrayRef, Failure> {
    let (field, offsets, sizes, items, nulls) = column.as_list_view::<O>().clone().into_parts();
    let built = GenericListViewArray::<O>::try_new(field, offsets, sizes, one_zero_one_nan(&items)?, nulls);
    Ok(Arc::new(built.map_err(internal)?))
}
