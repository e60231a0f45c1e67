//! The members of one JSON object, without building the object.
//!
//! The grammar is serde_json's: RFC 8259 to the letter. Values are handed over as they are written, so
//! that a number keeps all of its digits until it meets the type of its column, and a member that nobody
//! asks for costs a scan and nothing more.

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

use crate::text::{Fault, Json, shown};

/// Hands each member of the object in `content` to `each`, in the order in which they are written.
pub(crate) fn members<'a>(
    content: &'a [u8],
    mut each: impl FnMut(&str, &'a RawValue) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fault = None;
    let mut text = serde_json::Deserializer::from_slice(content);
    let members = Members(|name: &str, value| {
        each(name, value).map_err(|found| {
            fault = Some(found);
        })
    });
    let outcome = text.deserialize_map(members).and_then(|()| text.end());
    match (outcome, fault) {
        (_, Some(fault)) => Err(fault),
        (Ok(()), None) => Ok(()),
        (Err(error), None) => {
            let why = error.to_string();
            // It is one line; where in it is what helps.
            let why = why.replace(" at line 1 column ", " at byte ");
            let found = format!("{} ({why})", shown(content));
            Err(Fault { column: None, expected: "a JSON object".to_owned(), found })
        }
    }
}

struct Members<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue) -> Result<(), ()>> Visitor<'de> for Members<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = object.next_key()? {
            let value: &'de RawValue = object.next_value()?;
            (self.0)(&name, value).map_err(|()| A::Error::custom("a member is not wanted"))?;
        }
        Ok(())
    }
}

/// A name, copied only if it has escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The items of a list; `None` if it is none.
pub(crate) fn items(text: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(text).ok()
}

/// What a value is; `None` for a string with an escape that stands for no character.
pub(crate) fn value(raw: &RawValue) -> Option<Json<'_>> {
    let text = raw.get();
    Some(match text.as_bytes().first() {
        Some(b'n') => Json::Null,
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'"') => match text.contains('\\') {
            false => Json::Text(Cow::Borrowed(&text[1..text.len() - 1])),
            true => Json::Text(Cow::Owned(serde_json::from_str(text).ok()?)),
        },
        Some(b'{' | b'[') => Json::Nested(text),
        _ => Json::Number(text),
    })
}
