//! Arrow schemas inside serialised specs and plans.

/// A schema as a list of fields with name, type name and nullability, for
/// `#[serde(with = "sabot_ops::schema_serde")]`. Arrow metadata is not part of a plan.
///
/// Types are those of expressions, and binary: a hidden column has it
/// ([`hidden::KEY`](sabot_batch::hidden::KEY)), although no expression does.
pub mod schema_serde {
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct FieldData {
        name: String,
        #[serde(rename = "type", with = "type_or_binary")]
        data_type: DataType,
        nullable: bool,
    }

    /// Writes the fields.
    ///
    /// # Errors
    /// Those of the serializer, and a type that plans do not know.
    pub fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = schema.fields().iter().map(|f| FieldData {
            name: f.name().clone(),
            data_type: f.data_type().clone(),
            nullable: f.is_nullable(),
        });
        serializer.collect_seq(fields)
    }

    /// Reads the fields.
    ///
    /// # Errors
    /// Those of the deserializer, and a type that plans do not know.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
        let fields = Vec::<FieldData>::deserialize(deserializer)?;
        let fields: Vec<Field> =
            fields.into_iter().map(|f| Field::new(f.name, f.data_type, f.nullable)).collect();
        Ok(Schema::new(fields).into())
    }

    mod type_or_binary {
        use arrow::datatypes::DataType;
        use sabot_expr::types::{SUPPORTED_TYPES, parse_type, type_serde};
        use serde::{Deserialize, Deserializer, Serializer, de};

        const BINARY: &str = "binary";

        pub(super) fn serialize<S: Serializer>(
            data_type: &DataType,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match data_type {
                DataType::Binary => serializer.serialize_str(BINARY),
                other => type_serde::serialize(other, serializer),
            }
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DataType, D::Error> {
            let name = String::deserialize(deserializer)?;
            match name.as_str() {
                BINARY => Ok(DataType::Binary),
                other => parse_type(other).ok_or_else(|| {
                    de::Error::custom(format!("unknown type \"{name}\"; types: {SUPPORTED_TYPES}, {BINARY}"))
                }),
            }
        }
    }
}
