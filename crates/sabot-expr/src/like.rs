//! LIKE patterns, compiled once and matched many times.
//!
//! `%` stands for any run of characters, `_` for exactly one, and the escape character makes the next
//! character stand for itself, whichever it is; at the end of the pattern it stands for itself.
//! Characters are Unicode scalar values, compared exactly, without normalisation. ILIKE compares them in
//! lower case, as the function `lower` gives it.

use crate::functions::text_lower as lower;

/// A compiled pattern.
///
/// ```
/// use sabot_expr::LikePattern;
/// assert!(LikePattern::new("S_O", '\\', false).matches("SFO"));
/// assert!(LikePattern::new("100\\%", '\\', false).matches("100%"));
/// assert!(!LikePattern::new("100\\%", '\\', false).matches("1000"));
/// assert!(LikePattern::new("s_o", '\\', true).matches("SFO"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikePattern {
    form: Form,
    /// Whether letter case does not count; the form is in lower case then.
    insensitive: bool,
}

/// The common shapes have their own form, because string search beats stepping through characters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    General(Vec<Token>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyRun,
}

impl LikePattern {
    /// Compiles a pattern of LIKE, or of ILIKE if `insensitive`. Every text is a pattern.
    pub fn new(pattern: &str, escape: char, insensitive: bool) -> Self {
        let mut tokens = tokens(pattern, escape);
        if insensitive {
            for token in &mut tokens {
                if let Token::Char(c) = token {
                    *c = lower(*c);
                }
            }
        }
        let text = |tokens: &[Token]| -> Option<String> {
            tokens.iter().map(|token| if let Token::Char(c) = token { Some(*c) } else { None }).collect()
        };
        let form = match tokens.as_slice() {
            [Token::AnyRun, middle @ .., Token::AnyRun] => text(middle).map(Form::Contains),
            [head @ .., Token::AnyRun] => text(head).map(Form::Prefix),
            [Token::AnyRun, tail @ ..] => text(tail).map(Form::Suffix),
            all => text(all).map(Form::Exact),
        };
        Self { form: form.unwrap_or(Form::General(tokens)), insensitive }
    }

    /// Whether the whole text matches the pattern.
    pub fn matches(&self, text: &str) -> bool {
        if !self.insensitive {
            return self.matches_exactly(text);
        }
        let lower =
            if text.is_ascii() { text.to_ascii_lowercase() } else { text.chars().map(lower).collect() };
        self.matches_exactly(&lower)
    }

    fn matches_exactly(&self, text: &str) -> bool {
        match &self.form {
            Form::Exact(pattern) => text == pattern,
            Form::Prefix(head) => text.starts_with(head.as_str()),
            Form::Suffix(tail) => text.ends_with(tail.as_str()),
            Form::Contains(middle) => text.contains(middle.as_str()),
            Form::General(tokens) => matches_general(tokens, text),
        }
    }
}

fn tokens(pattern: &str, escape: char) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            c if c == escape => Token::Char(chars.next().unwrap_or(escape)),
            '_' => Token::AnyChar,
            // Two runs in a row match what one does; merging keeps the shapes recognisable.
            '%' if tokens.last() == Some(&Token::AnyRun) => continue,
            '%' => Token::AnyRun,
            c => Token::Char(c),
        });
    }
    tokens
}

