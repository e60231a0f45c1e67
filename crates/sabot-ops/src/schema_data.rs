//! Arrow schemas inside serialised specs and plans.

/// A schema as a list of fields with name, type name and nullability, for
/// `#[serde(with = "sabot_ops::schema_serde")]`. Arrow metadata is not part of a plan.
pub mod schema_serde {
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct FieldData {
        name: String,
        #[serde(rename = "type", with = "sabot_expr::types::type_serde")]
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
}
