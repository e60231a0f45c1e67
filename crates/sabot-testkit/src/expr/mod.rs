//! Random typed expressions.
//!
//! They are drawn towards a type, so that nearly all of them resolve, and made of every kind of node.
//! What is drawn is the untyped form; resolving it writes out implicit casts and adapts literals, so
//! the result is what a user could have written.

mod function;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type, IntervalUnit, Schema};
use rand::Rng;
use rand::seq::IndexedRandom;
use sabot_expr::types::rules::{can_cast, is_comparable};
use sabot_expr::types::{
    decoded_type, is_decimal, is_float, is_integer, is_plain_string, is_signed_integer, is_utc,
};
use sabot_expr::{
    BinaryOp, CastMode, ClosureFunction, Expr, FunctionError, FunctionRegistry, Scalar, TypedExpr, resolve,
};
use std::sync::Arc;

use crate::array::{Spread, days, float, random_array, text, ticks, types};

/// The user functions that random expressions call: `triple` never fails, `odd_only` fails for even
/// numbers. Both take and give int64, and null for null.
///
/// # Panics
/// Never; the names are distinct.
pub fn functions() -> FunctionRegistry {
    let triple = ClosureFunction::new("triple", 1, [DataType::Int64], DataType::Int64, |args, _rows| {
        let tripled = args[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(|v| v.wrapping_mul(3));
        Ok(Arc::new(tripled) as ArrayRef)
    });
    let odd_only = ClosureFunction::new("odd_only", 1, [DataType::Int64], DataType::Int64, |args, _rows| {
        let numbers: &Int64Array = args[0].as_primitive();
        match numbers.iter().position(|v| v.is_some_and(|v| v % 2 == 0)) {
            Some(row) => Err(FunctionError::at_row(row, format!("{} is even", numbers.value(row)))),
            None => Ok(args[0].clone()),
        }
    });
    let mut registry = FunctionRegistry::new();
    registry.register(Arc::new(triple.infallible())).expect("the first function");
    registry.register(Arc::new(odd_only)).expect("another name");
    registry
}

/// A random expression over the columns of a schema, with at most about `depth` levels of nesting. Its
/// functions are those of [`functions`].
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
/// let schema = sabot_testkit::random_schema(&mut rng);
/// let expr = sabot_testkit::expr::random_expr(&mut rng, &schema, 3);
/// assert!(expr.columns().iter().all(|c| *c < schema.fields().len()));
/// ```
pub fn random_expr(rng: &mut impl Rng, schema: &Schema, depth: usize) -> TypedExpr {
    let all = types();
    loop {
        let target = decoded_type(all.choose(rng).expect("there are types")).clone();
        if let Some(expr) = random_expr_of(rng, schema, &target, depth) {
            return expr;
        }
    }
}

/// As [`random_expr`], of truth values.
pub fn random_predicate(rng: &mut impl Rng, schema: &Schema, depth: usize) -> TypedExpr {
    loop {
        if let Some(expr) = random_expr_of(rng, schema, &DataType::Boolean, depth) {
            return expr;
        }
    }
}

/// An expression that was drawn towards a type; `None` when what was drawn does not resolve to it.
fn random_expr_of(rng: &mut impl Rng, schema: &Schema, target: &DataType, depth: usize) -> Option<TypedExpr> {
    let registry = functions();
    let drawn = Draw { rng, schema }.of(target, depth);
    resolve(&drawn, schema, &registry).ok().filter(|e| decoded_type(e.data_type()) == target)
}

struct Draw<'a, R> {
    rng: &'a mut R,
    schema: &'a Schema,
}

