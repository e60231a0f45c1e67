//! Functions of regular expressions.
//!
//! A pattern that is a literal is compiled once, when the kernel is built: see [`Patterns`]. One that is
//! a column is compiled anew whenever it is not the one of the row before.

use arrow::array::ArrayRef;
use sabot_expr::functions::{Function, PatternFunction, TEXT_BYTES_MAX};
use sabot_expr::{RegexPattern, Replacement, TypedExpr, TypedKind};
use sabot_ops::Failure;
use std::collections::HashMap;
use std::sync::Arc;

use super::super::text::Texts;
use super::Call;

/// The patterns of a kernel's expressions that are literals, by pattern and options.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(HashMap<(String, String), Arc<RegexPattern>>);

impl Patterns {
    /// The patterns of some expressions.
    pub(crate) fn of<'a>(exprs: impl IntoIterator<Item = &'a TypedExpr>) -> Self {
        let mut patterns = HashMap::new();
        let mut open: Vec<&TypedExpr> = exprs.into_iter().collect();
        while let Some(expr) = open.pop() {
            open.extend(expr.children());
            let TypedKind::Function { function: Function::Pattern(function), args } = expr.kind() else {
                continue;
            };
            let literal =
                |at: usize| args.get(at).and_then(TypedExpr::as_literal).and_then(|value| value.as_str());
            let Some(pattern) = literal(1) else { continue };
            let options = options_at(*function).and_then(literal).unwrap_or_default();
            // One that is malformed was refused by the resolver, or fails the rows that reach it.
            if let Ok(compiled) = RegexPattern::new(pattern, options) {
                patterns.insert((pattern.to_owned(), options.to_owned()), Arc::new(compiled));
            }
        }
        Self(patterns)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, pattern: &str, options: &str) -> Option<Arc<RegexPattern>> {
        // Keys are pairs of owned strings; a lookup once a morsel may allocate.
        self.0.get(&(pattern.to_owned(), options.to_owned())).cloned()
    }
}

/// The position of the argument with the options.
fn options_at(function: PatternFunction) -> Option<usize> {
    match function {
        PatternFunction::RegexpMatches | PatternFunction::RegexpFullMatch => Some(2),
        PatternFunction::RegexpExtract => None,
        PatternFunction::RegexpReplace => Some(3),
    }
}

/// The pattern of each row.
struct Compiled<'a> {
    texts: Texts<'a>,
    options: &'a str,
    /// The pattern that was compiled last, and what became of it.
    last: Option<(&'a str, Option<Arc<RegexPattern>>)>,
}

impl<'a> Compiled<'a> {
    /// The pattern of a row; `None` if it is malformed.
    fn get(&mut self, row: usize) -> Option<&RegexPattern> {
        let pattern = self.texts.value(row);
        if self.last.as_ref().is_none_or(|(last, _)| *last != pattern) {
            self.last = Some((pattern, RegexPattern::new(pattern, self.options).ok().map(Arc::new)));
        }
        self.last.as_ref().and_then(|(_, compiled)| compiled.as_deref())
    }
}

impl Call<'_> {
    fn compiled(&self, function: PatternFunction) -> Result<Compiled<'_>, Failure> {
        let texts = self.text(1)?;
        let options = options_at(function).map(|at| self.literal_text(at)).transpose()?;
        let options = options.flatten().unwrap_or_default();
        let known = texts.constant().and_then(|pattern| {
            let compiled = self.scope.patterns?.get(pattern, options)?;
            Some((pattern, Some(compiled)))
        });
        Ok(Compiled { texts, options, last: known })
    }

    pub(super) fn pattern_function(&self, function: PatternFunction) -> Result<ArrayRef, Failure> {
        let text = self.text(0)?;
        let mut compiled = self.compiled(function)?;
        match function {
            PatternFunction::RegexpMatches => {
                Ok(self.truths(|row| compiled.get(row).map(|pattern| pattern.matches(text.value(row)))))
            }
            PatternFunction::RegexpFullMatch => {
                Ok(self.truths(|row| compiled.get(row).map(|pattern| pattern.matches_whole(text.value(row)))))
            }
            PatternFunction::RegexpExtract => {
                let group = if self.args.len() > 2 { Some(self.count(2)?) } else { None };
                self.texts(|row, out| {
                    let group = group.map_or(0, |group| group.get(row));
                    out.push_str(compiled.get(row)?.extract(text.value(row), group)?);
                    Some(())
                })
            }
            PatternFunction::RegexpReplace => {
                let replacements = self.text(2)?;
                let all = compiled.options.contains('g');
                let mut last: Option<(&str, usize, Option<Replacement>)> = None;
                self.bounded_texts(|row, out| {
                    let pattern = compiled.get(row)?;
                    let (wanted, groups) = (replacements.value(row), pattern.groups());
                    if last.as_ref().is_none_or(|(text, count, _)| (*text, *count) != (wanted, groups)) {
                        last = Some((wanted, groups, Replacement::new(wanted, groups).ok()));
                    }
                    let replacement = last.as_ref()?.2.as_ref()?;
                    pattern.replace(text.value(row), replacement, all, TEXT_BYTES_MAX, out)
                })
            }
        }
    }
}
