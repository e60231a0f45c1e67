//! Group-by: every key type, every function over every type, in each mode and through all of them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, SchemaRef};
use rand::Rng;
use sabot_batch::Morsel;
use sabot_expr::type_name;
use std::sync::Arc;

mod moments;
mod user;

use super::Cases;
use crate::conformance::Equality;
use crate::conformance::bench::{Bench, Checked, NotPassed};
use crate::conformance::data::{self, Alive, Dress, Nulls, Values, all_types, key_types, schema_of};
use crate::conformance::difference::{Joined, Yardstick, first_difference};
use crate::{
    AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec, ORDER_COLUMNS, Quantile, reference,
};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a function is tried with: one column of a type, or two.
const ONE: [AggregateFunction; 18] = {
    use AggregateFunction as F;
    [
        F::Count,
        F::CountDistinct,
        F::Sum,
        F::Avg,
        F::Min,
        F::Max,
        F::BoolAnd,
        F::BoolOr,
        F::First,
        F::Last,
        F::ArrayAgg,
        F::StringAgg { separator: String::new() },
        F::VarSamp,
        F::VarPop,
        F::StddevSamp,
        F::StddevPop,
        F::ApproxCountDistinct,
        F::ApproxQuantile { quantile: Quantile(0.4) },
    ]
};
const TWO: [AggregateFunction; 3] =
    [AggregateFunction::CovarSamp, AggregateFunction::CovarPop, AggregateFunction::Corr];

/// The types of arguments: those of all operators, and decimals whose sums take another form.
pub(super) fn argument_types() -> Vec<DataType> {
    [all_types(), vec![DataType::Decimal128(9, 2), DataType::Decimal128(38, 4)]].concat()
}

pub(super) fn add(cases: &mut Cases) {
    for data_type in key_types() {
        for mode in [GroupByMode::Partial, GroupByMode::Merge] {
            let data_type = data_type.clone();
            let cell = format!("group-by/{}/key/{}", mode_name(mode), type_name(&data_type));
            cases.cell(cell, move |bench| keys(bench, mode, std::slice::from_ref(&data_type), vec![0]));
        }
    }
    for data_type in argument_types() {
        for function in ONE {
            functions(cases, function, vec![data_type.clone()]);
        }
        for function in TWO {
            functions(cases, function, vec![data_type.clone(), data_type.clone()]);
        }
    }
    functions(cases, AggregateFunction::Corr, vec![DataType::Int64, DataType::Float64]);
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
    for mode in [GroupByMode::Partial, GroupByMode::Merge, GroupByMode::Final] {
        let name = mode_name(mode);
        cases.cell(format!("group-by/{name}/filter"), move |bench| filtered(bench, mode));
        cases.cell(format!("group-by/{name}/user-function"), move |bench| user::function(bench, mode));
    }
    cases.cell("group-by/partial/no-aggregates", |bench| {
        let schema = Arc::new(schema_of(&[("key", DataType::Utf8)]));
        let spec = GroupBySpec { aggregates: vec![], ..spec(1, vec![0]) };
        let fragment = Fragment::new(schema.clone(), vec![spec.into()])?;
        let morsels = bench.morsels(&schema, false, &|_| Values::Few)?;
        bench.check(&fragment, &morsels, &[])
    });
}

/// Rows with a key, an argument or two, and where they stand among each other.
fn schema(arguments: &[DataType]) -> SchemaRef {
    let names = ["argument", "other"];
    let columns = names.into_iter().zip(arguments.iter().cloned());
    let columns: Vec<(&str, DataType)> = [("key", DataType::Utf8)].into_iter().chain(columns).collect();
    data::with_hidden(schema_of(&columns), &ORDER_COLUMNS)
}

fn functions(cases: &mut Cases, function: AggregateFunction, types: Vec<DataType>) {
    if aggregate(&function, &types).result_field().is_err() {
        return;
    }
    let of: Vec<String> = types.iter().map(type_name).collect();
    let name = |stage: &str| format!("group-by/{stage}/{}/{}", function.name(), of.join(", "));
    for (detail, values) in values_for(&function, &types) {
        for mode in [GroupByMode::Partial, GroupByMode::Merge, GroupByMode::Final] {
            let (function, types) = (function.clone(), types.clone());
            cases.case(name(mode_name(mode)), detail, move |bench| {
                one_mode(bench, mode, &function, &types, values)
            });
        }
    }
    // A sum that overflows has no one failing row when groups come in any order: it is tested in `Final`.
    // Moments of integers are exact, and those of others stay in the finite range.
    let tame = function == AggregateFunction::Sum || types.iter().any(sabot_expr::types::is_float);
    let whole = if tame { Values::Tame } else { Values::Mixed };
    let whole_name = name("whole");
    cases.cell(whole_name, move |bench| all_modes(bench, &function, &types, whole));
}