impl<R: Rng> Draw<'_, R> {
    /// An expression of a type (never a dictionary).
    fn of(&mut self, target: &DataType, depth: usize) -> Expr {
        if depth == 0 || self.rng.random_bool(0.1) {
            return self.leaf(target);
        }
        let depth = depth - 1;
        match self.rng.random_range(0..10) {
            0 => self.case(target, depth),
            1 => {
                let count = self.rng.random_range(1..4);
                Expr::Coalesce((0..count).map(|_| self.of(target, depth)).collect())
            }
            2 | 3 => self.cast(target, depth),
            _ => self.native(target, depth),
        }
    }

    fn boxed(&mut self, target: &DataType, depth: usize) -> Box<Expr> {
        Box::new(self.of(target, depth))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(self.rng).expect("not empty")
    }

    fn leaf(&mut self, target: &DataType) -> Expr {
        let columns: Vec<&str> = self
            .schema
            .fields()
            .iter()
            .filter(|f| decoded_type(f.data_type()) == target)
            .map(|f| f.name().as_str())
            .collect();
        match columns.choose(self.rng) {
            Some(name) if self.rng.random_bool(0.8) => Expr::Column((*name).to_owned()),
            _ => Expr::Literal(self.literal(target)),
        }
    }

    fn literal(&mut self, target: &DataType) -> Scalar {
        if self.rng.random_bool(0.1) {
            return Scalar::Null(target.clone());
        }
        let spread = if self.rng.random_bool(0.8) { Spread::Narrow } else { Spread::Wide };
        match target {
            DataType::Boolean => Scalar::Boolean(self.rng.random()),
            DataType::Float32 => Scalar::Float32(float(self.rng, spread) as f32),
            DataType::Float64 => Scalar::Float64(float(self.rng, spread)),
            DataType::Utf8 => Scalar::Utf8(text(self.rng, spread).into()),
            DataType::LargeUtf8 => Scalar::LargeUtf8(text(self.rng, spread).into()),
            DataType::Date32 => Scalar::Date32(days(self.rng, spread)),
            DataType::Timestamp(unit, zone) => {
                Scalar::Timestamp { value: ticks(self.rng, *unit, spread), unit: *unit, zone: zone.clone() }
            }
            number if is_integer(number) => {
                let small = self.rng.random_range(0..8);
                let value =
                    if spread == Spread::Wide { [-1, 127, 1 << 31][small % 3] } else { small as i128 };
                Scalar::from_integer(value, number).unwrap_or_else(|| Scalar::Null(number.clone()))
            }
            other => {
                let one = random_array(self.rng, other, 1, 0.0, spread);
                Scalar::from_array(&one, 0).expect("a well-formed type")
            }
        }
    }

    fn case(&mut self, target: &DataType, depth: usize) -> Expr {
        let branches = self.rng.random_range(1..4);
        let whens =
            (0..branches).map(|_| (self.of(&DataType::Boolean, depth), self.of(target, depth))).collect();
        let otherwise = self.rng.random_bool(0.6).then(|| self.boxed(target, depth));
        Expr::Case { whens, otherwise }
    }

    fn cast(&mut self, target: &DataType, depth: usize) -> Expr {
        let mut sources: Vec<DataType> = types().iter().map(|t| decoded_type(t).clone()).collect();
        sources.retain(|from| from != target && can_cast(from, target));
        let Some(from) = sources.choose(self.rng).cloned() else { return self.leaf(target) };
        let mode = if self.rng.random_bool(0.5) { CastMode::Strict } else { CastMode::Try };
        Expr::Cast { expr: self.boxed(&from, depth), to: target.clone(), mode }
    }

    /// A node that only makes values of this type.
    fn native(&mut self, target: &DataType, depth: usize) -> Expr {
        match target {
            DataType::Boolean => self.truth(depth),
            DataType::Int64 if self.rng.random_bool(0.1) => self.call(depth),
            _ if self.rng.random_bool(0.3) => self.function(target, depth),
            number if is_integer(number) => self.integer(number, depth),
            number if is_float(number) => self.float(number, depth),
            decimal if is_decimal(decimal) => self.decimal(decimal, depth),
            DataType::Timestamp(_, zone) if is_utc(zone.as_deref()) => match self.rng.random_range(0..3) {
                0 => self.moved(target, depth),
                _ => self.function(target, depth),
            },
            DataType::Duration(_) | DataType::Interval(IntervalUnit::MonthDayNano) => {
                self.span(target, depth)
            }
            _ => self.function(target, depth),
        }
    }

    fn truth(&mut self, depth: usize) -> Expr {
        match self.rng.random_range(0..12) {
            0..=2 => self.comparison(depth),
            3..=5 => {
                let op = self.pick(&[BinaryOp::And, BinaryOp::Or]);
                let (left, right) =
                    (self.boxed(&DataType::Boolean, depth), self.boxed(&DataType::Boolean, depth));
                Expr::Binary { op, left, right }
            }
            6 => Expr::Not(self.boxed(&DataType::Boolean, depth)),
            7 => {
                let any = self.any_type();
                let expr = self.boxed(&any, depth);
                if self.rng.random_bool(0.5) { Expr::IsNull(expr) } else { Expr::IsNotNull(expr) }
            }
            8 => {
                let ordered = self.ordered_type();
                let members = self.rng.random_range(1..5);
                // Half of the lists are literals alone, which backends may treat as a set.
                let deep = if self.rng.random_bool(0.5) { depth } else { 0 };
                let list = (0..members).map(|_| self.of(&ordered, deep)).collect();
                Expr::InList { expr: self.boxed(&ordered, depth), list, negated: self.rng.random() }
            }
            9 => {
                let ordered = self.ordered_type();
                Expr::Between {
                    expr: self.boxed(&ordered, depth),
                    low: self.boxed(&ordered, depth),
                    high: self.boxed(&ordered, depth),
                    negated: self.rng.random(),
                }
            }
            10 => {
                let text_type = self.text_type();
                let pattern = if self.rng.random_bool(0.7) {
                    let patterns = ["%", "S%", "%a%", "_", "%O", "a\\%b", "1%0_", "", "S_A", "Z%ch"];
                    Box::new(Expr::Literal(Scalar::from(self.pick(&patterns))))
                } else {
                    self.boxed(&text_type, depth)
                };
                let escape = self.pick(&['\\', '!', '%']);
                Expr::Like {
                    expr: self.boxed(&text_type, depth),
                    pattern,
                    negated: self.rng.random(),
                    insensitive: self.rng.random(),
                    escape,
                }
            }
            _ => self.function(&DataType::Boolean, depth),
        }
    }

    fn comparison(&mut self, depth: usize) -> Expr {
        use BinaryOp::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
        let op = self.pick(&[Eq, NotEq, Lt, LtEq, Gt, GtEq]);
        let ordered = self.ordered_type();
        let (a, b) = (self.boxed(&ordered, depth), Box::new(Expr::Literal(self.literal(&ordered))));
        match self.rng.random_range(0..4) {
            0 => Expr::Binary { op, left: a, right: b },
            1 => Expr::Binary { op, left: b, right: a },
            _ => Expr::Binary { op, left: a, right: self.boxed(&ordered, depth) },
        }
    }

    fn call(&mut self, depth: usize) -> Expr {
        let name = self.pick(&["triple", "odd_only"]);
        Expr::Call { name: name.to_owned(), version: 1, args: vec![self.of(&DataType::Int64, depth)] }
    }

    fn integer(&mut self, target: &DataType, depth: usize) -> Expr {
        use BinaryOp::{Add, Div, Mod, Mul, Sub, WrappingAdd, WrappingMul, WrappingSub};
        match self.rng.random_range(0..8) {
            0 if is_signed_integer(target) => Expr::Negate(self.boxed(target, depth)),
            1 => self.function(target, depth),
            _ => {
                let op = self.pick(&[Add, Sub, Mul, Div, Mod, WrappingAdd, WrappingSub, WrappingMul]);
                Expr::Binary { op, left: self.boxed(target, depth), right: self.boxed(target, depth) }
            }
        }
    }

    fn float(&mut self, target: &DataType, depth: usize) -> Expr {
        use BinaryOp::{Add, Div, Mod, Mul, Sub};
        match self.rng.random_range(0..8) {
            0 => Expr::Negate(self.boxed(target, depth)),
            1..=3 => self.function(target, depth),
            _ => {
                let op = self.pick(&[Add, Sub, Mul, Div, Mod]);
                Expr::Binary { op, left: self.boxed(target, depth), right: self.boxed(target, depth) }
            }
        }
    }

    /// Arithmetic of two decimals, cast to the decimal wanted.
    fn decimal(&mut self, target: &DataType, depth: usize) -> Expr {
        use BinaryOp::{Add, Div, Mod, Mul, Sub};
        if self.rng.random_bool(0.15) {
            return Expr::Negate(self.boxed(target, depth));
        }
        let decimals: Vec<DataType> = types().into_iter().filter(is_decimal).collect();
        let mut side = || decimals.choose(self.rng).expect("there are decimals").clone();
        let (left, right) = (side(), side());
        let op = self.pick(&[Add, Sub, Mul, Div, Mod]);
        let computed = Expr::Binary { op, left: self.boxed(&left, depth), right: self.boxed(&right, depth) };
        let mode = if self.rng.random_bool(0.3) { CastMode::Strict } else { CastMode::Try };
        Expr::Cast { expr: Box::new(computed), to: target.clone(), mode }
    }

    /// A timestamp and a span.
    fn moved(&mut self, target: &DataType, depth: usize) -> Expr {
        let op = self.pick(&[BinaryOp::Add, BinaryOp::Sub]);
        let span = match target {
            DataType::Timestamp(unit, _) if self.rng.random_bool(0.5) => DataType::Duration(*unit),
            _ => DataType::Interval(self.pick(&[IntervalUnit::MonthDayNano, IntervalUnit::DayTime])),
        };
        Expr::Binary { op, left: self.boxed(target, depth), right: self.boxed(&span, depth) }
    }

    fn span(&mut self, target: &DataType, depth: usize) -> Expr {
        match (self.rng.random_range(0..5), target) {
            (0, DataType::Duration(unit)) => {
                let point = DataType::Timestamp(*unit, None);
                let (left, right) = (self.boxed(&point, depth), self.boxed(&point, depth));
                Expr::Binary { op: BinaryOp::Sub, left, right }
            }
            (1, _) => Expr::Negate(self.boxed(target, depth)),
            (2, _) => {
                let factor = Box::new(Expr::Literal(Scalar::Int64(self.rng.random_range(-3..4))));
                Expr::Binary { op: BinaryOp::Mul, left: self.boxed(target, depth), right: factor }
            }
            _ => {
                let op = self.pick(&[BinaryOp::Add, BinaryOp::Sub]);
                Expr::Binary { op, left: self.boxed(target, depth), right: self.boxed(target, depth) }
            }
        }
    }

    fn any_type(&mut self) -> DataType {
        let all = types();
        decoded_type(all.choose(self.rng).expect("there are types")).clone()
    }

    /// A type whose values can be compared.
    fn ordered_type(&mut self) -> DataType {
        loop {
            let drawn = self.any_type();
            if is_comparable(&drawn) {
                return drawn;
            }
        }
    }

    fn text_type(&mut self) -> DataType {
        let in_use: Vec<DataType> =
            self.schema.fields().iter().map(|f| decoded_type(f.data_type()).clone()).collect();
        let texts: Vec<&DataType> = in_use.iter().filter(|t| is_plain_string(t)).collect();
        texts.choose(self.rng).map_or(DataType::Utf8, |t| (*t).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random_schema;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use sabot_expr::{Function, TypedKind};
    use std::collections::BTreeSet;

    /// The name of a node's kind.
    fn name(expr: &TypedExpr) -> &'static str {
        match expr.kind() {
            TypedKind::Column { .. } => "column",
            TypedKind::Literal(_) => "literal",
            TypedKind::Binary { op, .. } => op.symbol(),
            TypedKind::Not(_) => "not",
            TypedKind::Negate(_) => "negate",
            TypedKind::IsNull(_) => "is null",
            TypedKind::IsNotNull(_) => "is not null",
            TypedKind::Case { .. } => "case",
            TypedKind::Cast { .. } => "cast",
            TypedKind::Coalesce(_) => "coalesce",
            TypedKind::InList { .. } => "in",
            TypedKind::Like { .. } => "like",
            TypedKind::Function { function, .. } => function.name(),
            TypedKind::Call { .. } => "call",
        }
    }

    #[test]
    fn all_kinds_of_nodes_and_types_are_drawn() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (mut kinds, mut results) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..4_000 {
            let schema = random_schema(&mut rng);
            let expr = random_expr(&mut rng, &schema, 4);
            results.insert(sabot_expr::type_name(expr.data_type()));
            let mut open = vec![&expr];
            while let Some(node) = open.pop() {
                kinds.insert(name(node));
                open.extend(node.children());
            }
        }
        let missing: Vec<_> =
            Function::all().map(Function::name).filter(|name| !kinds.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        // 12 kinds that are one node, 16 operators, and the functions.
        assert_eq!(kinds.len(), 12 + 16 + Function::all().count(), "{kinds:?}");
        assert!(results.len() >= 18, "{results:?}");
    }
}
