//! Group-by: every key type, every function over every type, in each mode and through all of them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use rand::Rng;
use sabot_batch::Morsel;
use sabot_expr::type_name;
use std::sync::Arc;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, Checked, NotPassed};
use crate::conformance::data::{self, Alive, Dress, Nulls, Values, all_types, key_types, schema_of};
use crate::conformance::difference::{Joined, Yardstick, first_difference};
use crate::{AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec, reference};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

const FUNCTIONS: [AggregateFunction; 5] = [
    AggregateFunction::Count,
    AggregateFunction::Sum,
    AggregateFunction::Avg,
    AggregateFunction::Min,
    AggregateFunction::Max,
];

pub(super) fn add(cases: &mut Cases) {
    for data_type in key_types() {
        for mode in [GroupByMode::Partial, GroupByMode::Merge] {
            let data_type = data_type.clone();
            let cell = format!("group-by/{}/key/{}", mode_name(mode), type_name(&data_type));
            cases.cell(cell, move |bench| keys(bench, mode, std::slice::from_ref(&data_type), vec![0]));
        }
    }
    for data_type in all_types() {
        for function in FUNCTIONS {
            if aggregate(function, &data_type).result_field().is_ok() {
                functions(cases, function, &data_type);
            }
        }
    }
    for mode in [GroupByMode::Partial, GroupByMode::Merge] {
        let name = mode_name(mode);
        cases.case(format!("group-by/{name}/keys"), "all types", move |bench| {
            let hashed = (0..key_types().len()).collect();
            keys(bench, mode, &key_types(), hashed)
        });
        cases.case(format!("group-by/{name}/keys"), "only the second is hashed", move |bench| {
            keys(bench, mode, &[DataType::Int64, DataType::Utf8], vec![1])
        });
        cases.cell(format!("group-by/{name}/no-keys"), move |bench| keys(bench, mode, &[], vec![]));
        cases.cell(format!("group-by/{name}/changelog-is-refused"), move |bench| changelog(bench, mode));
    }
    cases.cell("group-by/partial/no-aggregates", |bench| {
        let schema = Arc::new(schema_of(&[("key", DataType::Utf8)]));
        let spec = GroupBySpec { aggregates: vec![], ..spec(1, vec![0]) };
        let fragment = Fragment::new(schema.clone(), vec![spec.into()])?;
        let morsels = bench.morsels(&schema, false, &|_| Values::Few)?;
        bench.check(&fragment, &morsels, &[])
    });
}

fn functions(cases: &mut Cases, function: AggregateFunction, data_type: &DataType) {
    let name = |stage: &str| format!("group-by/{stage}/{}/{}", function.name(), type_name(data_type));
    for (detail, values) in values_for(function, data_type) {
        for mode in [GroupByMode::Partial, GroupByMode::Merge, GroupByMode::Final] {
            let data_type = data_type.clone();
            cases.case(name(mode_name(mode)), detail, move |bench| {
                one_mode(bench, mode, function, &data_type, values)
            });
        }
    }
    let data_type = data_type.clone();
    // A sum that overflows has no one failing row when groups come in any order: it is tested in `Final`.
    let whole = if function == AggregateFunction::Sum { Values::Tame } else { Values::Mixed };
    let whole = if matches!(data_type, DataType::Float32 | DataType::Float64) { Values::Tame } else { whole };
    cases.cell(name("whole"), move |bench| all_modes(bench, function, &data_type, whole));
}

/// Values by which a function is tested. Float sums stay in the finite range, or have NaNs and
/// infinities on purpose.
fn values_for(function: AggregateFunction, data_type: &DataType) -> Vec<(&'static str, Values)> {
    let sums = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
    if sums && matches!(data_type, DataType::Float32 | DataType::Float64) {
        return vec![("finite", Values::Tame), ("special values", Values::Few)];
    }
    vec![("tame", Values::Tame), ("wild", Values::Wild)]
}

fn mode_name(mode: GroupByMode) -> &'static str {
    match mode {
        GroupByMode::Partial => "partial",
        GroupByMode::Merge => "merge",
        GroupByMode::Final => "final",
    }
}

fn aggregate(function: AggregateFunction, data_type: &DataType) -> AggregateSpec {
    AggregateSpec { function, input: None, input_type: Some(data_type.clone()), name: "value".to_owned() }
}

