//! Stable digests of a node: the same on every machine, in every run and every build.
//!
//! Ids of unnamed operators are made of them, and state is found again by id, so they must not depend on
//! addresses, on hash seeds, or on how a type is laid out in memory. They are therefore taken over what
//! serde writes: two nodes that are stored alike have the same digest.
//!
//! There are two. The *own* digest is of what the node itself does, so that an operator keeps its state when the
//! pipeline changes around it: a source is what is read and by which time, a sink is where rows go. Where two
//! operators of a plan agree in it, state could go to the wrong one; those are told apart by the digest *with all
//! above*, which changes with any of that.

use serde::ser::{self, Serialize, Serializer};
use std::fmt::{self, Display};

use crate::{Connector, NodeKind};

/// The digests of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Digests {
    /// Of what it does by itself.
    pub(crate) own: u64,
    /// Of that and everything above.
    pub(crate) with_all_above: u64,
}

impl Digests {
    pub(crate) fn new(kind: &NodeKind, inputs: &[Digests]) -> Self {
        let of = |f: &dyn Fn(&mut Digest) -> Result<(), Unwritable>| {
            let mut digest = Digest(OFFSET);
            if let Err(error) = f(&mut digest) {
                // Only types that plans do not know cannot be written, and they are refused before. Were one to
                // come here all the same, the id would still be stable.
                digest.text(&error.0);
            }
            digest
        };
        let own = of(&|digest| {
            identity(kind, &mut *digest)?;
            // An event time belongs to its source.
            let mut inputs = inputs.iter().filter(|_| matches!(kind, NodeKind::EventTime { .. }));
            inputs.try_for_each(|input| input.own.serialize(&mut *digest))
        });
        let mut whole = of(&|digest| identity(kind, digest));
        inputs.iter().for_each(|input| whole.bytes(&input.with_all_above.to_le_bytes()));
        Self { own: own.finish(), with_all_above: whole.finish() }
    }

    /// Of a node with a name, which shields what follows from changes before it.
    pub(crate) fn of_name(name: &str) -> Self {
        let mut digest = Digest(OFFSET);
        digest.text(name);
        let digest = digest.finish();
        Self { own: digest, with_all_above: digest }
    }
}

/// What makes a node the one that it was in an earlier run.
fn identity(kind: &NodeKind, digest: &mut Digest) -> Result<(), Unwritable> {
    match kind {
        // How it is read and written may change.
        NodeKind::Source { connector, .. } | NodeKind::Sink { connector, .. } => match (connector, kind) {
            (Connector::Registered { kind, options, .. }, _) if options.contains_key("path") => {
                (kind, &options["path"]).serialize(digest)
            }
            // Its name is one of the process.
            (Connector::Slot(_), NodeKind::Sink { .. }) => "slot".serialize(digest),
            (connector, _) => connector.serialize(digest),
        },
        // How late rows may be can change.
        NodeKind::EventTime { column, .. } => column.serialize(digest),
        NodeKind::MapBatches { schema, .. } => {
            NodeKind::MapBatches { slot: String::new(), schema: schema.clone() }.serialize(digest)
        }
        kind => kind.serialize(digest),
    }
}

// FNV-1a with 64 bits: a few bytes a node, no seed, and every implementation of it agrees.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

struct Digest(u64);

/// What stands before a value, so that `1` and `"1"`, or a list of one and its member, differ.
#[derive(Clone, Copy)]
enum Tag {
    Nothing = 1,
    Bool,
    Signed,
    Unsigned,
    Float,
    Text,
    Bytes,
    Some,
    Sequence,
    Map,
    Variant,
    End,
}

impl Digest {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    fn tag(&mut self, tag: Tag) {
        self.bytes(&[tag as u8]);
    }

    fn text(&mut self, text: &str) {
        self.tag(Tag::Text);
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    /// Spreads the last bytes over all bits: ids show only the upper ones.
    fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    }
}

#[derive(Debug)]
struct Unwritable(String);

impl Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: Display>(message: T) -> Self {
        Unwritable(message.to_string())
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty => $tag:ident as $wide:ty;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Unwritable> {
            self.tag(Tag::$tag);
            self.bytes(&<$wide>::from(value).to_le_bytes());
            Ok(())
        }
    )*};
}

