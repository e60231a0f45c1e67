//! Patterns, and functions of strings.

use super::functions::{function, methods};
use super::{IntoExpr, lit};
use crate::expr::Expr;

impl Expr {
    /// Whether a string matches a pattern: `%` stands for any characters, `_` for one, `\` makes the
    /// next character stand for itself.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("San Francisco").like("San%").constant(), Some(true.into()));
    /// assert_eq!(lit("100%").like(r"100\%").constant(), Some(true.into()));
    /// ```
    pub fn like(self, pattern: impl IntoExpr) -> Expr {
        self.pattern(pattern, false, false, '\\')
    }

    /// [`like`](Expr::like) with another escape character.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("100%").like_escaped("100!%", '!').constant(), Some(true.into()));
    /// ```
    pub fn like_escaped(self, pattern: impl IntoExpr, escape: char) -> Expr {
        self.pattern(pattern, false, false, escape)
    }

    /// The negation of [`like`](Expr::like).
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Oakland").not_like("San%").constant(), Some(true.into()));
    /// ```
    pub fn not_like(self, pattern: impl IntoExpr) -> Expr {
        self.pattern(pattern, true, false, '\\')
    }

    /// [`like`](Expr::like), for which letter case does not count.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("ZÜRICH").ilike("zür%").constant(), Some(true.into()));
    /// ```
    pub fn ilike(self, pattern: impl IntoExpr) -> Expr {
        self.pattern(pattern, false, true, '\\')
    }

    /// The negation of [`ilike`](Expr::ilike).
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("ZÜRICH").not_ilike("zür%").constant(), Some(false.into()));
    /// ```
    pub fn not_ilike(self, pattern: impl IntoExpr) -> Expr {
        self.pattern(pattern, true, true, '\\')
    }

    fn pattern(self, pattern: impl IntoExpr, negated: bool, insensitive: bool, escape: char) -> Expr {
        let pattern = Box::new(pattern.into_expr());
        Expr::Like { expr: Box::new(self), pattern, negated, insensitive, escape }
    }

    /// The string with every match of a regular expression replaced.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("a1b22").regexp_replace_all("[0-9]+", "-").constant(), Some("a-b-".into()));
    /// ```
    pub fn regexp_replace_all(self, pattern: impl IntoExpr, replacement: impl IntoExpr) -> Expr {
        function("regexp_replace", [self, pattern.into_expr(), replacement.into_expr(), lit("g")])
    }
}

methods! {
    /// The string in lower case.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("ZÜRICH").lower().constant(), Some("zürich".into()));
    /// ```
    lower() => "lower";
    /// The string in upper case.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").upper().constant(), Some("ZÜRICH".into()));
    /// ```
    upper() => "upper";
    /// The string without spaces at both ends.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(" a ").trim().constant(), Some("a".into()));
    /// ```
    trim() => "trim";
    /// The string without the characters of a set at both ends.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("xyaxbx").trim_set("xy").constant(), Some("axb".into()));
    /// ```
    trim_set(set) => "trim";
    /// The string without spaces at its start.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(" a ").ltrim().constant(), Some("a ".into()));
    /// ```
    ltrim() => "ltrim";
    /// The string without the characters of a set at its start.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("xyax").ltrim_set("xy").constant(), Some("ax".into()));
    /// ```
    ltrim_set(set) => "ltrim";
    /// The string without spaces at its end.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit(" a ").rtrim().constant(), Some(" a".into()));
    /// ```
    rtrim() => "rtrim";
    /// The string without the characters of a set at its end.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("xaxy").rtrim_set("xy").constant(), Some("xa".into()));
    /// ```
    rtrim_set(set) => "rtrim";
    /// The number of characters of a string.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").length().constant(), Some(6_i64.into()));
    /// ```
    length() => "length";
    /// The characters from a position on, counted from 1, or from the end if it is negative.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").substring_from(-4).constant(), Some("rich".into()));
    /// ```
    substring_from(start) => "substring";
    /// So many characters from a position on, counted from 1, or from the end if it is negative.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").substring(2, 3).constant(), Some("üri".into()));
    /// ```
    substring(start, length) => "substring";
    /// The first characters of a string.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").left(2).constant(), Some("Zü".into()));
    /// ```
    left(count) => "left";
    /// The last characters of a string.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").right(4).constant(), Some("rich".into()));
    /// ```
    right(count) => "right";
    /// Whether a string starts with another.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Oakland").starts_with("Oak").constant(), Some(true.into()));
    /// ```
    starts_with(needle) => "starts_with";
    /// Whether a string ends with another.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Oakland").ends_with("land").constant(), Some(true.into()));
    /// ```
    ends_with(needle) => "ends_with";
    /// Whether a string contains another.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Oakland").contains("kla").constant(), Some(true.into()));
    /// ```
    contains(needle) => "contains";
    /// The position of another string in this one, from 1; 0 if it is not there.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("Zürich").strpos("r").constant(), Some(3_i64.into()));
    /// ```
    strpos(needle) => "strpos";
    /// The string with every occurrence of another replaced.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("a-b-c").replace("-", "+").constant(), Some("a+b+c".into()));
    /// ```
    replace(from, to) => "replace";
    /// The part of a string at a position, from 1, between separators.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("2001-01-31").split_part("-", 2).constant(), Some("01".into()));
    /// ```
    split_part(separator, position) => "split_part";
    /// The string so many times in a row.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("ab").repeat(3).constant(), Some("ababab".into()));
    /// ```
    repeat(count) => "repeat";
    /// The string brought to a length, filled at its start.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("7").lpad(3, "0").constant(), Some("007".into()));
    /// ```
    lpad(length, fill) => "lpad";
    /// The string brought to a length, filled at its end.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("7").rpad(3, ".").constant(), Some("7..".into()));
    /// ```
    rpad(length, fill) => "rpad";
    /// The characters in reverse order.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("abc").reverse().constant(), Some("cba".into()));
    /// ```
    reverse() => "reverse";
    /// Whether a regular expression matches somewhere in a string.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("flight 42").regexp_matches("[0-9]+").constant(), Some(true.into()));
    /// ```
    regexp_matches(pattern) => "regexp_matches";
    /// Whether a regular expression matches a whole string.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("flight 42").regexp_full_match("[0-9]+").constant(), Some(false.into()));
    /// ```
    regexp_full_match(pattern) => "regexp_full_match";
    /// A group, 0 for all, of the first match of a regular expression.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("2001-01-31").regexp_extract("-([0-9]+)", 1).constant(), Some("01".into()));
    /// ```
    regexp_extract(pattern, group) => "regexp_extract";
    /// The string with the first match of a regular expression replaced.
    ///
    /// ```
    /// # use sabot_expr::lit;
    /// assert_eq!(lit("John Smith").regexp_replace(r"(\w+) (\w+)", r"\2 \1").constant(), Some("Smith John".into()));
    /// ```
    regexp_replace(pattern, replacement) => "regexp_replace";
}
