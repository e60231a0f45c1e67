//! Functions of strings, on the bytes where they are ASCII.

use arrow::array::{Array, ArrayRef};
use sabot_expr::functions::{TEXT_BYTES_MAX, TextFunction, is_space, text_lower, text_upper};
use sabot_ops::Failure;

use super::super::text::Texts;
use super::Call;

impl Call<'_> {
    pub(super) fn text_function(&self, function: TextFunction) -> Result<ArrayRef, Failure> {
        use TextFunction::{
            Concat, ConcatWs, Contains, EndsWith, Left, Length, Lower, Lpad, Ltrim, Repeat, Replace, Reverse,
            Right, Rpad, Rtrim, SplitPart, StartsWith, Strpos, Substring, Trim, Upper,
        };
        let text = self.text(0)?;
        match function {
            Lower => {
                self.texts(|row, out| map_case(text.value(row), out, str::make_ascii_lowercase, text_lower))
            }
            Upper => {
                self.texts(|row, out| map_case(text.value(row), out, str::make_ascii_uppercase, text_upper))
            }
            Trim => self.trimmed(text, |text, goes| text.trim_matches(goes)),
            Ltrim => self.trimmed(text, |text, goes| text.trim_start_matches(goes)),
            Rtrim => self.trimmed(text, |text, goes| text.trim_end_matches(goes)),
            Length => Ok(self.counts(|row| text.value(row).chars().count() as i64)),
            Substring => self.substring(text),
            Left => {
                let count = self.count(1)?;
                self.slices(text, |row, chars| match count.get(row) {
                    all_but @ ..0 => (0, chars().saturating_add(all_but)),
                    first => (0, first),
                })
            }
            Right => {
                let count = self.count(1)?;
                self.slices(text, |row, chars| match count.get(row) {
                    all_but @ ..0 => (all_but.saturating_neg(), i64::MAX),
                    last => (chars().saturating_sub(last), i64::MAX),
                })
            }
            Concat => {
                let parts = self.parts(0)?;
                self.bounded_texts(|row, out| {
                    parts.iter().filter_map(|part| part.get(row)).for_each(|part| out.push_str(part));
                    Some(())
                })
            }
            ConcatWs => self.concat_ws(text),
            StartsWith => {
                let needle = self.text(1)?;
                Ok(self.truths(|row| Some(text.value(row).starts_with(needle.value(row)))))
            }
            EndsWith => {
                let needle = self.text(1)?;
                Ok(self.truths(|row| Some(text.value(row).ends_with(needle.value(row)))))
            }
            Contains => {
                let needle = self.text(1)?;
                Ok(self.truths(|row| Some(text.value(row).contains(needle.value(row)))))
            }
            Strpos => {
                let needle = self.text(1)?;
                Ok(self.counts(|row| {
                    let text = text.value(row);
                    text.find(needle.value(row)).map_or(0, |at| text[..at].chars().count() as i64 + 1)
                }))
            }
            Replace => {
                let (from, to) = (self.text(1)?, self.text(2)?);
                self.bounded_texts(|row, out| replace(text.value(row), from.value(row), to.value(row), out))
            }
            SplitPart => {
                let (separator, position) = (self.text(1)?, self.count(2)?);
                self.texts(|row, out| {
                    out.push_str(part(text.value(row), separator.value(row), position.get(row)));
                    Some(())
                })
            }
            Repeat => {
                let count = self.count(1)?;
                self.bounded_texts(|row, out| {
                    let (text, times) = (text.value(row), usize::try_from(count.get(row)).unwrap_or(0));
                    // An empty string stays empty, however often.
                    let bytes = text.len().saturating_mul(times);
                    (bytes <= TEXT_BYTES_MAX).then_some(())?;
                    if bytes > 0 {
                        (0..times).for_each(|_| out.push_str(text));
                    }
                    Some(())
                })
            }
            Lpad | Rpad => self.padded(text, function == Lpad),
            Reverse => self.texts(|row, out| {
                out.extend(text.value(row).chars().rev());
                Some(())
            }),
        }
    }

    fn trimmed(
        &self,
        text: Texts<'_>,
        trim: impl for<'t> Fn(&'t str, &dyn Fn(char) -> bool) -> &'t str,
    ) -> Result<ArrayRef, Failure> {
        let set = self.optional_text(1)?;
        self.texts(|row, out| {
            let text = text.value(row);
            out.push_str(match set {
                Some(set) => trim(text, &|c| set.value(row).contains(c)),
                None => trim(text, &is_space),
            });
            Some(())
        })
    }

    fn substring(&self, text: Texts<'_>) -> Result<ArrayRef, Failure> {
        let start = self.count(1)?;
        let length = if self.args.len() > 2 { Some(self.count(2)?) } else { None };
        self.slices(text, |row, chars| {
            let start = match start.get(row) {
                from_end @ ..0 => chars().saturating_add(from_end),
                from_start => from_start - 1,
            };
            let Some(length) = length else { return (start, i64::MAX) };
            let end = start.saturating_add(length.get(row));
            (start.min(end), start.max(end))
        })
    }

    /// Of every string the characters between two positions from 0, as far as there are any; positions
    /// are given for a row and a function that counts the string's characters.
    fn slices(
        &self,
        text: Texts<'_>,
        range: impl Fn(usize, &dyn Fn() -> i64) -> (i64, i64),
    ) -> Result<ArrayRef, Failure> {
        self.texts(|row, out| {
            let text = text.value(row);
            let is_ascii = text.is_ascii();
            let chars = || if is_ascii { text.len() as i64 } else { text.chars().count() as i64 };
            let (start, end) = range(row, &chars);
            if start >= end || end <= 0 {
                return Some(());
            }
            let (start, end) = (start.max(0) as usize, end as usize);
            let byte = |position: usize| match is_ascii {
                true => position.min(text.len()),
                false => text.char_indices().nth(position).map_or(text.len(), |(byte, _)| byte),
            };
            out.push_str(&text[byte(start)..byte(end)]);
            Some(())
        })
    }

    /// Arguments that are passed over where they are null, from a position on.
    fn parts(&self, from: usize) -> Result<Vec<Part<'_>>, Failure> {
        let args = self.args.iter().skip(from);
        args.map(|arg| Ok(Part { texts: Texts::of(arg)?, array: arg.array(), constant: arg.is_constant() }))
            .collect()
    }

    fn concat_ws(&self, separator: Texts<'_>) -> Result<ArrayRef, Failure> {
        let parts = self.parts(1)?;
        let separators = self.parts(0)?;
        let present = |row: usize| separators.first().and_then(|separator| separator.get(row));
        let joined = self.bounded_texts(|row, out| {
            if present(row).is_none() {
                return Some(());
            }
            let mut first = true;
            for part in parts.iter().filter_map(|part| part.get(row)) {
                if !first {
                    out.push_str(separator.value(row));
                }
                first = false;
                out.push_str(part);
            }
            Some(())
        })?;
        self.null_where(joined, |row| present(row).is_none())
    }

    fn padded(&self, text: Texts<'_>, at_start: bool) -> Result<ArrayRef, Failure> {
        let (length, fill) = (self.count(1)?, self.optional_text(2)?);
        self.bounded_texts(|row, out| {
            let (text, fill) = (text.value(row), fill.map_or(" ", |fill| fill.value(row)));
            let length = usize::try_from(length.get(row)).unwrap_or(0);
            let mut rest = text.char_indices().skip(length);
            if let Some((end, _)) = rest.next() {
                out.push_str(&text[..end]);
                return Some(());
            }
            let missing = length - text.chars().count();
            if missing > 0 && (fill.is_empty() || missing > TEXT_BYTES_MAX) {
                return None;
            }
            let filling = fill.chars().cycle().take(missing);
            if at_start {
                out.extend(filling);
                out.push_str(text);
            } else {
                out.push_str(text);
                out.extend(filling);
            }
            Some(())
        })
    }
}

