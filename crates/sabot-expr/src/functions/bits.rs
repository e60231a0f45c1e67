//! Functions of the bits of integers, in two's complement.

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one};

const PAIR: Entry = Entry {
    name: "",
    about: "",
    parameters: &[one("left", Takes::Integer), one("right", Takes::Integer)],
    returns: Returns::SameAs(0),
    nulls: Nulls::AnyArgument,
    errors: Errors::NEVER,
    ulp: 0,
    example: example!(0 => 0),
};

family! {
    /// Functions of the bits of integers.
    pub enum BitsFunction {
        BitwiseAnd => Entry {
            name: "bitwise_and",
            about: "The bits that both have, in their common type.",
            example: example!(6, 3 => 2),
            ..PAIR
        },
        BitwiseOr => Entry {
            name: "bitwise_or",
            about: "The bits that one of them has, in their common type.",
            example: example!(6, 3 => 7),
            ..PAIR
        },
        BitwiseXor => Entry {
            name: "bitwise_xor",
            about: "The bits that exactly one of them has, in their common type.",
            example: example!(6, 3 => 5),
            ..PAIR
        },
        BitwiseNot => Entry {
            name: "bitwise_not",
            about: "The bits that it does not have.",
            parameters: &[one("number", Takes::Integer)],
            example: example!(5 => -6),
            ..PAIR
        },
        ShiftLeft => Entry {
            name: "shift_left",
            about: "The number times two to the power of `bits`, in its own type.",
            parameters: &[one("number", Takes::Integer), one("bits", Takes::Count)],
            errors: Errors::when("the number or `bits` is negative, or the result does not fit"),
            example: example!(3, 4 => 48),
            ..PAIR
        },
        ShiftRight => Entry {
            name: "shift_right",
            about: "The number divided by two to the power of `bits`, floored, in its own type; 0 where \
                    `bits` is negative or not less than the number's bits.",
            parameters: &[one("number", Takes::Integer), one("bits", Takes::Count)],
            example: example!(-8, 1 => -4),
            ..PAIR
        },
        BitCount => Entry {
            name: "bit_count",
            about: "The number of bits that are set.",
            parameters: &[one("number", Takes::Integer)],
            returns: Returns::Int8,
            example: example!(7 => 3i8),
            ..PAIR
        },
    }
}
