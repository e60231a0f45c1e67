//! What every row of a source must pass, as a hint for leaving rows out while reading.
//!
//! A hint must change no result: not which rows arrive, and not which errors there are. So it is made
//! only of conditions that every reader of the source applies, and of those only up to the first
//! expression that may fail, because a row that is left out cannot fail there.

use arrow::datatypes::{Schema, SchemaRef};
use sabot_expr::{BinaryOp, Expr, FunctionRegistry, TypedExpr, TypedKind, resolve};
use sabot_ops::Projection;

use crate::{NodeKind, Plan};

/// The condition on the rows that node `read` delivers, a source with or without event time, over the
/// source's columns.
pub(super) fn pruning(
    plan: &Plan,
    consumers: &[Vec<usize>],
    read: usize,
    source: &SchemaRef,
) -> Option<TypedExpr> {
    let nodes = plan.nodes();
    let readers = |index: usize| {
        // Those who declare another event time read the source on their own.
        consumers[index]
            .iter()
            .copied()
            .filter(move |c| !matches!(nodes[*c].kind, NodeKind::EventTime { .. }))
    };
    let mut required: Vec<Expr> = Vec::new();
    // For each column of the current node whether it is the source's column of that name.
    let mut original: Vec<bool> = vec![true; source.fields().len()];
    let mut current = read;
    loop {
        let mut shared: Option<Vec<Expr>> = None;
        for reader in readers(current) {
            let NodeKind::FilterProject { predicate, .. } = &nodes[reader].kind else {
                return conjunction(required, source);
            };
            let conditions = conditions(predicate.as_ref(), &original);
            shared = Some(match shared {
                Some(others) => others.into_iter().filter(|c| conditions.contains(c)).collect(),
                None => conditions,
            });
        }
        required.extend(shared.unwrap_or_default());
        let mut readers = readers(current);
        let (Some(only), None) = (readers.next(), readers.next()) else {
            return conjunction(required, source);
        };
        let NodeKind::FilterProject { predicate, projections } = &nodes[only].kind else {
            return conjunction(required, source);
        };
        if predicate.iter().chain(projections.iter().map(|p| &p.expr)).any(TypedExpr::can_fail) {
            return conjunction(required, source);
        }
        original = still_original(projections, &original, &nodes[current].properties.schema);
        current = only;
    }
}

/// The conditions of a predicate that are about the source's own columns, up to the first that may fail.
fn conditions(predicate: Option<&TypedExpr>, original: &[bool]) -> Vec<Expr> {
    let mut found = Vec::new();
    let mut open: Vec<&TypedExpr> = predicate.into_iter().collect();
    while let Some(expr) = open.pop() {
        if let TypedKind::Binary { op: BinaryOp::And, left, right } = expr.kind() {
            open.extend([&**right, left]);
        } else if expr.can_fail() {
            break;
        } else if expr.is_deterministic() && expr.columns().iter().all(|c| original.get(*c) == Some(&true)) {
            found.push(expr.to_expr());
        }
    }
    found
}

fn still_original(projections: &[Projection], original: &[bool], input: &Schema) -> Vec<bool> {
    let same = |p: &Projection| {
        let column = p.expr.as_column();
        column.is_some_and(|c| original.get(c) == Some(&true) && input.field(c).name() == &p.name)
    };
    projections.iter().map(same).collect()
}

/// All conditions as one over the source's columns. Those with user functions are left out: statistics
/// cannot answer them, and their code is not at hand.
fn conjunction(conditions: Vec<Expr>, source: &Schema) -> Option<TypedExpr> {
    let functions = FunctionRegistry::new();
    let known = conditions.into_iter().filter(|c| resolve(c, source, &functions).is_ok());
    resolve(&known.reduce(Expr::and)?, source, &functions).ok()
}
