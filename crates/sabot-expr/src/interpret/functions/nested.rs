//! Functions of lists and structs.

use arrow::datatypes::DataType;
use std::cmp::Ordering;

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::NestedFunction;
use crate::interpret::compare;
use crate::scalar::Scalar;

impl Call<'_> {
    pub(super) fn nested_function(&self, function: NestedFunction) -> Result<Scalar, RowErrorKind> {
        match function {
            NestedFunction::ListLength => Ok(Scalar::Int64(self.items()?.len() as i64)),
            NestedFunction::ListElement => {
                if self.arg(1)?.is_null() {
                    return Ok(self.null());
                }
                let items = self.items()?;
                let position = match self.integer(1)? {
                    from_end @ ..0 => items.len() as i128 + from_end,
                    from_start => from_start - 1,
                };
                let item = usize::try_from(position).ok().and_then(|position| items.get(position));
                Ok(item.cloned().unwrap_or_else(|| self.null()))
            }
            NestedFunction::ListContains => {
                let value = self.arg(1)?;
                let found = self.items()?.iter().any(|item| compare(item, value) == Some(Ordering::Equal));
                Ok(Scalar::Boolean(found))
            }
            NestedFunction::StructField => {
                let Scalar::Struct { data_type: DataType::Struct(fields), values } = self.arg(0)? else {
                    return Err(self.bug("of no struct".to_owned()));
                };
                let name = self.text(1)?;
                let value =
                    fields.iter().position(|field| field.name() == name).and_then(|at| values.get(at));
                value.cloned().ok_or_else(|| self.bug(format!("there is no field '{name}'")))
            }
        }
    }

    fn items(&self) -> Result<&[Scalar], RowErrorKind> {
        match self.arg(0)? {
            Scalar::List { items, .. } => Ok(items),
            _ => Err(self.bug("of no list".to_owned())),
        }
    }
}
