//! A join as stages: both sides prepared, then brought together.
//!
//! Each side's fragment computes keys and leaves out what nobody reads. An exchanged join then sends the
//! rows of both to the owners of their keys. A lookup join gathers the right side in one stage that makes
//! a table of it, which all tasks of the left side share.
//!
//! A join cannot begin before its right side is there. So the sources of the left side wait for those of
//! the right one to end, which keeps the memory for rows in flight free for the side that is needed
//! first. Where a source feeds both sides, or two joins would wait for each other, nobody can wait: then
//! rows are exchanged, and their owners keep those of the left side meanwhile.

use arrow::datatypes::SchemaRef;
use sabot_batch::hidden;
use sabot_expr::TypedExpr;
use sabot_ops::{Fragment, JoinColumn, JoinSource, OperatorSpec, PartitionSpec, Projection};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::demand::{Demand, columns_of, has_results};
use super::{Cutter, Flow};
use crate::join::Places;
use crate::{
    FragmentStage, Join, JoinOutputSource, JoinStage, JoinStrategy, KeyedStage, LookupStage, Plan, PlanError,
    PlanNode, Port, Route, StageInput, StageKind,
};

/// What a join reads of its left and of its right side.
pub(super) fn demands(plan: &Plan, node: &PlanNode, join: &Join, out: &Demand) -> [Demand; 2] {
    let mut sides = [Demand::default(), Demand::default()];
    let widths = node.inputs.iter().map(|input| plan.nodes()[*input].properties.schema.fields().len());
    let left_width = widths.clone().next().unwrap_or_default();
    for column in &out.columns {
        match join.columns.get(*column).map(|c| c.source) {
            Some(JoinOutputSource::Left(i)) => drop(sides[0].columns.insert(i)),
            Some(JoinOutputSource::Right(i)) => drop(sides[1].columns.insert(i)),
            // Keys are read in any case.
            Some(JoinOutputSource::Key(_)) | None => {}
        }
    }
    sides[0].columns.extend(columns_of(join.left_exprs().into_iter()));
    sides[1].columns.extend(columns_of(join.right_exprs().into_iter()));
    for column in join.condition.iter().flat_map(TypedExpr::columns) {
        match column.checked_sub(left_width) {
            None => sides[0].columns.insert(column),
            Some(column) => sides[1].columns.insert(column),
        };
    }
    let [left, right] = &mut sides;
    left.hidden = out.hidden;
    if let [probe, build] = node.inputs[..] {
        // Where left rows go on as they are, so does their key, also the empty one that a union asks for.
        if join.kind.gives_build() && !has_results(plan, probe) {
            left.hidden.remove(hidden::KEY);
        }
        // A result without event time whose order depends on that of the left rows.
        if join.kind.keeps_build() && plan.nodes()[probe].properties.time.is_some() {
            left.hidden.insert(hidden::TIME);
            left.hidden.insert(hidden::LATE);
        }
        // The order of the right side is that of the matches.
        if plan.nodes()[build].properties.time.is_some() {
            right.hidden.insert(hidden::TIME);
            right.hidden.insert(hidden::LATE);
        }
        right.hidden.insert(hidden::PARTITION);
        right.hidden.insert(hidden::ROW);
        if has_results(plan, build) {
            right.hidden.insert(hidden::KEY);
        }
    }
    sides
}

/// Which sources wait until others have ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    /// For each source stage those that must have ended before it is read.
    pub(super) after: BTreeMap<usize, BTreeSet<usize>>,
}

impl Gates {
    /// Lets the sources of a left side wait for those of the right one, unless some would wait for
    /// themselves. Whether they do.
    fn close(&mut self, probe: &BTreeSet<usize>, build: &BTreeSet<usize>) -> bool {
        if build.iter().any(|source| self.waits_for(*source, probe)) {
            return false;
        }
        for source in probe {
            self.after.entry(*source).or_default().extend(build);
        }
        true
    }

    /// Whether a source is one of `others`, or waits for one of them to end.
    fn waits_for(&self, source: usize, others: &BTreeSet<usize>) -> bool {
        let (mut seen, mut open) = (BTreeSet::new(), vec![source]);
        while let Some(source) = open.pop() {
            if others.contains(&source) {
                return true;
            }
            if seen.insert(source) {
                open.extend(self.after.get(&source).into_iter().flatten());
            }
        }
        false
    }
}

/// One side, prepared.
struct Side {
    flow: Flow,
    places: Places,
}