/// A spec over `keys` key columns without aggregates.
fn spec(keys: usize, hashed: Vec<usize>) -> GroupBySpec {
    let mode = GroupByMode::Partial;
    GroupBySpec { keys: (0..keys).collect(), hashed, seed: SEED, aggregates: vec![], mode }
}

/// Keys of these types, with a count and a sum to see which rows a group has.
fn keys(bench: &mut Bench<'_>, mode: GroupByMode, types: &[DataType], hashed: Vec<usize>) -> Checked {
    let names: Vec<String> = (0..types.len()).map(|i| format!("k{i}")).collect();
    let mut columns: Vec<(&str, DataType)> =
        names.iter().map(String::as_str).zip(types.iter().cloned()).collect();
    columns.push(("value", DataType::Int32));
    let schema = Arc::new(schema_of(&columns));
    let value = |function, input: Option<usize>, name: &str| AggregateSpec {
        function,
        input,
        input_type: input.map(|_| DataType::Int32),
        name: name.to_owned(),
    };
    let aggregates = vec![
        value(AggregateFunction::Count, None, "rows"),
        value(AggregateFunction::Count, Some(types.len()), "values"),
        value(AggregateFunction::Sum, Some(types.len()), "sum"),
    ];
    let spec = GroupBySpec { aggregates, ..spec(types.len(), hashed) };
    for values in [Values::Few, Values::Wild] {
        let of_column = |i: usize| if i < types.len() { values } else { Values::Tame };
        let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &of_column)?;
        bench.check(&fragment, &morsels, &[])?;
    }
    Ok(())
}

/// One function in one mode, by a key with few values.
fn one_mode(
    bench: &mut Bench<'_>,
    mode: GroupByMode,
    function: AggregateFunction,
    data_type: &DataType,
    values: Values,
) -> Checked {
    let schema = Arc::new(schema_of(&[("key", DataType::Utf8), ("argument", data_type.clone())]));
    let spec = GroupBySpec {
        aggregates: vec![AggregateSpec { input: Some(1), ..aggregate(function, data_type) }],
        ..spec(1, vec![0])
    };
    let of_column = |i| if i == 0 { Values::Few } else { values };
    let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &of_column)?;
    bench.check_against(&fragment, &morsels, &|morsel| yardsticks(&fragment, morsel))
}

/// The fragment for a mode of `spec`, and morsels to put in: rows, or partial state of rows.
fn inputs(
    bench: &mut Bench<'_>,
    mode: GroupByMode,
    spec: &GroupBySpec,
    schema: &SchemaRef,
    values: &dyn Fn(usize) -> Values,
) -> Result<(Fragment, Vec<Morsel>), NotPassed> {
    let partial = Fragment::new(schema.clone(), vec![spec.clone().into()])?;
    let second = match mode {
        GroupByMode::Partial => return Ok((partial, bench.morsels(schema, false, values)?)),
        GroupByMode::Merge => spec.to_merge(),
        GroupByMode::Final => spec.to_final(),
    };
    let state = partial.output().clone();
    let mut morsels = Vec::new();
    for rows in bench.sizes() {
        let mut batches = vec![RecordBatch::new_empty(state.clone())];
        let mut have = 0;
        while have < rows {
            let nulls = Nulls::ALL[bench.rng.random_range(0..Nulls::ALL.len())];
            let size = bench.rng.random_range(1..40);
            let batch = bench.batch(schema, size, nulls, values)?;
            for (_, morsel) in reference::run(&partial, &Morsel::new(batch))?.morsels {
                have += morsel.rows();
                batches.push(morsel.into_dense_host()?);
            }
        }
        let all = concat_batches(&state, &batches)?.slice(0, rows);
        let alive = Alive::ALL[morsels.len() % 2];
        morsels.push(data::morsel(&mut bench.rng, all, Dress { alive, kinds: false })?);
    }
    Ok((Fragment::new(state, vec![second.into()])?, morsels))
}

