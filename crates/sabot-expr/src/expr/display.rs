//! Expressions as SQL-like text, with as few parentheses as reading back needs.

use std::fmt::{self, Write as _};

use super::{BinaryOp, CastMode, Expr};
use crate::types::type_name;

/// How strongly a form binds, weakest first. An operand that binds less strongly than its place needs
/// gets parentheses.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Binds {
    Any,
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Sign,
    Atom,
}

fn binds(expr: &Expr) -> Binds {
    use BinaryOp::*;
    match expr {
        Expr::Alias { .. } => Binds::Any,
        Expr::Binary { op, .. } => match op {
            Or => Binds::Or,
            And => Binds::And,
            Eq | NotEq | Lt | LtEq | Gt | GtEq => Binds::Comparison,
            Add | Sub | WrappingAdd | WrappingSub => Binds::Sum,
            Mul | Div | Mod | WrappingMul => Binds::Product,
        },
        Expr::Not(_) => Binds::Not,
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::Between { .. }
        | Expr::InList { .. }
        | Expr::Like { .. } => Binds::Comparison,
        Expr::Negate(_) => Binds::Sign,
        Expr::Literal(value) if value.to_string().starts_with('-') => Binds::Sign,
        _ => Binds::Atom,
    }
}

/// The next stronger level: what the second operand of a left-associative operator needs.
fn above(level: Binds) -> Binds {
    match level {
        Binds::Any => Binds::Or,
        Binds::Or => Binds::And,
        Binds::And => Binds::Not,
        Binds::Not => Binds::Comparison,
        Binds::Comparison => Binds::Sum,
        Binds::Sum => Binds::Product,
        Binds::Product => Binds::Sign,
        Binds::Sign | Binds::Atom => Binds::Atom,
    }
}

fn operand(f: &mut fmt::Formatter<'_>, expr: &Expr, needs: Binds) -> fmt::Result {
    if binds(expr) < needs { write!(f, "({expr})") } else { write!(f, "{expr}") }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        operand(f, item, Binds::Or)?;
    }
    Ok(())
}

/// A name as it stands in an expression: plain where it is a word, quoted where it is not.
fn identifier(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let starts_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if starts_word && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return f.write_str(name);
    }
    write!(f, "\"{}\"", name.replace('"', "\"\""))
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Column(name) => identifier(f, name),
            Expr::Literal(value) => write!(f, "{value}"),
            Expr::Binary { op, left, right } => {
                let level = binds(self);
                // Comparisons do not chain, so both sides of one need more than a comparison.
                let first = if op.is_comparison() { above(level) } else { level };
                operand(f, left, first)?;
                write!(f, " {} ", op.symbol())?;
                operand(f, right, above(level))
            }
            Expr::Not(expr) => {
                f.write_str("NOT ")?;
                operand(f, expr, Binds::Not)
            }
            Expr::Negate(expr) => {
                f.write_str("-")?;
                // Two signs in a row would read as a comment.
                operand(f, expr, Binds::Atom)
            }
            Expr::IsNull(expr) => {
                operand(f, expr, Binds::Sum)?;
                f.write_str(" IS NULL")
            }
            Expr::IsNotNull(expr) => {
                operand(f, expr, Binds::Sum)?;
                f.write_str(" IS NOT NULL")
            }
            Expr::Case { whens, otherwise } => case(f, whens, otherwise.as_deref()),
            Expr::Cast { expr, to, mode } => {
                let word = if *mode == CastMode::Strict { "CAST" } else { "TRY_CAST" };
                write!(f, "{word}({expr} AS {})", type_name(to))
            }
            Expr::Coalesce(args) => call(f, "coalesce", args),
            Expr::Between { expr, low, high, negated } => {
                operand(f, expr, Binds::Sum)?;
                write!(f, " {}BETWEEN ", not(*negated))?;
                operand(f, low, Binds::Sum)?;
                f.write_str(" AND ")?;
                operand(f, high, Binds::Sum)
            }
            Expr::InList { expr, list: items, negated } => {
                operand(f, expr, Binds::Sum)?;
                write!(f, " {}IN (", not(*negated))?;
                list(f, items)?;
                f.write_char(')')
            }
            Expr::Like { expr, pattern, negated, insensitive, escape } => {
                operand(f, expr, Binds::Sum)?;
                write!(f, " {}{} ", not(*negated), if *insensitive { "ILIKE" } else { "LIKE" })?;
                operand(f, pattern, Binds::Sum)?;
                if *escape == '\\' { Ok(()) } else { write!(f, " ESCAPE '{escape}'") }
            }
            Expr::Function { name, args } | Expr::Call { name, args, .. } => call(f, name, args),
            Expr::Alias { expr, name } => {
                write!(f, "{expr} AS ")?;
                identifier(f, name)
            }
        }
    }
}

fn case(f: &mut fmt::Formatter<'_>, whens: &[(Expr, Expr)], otherwise: Option<&Expr>) -> fmt::Result {
    f.write_str("CASE")?;
    for (when, then) in whens {
        write!(f, " WHEN {when} THEN {then}")?;
    }
    if let Some(value) = otherwise {
        write!(f, " ELSE {value}")?;
    }
    f.write_str(" END")
}

fn call(f: &mut fmt::Formatter<'_>, name: &str, args: &[Expr]) -> fmt::Result {
    write!(f, "{name}(")?;
    list(f, args)?;
    f.write_char(')')
}