/// An argument whose nulls are passed over.
struct Part<'a> {
    texts: Texts<'a>,
    array: &'a ArrayRef,
    constant: bool,
}

impl<'a> Part<'a> {
    fn get(&self, row: usize) -> Option<&'a str> {
        let at = if self.constant { 0 } else { row };
        self.array.is_valid(at).then(|| self.texts.value(row))
    }
}

fn map_case(text: &str, out: &mut String, ascii: fn(&mut str), other: fn(char) -> char) -> Option<()> {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        ascii(&mut out[start..]);
    } else {
        out.extend(text.chars().map(other));
    }
    Some(())
}

fn replace(text: &str, from: &str, to: &str, out: &mut String) -> Option<()> {
    if from.is_empty() {
        out.push_str(text);
        return Some(());
    }
    let (start, mut rest) = (out.len(), 0);
    for (at, found) in text.match_indices(from) {
        out.push_str(&text[rest..at]);
        out.push_str(to);
        rest = at + found.len();
        // Checked on the way, because the end may be gigabytes away.
        (out.len() - start <= TEXT_BYTES_MAX).then_some(())?;
    }
    out.push_str(&text[rest..]);
    Some(())
}

/// The part at a position, counted from 1 or from the end; empty where there is none.
fn part<'t>(text: &'t str, separator: &str, position: i64) -> &'t str {
    // Not split from the end, which would cut elsewhere where separators overlap.
    let at = |count: &dyn Fn() -> usize| match position {
        ..0 => (count() as i64).checked_add(position).and_then(|at| usize::try_from(at).ok()),
        _ => usize::try_from(position - 1).ok(),
    };
    if separator.is_empty() {
        let at = at(&|| text.chars().count());
        let found = at.and_then(|at| text.char_indices().nth(at));
        return found.map_or("", |(start, c)| &text[start..start + c.len_utf8()]);
    }
    at(&|| text.split(separator).count()).and_then(|at| text.split(separator).nth(at)).unwrap_or("")
}
