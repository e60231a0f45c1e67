//! Which columns of every node somebody reads.
//!
//! Demands flow from the sinks upwards, so that sources read and stages pass on only what has a reader.
//! Hidden columns are demanded like any other: windows ask for event time and lateness, ordered sinks
//! for all that the total order of rows is made of, ordered aggregates for where rows stand.

use sabot_batch::hidden;
use sabot_expr::TypedExpr;
use sabot_ops::UnnestSource;
use std::collections::BTreeSet;

use crate::{Aggregation, KeyedWindow, NodeKind, Plan, RankCall, Ranking};

/// The hidden columns that streams carry, in the order in which they stand behind the visible ones.
pub(super) const HIDDEN: [&str; 5] =
    [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];

/// Some of [`HIDDEN`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HiddenSet(u8);

impl HiddenSet {
    pub(super) fn insert(&mut self, name: &str) {
        if let Some(place) = HIDDEN.iter().position(|h| *h == name) {
            self.0 |= 1 << place;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Some(place) = HIDDEN.iter().position(|h| *h == name) {
            self.0 &= !(1 << place);
        }
    }

    pub(super) fn merge(&mut self, other: HiddenSet) {
        self.0 |= other.0;
    }

    /// Their names, in order.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        HIDDEN.into_iter().enumerate().filter(move |(i, _)| self.0 & (1 << i) != 0).map(|(_, name)| name)
    }
}

/// What is read of a node's rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    /// The user's columns, by their place in the node's schema.
    pub(super) columns: BTreeSet<usize>,
    /// The hidden columns.
    pub(super) hidden: HiddenSet,
}

impl Demand {
    fn merge(&mut self, other: Demand) {
        self.columns.extend(other.columns);
        self.hidden.merge(other.hidden);
    }
}

/// The demand on each node. That on a source is of those who read it without event time; the others'
/// stands at the node that declares it.
pub(super) fn demands(plan: &Plan) -> Vec<Demand> {
    let nodes = plan.nodes();
    let mut demands = vec![Demand::default(); nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        let out = demands[index].clone();
        match &node.kind {
            NodeKind::Source { .. } | NodeKind::EventTime { .. } => {}
            NodeKind::FilterProject { predicate, projections } => {
                let wanted = out.columns.iter().map(|c| &projections[*c].expr);
                let columns = columns_of(predicate.iter().chain(wanted));
                demands[node.inputs[0]].merge(Demand { columns, hidden: out.hidden });
            }
            NodeKind::Aggregate { window, keys, aggregates, .. } => {
                let first = keys.len() + if window.is_some() { 2 } else { 0 };
                let wanted =
                    aggregates.iter().enumerate().filter(|(i, _)| out.columns.contains(&(first + i)));
                let wanted: Vec<&Aggregation> = wanted.map(|(_, aggregate)| aggregate).collect();
                let exprs = wanted.iter().flat_map(|aggregate| aggregate.exprs());
                let columns = columns_of(keys.iter().map(|key| &key.expr).chain(exprs));
                let ordered = wanted.iter().any(|aggregate| aggregate.function.is_ordered());
                let input = node.inputs[0];
                let mut hidden = if ordered { place_of_rows(plan, input) } else { HiddenSet::default() };
                if window.is_some() {
                    hidden.insert(hidden::TIME);
                    hidden.insert(hidden::LATE);
                }
                if window.as_ref().is_some_and(KeyedWindow::counts_rows) {
                    hidden.merge(stream_order(plan, input));
                }
                demands[input].merge(Demand { columns, hidden });
            }
            NodeKind::Rank(ranking) => {
                let order = ranking.order.iter().map(|key| &key.expr);
                let exprs = ranking.groups.iter().map(|group| &group.expr).chain(order);
                let mut columns = columns_of(exprs);
                let fields = nodes[node.inputs[0]].properties.schema.fields().len();
                columns.extend(out.columns.iter().filter(|column| **column < fields));
                let mut hidden = stream_order(plan, node.inputs[0]);
                if ranking.call.keeps_order() {
                    hidden.merge(out.hidden);
                }
                demands[node.inputs[0]].merge(Demand { columns, hidden });
            }
            NodeKind::Over(over) => {
                let fields = nodes[node.inputs[0]].properties.schema.fields().len();
                let mut columns = columns_of(over.exprs());
                columns.extend(out.columns.iter().filter(|column| **column < fields));
                let mut hidden = out.hidden;
                if over.orders_rows() {
                    // Their place is made here.
                    [hidden::PARTITION, hidden::ROW, hidden::KEY].iter().for_each(|name| {
                        hidden.remove(name);
                    });
                }
                hidden.merge(stream_order(plan, node.inputs[0]));
                demands[node.inputs[0]].merge(Demand { columns, hidden });
            }
            // Late rows are rows of the aggregation's input, not of its result.
            NodeKind::LateRows => demands[nodes[node.inputs[0]].inputs[0]].merge(out),
            NodeKind::Join(join) => {
                let sides = super::join::demands(plan, node, join, &out);
                node.inputs.iter().zip(sides).for_each(|(input, side)| demands[*input].merge(side));
            }
            NodeKind::Union => node.inputs.iter().for_each(|input| demands[*input].merge(out.clone())),
            NodeKind::Unnest(unnest) => {
                let input = node.inputs[0];
                let sources = unnest.columns(nodes[input].properties.schema.fields().len());
                let mut columns = BTreeSet::from([unnest.column]);
                for column in &out.columns {
                    if let Some(UnnestSource::Input(column)) = sources.get(*column) {
                        columns.insert(*column);
                    }
                }
                let mut hidden = out.hidden;
                if !has_results(plan, input) {
                    hidden.remove(hidden::KEY);
                }
                demands[input].merge(Demand { columns, hidden });
            }
            NodeKind::Predict(spec) => {
                let fields = nodes[node.inputs[0]].properties.schema.fields().len();
                let (mut columns, predicted): (BTreeSet<usize>, BTreeSet<usize>) =
                    out.columns.iter().partition(|column| **column < fields);
                if !predicted.is_empty() {
                    columns.extend(&spec.features);
                }
                demands[node.inputs[0]].merge(Demand { columns, hidden: out.hidden });
            }
            NodeKind::MapBatches { .. } => {
                let columns = (0..nodes[node.inputs[0]].properties.schema.fields().len()).collect();
                demands[node.inputs[0]].merge(Demand { columns, hidden: out.hidden });
            }
            NodeKind::Sink { .. } => demands[node.inputs[0]].merge(sink_demand(plan, index)),
        }
    }
    demands
}

