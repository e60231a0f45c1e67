//! A ranking as two stages: prepare what rows are grouped and sorted by, then rank at the owner of the
//! groups. With one group only there is one owner, and rows are gathered.

use sabot_expr::TypedExpr;
use sabot_ops::{FilterProjectSpec, RankSpec, SortKey};
use std::sync::Arc;

use super::aggregate::Columns;
use super::demand::stream_order;
use super::owned::Owned;
use super::{Cutter, Flow, hidden_fields};
use crate::{KeyedStage, PlanError, RankCall, RankResult, RankStage, Ranking, StageKind};
use arrow::datatypes::{Field, Schema};

impl Cutter<'_> {
    pub(super) fn rank(&mut self, index: usize, ranking: &Ranking) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let logical = self.input_schema(index);
        let demand = self.demands[index].clone();
        let mut flow = self.input(index, 0)?;

        let mut columns = Columns::default();
        for column in demand.columns.iter().filter(|column| **column < logical.fields().len()) {
            let expr = TypedExpr::column(*column, &logical);
            let expr = expr.map_err(|e| PlanError::expression(ranking.call.name(), e))?;
            columns.add(logical.field(*column).name(), flow.localise(&expr, &logical));
        }
        let kept = columns.projections.len();
        let groups: Vec<usize> =
            ranking.groups.iter().map(|g| columns.find_or_add(flow.localise(&g.expr, &logical))).collect();
        let order = ranking.order.iter().map(|key| SortKey {
            column: columns.find_or_add(flow.localise(&key.expr, &logical)),
            descending: key.descending,
            nulls_first: key.nulls_first,
        });
        let order: Vec<SortKey> = order.collect();
        let mut carried = stream_order(plan, node.inputs[0]);
        if ranking.call.keeps_order() {
            carried.merge(demand.hidden);
        }
        let carried = carried.names().filter_map(|name| flow.schema.index_of(name).ok()).collect();
        flow.compute(FilterProjectSpec { predicate: None, projections: columns.projections, carried })?;

        let Owned { rows, inputs, operators } = self.owned(flow, &groups, node)?;
        let (numbers, visible) = (logical.fields().len(), &node.properties.schema);
        let numbered = ranking.number.is_some() && demand.columns.contains(&numbers);
        let spec = RankSpec {
            groups,
            order,
            backwards: ranking.backwards,
            skip: ranking.skip,
            fetch: ranking.fetch,
        };
        let stage = RankStage {
            spec,
            windowed: ranking.windowed,
            feeders: Vec::new(),
            as_it_goes: ranking.leaves_as_it_goes(&plan.nodes()[node.inputs[0]].properties),
            kept,
            numbered,
            result: match ranking.call {
                RankCall::Sort => RankResult::Sorted,
                RankCall::TopN => RankResult::Ranked,
                RankCall::Limit | RankCall::Unique | RankCall::Distinct => RankResult::AsBefore,
            },
            hash_seed: plan.keying().hash_seed,
            ordinal: self.next_ordinal(),
            rows: rows.clone(),
        };
        let fields = rows.fields()[..kept].iter().map(|field| field.as_ref().clone());
        let number = numbered.then(|| visible.field(numbers).clone());
        let output: Vec<Field> = fields.chain(number).chain(hidden_fields(&demand.hidden)).collect();
        let kind = StageKind::Keyed(KeyedStage::Rank(stage));
        Ok(self.stage(operators, inputs, kind, Arc::new(Schema::new(output))))
    }
}