/// Yardsticks for the output of a group-by: the stated bound for float sums, exactness for all else.
///
/// The bound needs the number and the sum of the magnitudes of what was added up: that is, the state of
/// an average over magnitudes.
fn yardsticks(fragment: &Fragment, morsel: &Morsel) -> Result<Vec<Yardstick>, NotPassed> {
    let mut columns: Vec<Yardstick> =
        fragment.output().fields().iter().map(|_| Equality::Exact.into()).collect();
    let Some(crate::OperatorSpec::GroupBy(spec)) = fragment.steps().first() else { return Ok(columns) };
    let mut state_column = spec.keys.len() + 1;
    for (position, aggregate) in spec.aggregates.iter().enumerate() {
        let sum_column = state_column;
        state_column += aggregate.state_fields()?.len();
        let floats = aggregate.input_type.as_ref().is_some_and(sabot_expr::types::is_float);
        let sums = matches!(aggregate.function, AggregateFunction::Sum | AggregateFunction::Avg);
        let added = match spec.mode {
            GroupByMode::Partial => aggregate.input.unwrap_or_default(),
            GroupByMode::Merge => sum_column,
            // Nothing is added, and a division has one rounding.
            GroupByMode::Final => {
                if floats && matches!(aggregate.function, AggregateFunction::Min | AggregateFunction::Max) {
                    // min and max may return either zero.
                    columns[spec.keys.len() + position] = Equality::Ulp(0).into();
                }
                continue;
            }
        };
        if floats && sums {
            let distances = distances(spec, added, morsel)?;
            columns[sum_column] = Yardstick { equality: Equality::Bound, distances };
        } else if floats && !matches!(aggregate.function, AggregateFunction::Count) {
            // min and max may return either zero.
            columns[sum_column] = Equality::Ulp(0).into();
        }
    }
    Ok(columns)
}

/// n · 2⁻⁵² · Σ|x| of each group, over the values of column `added`.
fn distances(spec: &GroupBySpec, added: usize, morsel: &Morsel) -> Result<Vec<f64>, NotPassed> {
    let dense = morsel.clone().into_dense_host()?;
    let magnitudes = with_magnitudes(&dense, added)?;
    let data_type = magnitudes.column(added).data_type().clone();
    let average = AggregateSpec { input: Some(added), ..aggregate(AggregateFunction::Avg, &data_type) };
    let probe = GroupBySpec { aggregates: vec![average], mode: GroupByMode::Partial, ..spec.clone() };
    let probe = Fragment::new(magnitudes.schema(), vec![probe.into()])?;
    let output = reference::run(&probe, &Morsel::new(magnitudes))?;
    let Some((_, state)) = output.morsels.into_iter().next() else { return Ok(Vec::new()) };
    let state = state.into_dense_host()?;
    let sums = state.column(state.num_columns() - 2).as_primitive::<Float64Type>().clone();
    let counts = state.column(state.num_columns() - 1).as_primitive::<Int64Type>().clone();
    Ok((0..state.num_rows()).map(|i| bound(counts.value(i), sums.value(i))).collect())
}

fn bound(count: i64, magnitude: f64) -> f64 {
    count as f64 * f64::EPSILON * magnitude
}

/// The batch with magnitudes in place of the floats of one column.
fn with_magnitudes(batch: &RecordBatch, column: usize) -> Result<RecordBatch, NotPassed> {
    let mut columns = batch.columns().to_vec();
    let values = &columns[column];
    let magnitudes: ArrayRef = match values.data_type() {
        DataType::Float32 => Arc::new(values.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)),
        _ => Arc::new(values.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
    };
    columns[column] = magnitudes;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Partial state of morsels, merged in random groups and random order until one is left, as values.
fn all_modes(
    bench: &mut Bench<'_>,
    function: AggregateFunction,
    data_type: &DataType,
    values: Values,
) -> Checked {
    let schema: SchemaRef = Arc::new(schema_of(&[("key", DataType::Utf8), ("argument", data_type.clone())]));
    let spec = GroupBySpec {
        aggregates: vec![AggregateSpec { input: Some(1), ..aggregate(function, data_type) }],
        ..spec(1, vec![0])
    };
    let morsels = bench.morsels(&schema, false, &|i| if i == 0 { Values::Few } else { values })?;
    let partial = Fragment::new(schema.clone(), vec![spec.clone().into()])?;
    let state = partial.output().clone();
    let merge = Fragment::new(state.clone(), vec![spec.to_merge().into()])?;
    let finish = Fragment::new(state.clone(), vec![spec.to_final().into()])?;

    let mut states = outputs(bench, &partial, &morsels)?;
    while states.len() > 1 {
        let groups = bench.random_groups(states);
        let inputs = groups.iter().map(|group| Ok(Morsel::new(concat_batches(&state, group)?)));
        let inputs = inputs.collect::<Result<Vec<_>, NotPassed>>()?;
        states = outputs(bench, &merge, &inputs)?;
    }
    let last: Vec<Morsel> = states.into_iter().map(Morsel::new).collect();
    let got = outputs(bench, &finish, &last)?;
    let got = sorted(&concat_batches(finish.output(), &got)?)?;

    let dense = morsels.iter().map(|m| m.clone().into_dense_host()).collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&schema, &dense)?;
    let expected = sorted(&reference::aggregate(&spec, &schema, std::slice::from_ref(&rows))?)?;
    let yardstick = whole_yardstick(function, data_type, &schema, &rows, &expected)?;
    match first_difference(&expected, &got, &[Equality::Exact.into(), yardstick])
        .map_err(NotPassed::Failed)?
    {
        None => Ok(()),
        Some(difference) => Err(NotPassed::Failed(format!("partial, merged at random, final: {difference}"))),
    }
}