/// Greedy matching with one point to return to: only the last run ever needs to grow, because an
/// earlier run that grew could only give the later tokens less text. Time is at most text × pattern.
fn matches_general(tokens: &[Token], text: &str) -> bool {
    let (mut token, mut rest) = (0, text);
    let mut retry: Option<(usize, &str)> = None;
    loop {
        let next = rest.chars().next();
        match (tokens.get(token), next) {
            (Some(Token::AnyRun), _) => {
                token += 1;
                retry = Some((token, rest));
                continue;
            }
            (Some(Token::AnyChar), Some(c)) => {
                token += 1;
                rest = &rest[c.len_utf8()..];
                continue;
            }
            (Some(Token::Char(wanted)), Some(c)) if *wanted == c => {
                token += 1;
                rest = &rest[c.len_utf8()..];
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        // No match from here: let the last run take one character more.
        let Some((after_run, from)) = retry else { return false };
        let Some(taken) = from.chars().next() else { return false };
        rest = &from[taken.len_utf8()..];
        token = after_run;
        retry = Some((after_run, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The definition, tried in every way.
    fn slow(tokens: &[Token], text: &[char]) -> bool {
        match tokens.split_first() {
            None => text.is_empty(),
            Some((Token::AnyRun, rest)) => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
            Some((Token::AnyChar, rest)) => !text.is_empty() && slow(rest, &text[1..]),
            Some((Token::Char(c), rest)) => text.first() == Some(c) && slow(rest, &text[1..]),
        }
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let alphabet = ['a', 'b', 'é', '%', '_', '\\'];
        let mut matched = 0;
        for _ in 0..20_000 {
            let mut word =
                |most| (0..rng.random_range(0..=most)).map(|_| alphabet[rng.random_range(0..6)]).collect();
            let (pattern, text): (String, String) = (word(6), word(8));
            let chars: Vec<char> = text.chars().collect();
            let expected = slow(&tokens(&pattern, '\\'), &chars);
            assert_eq!(
                LikePattern::new(&pattern, '\\', false).matches(&text),
                expected,
                "{text:?} LIKE {pattern:?}"
            );
            matched += usize::from(expected);
        }
        assert!(matched > 1_000, "only {matched} matches: the test says little");
    }

    #[test]
    fn shapes_are_recognised() {
        for (pattern, form) in [
            ("abc", Form::Exact("abc".into())),
            ("", Form::Exact("".into())),
            ("abc%%", Form::Prefix("abc".into())),
            ("%", Form::Prefix("".into())),
            ("%abc", Form::Suffix("abc".into())),
            ("%a\\%c%", Form::Contains("a%c".into())),
        ] {
            assert_eq!(LikePattern::new(pattern, '\\', false).form, form, "{pattern}");
        }
        assert!(matches!(LikePattern::new("a%b", '\\', false).form, Form::General(_)));
    }

    #[test]
    fn characters_are_unicode_and_case_counts() {
        assert!(LikePattern::new("_", '\\', false).matches("é"));
        assert!(LikePattern::new("Z_rich", '\\', false).matches("Zürich"));
        assert!(!LikePattern::new("_", '\\', false).matches("e\u{301}"));
        assert!(!LikePattern::new("sfo", '\\', false).matches("SFO"));
    }

    #[test]
    fn the_escape_character_can_be_chosen() {
        assert!(LikePattern::new("a!%", '!', false).matches("a%"));
        assert!(LikePattern::new("a!!", '!', false).matches("a!"));
        assert!(LikePattern::new("a!", '!', false).matches("a!"));
        assert!(LikePattern::new("a\\%", '!', false).matches("a\\b"));
        // A wildcard as escape character is no wildcard any more.
        assert!(LikePattern::new("a%%", '%', false).matches("a%"));
    }

    #[test]
    fn ilike_compares_in_lower_case() {
        for (pattern, text) in
            [("z_RICH", "Zürich"), ("%ÜR%", "zürich"), ("k", "\u{212a}"), ("i", "İ"), ("x!X", "XX")]
        {
            assert!(LikePattern::new(pattern, '!', true).matches(text), "{text} ILIKE {pattern}");
        }
        // ß has no single upper case, and SS is two characters.
        assert!(!LikePattern::new("ß", '!', true).matches("SS"));
        // The escape character keeps its case.
        assert!(LikePattern::new("X%", 'x', true).matches("xyz"));
        assert!(!LikePattern::new("x%", 'x', true).matches("xyz"));
    }

    #[test]
    fn many_runs_stay_fast() {
        let pattern = LikePattern::new(&"a%".repeat(40), '\\', false);
        let text = "a".repeat(5_000) + "b";
        assert!(pattern.matches(&text));
        assert!(!LikePattern::new(&("a%".repeat(40) + "c"), '\\', false).matches(&text));
    }
}