impl Cutter<'_> {
    pub(super) fn join(&mut self, index: usize, join: &Join) -> Result<Flow, PlanError> {
        let plan = self.plan;
        let node = &plan.nodes()[index];
        let demands = demands(plan, node, join, &self.demands[index]);
        let [left_demand, right_demand] = &demands;
        let left = self.side(index, 0, left_demand, join, &join.left_exprs())?;
        let right = self.side(index, 1, right_demand, join, &join.right_exprs())?;

        let columns = self.join_columns(index, join, &left, &right);
        let mut spec = join.spec(&left.places, &right.places, columns);
        spec.seed = plan.keying().hash_seed;
        spec.ordinal = self.next_ordinal();
        let (probe, build) = (left.flow.schema.clone(), right.flow.schema.clone());
        let output = spec.output_schema(&probe, &build)?;

        let sources = [&left, &right].map(|side| self.sources_of(&side.flow.inputs));
        // A source without end may feed a limit on the right side and others, for whom it goes on.
        let ends = sources[1].iter().all(|source| !self.endless.contains(source));
        let gated = ends && self.gates.close(&sources[0], &sources[1]);
        let stage = JoinStage { spec, probe, build, gated };
        if join.strategy == JoinStrategy::Lookup && gated {
            return self.lookup(node, left.flow, right.flow, stage, output);
        }
        let mut inputs = Vec::with_capacity(2);
        let keys = |key: fn(&(usize, usize)) -> usize| stage.spec.keys.iter().map(key).collect();
        for (side, keys) in [(left, keys(|k| k.0)), (right, keys(|k| k.1))] {
            inputs.push(self.exchange(node, side.flow, keys)?);
        }
        let kind = StageKind::Keyed(KeyedStage::Join(stage));
        Ok(self.stage(vec![node.id.clone()], inputs, kind, output))
    }

    /// One table for all tasks of the left side.
    fn lookup(
        &mut self,
        node: &PlanNode,
        left: Flow,
        right: Flow,
        stage: JoinStage,
        output: SchemaRef,
    ) -> Result<Flow, PlanError> {
        let right = self.materialise(right, &node.id)?;
        let gathered: Vec<StageInput> =
            right.inputs.into_iter().map(|input| StageInput { route: Route::Gather, ..input }).collect();
        let operators = right.operators.into_iter().chain([node.id.clone()]).collect();
        let table = self.stages.len();
        self.stage(operators, gathered, StageKind::Table(stage), right.schema);
        let left = self.materialise(left, &node.id)?;
        let operators = left.operators.into_iter().chain([node.id.clone()]).collect();
        Ok(self.stage(operators, left.inputs, StageKind::Lookup(LookupStage { table }), output))
    }

    /// Rows to the owners of their keys.
    fn exchange(
        &mut self,
        node: &PlanNode,
        mut flow: Flow,
        keys: Vec<usize>,
    ) -> Result<StageInput, PlanError> {
        flow.push(OperatorSpec::Partition(PartitionSpec {
            keys,
            seed: self.plan.keying().hash_seed,
            key_groups: self.plan.keying().key_groups,
            parallelism: self.options.keyed_parallelism,
        }))?;
        let Flow { inputs, base, steps, mut operators, .. } = flow;
        operators.push(node.id.clone());
        let fragment = Fragment::new(base, steps)?;
        let output = fragment.output().clone();
        let kind = StageKind::Fragment(FragmentStage { fragment, late: None });
        let stage = self.stage(operators, inputs, kind, output).inputs[0].stage;
        Ok(StageInput { stage, port: Port::Main, route: Route::KeyGroups })
    }

    /// One side with the columns that are read, then keys and time where they are no such column.
    fn side(
        &self,
        index: usize,
        number: usize,
        demand: &Demand,
        join: &Join,
        exprs: &[&TypedExpr],
    ) -> Result<Side, PlanError> {
        let plan = self.plan;
        let mut flow = self.input(index, number)?;
        let logical = plan.nodes()[plan.nodes()[index].inputs[number]].properties.schema.clone();
        let mut projections: Vec<Projection> = Vec::new();
        let mut columns = HashMap::new();
        for column in self.given_columns(index, number, demand, join) {
            let field = logical.field(column);
            let expr = TypedExpr::column(column, &logical).map_err(|e| PlanError::expression("join", e))?;
            columns.insert(column, projections.len());
            projections.push(Projection { name: field.name().clone(), expr: flow.localise(&expr, &logical) });
        }
        let mut taken: HashSet<String> = projections.iter().map(|p| p.name.clone()).collect();
        let mut computed = Vec::with_capacity(exprs.len());
        for expr in exprs {
            let expr = flow.localise(expr, &logical);
            let same = projections.iter().position(|p| p.expr == expr).filter(|_| expr.is_deterministic());
            computed.push(same.unwrap_or(projections.len()));
            if same.is_none() {
                let text = expr.to_string();
                let numbered = (2u64..).map(|n| format!("{text} {n}"));
                let free = std::iter::once(text.clone()).chain(numbered).find(|name| !taken.contains(name));
                let name = free.unwrap_or_default();
                taken.insert(name.clone());
                projections.push(Projection { name, expr });
            }
        }
        flow.filter_project(None, projections, &demand.hidden)?;
        let width = flow.schema.fields().len();
        let places = Places { visible: logical.fields().len(), columns, computed, width };
        Ok(Side { flow, places })
    }

    /// The columns of one side that the result gives or the condition reads; those that only keys are
    /// made of end there.
    fn given_columns(&self, index: usize, number: usize, demand: &Demand, join: &Join) -> BTreeSet<usize> {
        let out = &self.demands[index].columns;
        let node = &self.plan.nodes()[index];
        let left_width = self.plan.nodes()[node.inputs[0]].properties.schema.fields().len();
        let mut given: BTreeSet<usize> = BTreeSet::new();
        for (_, output) in join.columns.iter().enumerate().filter(|(i, _)| out.contains(i)) {
            match (output.source, number) {
                (JoinOutputSource::Left(i), 0) => drop(given.insert(i)),
                (JoinOutputSource::Right(i), 1) => drop(given.insert(i)),
                _ => {}
            }
        }
        for column in join.condition.iter().flat_map(TypedExpr::columns) {
            match (column.checked_sub(left_width), number) {
                (None, 0) => drop(given.insert(column)),
                (Some(column), 1) => drop(given.insert(column)),
                _ => {}
            }
        }
        debug_assert!(given.is_subset(&demand.columns), "what is given was demanded");
        given
    }

    /// The result columns that somebody reads, the hidden ones last.
    fn join_columns(&self, index: usize, join: &Join, left: &Side, right: &Side) -> Vec<JoinColumn> {
        let demand = &self.demands[index];
        let wanted = join.columns.iter().enumerate().filter(|(i, _)| demand.columns.contains(i));
        let mut columns: Vec<JoinColumn> =
            wanted.map(|(_, output)| join.column(output, &left.places, &right.places)).collect();
        // The left side has an event time, and the result has none.
        let plan = self.plan.nodes();
        let untimed = join.kind.keeps_build() && plan[plan[index].inputs[0]].properties.time.is_some();
        for name in demand.hidden.names() {
            let place = left.flow.schema.index_of(name).ok();
            let source = match (name, join.kind.gives_build()) {
                (hidden::KEY, true) => {
                    let of = |name| left.flow.schema.index_of(name).ok().filter(|_| untimed);
                    JoinSource::Order { probe: place, time: of(hidden::TIME).zip(of(hidden::LATE)) }
                }
                // Beyond every schema, and the spec is refused, where it is not there.
                _ => JoinSource::Probe(place.unwrap_or(usize::MAX)),
            };
            columns.push(JoinColumn { name: name.to_owned(), source });
        }
        columns
    }

    /// The source stages that rows come from, in part at least.
    fn sources_of(&self, inputs: &[StageInput]) -> BTreeSet<usize> {
        let (mut seen, mut sources) = (BTreeSet::new(), BTreeSet::new());
        let mut open: Vec<usize> = inputs.iter().map(|input| input.stage).collect();
        while let Some(index) = open.pop() {
            if !seen.insert(index) {
                continue;
            }
            let stage = &self.stages[index];
            match &stage.kind {
                StageKind::Source(_) => drop(sources.insert(index)),
                StageKind::Lookup(lookup) => open.push(lookup.table),
                _ => {}
            }
            open.extend(stage.inputs.iter().map(|input| input.stage));
        }
        sources
    }

    /// Writes into each source which others must have ended before.
    pub(super) fn close_gates(&mut self) {
        for (source, after) in std::mem::take(&mut self.gates.after) {
            if let Some(StageKind::Source(spec)) = self.stages.get_mut(source).map(|stage| &mut stage.kind) {
                spec.after = after.into_iter().collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sources: &[usize]) -> BTreeSet<usize> {
        sources.iter().copied().collect()
    }

    #[test]
    fn no_source_waits_for_itself() {
        let mut gates = Gates::default();
        assert!(gates.close(&set(&[0]), &set(&[1])));
        assert!(!gates.close(&set(&[1]), &set(&[0])), "0 waits for 1 already");
        assert!(gates.close(&set(&[1, 2]), &set(&[3])));
        assert!(!gates.close(&set(&[3]), &set(&[0])), "0 waits for 1, which waits for 3");
        assert!(!gates.close(&set(&[4]), &set(&[4, 5])), "4 feeds both sides");
        assert!(gates.close(&set(&[0]), &set(&[3])));
        assert_eq!(gates.after[&0], set(&[1, 3]));
        assert_eq!(gates.after.len(), 3);
    }
}
