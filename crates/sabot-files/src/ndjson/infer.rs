//! Guessing the columns that objects have, and the fields of the objects and the items of the lists in them.
//!
//! What is no object and no list is guessed by the rules for text ([`Guess`]). Nulls and missing members say
//! nothing, empty lists only that there is a list. A member that is now one kind, now another, is text as it
//! is written, and so is what has no shape of its own: an object without any member, one whose names are too
//! many to be names ([`MAX_MEMBERS`]), and what lies deeper than [`MAX_DEPTH`].

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field, Fields};
use std::collections::HashMap;

use super::object::{items, members, value};
use crate::text::{Guess, Json};

/// With more different members an object's names are data (ids, dates) and would make a column each. DuckDB
/// draws the line there, too (`map_inference_threshold`).
const MAX_MEMBERS: usize = 200;

/// Levels of objects and lists that become types: more than anyone queries, and few enough that walking them
/// by recursion is safe for whatever a file holds.
const MAX_DEPTH: usize = 16;

/// The members that the objects of one place have had so far, in the order in which they were first seen.
pub(super) struct Members {
    /// How many levels stand above.
    depth: usize,
    utc: Tz,
    places: HashMap<String, usize>,
    shapes: Vec<(String, Shape)>,
    most: usize,
}

impl Members {
    /// Those of records, of which there may be any number.
    pub(super) fn of_records(utc: Tz) -> Self {
        Self { depth: 0, utc, places: HashMap::new(), shapes: Vec::new(), most: usize::MAX }
    }

    fn of_values(depth: usize, utc: Tz) -> Self {
        Self { depth, most: MAX_MEMBERS, ..Self::of_records(utc) }
    }

    /// Takes in an object. What is none says nothing here and is reported where it is read.
    pub(super) fn object(&mut self, content: &[u8]) {
        let _ = members(content, |name, raw| {
            if let (Some(shape), Some(value)) = (self.shape(name), value(raw)) {
                shape.take_in(&value);
            }
            Ok(())
        });
    }

    /// The shape of a member; none once there are too many, because then nobody asks for it.
    fn shape(&mut self, name: &str) -> Option<&mut Shape> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.shapes.len() > self.most => return None,
            None => {
                self.places.insert(name.to_owned(), self.shapes.len());
                self.shapes.push((name.to_owned(), Shape::new(self.depth, self.utc)));
                self.shapes.len() - 1
            }
        };
        self.shapes.get_mut(place).map(|(_, shape)| shape)
    }

    /// Whether they can be fields.
    fn are_fields(&self) -> bool {
        (1..=self.most).contains(&self.shapes.len())
    }

    /// A field for each; all may be null.
    pub(super) fn fields(&self) -> Fields {
        self.shapes.iter().map(|(name, shape)| Field::new(name, shape.data_type(), true)).collect()
    }
}

/// What the values of a member, or the items of a list, have been so far.
struct Shape {
    depth: usize,
    utc: Tz,
    /// Those that are no list and no object, and those that lie too deep.
    plain: Guess,
    list: Option<Box<Shape>>,
    object: Option<Members>,
}

impl Shape {
    fn new(depth: usize, utc: Tz) -> Self {
        Self { depth, utc, plain: Guess::new(utc), list: None, object: None }
    }

    fn take_in(&mut self, value: &Json<'_>) {
        let (below, utc) = (self.depth + 1, self.utc);
        match value {
            Json::Nested(text) if below <= MAX_DEPTH && text.starts_with('[') => {
                let list = self.list.get_or_insert_with(|| Box::new(Shape::new(below, utc)));
                for item in items(text).into_iter().flatten().filter_map(super::value) {
                    list.take_in(&item);
                }
            }
            Json::Nested(text) if below <= MAX_DEPTH => {
                let object = self.object.get_or_insert_with(|| Members::of_values(below, utc));
                object.object(text.as_bytes());
            }
            plain => self.plain.json(plain),
        }
    }

