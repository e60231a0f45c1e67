//! Functions of regular expressions.

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::{PatternFunction, RegexPattern, Replacement, TEXT_BYTES_MAX};
use crate::scalar::Scalar;

impl Call<'_> {
    pub(super) fn pattern_function(&self, function: PatternFunction) -> Result<Scalar, RowErrorKind> {
        let text = self.text(0)?;
        let pattern = |options: Option<&str>| {
            let pattern = self.text(1)?;
            RegexPattern::new(pattern, options.unwrap_or_default())
                .map_err(|reason| self.failed(format!("'{pattern}' is no regular expression: {reason}")))
        };
        match function {
            PatternFunction::RegexpMatches => {
                Ok(Scalar::Boolean(pattern(self.optional_text(2)?)?.matches(text)))
            }
            PatternFunction::RegexpFullMatch => {
                Ok(Scalar::Boolean(pattern(self.optional_text(2)?)?.matches_whole(text)))
            }
            PatternFunction::RegexpExtract => {
                let pattern = pattern(None)?;
                let group = if self.args.len() > 2 { self.integer(2)? } else { 0 };
                match i64::try_from(group).ok().and_then(|group| pattern.extract(text, group)) {
                    Some(found) => self.string(found.to_owned()),
                    None => {
                        Err(self
                            .failed(format!("the pattern has no group {group}, it has {}", pattern.groups())))
                    }
                }
            }
            PatternFunction::RegexpReplace => {
                let options = self.optional_text(3)?.unwrap_or_default();
                let pattern = pattern(Some(options))?;
                let replacement = Replacement::new(self.text(2)?, pattern.groups());
                let replacement = replacement
                    .map_err(|reason| self.failed(format!("the replacement is malformed: {reason}")))?;
                let mut out = String::new();
                let all = options.contains('g');
                match pattern.replace(text, &replacement, all, TEXT_BYTES_MAX, &mut out) {
                    Some(()) => self.string(out),
                    None => Err(self.too_long()),
                }
            }
        }
    }
}