/// What a sink reads: all columns, and where it is ordered all that the order of rows is made of.
pub(super) fn sink_demand(plan: &Plan, sink: usize) -> Demand {
    let node = &plan.nodes()[sink];
    let mut demand =
        Demand { columns: (0..node.properties.schema.fields().len()).collect(), ..Demand::default() };
    if let NodeKind::Sink { ordered: true, .. } = node.kind {
        demand.hidden = stream_order(plan, node.inputs[0]);
    }
    demand
}

/// What the order of a node's rows is made of, in which a late row takes the place of the watermark it missed.
pub(super) fn stream_order(plan: &Plan, node: usize) -> HiddenSet {
    let mut order = place_of_rows(plan, node);
    if plan.nodes()[node].properties.time.is_some() {
        order.insert(hidden::LATE);
    }
    order
}

/// What says where the rows of a node stand among each other, by their own event time.
fn place_of_rows(plan: &Plan, node: usize) -> HiddenSet {
    let mut place = HiddenSet::default();
    if plan.nodes()[node].properties.time.is_some() {
        place.insert(hidden::TIME);
    }
    place.insert(hidden::PARTITION);
    place.insert(hidden::ROW);
    if has_results(plan, node) {
        place.insert(hidden::KEY);
    }
    place
}

/// Whether rows of a node are, in part at least, results of an aggregation or of a top-N, which are ordered
/// by key, or of a join or an unnest, which give several for one row, or were given an order among those of one time.
pub(super) fn has_results(plan: &Plan, node: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![node];
    while let Some(index) = open.pop() {
        if !seen.insert(index) {
            continue;
        }
        let node = &plan.nodes()[index];
        match &node.kind {
            NodeKind::Aggregate { .. } | NodeKind::Unnest(_) => return true,
            NodeKind::Join(join) if join.kind.gives_build() => return true,
            // Rows of the left side, each at most once.
            NodeKind::Join(_) => open.extend(node.inputs.first()),
            NodeKind::Rank(Ranking { call: RankCall::TopN, .. }) => return true,
            NodeKind::Over(over) if over.orders_rows() => return true,
            // Sorted rows are numbered anew.
            NodeKind::Rank(Ranking { call: RankCall::Sort, .. }) => {}
            NodeKind::LateRows => open.extend(&plan.nodes()[node.inputs[0]].inputs),
            _ => open.extend(&node.inputs),
        }
    }
    false
}

pub(super) fn columns_of<'a>(exprs: impl Iterator<Item = &'a TypedExpr>) -> BTreeSet<usize> {
    exprs.flat_map(TypedExpr::columns).collect()
}