    fn data_type(&self) -> DataType {
        match (&self.list, &self.object) {
            (None, None) => self.plain.data_type(),
            (Some(items), None) if !self.plain.has_seen() => DataType::new_list(items.data_type(), true),
            (None, Some(object)) if !self.plain.has_seen() && object.are_fields() => {
                DataType::Struct(object.fields())
            }
            _ => DataType::Utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sabot_expr::type_name;

    /// The type of the member `x` of objects with these values of it.
    fn guess(values: &[&str]) -> String {
        let mut members = Members::of_records("UTC".parse().unwrap());
        values.iter().for_each(|value| members.object(format!("{{\"x\":{value}}}").as_bytes()));
        type_name(members.fields()[0].data_type())
    }

    #[test]
    fn shapes_are_those_that_all_values_have() {
        for (values, wanted) in [
            (&["[1, 2]", "[]", "null", "[null]"][..], "list(int64)"),
            (&["[1, 2.5]", "[\"NaN\"]"], "list(float64)"),
            (&["[1]", "[\"a\"]"], "list(utf8)"),
            (&["[]", "null"], "list(utf8)"),
            (&["[null]"], "list(utf8)"),
            (&["[[1], []]", "[null, [2]]"], "list(list(int64))"),
            (&["[[1], 2]"], "list(utf8)"),
            (&["[\"2001-12-31\"]"], "list(date32)"),
            (&["{\"a\":1}", "{\"b\":true}", "{\"a\":null}", "null"], "struct(a: int64, b: bool)"),
            (&["{\"a\":{\"b\":[{\"c\":1.5}]}}"], "struct(a: struct(b: list(struct(c: float64))))"),
            (&["[{\"a\":1}, {}]", "[{\"b\":\"x\"}]"], "list(struct(a: int64, b: utf8))"),
            (&["{\"a\":1}", "{\"a\":[1]}"], "struct(a: utf8)"),
            (&["{}", "{\"a\":1}"], "struct(a: int64)"),
            (&["{}", "{}"], "utf8"),
            (&["{\"a\":1}", "[1]"], "utf8"),
            (&["{\"a\":1}", "1"], "utf8"),
            (&["\"x\"", "[1]"], "utf8"),
            (&["1", "[1]", "1"], "utf8"),
        ] {
            assert_eq!(guess(values), wanted, "{values:?}");
        }
    }

    #[test]
    fn names_that_are_data_stay_text() {
        let object = |names: usize| {
            let member = |i: usize| format!("\"{i}\":1");
            format!("{{{}}}", (0..names).map(member).collect::<Vec<_>>().join(","))
        };
        assert!(guess(&[&object(MAX_MEMBERS)]).starts_with("struct("), "{}", guess(&[&object(200)]));
        assert_eq!(guess(&[&object(MAX_MEMBERS + 1)]), "utf8");
        assert_eq!(guess(&[&format!("[{}]", object(5000)), "[]"]), "list(utf8)");
        // Columns are as many as there are.
        let mut members = Members::of_records("UTC".parse().unwrap());
        members.object(object(5000).as_bytes());
        assert_eq!(members.fields().len(), 5000);
    }

    #[test]
    fn what_is_too_deep_stays_text() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        let typed =
            |levels: usize, inner: &str| format!("{}{inner}{}", "list(".repeat(levels), ")".repeat(levels));
        assert_eq!(guess(&[&nested(MAX_DEPTH)]), typed(MAX_DEPTH, "int64"));
        assert_eq!(guess(&[&nested(MAX_DEPTH + 1)]), typed(MAX_DEPTH, "utf8"));
        assert_eq!(guess(&[&nested(100)]), typed(MAX_DEPTH, "utf8"));
        // Deeper than the grammar's own limit the record is malformed, and here says nothing but that.
        guess(&[&nested(1_000_000), "1"]);
    }
}
