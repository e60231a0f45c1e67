//! Functions of strings, on vectors of characters.

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::{TEXT_BYTES_MAX, TextFunction, is_space, text_lower, text_upper};
use crate::scalar::Scalar;

impl Call<'_> {
    pub(super) fn text_function(&self, function: TextFunction) -> Result<Scalar, RowErrorKind> {
        use TextFunction::{
            Concat, ConcatWs, Contains, EndsWith, Left, Length, Lower, Lpad, Ltrim, Repeat, Replace, Reverse,
            Right, Rpad, Rtrim, SplitPart, StartsWith, Strpos, Substring, Trim, Upper,
        };
        match function {
            Concat => return self.bounded_string(self.args.iter().filter_map(Scalar::as_str).collect()),
            ConcatWs => {
                let rest = self.args.get(1..).unwrap_or_default();
                return self.bounded_string(
                    rest.iter().filter_map(Scalar::as_str).collect::<Vec<_>>().join(self.text(0)?),
                );
            }
            _ => {}
        }
        let text = self.text(0)?;
        let chars: Vec<char> = text.chars().collect();
        let count = chars.len() as i128;
        match function {
            Lower => self.string(chars.into_iter().map(text_lower).collect()),
            Upper => self.string(chars.into_iter().map(text_upper).collect()),
            Trim | Ltrim | Rtrim => {
                let set = self.optional_text(1)?;
                let goes = |c: &char| set.map_or(is_space(*c), |set| set.contains(*c));
                let first = if function == Rtrim { 0 } else { chars.iter().take_while(|c| goes(c)).count() };
                let kept = &chars[first..];
                let last =
                    if function == Ltrim { 0 } else { kept.iter().rev().take_while(|c| goes(c)).count() };
                self.string(kept[..kept.len() - last].iter().collect())
            }
            Length => Ok(Scalar::Int64(chars.len() as i64)),
            Substring => {
                let start = match self.integer(1)? {
                    from_end @ ..0 => count + from_end,
                    from_start => from_start - 1,
                };
                if self.args.len() < 3 {
                    return self.string(self.slice(&chars, start, count));
                }
                // A negative length reaches backwards.
                let end = start + self.integer(2)?;
                self.string(self.slice(&chars, start.min(end), start.max(end)))
            }
            Left => {
                let wanted = self.integer(1)?;
                self.string(self.slice(&chars, 0, if wanted < 0 { count + wanted } else { wanted }))
            }
            Right => {
                let wanted = self.integer(1)?;
                self.string(self.slice(&chars, if wanted < 0 { -wanted } else { count - wanted }, count))
            }
            StartsWith => Ok(Scalar::Boolean(text.starts_with(self.text(1)?))),
            EndsWith => Ok(Scalar::Boolean(text.ends_with(self.text(1)?))),
            Contains => Ok(Scalar::Boolean(text.contains(self.text(1)?))),
            Strpos => {
                let needle: Vec<char> = self.text(1)?.chars().collect();
                let found = (0..=chars.len()).find(|at| chars[*at..].starts_with(&needle));
                Ok(Scalar::Int64(found.map_or(0, |at| at as i64 + 1)))
            }
            Replace => {
                let (from, to) = (self.text(1)?, self.text(2)?);
                let replaced = if from.is_empty() { text.to_owned() } else { text.replace(from, to) };
                self.bounded_string(replaced)
            }
            SplitPart => {
                let separator = self.text(1)?;
                let parts: Vec<String> = match separator {
                    "" => chars.iter().map(char::to_string).collect(),
                    _ => text.split(separator).map(str::to_owned).collect(),
                };
                let position = match self.integer(2)? {
                    from_end @ ..0 => parts.len() as i128 + from_end,
                    from_start => from_start - 1,
                };
                let part = usize::try_from(position).ok().and_then(|position| parts.get(position));
                self.string(part.cloned().unwrap_or_default())
            }
            Repeat => {
                let times = usize::try_from(self.integer(1)?).unwrap_or(0);
                if text.len().saturating_mul(times) > TEXT_BYTES_MAX {
                    return Err(self.too_long());
                }
                self.string(if text.is_empty() { String::new() } else { text.repeat(times) })
            }
            Lpad | Rpad => self.pad(&chars, function == Lpad),
            Reverse => self.string(chars.into_iter().rev().collect()),
            Concat | ConcatWs => Err(self.bug("is done above".to_owned())),
        }
    }

    /// The characters from `start` to before `end`, as far as there are any.
    fn slice(&self, chars: &[char], start: i128, end: i128) -> String {
        let within = |at: i128| at.clamp(0, chars.len() as i128) as usize;
        let (start, end) = (within(start), within(end));
        if start < end { chars[start..end].iter().collect() } else { String::new() }
    }

    fn pad(&self, chars: &[char], at_start: bool) -> Result<Scalar, RowErrorKind> {
        let length = usize::try_from(self.integer(1)?).unwrap_or(0);
        let fill: Vec<char> = self.optional_text(2)?.unwrap_or(" ").chars().collect();
        let text: String = chars.iter().take(length).collect();
        let Some(missing) = length.checked_sub(chars.len()).filter(|missing| *missing > 0) else {
            return self.bounded_string(text);
        };
        if fill.is_empty() {
            return Err(self.failed("there is something to fill, and nothing to fill it with"));
        }
        if missing > TEXT_BYTES_MAX {
            return Err(self.too_long());
        }
        let filling: String = fill.iter().cycle().take(missing).collect();
        self.bounded_string(if at_start { filling + &text } else { text + &filling })
    }
}
