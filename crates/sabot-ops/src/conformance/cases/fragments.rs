//! Chains of steps, as plans make them.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use sabot_batch::hidden;
use sabot_common::{KeyGroups, Span};
use sabot_expr::{col, lit};
use sabot_time::TumblingWindow;
use std::sync::Arc;

use super::Cases;
use super::filter_project::Query;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, Checked};
use crate::conformance::data::{self, Values, schema_of, with_hidden};
use crate::{
    AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec, OperatorSpec, PartitionSpec,
    UnionSpec, WindowAssignSpec,
};

pub(super) fn add(cases: &mut Cases) {
    cases.cell("fragment/empty", |bench| {
        let schema = with_hidden(schema_of(&[("a", DataType::Int32), ("s", DataType::Utf8)]), &[hidden::ROW]);
        let fragment = Fragment::new(schema.clone(), vec![])?;
        let morsels = bench.morsels(&schema, true, &|_| Values::Wild)?;
        bench.check(&fragment, &morsels, &[Equality::Bits; 3])
    });
    cases.cell("fragment/filter-window-group-partition", windowed);
    cases.cell("fragment/union-filter-filter", |bench| {
        let field = |nullable| Schema::new(vec![Field::new("a", DataType::Int64, nullable)]);
        let (input, common) = (Arc::new(field(false)), Arc::new(field(true)));
        let union: OperatorSpec = UnionSpec { schema: common.clone() }.into();
        let (first, _) =
            Query::select([col("a") * 3, lit(100) / col("a")]).filter(col("a").gt(-5)).step(&common)?;
        let between = first.output_schema(&common)?;
        let (second, columns) =
            Query::select([lit(7) / col("p0"), col("p1")]).filter(col("p1").lt(60)).step(&between)?;
        let fragment = Fragment::new(input.clone(), vec![union, first, second])?;
        let morsels = bench.morsels(&input, true, &|_| Values::Tame)?;
        bench.check(&fragment, &morsels, &columns)
    });
    cases.cell("fragment/merge-final-project", merge_final_project);
    cases.cell("fragment/input-on-another-device", |bench| {
        let schema = flights();
        let (step, columns) =
            Query::select([col("origin"), col("delay") * 2]).filter(col("delay").gt(0)).step(&schema)?;
        let fragment = Fragment::new(schema.clone(), vec![step])?;
        let mut inputs = Vec::new();
        for (i, morsel) in bench.morsels(&schema, true, &|_| Values::Tame)?.into_iter().enumerate() {
            // Every fifth morsel is lost with its device.
            inputs.push(data::on_another_device(&morsel, i % 5 == 4)?);
        }
        bench.check(&fragment, &inputs, &columns)
    });
}

fn flights() -> SchemaRef {
    let columns = schema_of(&[("origin", DataType::Utf8), ("delay", DataType::Int32)]);
    with_hidden(columns, &[hidden::TIME, hidden::LATE])
}

fn by_origin(keys: Vec<usize>, delay: usize) -> GroupBySpec {
    let of_delay = |function, name| AggregateSpec::new(function, [(delay, DataType::Int32)], name);
    GroupBySpec {
        keys,
        hashed: vec![0],
        seed: 77,
        aggregates: vec![
            AggregateSpec::count("flights"),
            of_delay(AggregateFunction::Avg, "average_delay"),
            of_delay(AggregateFunction::Sum, "total_delay"),
        ],
        mode: GroupByMode::Partial,
    }
}

/// What stands between a source and a keyed window.
fn windowed(bench: &mut Bench<'_>) -> Checked {
    let schema = flights();
    let (filter, _) =
        Query::select([col("origin"), col("delay") + 1]).filter(col("delay").gt(-3)).step(&schema)?;
    let window = WindowAssignSpec {
        window: TumblingWindow::new(Span(5), Span::ZERO)?.into(),
        allowed_lateness: Span(3),
    };
    // Columns are now: origin, delay, time, lateness, window.
    let group = by_origin(vec![0, 4], 1);
    let partition =
        PartitionSpec { keys: vec![0], seed: 77, key_groups: KeyGroups::default(), parallelism: 4 };
    let steps = vec![filter, window.into(), group.into(), partition.into()];
    let fragment = Fragment::new(schema.clone(), steps)?;
    for values in [Values::Few, Values::Mixed] {
        let morsels = bench.morsels(&schema, false, &|i| if i == 0 { Values::Few } else { values })?;
        bench.check(&fragment, &morsels, &[])?;
    }
    Ok(())
}

/// What stands behind one; a projection that fails names the first row of the group.
fn merge_final_project(bench: &mut Bench<'_>) -> Checked {
    let rows = Arc::new(schema_of(&[("origin", DataType::Utf8), ("delay", DataType::Int32)]));
    let partial = by_origin(vec![0], 1);
    let state = partial.output_schema(&rows)?;
    let (merge, finish): (OperatorSpec, OperatorSpec) =
        (partial.to_merge().into(), partial.to_final().into());
    let values = finish.output_schema(&state)?;
    let ratio = lit(1_000i64) / col("total_delay");
    let (project, columns) = Query::select([col("origin"), col("average_delay"), ratio]).step(&values)?;
    let fragment = Fragment::new(state, vec![merge, finish, project])?;

    let first = Fragment::new(rows.clone(), vec![partial.into()])?;
    let mut inputs = Vec::new();
    for morsel in bench.morsels(&rows, false, &|i| if i == 0 { Values::Mixed } else { Values::Tame })? {
        let made = crate::reference::run(&first, &morsel)?;
        inputs.extend(made.morsels.into_iter().map(|(_, state)| state));
    }
    bench.check(&fragment, &inputs, &columns)
}
