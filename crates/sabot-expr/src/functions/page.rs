//! The page `docs/functions.md`, whose tables are those of this module.

use std::fmt::Write;

use super::{Function, Returns, Takes};
use crate::builder::function;
use crate::expr::{DatePart, TruncUnit};

/// Where the table of a family starts and ends on the page.
pub(super) fn markers(family: &str) -> (String, String) {
    (format!("<!-- table: {family} -->\n"), format!("<!-- end of table: {family} -->"))
}

/// The families in order.
pub(super) fn families() -> Vec<&'static str> {
    let mut families: Vec<&str> = Function::all().map(Function::family).collect();
    families.dedup();
    families
}

/// The table of a family.
pub(super) fn table(family: &str) -> String {
    let mut page = String::from(
        "\n| function | gives | takes → type of the result | null when | error when | example |\n",
    );
    page.push_str("|---|---|---|---|---|---|\n");
    for function in Function::all().filter(|function| function.family() == family) {
        page.push_str(&row(function));
    }
    if family == "Dates and timestamps" {
        let words = |names: Vec<&str>| format!("`{}`", names.join("`, `"));
        let _ = writeln!(
            page,
            "\nDate parts: {}.",
            words(DatePart::ALL.iter().map(|part| part.name()).collect())
        );
        let _ = writeln!(
            page,
            "\nTime units: {}.",
            words(TruncUnit::ALL.iter().map(|unit| unit.name()).collect())
        );
    }
    page.push('\n');
    page
}

fn row(of: Function) -> String {
    let entry = of.entry();
    let takes: Vec<String> =
        entry.parameters.iter().map(|p| format!("{}: {}", p.name, p.takes.describe())).collect();
    let gives = match entry.returns {
        Returns::Boolean => "bool".to_owned(),
        Returns::Int8 => "int8".to_owned(),
        Returns::Int64 => "int64".to_owned(),
        Returns::UInt64 => "uint64".to_owned(),
        Returns::Float64 => "float64".to_owned(),
        Returns::Text => "string".to_owned(),
        Returns::Item => "item".to_owned(),
        Returns::Field => "field".to_owned(),
        Returns::SameAs(at) => match entry.parameters.get(at).map(|p| p.takes) {
            Some(Takes::Float) => "float".to_owned(),
            _ => format!("as {}", entry.parameters[at].name),
        },
    };
    let about = match entry.ulp {
        0 => entry.about.to_owned(),
        ulp => format!("{} Within {ulp} ULP.", entry.about),
    };
    let errors = if entry.errors.when.is_empty() { "never" } else { entry.errors.when };
    let (args, result) = (entry.example)();
    let call = function(entry.name, args);
    let (signature, takes, nulls) = (entry.signature(), takes.join("; "), entry.nulls.describe());
    format!("| `{signature}` | {about} | {takes} → {gives} | {nulls} | {errors} | `{call}` = `{result}` |\n")
}