/// The one output batch of each morsel that has one.
fn outputs(
    bench: &mut Bench<'_>,
    fragment: &Fragment,
    inputs: &[Morsel],
) -> Result<Vec<RecordBatch>, NotPassed> {
    let mut batches = Vec::new();
    for result in bench.run(fragment, inputs)? {
        let output = result.map_err(|failure| NotPassed::Failed(format!("{fragment}: {failure}")))?;
        let morsels: Vec<&Morsel> = output.morsels.iter().map(|(_, morsel)| morsel).collect();
        let joined = Joined::of(&morsels, fragment.output()).map_err(NotPassed::Failed)?;
        if joined.batch.num_rows() > 0 {
            batches.push(joined.batch);
        }
    }
    Ok(batches)
}

/// Rows in the order of the first column; groups may come in any order once merges did.
fn sorted(batch: &RecordBatch) -> Result<RecordBatch, NotPassed> {
    let order = sort_to_indices(batch.column(0), None, None)?;
    Ok(take_record_batch(batch, &order)?)
}

fn whole_yardstick(
    function: AggregateFunction,
    data_type: &DataType,
    schema: &Arc<Schema>,
    rows: &RecordBatch,
    expected: &RecordBatch,
) -> Result<Yardstick, NotPassed> {
    let sums = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
    if !sums || !sabot_expr::types::is_float(data_type) {
        return Ok(Equality::Ulp(0).into());
    }
    let of = |function, name: &str| AggregateSpec {
        input: Some(1),
        name: name.to_owned(),
        ..aggregate(function, data_type)
    };
    let probe = GroupBySpec {
        aggregates: vec![of(AggregateFunction::Count, "n"), of(AggregateFunction::Sum, "magnitude")],
        ..spec(1, vec![0])
    };
    let probe = sorted(&reference::aggregate(&probe, schema, &[with_magnitudes(rows, 1)?])?)?;
    let counts = probe.column(1).as_primitive::<Int64Type>();
    let magnitudes = probe.column(2).as_primitive::<Float64Type>();
    let values = expected.column(1).as_primitive::<Float64Type>();
    let distance = |i: usize| {
        let of_sum = bound(counts.value(i), magnitudes.value(i));
        match function {
            // The division rounds once more.
            AggregateFunction::Avg => of_sum / counts.value(i) as f64 + values.value(i).abs() * f64::EPSILON,
            _ => of_sum,
        }
    };
    let distances =
        (0..probe.num_rows()).map(|i| if values.is_null(i) { 0.0 } else { distance(i) }).collect();
    Ok(Yardstick { equality: Equality::Bound, distances })
}

/// Deletes and update pairs do not get into an aggregation unnoticed.
fn changelog(bench: &mut Bench<'_>, mode: GroupByMode) -> Checked {
    let schema = Arc::new(schema_of(&[("key", DataType::Utf8), ("argument", DataType::Int64)]));
    let count = AggregateSpec {
        input: None,
        input_type: None,
        ..aggregate(AggregateFunction::Count, &DataType::Int64)
    };
    let spec = GroupBySpec { aggregates: vec![count], ..spec(1, vec![0]) };
    let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &|_| Values::Few)?;
    let mut dressed = Vec::new();
    for morsel in morsels {
        let batch = morsel.into_dense_host()?;
        dressed.push(data::morsel(&mut bench.rng, batch, Dress { alive: Alive::All, kinds: true })?);
    }
    bench.check(&fragment, &dressed, &[])
}
