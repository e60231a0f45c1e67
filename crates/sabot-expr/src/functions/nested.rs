//! Functions of lists and structs. Positions count from 1, or from the end if they are negative.

use arrow::datatypes::{DataType, Field};
use std::sync::Arc;

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one};
use crate::scalar::Scalar;

const LIST: Entry = Entry {
    name: "",
    about: "",
    parameters: &[one("list", Takes::List)],
    returns: Returns::Int64,
    nulls: Nulls::AnyArgument,
    errors: Errors::NEVER,
    ulp: 0,
    example: example!(0 => 0),
};

/// The list `[10, 20, 30]`.
fn tens() -> Scalar {
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    Scalar::List { data_type: DataType::List(item), items: [10, 20, 30].map(Scalar::Int64).to_vec() }
}

/// The struct with the fields x and y.
fn point() -> Scalar {
    let field = |name: &str| Field::new(name, DataType::Float64, true);
    let values = [1.5, 2.5].map(Scalar::Float64).to_vec();
    Scalar::Struct { data_type: DataType::Struct(vec![field("x"), field("y")].into()), values }
}

family! {
    /// Functions of lists and structs.
    pub enum NestedFunction {
        ListLength => Entry {
            name: "list_length",
            about: "The number of items.",
            example: example!(tens() => 3i64),
            ..LIST
        },
        ListElement => Entry {
            name: "list_element",
            about: "The item at a position.",
            parameters: &[one("list", Takes::List), one("position", Takes::Count)],
            returns: Returns::Item,
            nulls: Nulls::Also("an argument is, or the item; where there is no such item"),
            example: example!(tens(), -1 => 30i64),
            ..LIST
        },
        ListContains => Entry {
            name: "list_contains",
            about: "Whether an item equals a value.",
            parameters: &[one("list", Takes::List), one("value", Takes::Item)],
            returns: Returns::Boolean,
            example: example!(tens(), 20 => true),
            ..LIST
        },
        StructField => Entry {
            name: "struct_field",
            about: "A field by its name; the first one of that name.",
            parameters: &[one("struct", Takes::Struct), one("name", Takes::Field)],
            returns: Returns::Field,
            nulls: Nulls::Also("the struct is, or its field"),
            example: example!(point(), "y" => 2.5),
            ..LIST
        },
    }
}
