//! A generator described by options of text.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use sabot_common::Span;
use std::str::FromStr;
use std::sync::Arc;

use super::{GeneratorColumn, GeneratorSource, GeneratorSpec, Values};
use crate::registry::{Options, SourceFactory};
use crate::{ConnectError, Source};

const COLUMNS: &str = "columns such as `id sequence(0, 1); n int(0, 9) nulls 0.1`, of the kinds \
    sequence(start, step), int(min, max), float(min, max), bool(share), choice(a|b|c, skew), \
    label(prefix, distinct, skew), time(start, rows a second, disorder such as 5s)";

/// Makes generators, of the kind `generator`.
///
/// Options: `columns` (must be there; see the message for one that does not parse), `rows` (without end
/// when it is left out), `partitions` (1), `seed` (0), `name` (`generator`). Words, prefixes and names of
/// columns cannot hold any of `,;|()` here; a [`GeneratorSpec`] can say more.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorFactory;

impl SourceFactory for GeneratorFactory {
    fn kind(&self) -> &'static str {
        "generator"
    }

    fn create(&self, options: &Options<'_>) -> Result<Arc<dyn Source>, ConnectError> {
        options.only(&["columns", "rows", "partitions", "seed", "name"])?;
        let text = options.required("columns", COLUMNS)?;
        let columns = text
            .split(';')
            .filter(|column| !column.trim().is_empty())
            .map(|column| parse_column(column.trim()).ok_or(column.trim()))
            .collect::<Result<Vec<_>, &str>>()
            .map_err(|column| options.bad("columns", COLUMNS, format!("`{column}`")))?;
        let spec = GeneratorSpec {
            seed: options.parse("seed", "a whole number")?.unwrap_or(0),
            rows: options.parse("rows", "a number of rows")?,
            partitions: options.parse("partitions", "a number of partitions")?.unwrap_or(1),
            columns,
        };
        Ok(Arc::new(GeneratorSource::new(options.get("name").unwrap_or("generator"), spec)?))
    }
}

/// `name kind(a, b) nulls share`.
fn parse_column(text: &str) -> Option<GeneratorColumn> {
    let (head, rest) = text.split_once('(')?;
    let (arguments, rest) = rest.split_once(')')?;
    let (name, kind) = head.trim().rsplit_once(char::is_whitespace)?;
    let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
    let column = GeneratorColumn::new(name.trim(), parse_values(kind, &arguments)?);
    match rest.trim() {
        "" => Some(column),
        nulls => Some(column.with_nulls(number(nulls.strip_prefix("nulls")?)?)),
    }
}

fn parse_values(kind: &str, arguments: &[&str]) -> Option<Values> {
    Some(match (kind, arguments) {
        ("sequence", [start, step]) => Values::Sequence { start: number(start)?, step: number(step)? },
        ("int", [min, max]) => Values::Int { min: number(min)?, max: number(max)? },
        ("float", [min, max]) => Values::Float { min: number(min)?, max: number(max)? },
        ("bool", [share]) => Values::Bool { share: number(share)? },
        ("choice", [words, skew @ ..]) => {
            let words = words.split('|').map(|word| word.trim().to_owned()).collect();
            Values::Choice { words, skew: optional(skew, 0.0)? }
        }
        ("label", [prefix, distinct, skew @ ..]) => {
            let prefix = (*prefix).to_owned();
            Values::Label { prefix, distinct: number(distinct)?, skew: optional(skew, 0.0)? }
        }
        ("time", [start, rate]) => {
            Values::Time { start: time(start)?, rate: number(rate)?, disorder: Span(0) }
        }
        ("time", [start, rate, disorder]) => {
            Values::Time { start: time(start)?, rate: number(rate)?, disorder: span(disorder)? }
        }
        _ => return None,
    })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

fn optional<T: FromStr>(arguments: &[&str], default: T) -> Option<T> {
    match arguments {
        [] => Some(default),
        [only] => number(only),
        _ => None,
    }
}

/// An ISO 8601 time, or microseconds since the epoch.
fn time(text: &str) -> Option<i64> {
    number(text).or_else(|| string_to_timestamp_nanos(text).ok().map(|nanos| nanos.div_euclid(1_000)))
}

/// `250us`, `5ms`, `5s`.
fn span(text: &str) -> Option<Span> {
    let (digits, factor) = [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("", 1)]
        .into_iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, factor)))?;
    number::<i64>(digits)?.checked_mul(factor).map(Span)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn create(columns: &str) -> Result<Arc<dyn Source>, ConnectError> {
        let options: BTreeMap<String, String> =
            [("columns", columns), ("rows", "10"), ("partitions", "2"), ("seed", "7")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        GeneratorFactory.create(&Options::new("generator", &options))
    }

    #[test]
    fn every_kind_can_be_written_as_text() {
        let text = "id sequence(0, 1); n int(-10, 60) nulls 0.25; x float(0, 1.5); ok bool(0.9); \
            w choice(ATL|ORD|DFW, 1.1); k label(card-, 1000); at time(2001-01-01T00:00:00, 1000, 5s);";
        let source = create(text).unwrap();
        let names: Vec<String> = source.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(names, ["id", "n", "x", "ok", "w", "k", "at"]);
        assert_eq!(source.discover().unwrap().len(), 2);
        assert_eq!(parse_column("n int(-10, 60) nulls 0.25").unwrap().nulls, 0.25);
        assert_eq!(
            parse_values("time", &["2001-01-01T00:00:00", "10", "5ms"]),
            Some(Values::Time { start: 978_307_200_000_000, rate: 10, disorder: Span(5_000) })
        );
    }

    #[test]
    fn what_does_not_parse_is_shown_with_what_would() {
        for wrong in ["id", "id sequence(0)", "n int(a, b)", "n int(0, 1) null 0.5", "n number(1)", "(1)"] {
            let message = create(wrong).unwrap_err().to_string();
            let found = format!("found `{wrong}`");
            assert!(message.contains("of the kinds sequence(start, step)") && message.ends_with(&found));
        }
        assert!(create("n int(2, 1)").unwrap_err().to_string().contains("a range that is not empty"));
    }
}
