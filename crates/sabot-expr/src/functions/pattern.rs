//! Functions of regular expressions, and the expressions themselves, compiled.
//!
//! The syntax is that of the crate `regex`: no look-around and no back-references, matching in linear
//! time. It differs from RE2, which DuckDB uses, in details only.

use regex::{Regex, RegexBuilder};

use super::entry::{Entry, Errors, Nulls, Returns, Takes, example, family, one, optional};
use crate::typed::TypedExpr;

/// Whether the pattern, and whatever else must fit it, is not known before rows are.
fn pattern_is_open(args: &[TypedExpr]) -> bool {
    args.get(1).is_none_or(|pattern| pattern.as_literal().is_none())
}

const BAD_PATTERN: Errors =
    Errors { when: "the pattern is malformed and no literal", possible: pattern_is_open };

const MATCH: Entry = Entry {
    name: "",
    about: "",
    parameters: &[
        one("text", Takes::Text),
        one("pattern", Takes::Pattern),
        optional("options", Takes::Letters(MATCH_OPTIONS)),
    ],
    returns: Returns::Boolean,
    nulls: Nulls::AnyArgument,
    errors: BAD_PATTERN,
    ulp: 0,
    example: example!("" => ""),
};

/// `c`: case counts (the default), `i`: it does not, `s`: `.` also matches a line feed, `l`: the pattern
/// stands for itself.
const MATCH_OPTIONS: &str = "cisl";
/// Those, and `g`: every match is replaced, not only the first.
const REPLACE_OPTIONS: &str = "cislg";

family! {
    /// Functions of regular expressions.
    pub enum PatternFunction {
        RegexpMatches => Entry {
            name: "regexp_matches",
            about: "Whether the pattern matches somewhere.",
            example: example!("flight 42", "[0-9]+" => true),
            ..MATCH
        },
        RegexpFullMatch => Entry {
            name: "regexp_full_match",
            about: "Whether the pattern matches the whole string.",
            example: example!("flight 42", "[0-9]+" => false),
            ..MATCH
        },
        RegexpExtract => Entry {
            name: "regexp_extract",
            about: "The first match, or a group of it by number; empty where nothing matches.",
            parameters: &[
                one("text", Takes::Text),
                one("pattern", Takes::Pattern),
                optional("group", Takes::Count),
            ],
            returns: Returns::Text,
            errors: Errors {
                when: "the pattern is malformed or has no such group, and they are no literals",
                possible: |args| pattern_is_open(args) || args.get(2).is_some_and(|g| g.as_literal().is_none()),
            },
            example: example!("2001-01-31", "([0-9]+)-([0-9]+)", 2 => "01"),
            ..MATCH
        },
        RegexpReplace => Entry {
            name: "regexp_replace",
            about: "The first match, or every one with option g, replaced by a string in which \\0 to \\9 \
                    stand for the match and its groups and \\\\ for a backslash.",
            parameters: &[
                one("text", Takes::Text),
                one("pattern", Takes::Pattern),
                one("replacement", Takes::Text),
                optional("options", Takes::Letters(REPLACE_OPTIONS)),
            ],
            returns: Returns::Text,
            errors: Errors::when(
                "the result has more than 16 MiB; the pattern or replacement is malformed and no literal",
            ),
            example: example!("John Smith", "(\\w+) (\\w+)", "\\2 \\1" => "Smith John"),
            ..MATCH
        },
    }
}

/// A compiled regular expression.
///
/// ```
/// use sabot_expr::RegexPattern;
/// let number = RegexPattern::new("([0-9]+)x", "")?;
/// assert_eq!(number.extract("a 12x", 1), Some("12"));
/// assert!(RegexPattern::new("(", "").unwrap_err().contains("unclosed group"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegexPattern {
    /// Finds the pattern anywhere.
    anywhere: Regex,
    /// Matches the whole text.
    whole: Regex,
}

impl RegexPattern {
    /// Compiles a pattern with options, of which unknown letters are ignored.
    ///
    /// # Errors
    /// What is wrong with the pattern, in one line.
    pub fn new(pattern: &str, options: &str) -> Result<Self, String> {
        let literal;
        let pattern = if options.contains('l') {
            literal = regex::escape(pattern);
            &literal
        } else {
            pattern
        };
        // Of two options that contradict each other the last one counts.
        let insensitive = options.chars().rfind(|option| "ci".contains(*option)) == Some('i');
        let build = |pattern: &str| {
            let mut builder = RegexBuilder::new(pattern);
            builder.case_insensitive(insensitive).dot_matches_new_line(options.contains('s'));
            builder.build().map_err(|error| one_line(&error))
        };
        // Compiled alone first, so that a pattern cannot close the group that stands around it. One that
        // ends in a comment, which it may in verbose mode, needs a line feed, which means nothing there.
        let anywhere = build(pattern)?;
        let whole = build(&format!("\\A(?:{pattern})\\z"));
        let whole = whole.or_else(|_| build(&format!("\\A(?:{pattern}\n)\\z")))?;
        Ok(Self { anywhere, whole })
    }

    /// The number of groups, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.anywhere.captures_len() - 1
    }

    /// Whether the pattern matches somewhere.
    pub fn matches(&self, text: &str) -> bool {
        self.anywhere.is_match(text)
    }

    /// Whether the pattern matches the whole text.
    pub fn matches_whole(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// A group of the first match, 0 for all of it; empty where nothing matches or the group took no
    /// part. `None` when there is no such group.
    pub fn extract<'t>(&self, text: &'t str, group: i64) -> Option<&'t str> {
        let group = usize::try_from(group).ok().filter(|group| *group <= self.groups())?;
        if group == 0 {
            return Some(self.anywhere.find(text).map_or("", |found| found.as_str()));
        }
        let captures = self.anywhere.captures(text);
        Some(captures.and_then(|captures| captures.get(group)).map_or("", |found| found.as_str()))
    }

    /// Appends `text` with the first match, or every one, replaced; `None` once that has more than
    /// `bytes_max` bytes.
    pub fn replace(
        &self,
        text: &str,
        replacement: &Replacement,
        all: bool,
        bytes_max: usize,
        out: &mut String,
    ) -> Option<()> {
        let (start, mut rest) = (out.len(), 0);
        for captures in self.anywhere.captures_iter(text).take(if all { usize::MAX } else { 1 }) {
            let found = captures.get(0)?;
            out.push_str(&text[rest..found.start()]);
            for piece in &replacement.pieces {
                match piece {
                    Piece::Text(text) => out.push_str(text),
                    Piece::Group(group) => {
                        out.push_str(captures.get(*group).map_or("", |found| found.as_str()))
                    }
                }
            }
            rest = found.end();
            (out.len() - start <= bytes_max).then_some(())?;
        }
        out.push_str(&text[rest..]);
        (out.len() - start <= bytes_max).then_some(())
    }
}

/// What a match is replaced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// Reads a replacement for a pattern with so many groups.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, groups: usize) -> Result<Self, String> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '\\' {
                plain.push(c);
                continue;
            }
            match chars.next() {
                Some('\\') => plain.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = digit as usize - '0' as usize;
                    if group > groups {
                        return Err(format!("\\{group} stands for a group, and the pattern has {groups}"));
                    }
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    pieces.push(Piece::Group(group));
                }
                _ => return Err("a backslash must be followed by a digit or a backslash".to_owned()),
            }
        }
        pieces.push(Piece::Text(plain));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self { pieces })
    }
}

/// The library's message spans lines and points at the pattern; the last line says what is wrong.
fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
