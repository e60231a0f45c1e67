//! Guessing the types of columns from the first records.
//!
//! The rules, in words: nulls and empty cells say nothing; a column whose other values are all of one kind
//! gets that kind, tried in this order: bool (`true`, `false`), int64, float64, date32 (`2001-12-31`),
//! timestamp (ISO 8601 with `T` or a blank; µs, or ns where a fraction needs it; in UTC where every value
//! names an offset). Integers and floats mix to float64, dates and times to timestamp. Everything else is
//! utf8, and so are a column of nulls, whole numbers with a leading zero (they are codes, and `007` must
//! stay `007`), and integers beyond 64 bits (a float would lose digits). All columns may be null.
//!
//! In JSON a string is a date, a time, a float (`"NaN"`, `"Infinity"`, `"-Infinity"`) or text, never
//! another number: whoever writes quotes means them. The shapes of objects and lists are guessed where JSON is
//! read; here they are text as they are written.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};

use super::columns::{Json, parse_date, parse_time};

const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 4;
const DATE: u8 = 8;
const TIME: u8 = 16;
const ZONED: u8 = 32;

/// What the cells of a column may be, so far.
#[derive(Clone, Debug)]
pub(crate) struct Guess {
    kinds: u8,
    seen: bool,
    nanos: bool,
    utc: Tz,
}

impl Guess {
    pub(crate) fn new(utc: Tz) -> Self {
        Self { kinds: u8::MAX, seen: false, nanos: false, utc }
    }

    pub(crate) fn text(&mut self, cell: &str) {
        if cell.is_empty() || self.kinds == 0 {
            return;
        }
        self.seen = true;
        self.kinds &= self.kinds_of(cell);
    }

    pub(crate) fn json(&mut self, value: &Json<'_>) {
        if *value == Json::Null || self.kinds == 0 {
            return;
        }
        self.seen = true;
        self.kinds &= match value {
            Json::Bool(_) => BOOL,
            Json::Number(text) => number_kinds(text),
            Json::Text(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => FLOAT,
            Json::Text(text) => self.kinds_of(text) & (DATE | TIME | ZONED),
            Json::Null | Json::Nested(_) => 0,
        };
    }

    /// Whether there was any cell that says something.
    pub(crate) fn has_seen(&self) -> bool {
        self.seen
    }

    pub(crate) fn data_type(&self) -> DataType {
        let unit = if self.nanos { TimeUnit::Nanosecond } else { TimeUnit::Microsecond };
        match self.kinds {
            _ if !self.seen => DataType::Utf8,
            kinds if kinds & BOOL != 0 => DataType::Boolean,
            kinds if kinds & INT != 0 => DataType::Int64,
            kinds if kinds & FLOAT != 0 => DataType::Float64,
            kinds if kinds & DATE != 0 => DataType::Date32,
            kinds if kinds & TIME != 0 => DataType::Timestamp(unit, None),
            kinds if kinds & ZONED != 0 => DataType::Timestamp(unit, Some("UTC".into())),
            _ => DataType::Utf8,
        }
    }

    fn kinds_of(&mut self, cell: &str) -> u8 {
        if cell.eq_ignore_ascii_case("true") || cell.eq_ignore_ascii_case("false") {
            return BOOL;
        }
        if matches!(cell, "NaN" | "inf" | "-inf") {
            return FLOAT;
        }
        match cell.as_bytes() {
            [y @ .., b'-', _, _, b'-', _, _] if y.len() == 4 && parse_date(cell).is_some() => DATE | TIME,
            [y @ .., _] if y.len() > 10 && y[4] == b'-' && y[7] == b'-' => self.time_kinds(cell),
            _ => number_kinds(cell),
        }
    }

    fn time_kinds(&mut self, cell: &str) -> u8 {
        let Some(nanos) = parse_time(cell, &self.utc, 1_000_000_000) else {
            // Also times beyond the years 1677 to 2262, which nanoseconds do not reach.
            return match parse_time(cell, &self.utc, 1_000_000) {
                Some(_) if !self.nanos => zone_kind(cell),
                _ => 0,
            };
        };
        self.nanos |= nanos % 1_000 != 0;
        zone_kind(cell)
    }
}

fn zone_kind(cell: &str) -> u8 {
    let time_of_day = cell.get(11..).unwrap_or_default();
    if time_of_day.contains(['Z', 'z', '+', '-']) { ZONED } else { TIME }
}

fn number_kinds(cell: &str) -> u8 {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let whole = digits.split(['.', 'e', 'E']).next().unwrap_or_default();
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    let code = whole.len() > 1 && whole.starts_with('0');
    if digits.is_empty() || !plain || code {
        return 0;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return if Int64Type::parse(cell).is_some() { INT | FLOAT } else { 0 };
    }
    if Float64Type::parse(cell).is_some() { FLOAT } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sabot_expr::type_name;

    fn guess(cells: &[&str]) -> String {
        let mut guess = Guess::new("UTC".parse().unwrap());
        cells.iter().for_each(|cell| guess.text(cell));
        type_name(&guess.data_type())
    }

    #[test]
    fn columns_get_the_kind_that_all_their_cells_have() {
        for (cells, wanted) in [
            (&["1", "", "-20"][..], "int64"),
            (&["1", "2.5"], "float64"),
            (&["1e5", "NaN", "-inf", "3"], "float64"),
            (&["true", "FALSE"], "bool"),
            (&["true", "1"], "utf8"),
            (&["2001-12-31", ""], "date32"),
            (&["2001-12-31", "2001-12-31 10:00:00"], "timestamp(us)"),
            (&["2001-12-31T10:00:00.123456"], "timestamp(us)"),
            (&["2001-12-31T10:00:00.123456789"], "timestamp(ns)"),
            (&["2001-12-31T10:00:00Z", "2001-12-31T10:00:00+02:00"], "timestamp(us, UTC)"),
            (&["2001-12-31T10:00:00Z", "2001-12-31T10:00:00"], "utf8"),
            (&["9001-12-31T10:00:00"], "timestamp(us)"),
            (&["2001-13-31"], "utf8"),
            (&["007", "8"], "utf8"),
            (&["0", "0.5", "-0.25"], "float64"),
            (&["9223372036854775807"], "int64"),
            (&["9223372036854775808"], "utf8"),
            (&["", ""], "utf8"),
            (&[], "utf8"),
            (&["nan", "x"], "utf8"),
            (&["-", "1"], "utf8"),
            (&["1-2", "1"], "utf8"),
            (&["é-01-01-01"], "utf8"),
        ] {
            assert_eq!(guess(cells), wanted, "{cells:?}");
        }
    }
}