impl Serializer for &mut Digest {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_bool: bool => Bool as u8;
        serialize_i8: i8 => Signed as i64;
        serialize_i16: i16 => Signed as i64;
        serialize_i32: i32 => Signed as i64;
        serialize_i64: i64 => Signed as i64;
        serialize_i128: i128 => Signed as i128;
        serialize_u8: u8 => Unsigned as u64;
        serialize_u16: u16 => Unsigned as u64;
        serialize_u32: u32 => Unsigned as u64;
        serialize_u64: u64 => Unsigned as u64;
        serialize_u128: u128 => Unsigned as u128;
        serialize_f32: f32 => Float as f64;
        serialize_f64: f64 => Float as f64;
        serialize_char: char => Unsigned as u32;
    }

    fn serialize_str(self, text: &str) -> Result<(), Unwritable> {
        self.text(text);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Unwritable> {
        self.tag(Tag::Bytes);
        self.bytes(&(bytes.len() as u64).to_le_bytes());
        self.bytes(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unwritable> {
        self.tag(Tag::Nothing);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unwritable> {
        self.tag(Tag::Some);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unwritable> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unwritable> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unwritable> {
        self.tag(Tag::Variant);
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unwritable> {
        self.tag(Tag::Variant);
        self.text(variant);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unwritable> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritable> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        self.tag(Tag::Sequence);
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.tag(Tag::Variant);
        self.text(variant);
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unwritable> {
        self.tag(Tag::Map);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        self.tag(Tag::Map);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.tag(Tag::Variant);
        self.text(variant);
        Ok(self)
    }
}

macro_rules! members {
    ($($trait:ident $method:ident;)*) => {$(
        impl ser::$trait for &mut Digest {
            type Ok = ();
            type Error = Unwritable;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unwritable> {
                self.tag(Tag::End);
                Ok(())
            }
        }
    )*};
}

members! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl ser::$trait for &mut Digest {
            type Ok = ();
            type Error = Unwritable;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unwritable> {
                self.text(name);
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unwritable> {
                self.tag(Tag::End);
                Ok(())
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for &mut Digest {
    type Ok = ();
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritable> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unwritable> {
        self.tag(Tag::End);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &impl Serialize) -> u64 {
        let mut digest = Digest(OFFSET);
        value.serialize(&mut digest).unwrap();
        digest.finish()
    }

    #[test]
    fn values_that_are_stored_differently_differ() {
        let all = [
            of(&1u8),
            of(&1i8),
            of(&"1"),
            of(&Some(1u8)),
            of(&[1u8]),
            of(&(1u8, 1u8)),
            of(&vec![vec![1u8], vec![]]),
            of(&vec![vec![], vec![1u8]]),
            of(&vec!["ab", "c"]),
            of(&vec!["a", "bc"]),
            of(&Option::<u8>::None),
            of(&Connector::slot("a")),
            of(&Connector::registered("a", [("b", "c")])),
        ];
        let distinct: std::collections::HashSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    fn sink(ordered: bool) -> NodeKind {
        NodeKind::Sink {
            connector: Connector::registered("csv", [("path", "out.csv")]),
            ordered,
            accepts: crate::ChangeMode::AppendOnly,
            collects: None,
        }
    }

    /// State is found again by ids, so a change here loses it: the numbers are part of the format.
    #[test]
    fn digests_never_change() {
        let alone = Digests::new(&sink(true), &[]);
        let below = Digests::new(&sink(true), &[alone]);
        let shown = |digests: Digests| format!("{:016x} {:016x}", digests.own, digests.with_all_above);
        assert_eq!(shown(alone), "a811d66e962d0fef a811d66e962d0fef");
        assert_eq!(shown(below), "a811d66e962d0fef 6b07bcc20bc4a973");
    }

    #[test]
    fn a_sink_is_where_rows_go() {
        assert_eq!(Digests::new(&sink(true), &[]), Digests::new(&sink(false), &[]));
        let slot = |name: &str| NodeKind::Sink {
            connector: Connector::slot(name),
            ordered: true,
            accepts: crate::ChangeMode::AppendOnly,
            collects: None,
        };
        assert_eq!(Digests::new(&slot("memory-1"), &[]), Digests::new(&slot("memory-2"), &[]));
        assert_ne!(Digests::new(&slot("memory-1"), &[]), Digests::new(&sink(true), &[]));
    }
}
