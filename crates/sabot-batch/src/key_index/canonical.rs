//! Columns in the form in which keys are kept: no dictionary and no runs, one zero and one NaN, at any depth.

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, GenericListViewArray, OffsetSizeTrait,
    PrimitiveArray, StructArray, UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;
use std::sync::Arc;

use crate::run_values;

/// The type that a key column of a type is kept in.
///
/// ```
/// use arrow::datatypes::DataType;
/// use sabot_batch::key_index::canonical_type;
/// let codes = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
/// assert_eq!(canonical_type(&codes), DataType::Utf8);
/// assert_eq!(canonical_type(&DataType::new_list(codes, true)), DataType::new_list(DataType::Utf8, true));
/// ```
pub fn canonical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => canonical_type(values),
        DataType::RunEndEncoded(_, values) => canonical_type(values.data_type()),
        DataType::List(item) => DataType::List(canonical_field(item)),
        DataType::LargeList(item) => DataType::LargeList(canonical_field(item)),
        DataType::ListView(item) => DataType::ListView(canonical_field(item)),
        DataType::LargeListView(item) => DataType::LargeListView(canonical_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(canonical_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(canonical_field).collect()),
        plain => plain.clone(),
    }
}

fn canonical_field(field: &FieldRef) -> FieldRef {
    let data_type = canonical_type(field.data_type());
    if *field.data_type() == data_type {
        return field.clone();
    }
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// The column in that form, of the type that [`canonical_type`] gives.
///
/// # Errors
/// Those of Arrow, where an array is not what its type says.
pub fn canonical(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            canonical(&take(dictionary.values(), dictionary.keys(), None)?)?
        }
        DataType::RunEndEncoded(_, _) => match run_values(array.as_ref()) {
            Some((places, values)) => {
                let places = UInt64Array::from_iter_values(places.into_iter().map(|place| place as u64));
                canonical(&take(values, &places, None)?)?
            }
            None => return Err(ArrowError::CastError(format!("{} is no array of runs", array.data_type()))),
        },
        DataType::Float16 => floats::<Float16Type>(array, |x| {
            let positive =
                if x.to_f32() == 0.0 { <Float16Type as ArrowPrimitiveType>::Native::ZERO } else { x };
            if x.is_nan() { <Float16Type as ArrowPrimitiveType>::Native::NAN } else { positive }
        }),
        // Adding zero turns −0.0 into 0.0 and changes nothing else.
        DataType::Float32 => floats::<Float32Type>(array, |x| if x.is_nan() { f32::NAN } else { x + 0.0 }),
        DataType::Float64 => floats::<Float64Type>(array, |x| if x.is_nan() { f64::NAN } else { x + 0.0 }),
        DataType::List(item) => list::<i32>(array, item)?,
        DataType::LargeList(item) => list::<i64>(array, item)?,
        DataType::ListView(item) => list_view::<i32>(array, item)?,
        DataType::LargeListView(item) => list_view::<i64>(array, item)?,
        DataType::FixedSizeList(item, size) => {
            let list = array.as_fixed_size_list();
            let (items, nulls) = (canonical(list.values())?, list.nulls().cloned());
            let item = canonical_field(item);
            Arc::new(FixedSizeListArray::try_new_with_length(item, *size, items, nulls, list.len())?)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().map(canonical).collect::<Result<_, _>>()?;
            let (fields, nulls) = (fields.iter().map(canonical_field).collect(), array.nulls().cloned());
            Arc::new(StructArray::try_new_with_length(fields, columns, nulls, array.len())?)
        }
        _ => array.clone(),
    })
}

fn floats<T: ArrowPrimitiveType>(array: &ArrayRef, one: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let canonical: PrimitiveArray<T> = array.as_primitive::<T>().unary(one);
    Arc::new(canonical)
}

fn list<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list::<O>();
    let (items, nulls) = (canonical(list.values())?, list.nulls().cloned());
    let whole = GenericListArray::<O>::try_new(canonical_field(item), list.offsets().clone(), items, nulls);
    Ok(Arc::new(whole?))
}

fn list_view<O: OffsetSizeTrait>(array: &ArrayRef, item: &FieldRef) -> Result<ArrayRef, ArrowError> {
    let list = array.as_list_view::<O>();
    let (items, nulls) = (canonical(list.values())?, list.nulls().cloned());
    let (offsets, sizes) = (list.offsets().clone(), list.sizes().clone());
    Ok(Arc::new(GenericListViewArray::<O>::try_new(canonical_field(item), offsets, sizes, items, nulls)?))
}
