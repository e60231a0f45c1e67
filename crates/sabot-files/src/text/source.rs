//! Files of text as a source.

use arrow::datatypes::{Schema, SchemaRef};
use sabot_connect::{ConnectError, PartitionReader, Position, ReadRequest, Spawner};
use sabot_expr::types::type_name;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::columns::{Column, TYPES};
use super::decode::{TextDecoder, TextFormat, TextPlan};
use super::records::{Record, Records};
use crate::input::Input;
use crate::reader::SequentialReader;
use crate::source::FileFormat;

/// The files of a source, whose columns are known.
#[derive(Debug)]
pub(crate) struct TextSource {
    inputs: Vec<Input>,
    format: Arc<dyn TextFormat>,
    schema: SchemaRef,
    max_record_bytes: usize,
}

impl TextSource {
    /// A source of these inputs.
    pub(crate) fn new(
        name: &str,
        inputs: Vec<Input>,
        format: Arc<dyn TextFormat>,
        schema: SchemaRef,
        max_record_bytes: usize,
    ) -> Result<Self, ConnectError> {
        check_columns(name, &*format, &schema)?;
        Ok(Self { inputs, format, schema, max_record_bytes })
    }
}

/// Checks that columns have names of their own and types that have a text.
fn check_columns(name: &str, format: &dyn TextFormat, schema: &Schema) -> Result<(), ConnectError> {
    let mut names = BTreeSet::new();
    for field in schema.fields() {
        if !format.holds(field.data_type()) || Column::new(field).is_none() {
            return Err(ConnectError::UnsupportedType {
                name: name.to_owned(),
                column: field.name().clone(),
                type_name: type_name(field.data_type()),
                supported: TYPES.to_owned(),
            });
        }
        if !names.insert(field.name()) {
            let difference = format!("two columns are named \"{}\"", field.name());
            return Err(ConnectError::SchemaMismatch { name: name.to_owned(), difference });
        }
    }
    Ok(())
}

impl FileFormat for TextSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn open(
        &self,
        number: usize,
        from: Position,
        request: &ReadRequest,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Box<dyn PartitionReader>, ConnectError> {
        let input = &self.inputs[number];
        input.check_offset(from)?;
        let (format, schema) = (self.format.clone(), self.schema.clone());
        let plan = TextPlan::new(input.clone(), format, self.max_record_bytes, schema, request)?;
        let decoder = Box::new(TextDecoder::new(plan, from));
        let name = self.format.name();
        Ok(SequentialReader::boxed(input, number, name, decoder, from, request, spawner))
    }
}

/// Shows the first `limit` records of an input.
pub(crate) fn sample(
    input: &Input,
    format: &dyn TextFormat,
    max_record_bytes: usize,
    limit: usize,
    mut show: impl FnMut(&Record<'_>) -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    input.peek(|bytes| {
        let records = Records::new(bytes, format.splitter(), max_record_bytes, 0, None);
        let mut records = records.live(input.is_live());
        for _ in 0..limit {
            match records.next().map_err(|error| input.read_error(error))? {
                Some(record) => show(&record)?,
                None => break,
            }
        }
        Ok(())
    })
}
