//! Columns as text, so that a plan can name them: `id int64 not null, at timestamp(us, UTC), "odd name" utf8`.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_expr::type_name;
use sabot_expr::types::parse_type;
use std::sync::Arc;

/// The text of a schema's columns, which [`parse_columns`] reads.
///
/// ```
/// use arrow::datatypes::{DataType, Field, Schema};
/// let schema = Schema::new(vec![
///     Field::new("id", DataType::Int64, false),
///     Field::new("odd name", DataType::Utf8, true),
/// ]);
/// let text = sabot_files::columns_text(&schema);
/// assert_eq!(text, "id int64 not null, \"odd name\" utf8");
/// assert_eq!(*sabot_files::parse_columns(&text).unwrap(), schema);
/// ```
pub fn columns_text(schema: &Schema) -> String {
    let column = |field: &Arc<Field>| {
        let null = if field.is_nullable() { "" } else { " not null" };
        format!("{} {}{null}", quoted(field.name()), type_name(field.data_type()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The text of some names of columns for an option such as `not_null`.
///
/// ```
/// assert_eq!(sabot_files::names_text(["id", "odd name"]), "id, \"odd name\"");
/// ```
pub fn names_text<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// The names of columns that a text lists.
pub(crate) fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let name = |text: &str| match text.strip_prefix('"') {
        None if text.is_empty() || text.contains(char::is_whitespace) => Err(format!("\"{text}\"")),
        None => Ok(text.to_owned()),
        Some(quoted) => {
            let (name, rest) = unquoted(quoted).ok_or_else(|| format!("\"{text}\""))?;
            if rest.is_empty() { Ok(name) } else { Err(format!("\"{text}\"")) }
        }
    };
    split(text)?.into_iter().map(name).collect()
}

fn quoted(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The columns that a text names: a name and a type for each, `not null` behind it where it may not be
/// null, commas between. Names with other characters than letters, digits, `_`, `-` and `.` stand in quotes.
///
/// # Errors
/// What was found instead of a column.
pub fn parse_columns(text: &str) -> Result<SchemaRef, String> {
    let columns = split(text)?.into_iter().map(parse_column).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Schema::new(columns)))
}

/// The columns of a text, cut at commas that stand neither in quotes nor in parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut columns, mut start, mut depth, mut in_quotes) = (Vec::new(), 0, 0i32, false);
    for (i, c) in text.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '(' | '<' | '[' => depth += 1,
            ')' | '>' | ']' => depth -= 1,
            ',' if depth == 0 => {
                columns.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    if in_quotes || depth != 0 {
        return Err(format!("\"{text}\", in which a quote or a parenthesis is not closed"));
    }
    columns.push(text[start..].trim());
    Ok(columns)
}

/// A name behind its opening quote, and what stands behind the closing one.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let mut from = 0;
    let end = loop {
        let quote = from + quoted[from..].find('"')?;
        match quoted[quote + 1..].starts_with('"') {
            true => from = quote + 2,
            false => break quote,
        }
    };
    Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]))
}

fn parse_column(text: &str) -> Result<Field, String> {
    let wrong = || format!("\"{text}\"");
    let (name, rest) = match text.strip_prefix('"') {
        None => {
            let (name, rest) = text.split_once(char::is_whitespace).ok_or_else(wrong)?;
            (name.to_owned(), rest)
        }
        Some(quoted) => unquoted(quoted).ok_or_else(wrong)?,
    };
    let rest = rest.trim();
    let (named, nullable) =
        match rest.strip_suffix("null").and_then(|rest| rest.trim_end().strip_suffix("not")) {
            Some(named) => (named.trim_end(), false),
            None => (rest, true),
        };
    let data_type: DataType = parse_type(named).ok_or_else(wrong)?;
    Ok(Field::new(name, data_type, nullable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn columns_come_back_as_they_were_written() {
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("amount", DataType::Decimal128(10, 2), true),
            Field::new("say \"hi\", twice", DataType::Utf8, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into())), true),
            Field::new("not null", DataType::Date32, true),
        ]);
        let text = columns_text(&schema);
        assert_eq!(*parse_columns(&text).unwrap(), schema);
        for wrong in
            ["", "id", "id int65", "id int64,", "\"id int64", "id decimal128(10, 2", "\"a\"\"b int64"]
        {
            assert!(parse_columns(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_come_back_as_they_were_written() {
        let names = ["id", "odd name", "say \"hi\", twice", "größe"];
        assert_eq!(parse_names(&names_text(names)).unwrap(), names);
        for wrong in ["", "id,", "a b", "\"a", "\"a\" b"] {
            assert!(parse_names(wrong).is_err(), "{wrong}");
        }
    }
}