/// Values by which a function is tested. What adds floats up stays in the finite range, or has NaNs and
/// infinities on purpose.
fn values_for(function: &AggregateFunction, types: &[DataType]) -> Vec<(&'static str, Values)> {
    use AggregateFunction as F;
    let adds = matches!(function, F::Sum | F::Avg) || moments::is_moment(function);
    if adds && types.iter().any(sabot_expr::types::is_float) {
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

/// The function over the columns behind the key.
fn aggregate(function: &AggregateFunction, types: &[DataType]) -> AggregateSpec {
    AggregateSpec::new(function.clone(), (1..).zip(types.iter().cloned()), "value")
}

/// The aggregates that a function is tested in. With a covariance goes a correlation, from whose state the
/// bounds for both can be told.
fn aggregates(function: &AggregateFunction, types: &[DataType]) -> Vec<AggregateSpec> {
    let mut aggregates = vec![aggregate(function, types)];
    if matches!(function, AggregateFunction::CovarSamp | AggregateFunction::CovarPop) {
        let name = "all moments".to_owned();
        aggregates.push(AggregateSpec { name, ..aggregate(&AggregateFunction::Corr, types) });
    }
    aggregates
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
    let value = |function, name| AggregateSpec::new(function, [(types.len(), DataType::Int32)], name);
    let aggregates = vec![
        AggregateSpec::count("rows"),
        value(AggregateFunction::Count, "values"),
        value(AggregateFunction::Sum, "sum"),
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
    function: &AggregateFunction,
    types: &[DataType],
    values: Values,
) -> Checked {
    let schema = schema(types);
    let spec = GroupBySpec { aggregates: aggregates(function, types), ..spec(1, vec![0]) };
    // Times are few, so that rows stand in another order than they come.
    let of_column = |i| if (1..=types.len()).contains(&i) { values } else { Values::Few };
    let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &of_column)?;
    bench.check_against(&fragment, &morsels, &|morsel| yardsticks(&fragment, morsel))
}

/// Aggregates of the rows that pass a filter, which may be null.
fn filtered(bench: &mut Bench<'_>, mode: GroupByMode) -> Checked {
    let schema = schema(&[DataType::Int32, DataType::Boolean]);
    use AggregateFunction as F;
    let of = |function: F| {
        let name = function.name().to_owned();
        AggregateSpec::new(function, [(1, DataType::Int32)], name)
    };
    let mut aggregates =
        vec![AggregateSpec::count("rows").filtered(2), of(F::Sum), AggregateSpec::count("all")];
    aggregates.extend(
        [F::Avg, F::Min, F::First, F::ArrayAgg, F::CountDistinct, F::VarPop].map(|f| of(f).filtered(2)),
    );
    let spec = GroupBySpec { aggregates, ..spec(1, vec![0]) };
    let of_column = |i| if i == 1 { Values::Tame } else { Values::Few };
    let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &of_column)?;
    bench.check(&fragment, &morsels, &[])
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

/// Yardsticks for the output of a group-by: the stated bounds for sums and moments of floats, exactness
/// for all else.
///
/// The bound for sums needs the number and the sum of the magnitudes of what was added up: that is, the state
/// of an average over magnitudes.
fn yardsticks(fragment: &Fragment, morsel: &Morsel) -> Result<Vec<Yardstick>, NotPassed> {
    use AggregateFunction as F;
    let mut columns: Vec<Yardstick> =
        fragment.output().fields().iter().map(|_| Equality::Exact.into()).collect();
    let Some(crate::OperatorSpec::GroupBy(spec)) = fragment.steps().first() else { return Ok(columns) };
    let mut state_column = spec.keys.len() + 1;
    for (position, aggregate) in spec.aggregates.iter().enumerate() {
        let first = state_column;
        state_column += aggregate.state_fields()?.len();
        let floats = aggregate.arguments.iter().any(|a| sabot_expr::types::is_float(&a.data_type));
        let last = spec.mode == GroupByMode::Final;
        match &aggregate.function {
            function if moments::is_moment(function) => {
                if last {
                    columns[spec.keys.len() + position] = moments::ROUNDED.into();
                } else {
                    moments::state(fragment, spec, position, morsel, &mut columns[first..state_column])?;
                }
            }
            // min and max may return either zero.
            F::Min | F::Max if floats => {
                columns[if last { spec.keys.len() + position } else { first }] = Equality::Ulp(0).into();
            }
            // Nothing is added at the end, and a division has one rounding.
            F::Sum | F::Avg if floats && !last => {
                let added = match spec.mode {
                    GroupByMode::Partial => aggregate.arguments[0].column,
                    _ => first,
                };
                let distances = distances(spec, added, morsel)?;
                columns[first] = Yardstick { equality: Equality::Bound, distances };
            }
            _ => {}
        }
    }
    Ok(columns)
}

/// n · 2⁻⁵² · Σ|x| of each group, over the values of column `added`.
fn distances(spec: &GroupBySpec, added: usize, morsel: &Morsel) -> Result<Vec<f64>, NotPassed> {
    let dense = morsel.clone().into_dense_host()?;
    let magnitudes = with_magnitudes(&dense, added)?;
    let data_type = magnitudes.column(added).data_type().clone();
    let average = AggregateSpec::new(AggregateFunction::Avg, [(added, data_type)], "magnitude");
    let probe = GroupBySpec { aggregates: vec![average], mode: GroupByMode::Partial, ..spec.clone() };
    let probe = Fragment::new(magnitudes.schema(), vec![probe.into()])?;
    let output = reference::run(&probe, &Morsel::new(magnitudes))?;
    let Some((_, state)) = output.morsels.into_iter().next() else { return Ok(Vec::new()) };
    let state = state.into_dense_host()?;
    let sums = state.column(state.num_columns() - 2).as_primitive::<Float64Type>().clone();
    let counts = state.column(state.num_columns() - 1).as_primitive::<Int64Type>().clone();
    Ok((0..state.num_rows()).map(|i| bound(counts.value(i), sums.value(i))).collect())
}

pub(super) fn bound(count: i64, magnitude: f64) -> f64 {
    count as f64 * f64::EPSILON * magnitude
}

/// The batch with magnitudes in place of the floats of one column.
pub(super) fn with_magnitudes(batch: &RecordBatch, column: usize) -> Result<RecordBatch, NotPassed> {
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
    function: &AggregateFunction,
    types: &[DataType],
    values: Values,
) -> Checked {
    let schema = schema(types);
    let spec = GroupBySpec { aggregates: vec![aggregate(function, types)], ..spec(1, vec![0]) };
    let of_column = |i| if (1..=types.len()).contains(&i) { values } else { Values::Few };
    let morsels = bench.morsels(&schema, false, &of_column)?;
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
    let yardstick = whole_yardstick(function, types, &schema, &rows, &expected)?;
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
    function: &AggregateFunction,
    types: &[DataType],
    schema: &SchemaRef,
    rows: &RecordBatch,
    expected: &RecordBatch,
) -> Result<Yardstick, NotPassed> {
    if moments::is_moment(function) {
        return moments::whole(function, types, schema, rows, expected);
    }
    let sums = matches!(function, AggregateFunction::Sum | AggregateFunction::Avg);
    if !sums || !sabot_expr::types::is_float(&types[0]) {
        return Ok(Equality::Ulp(0).into());
    }
    let of = |function, name: &str| AggregateSpec { name: name.to_owned(), ..aggregate(&function, types) };
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
    let spec = GroupBySpec { aggregates: vec![AggregateSpec::count("rows")], ..spec(1, vec![0]) };
    let (fragment, morsels) = inputs(bench, mode, &spec, &schema, &|_| Values::Few)?;
    let mut dressed = Vec::new();
    for morsel in morsels {
        let batch = morsel.into_dense_host()?;
        dressed.push(data::morsel(&mut bench.rng, batch, Dress { alive: Alive::All, kinds: true })?);
    }
    bench.check(&fragment, &dressed, &[])
}
