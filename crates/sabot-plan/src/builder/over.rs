//! Values over the rows around, as nodes: one for each partition and order, one upon another.

use arrow::datatypes::Field;
use sabot_expr::{Expr, col};
use std::sync::Arc;

use super::PlanBuilder;
use crate::derive::{check_names, unbounded_source};
use crate::over::why_it_waits;
use crate::{AggregateExpr, ColumnExpr, Emit, NodeKind, NodeRef, Over, OverColumn, OverExpr, PlanError};

impl PlanBuilder {
    /// As [`PlanBuilder::with_columns`], where some of the columns are values over the rows around.
    ///
    /// # Errors
    /// As [`PlanBuilder::with_columns`]; and for values over rows when a partition cannot be a key, an order
    /// or a frame cannot be, or the rows bring updates or deletes or never end.
    pub fn with_over(&self, input: &NodeRef, columns: &[ColumnExpr]) -> Result<NodeRef, PlanError> {
        const OPERATOR: &str = "with_columns";
        let name = |column: &ColumnExpr| match column {
            ColumnExpr::Value(expr) => expr.output_name(),
            ColumnExpr::Over(over) => over.output_name(),
        };
        let names: Vec<String> = columns.iter().map(name).collect();
        check_names(OPERATOR, names.iter().map(String::as_str))?;
        if columns.iter().all(|column| matches!(column, ColumnExpr::Value(_))) {
            let exprs = columns.iter().filter_map(|column| match column {
                ColumnExpr::Value(expr) => Some(expr.clone()),
                ColumnExpr::Over(_) => None,
            });
            return self.with_columns(input, &exprs.collect::<Vec<_>>());
        }
        // All see the columns of the input: what is added stands under names of its own until the end.
        let taken = |name: &str, node: &NodeRef| node.schema().index_of(name).is_ok();
        let mut node = input.clone();
        let mut finals: Vec<(String, Expr)> = Vec::with_capacity(columns.len());
        let mut open: Vec<(&OverExpr, String)> = Vec::new();
        for (column, name) in columns.iter().zip(&names) {
            match column {
                ColumnExpr::Value(expr) => finals.push((name.clone(), expr.clone())),
                ColumnExpr::Over(over) => {
                    let numbered = (2u64..).map(|n| format!("{name} {n}"));
                    let free = std::iter::once(name.clone())
                        .chain(numbered)
                        .find(|free| !taken(free, input) && (free == name || !names.contains(free)));
                    let free = free.unwrap_or_default();
                    finals.push((name.clone(), col(free.as_str())));
                    open.push((over, free));
                }
            }
        }
        let mut nodes: Vec<Over> = Vec::new();
        while let Some((first, _)) = open.first().cloned() {
            let same = |over: &OverExpr| {
                (&over.partition, &over.order) == (&first.partition, &first.order)
                    && (&over.ties, over.emit) == (&first.ties, first.emit)
            };
            let (together, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(|(over, _)| same(over));
            nodes.push(self.over(input, first, &together)?);
            open = rest;
        }
        // When one has to wait, so do all: otherwise rows would be late for some columns of a row.
        let rolls = self.all_roll(&nodes, input)?;
        for over in nodes {
            node = NodeRef::new(NodeKind::Over(Over { rolls, ..over }), vec![node.clone()])?;
        }
        let mut all: Vec<(String, Expr)> =
            input.schema().fields().iter().map(|f| (f.name().clone(), col(f.name().as_str()))).collect();
        for (name, expr) in finals {
            match all.iter_mut().find(|(old, _)| old == &name) {
                Some(old) => old.1 = expr,
                None => all.push((name, expr)),
            }
        }
        let same = |((name, expr), field): (&(String, Expr), &Arc<Field>)| {
            name == field.name() && expr == &col(name.as_str())
        };
        let fields = node.schema().fields();
        if all.len() == fields.len() && all.iter().zip(fields).all(same) {
            return Ok(node);
        }
        let all: Vec<Expr> = all.into_iter().map(|(name, expr)| expr.alias(name)).collect();
        self.select(&node, &all)
    }

    /// Whether values can all be computed while rows come in.
    fn all_roll(&self, nodes: &[Over], input: &NodeRef) -> Result<bool, PlanError> {
        let mut reason = None;
        for over in nodes {
            reason = reason.or(why_it_waits(over, input.schema())?);
        }
        let Some(reason) = reason else { return Ok(true) };
        if nodes.iter().any(|over| over.emit == Emit::OnArrival) {
            return Err(reason.into());
        }
        match unbounded_source(input) {
            Some(source_name) => Err(PlanError::UnboundedOver { source_name, reason }),
            None => Ok(false),
        }
    }

    /// Values over one partition and order, under their names.
    fn over(
        &self,
        input: &NodeRef,
        first: &OverExpr,
        values: &[(&OverExpr, String)],
    ) -> Result<Over, PlanError> {
        const OPERATOR: &str = "over";
        let aggregate = |call: &AggregateExpr| self.aggregation(OPERATOR, input, call);
        let mut columns = Vec::with_capacity(values.len());
        for (over, name) in values {
            let value = over.value.try_map(|expr| self.resolve(OPERATOR, input, expr), aggregate)?;
            columns.push(OverColumn { value, frame: over.frame, name: name.clone() });
        }
        Ok(Over {
            partition: self.projections(OPERATOR, input, &first.partition)?,
            order: self.order(OPERATOR, input, &first.order)?,
            ties: self.order(OPERATOR, input, &first.ties)?,
            rolls: false,
            emit: first.emit,
            by_event_time: first.order.is_empty() && input.properties().time.is_some(),
            columns,
        })
    }
}

/// The first node of values over rows before, where there are several one upon another: who comes too late for
/// it never gets to the others.
pub(super) fn first_to_roll(node: &NodeRef) -> Option<&NodeRef> {
    let (mut node, mut first) = (node, None);
    loop {
        match (node.kind(), node.inputs()) {
            (NodeKind::Over(over), [input]) => {
                first = if over.rolls { Some(node) } else { first };
                node = input;
            }
            (NodeKind::FilterProject { predicate: None, .. }, [input]) => node = input,
            _ => return first,
        }
    }
}
