//! Functions of values of any type.

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one, repeated};
use crate::builder::null;

const VALUES: Entry = Entry {
    name: "",
    about: "",
    parameters: &[repeated("value", Takes::Comparable)],
    returns: Returns::SameAs(0),
    nulls: Nulls::AllArguments,
    errors: Errors::NEVER,
    ulp: 0,
    example: example!(0 => 0),
};

/// The seed of the function `hash`; keys of a pipeline are hashed under the pipeline's own.
pub const HASH_SEED: u64 = 0;

family! {
    /// Functions of values of any type.
    pub enum GeneralFunction {
        Nullif => Entry {
            name: "nullif",
            about: "The value, or null where it equals the other.",
            parameters: &[one("value", Takes::Comparable), one("other", Takes::Comparable)],
            nulls: Nulls::Also("the value is null, or equals the other"),
            example: example!("NA", "n/a" => "NA"),
            ..VALUES
        },
        Greatest => Entry {
            name: "greatest",
            about: "The greatest of the values that are not null; the first of those that are equal.",
            example: example!(3, null(), 7 => 7),
            ..VALUES
        },
        Least => Entry {
            name: "least",
            about: "The least of the values that are not null; the first of those that are equal.",
            example: example!(3, null(), 7 => 3),
            ..VALUES
        },
        Hash => Entry {
            name: "hash",
            about: "The key hash of the values together, under seed 0: the same in every version and on \
                    every device. Equal values hash alike, whatever their types; null has a hash.",
            parameters: &[repeated("value", Takes::Key)],
            returns: Returns::UInt64,
            nulls: Nulls::Never,
            example: example!("SFO", 7 => 4_602_886_331_097_409_303u64),
            ..VALUES
        },
    }
}
