//! Functions of strings. Positions and lengths count characters, from 1.

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one, optional, repeated};

/// What the functions that lengthen a string say of too long results.
const TOO_LONG: Errors = Errors::when("the result has more than 16 MiB");

/// An entry whose result is a string; most rows say only what differs.
const TEXT: Entry = Entry {
    name: "",
    about: "",
    parameters: &[one("text", Takes::Text)],
    returns: Returns::Text,
    nulls: Nulls::AnyArgument,
    errors: Errors::NEVER,
    ulp: 0,
    example: example!("" => ""),
};

/// A test of a string and another.
const TEST: Entry = Entry {
    parameters: &[one("text", Takes::Text), one("needle", Takes::Text)],
    returns: Returns::Boolean,
    ..TEXT
};

family! {
    /// Functions of strings.
    pub enum TextFunction {
        Lower => Entry {
            name: "lower",
            about: "Each character as its lower case, if that is one character.",
            example: example!("ZÜRICH" => "zürich"),
            ..TEXT
        },
        Upper => Entry {
            name: "upper",
            about: "Each character as its upper case, if that is one character; ß stays.",
            example: example!("Zürich" => "ZÜRICH"),
            ..TEXT
        },
        Trim => Entry {
            name: "trim",
            about: "Without the characters of a set at both ends. Without a set it is Unicode's spaces \
                    (category Zs), to which tab and line feed do not belong.",
            parameters: &[one("text", Takes::Text), optional("set", Takes::Text)],
            example: example!("xxaxbx", "x" => "axb"),
            ..TEXT
        },
        Ltrim => Entry {
            name: "ltrim",
            about: "As trim, at the start only.",
            parameters: &[one("text", Takes::Text), optional("set", Takes::Text)],
            example: example!("  a " => "a "),
            ..TEXT
        },
        Rtrim => Entry {
            name: "rtrim",
            about: "As trim, at the end only.",
            parameters: &[one("text", Takes::Text), optional("set", Takes::Text)],
            example: example!("  a " => "  a"),
            ..TEXT
        },
        Length => Entry {
            name: "length",
            about: "The number of characters.",
            returns: Returns::Int64,
            example: example!("Zürich" => 6i64),
            ..TEXT
        },
        Substring => Entry {
            name: "substring",
            about: "The characters from a position on, all or so many. A negative position counts from the \
                    end, position 0 lies before the first character, a negative length reaches backwards; \
                    what lies outside the string is left out.",
            parameters: &[
                one("text", Takes::Text),
                one("start", Takes::Count),
                optional("length", Takes::Count),
            ],
            example: example!("Zürich", 2, 3 => "üri"),
            ..TEXT
        },
        Left => Entry {
            name: "left",
            about: "The first characters; of a negative count all but so many last ones.",
            parameters: &[one("text", Takes::Text), one("count", Takes::Count)],
            example: example!("Zürich", 2 => "Zü"),
            ..TEXT
        },
        Right => Entry {
            name: "right",
            about: "The last characters; of a negative count all but so many first ones.",
            parameters: &[one("text", Takes::Text), one("count", Takes::Count)],
            example: example!("Zürich", -2 => "rich"),
            ..TEXT
        },
        Concat => Entry {
            name: "concat",
            about: "One after the other; nulls are passed over.",
            parameters: &[repeated("value", Takes::Printable)],
            nulls: Nulls::Never,
            errors: TOO_LONG,
            example: example!("A", 320, crate::builder::null() => "A320"),
            ..TEXT
        },
        ConcatWs => Entry {
            name: "concat_ws",
            about: "One after the other with a separator in between; nulls are passed over.",
            parameters: &[one("separator", Takes::Text), repeated("value", Takes::Printable)],
            nulls: Nulls::FirstArgument,
            errors: TOO_LONG,
            example: example!("-", "SFO", crate::builder::null(), "JFK" => "SFO-JFK"),
            ..TEXT
        },
        StartsWith => Entry {
            name: "starts_with",
            about: "Whether a string starts with another.",
            example: example!("Zürich", "Zü" => true),
            ..TEST
        },
        EndsWith => Entry {
            name: "ends_with",
            about: "Whether a string ends with another.",
            example: example!("Zürich", "ich" => true),
            ..TEST
        },
        Contains => Entry {
            name: "contains",
            about: "Whether a string contains another.",
            example: example!("Zürich", "ric" => true),
            ..TEST
        },
        Strpos => Entry {
            name: "strpos",
            about: "The position at which a string contains another for the first time; 0 if it does not.",
            returns: Returns::Int64,
            example: example!("Zürich", "r" => 3i64),
            ..TEST
        },
        Replace => Entry {
            name: "replace",
            about: "Every occurrence of a string replaced by another; an empty one occurs nowhere.",
            parameters: &[one("text", Takes::Text), one("from", Takes::Text), one("to", Takes::Text)],
            errors: TOO_LONG,
            example: example!("a-b-c", "-", "+" => "a+b+c"),
            ..TEXT
        },
        SplitPart => Entry {
            name: "split_part",
            about: "The part at a position between separators; a negative position counts from the end. \
                    Empty where there is no such part. An empty separator cuts between all characters.",
            parameters: &[
                one("text", Takes::Text),
                one("separator", Takes::Text),
                one("position", Takes::Count),
            ],
            example: example!("2001-01-31", "-", -1 => "31"),
            ..TEXT
        },
        Repeat => Entry {
            name: "repeat",
            about: "So many times in a row; empty for a negative count.",
            parameters: &[one("text", Takes::Text), one("count", Takes::Count)],
            errors: TOO_LONG,
            example: example!("ab", 3 => "ababab"),
            ..TEXT
        },
        Lpad => Entry {
            name: "lpad",
            about: "Brought to a length: filled at the start (with spaces, or another string again and \
                    again), or cut at the end.",
            parameters: &[
                one("text", Takes::Text),
                one("length", Takes::Count),
                optional("fill", Takes::Text),
            ],
            errors: Errors::when("the result has more than 16 MiB; there is something to fill and `fill` is empty"),
            example: example!("7", 3, "0" => "007"),
            ..TEXT
        },
        Rpad => Entry {
            name: "rpad",
            about: "As lpad, filled at the end.",
            parameters: &[
                one("text", Takes::Text),
                one("length", Takes::Count),
                optional("fill", Takes::Text),
            ],
            errors: Errors::when("the result has more than 16 MiB; there is something to fill and `fill` is empty"),
            example: example!("ab", 5, "-" => "ab---"),
            ..TEXT
        },
        Reverse => Entry {
            name: "reverse",
            about: "The characters in reverse order.",
            example: example!("Zürich" => "hcirüZ"),
            ..TEXT
        },
    }
}

/// The characters that `trim` takes away unless it is told which: Unicode's category Zs.
pub fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// A character in lower case. İ is the only one whose lower case is two characters, of which this is
/// the first.
pub fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// A character in upper case; itself where that would be several characters.
pub fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
