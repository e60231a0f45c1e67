//! Joins as text.

use sabot_expr::TypedExpr;
use sabot_ops::Direction;

use super::{join as list, named};
use crate::{Join, JoinOutputSource, JoinStage, JoinStrategy, LookupStage, Plan, PlanNode};

/// `left join with slot airports-2 by origin = iata`.
pub(super) fn describe(join: &Join, plan: &Plan, node: &PlanNode) -> String {
    let right = node.inputs.get(1).map_or_else(String::new, |input| plan.nodes()[*input].id.to_string());
    let how = match join.strategy {
        JoinStrategy::Exchange => "",
        JoinStrategy::Lookup => ", looked up",
    };
    let mut text = format!("{} join with {right}{how}", join.kind);
    if !join.keys.is_empty() {
        text += &format!(" by {}", list(join.keys.iter().map(|key| format!("{} = {}", key.left, key.right))));
    }
    if let Some(nearest) = &join.nearest {
        let side = match nearest.direction {
            Direction::Backward => "the last not after",
            Direction::Forward => "the first not before",
        };
        text += &format!(", {} {side} {}", nearest.right, nearest.left);
        if let Some(tolerance) = nearest.tolerance {
            text += &format!(" within {tolerance}");
        }
    }
    if let Some(condition) = &join.condition {
        text += &format!(", where {condition}");
    }
    if join.unique {
        text += ", one match at most";
    }
    let picked = join.columns.iter().filter(|c| matches!(c.source, JoinOutputSource::Right(_)));
    let renamed = picked.filter_map(|column| {
        let JoinOutputSource::Right(index) = column.source else { return None };
        let right = &plan.nodes()[*node.inputs.get(1)?].properties.schema;
        let expr = TypedExpr::column(index, right).ok()?;
        (right.field(index).name() != &column.name)
            .then(|| named(&sabot_ops::Projection { name: column.name.clone(), expr }))
    });
    let renamed = list(renamed);
    if renamed.is_empty() { text } else { text + "; " + &renamed }
}

pub(super) fn table(detail: &mut impl FnMut(&str), stage: &JoinStage) {
    detail("runs on cpu (one table for all tasks that look rows up)");
    if stage.spec.unique {
        detail("refuses two rows with one key");
    }
}

pub(super) fn lookup(detail: &mut impl FnMut(&str), stage: LookupStage) {
    detail("runs on cpu (the table is in host memory)");
    detail(&format!("looks rows up in the table of {}", stage.table));
}

pub(super) fn keyed(detail: &mut impl FnMut(&str), stage: &JoinStage) {
    detail("loads its second input, then joins the first with it");
    if !stage.gated {
        detail("keeps rows of the first input meanwhile, because both sides wait for one source");
    }
}
