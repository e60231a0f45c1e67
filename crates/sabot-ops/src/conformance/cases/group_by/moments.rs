//! The bounds that are stated for variance, covariance and correlation of floats.
//!
//! They need n, the central moments M and S = Σx² of a group. All of it is in the state of a correlation, as
//! S = M + n · mean², so the reference's own state tells how far another may be from it.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use sabot_batch::Morsel;

use super::{aggregate, sorted, spec};
use crate::conformance::Equality;
use crate::conformance::bench::NotPassed;
use crate::conformance::difference::Yardstick;
use crate::{AggregateFunction, AggregateSpec, Fragment, GroupByMode, GroupBySpec, reference};

/// What a division and a root may round.
pub(super) const ROUNDED: Equality = Equality::Ulp(4);

pub(super) fn is_moment(function: &AggregateFunction) -> bool {
    use AggregateFunction as F;
    matches!(
        function,
        F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::CovarSamp | F::CovarPop | F::Corr
    )
}

/// Count, means and central moments of a group.
struct Group {
    n: f64,
    mean: [f64; 2],
    /// Of x, of y, of both.
    moments: [f64; 3],
}

impl Group {
    /// Σx² or Σy².
    fn square(&self, axis: usize) -> f64 {
        self.moments[axis] + self.n * self.mean[axis] * self.mean[axis]
    }

    /// How far a mean may be off.
    fn of_mean(&self, axis: usize) -> f64 {
        // Σ|x| is at most √(n · Σx²).
        4.0 * f64::EPSILON * (self.n * self.square(axis)).sqrt()
    }

    /// How far a moment may be off.
    fn of_moment(&self, product: usize) -> f64 {
        let [x, y] = [[0, 0], [1, 1], [0, 1]][product];
        let e = self.n * f64::EPSILON;
        let crossed = (self.moments[x] * self.square(y)).sqrt() + (self.moments[y] * self.square(x)).sqrt();
        let half = if x == y { 0.5 } else { 1.0 };
        8.0 * e * (half * crossed + e * (self.square(x) * self.square(y)).sqrt())
    }
}

/// The groups in the state of a correlation, or of a variance, whose first column is `first`.
fn groups(state: &RecordBatch, first: usize, pair: bool) -> Vec<Group> {
    let counts = state.column(first).as_primitive::<Int64Type>();
    let double =
        |column: usize, row: usize| state.column(first + column).as_primitive::<Float64Type>().value(row);
    let group = |row: usize| match pair {
        true => Group {
            n: counts.value(row) as f64,
            mean: [double(1, row), double(2, row)],
            moments: [double(3, row), double(4, row), double(5, row)],
        },
        false => Group {
            n: counts.value(row) as f64,
            mean: [double(1, row), 0.0],
            moments: [double(2, row), 0.0, 0.0],
        },
    };
    (0..state.num_rows()).map(group).collect()
}

fn exact(aggregate: &AggregateSpec) -> bool {
    aggregate.arguments.iter().all(|a| a.data_type.is_integer())
}

/// Yardsticks for the state columns of the aggregate at `position`.
pub(super) fn state(
    fragment: &Fragment,
    spec: &GroupBySpec,
    position: usize,
    morsel: &Morsel,
    columns: &mut [Yardstick],
) -> Result<(), NotPassed> {
    let aggregate = &spec.aggregates[position];
    if exact(aggregate) {
        return Ok(());
    }
    let output = reference::run(fragment, morsel)?;
    let Some((_, expected)) = output.morsels.into_iter().next() else { return Ok(()) };
    let expected = expected.into_dense_host()?;
    let pair = aggregate.arguments.len() == 2;
    // Beside a covariance stands a correlation of the same columns.
    let full = if pair { spec.aggregates.len() - 1 } else { position };
    let before = spec.aggregates[..full].iter().map(|a| Ok(a.state_fields()?.len()));
    let before: usize = before.sum::<Result<usize, NotPassed>>()?;
    let groups = groups(&expected, spec.keys.len() + 1 + before, pair);
    let bound = |of: &dyn Fn(&Group) -> f64| Yardstick {
        equality: Equality::Bound,
        distances: groups.iter().map(of).collect(),
    };
    for (column, field) in columns.iter_mut().zip(aggregate.state_fields()?) {
        *column = match field.name().rsplit('.').next() {
            Some("mean_x") => bound(&|g| g.of_mean(0)),
            Some("mean_y") => bound(&|g| g.of_mean(1)),
            Some("moment_xx") => bound(&|g| g.of_moment(0)),
            Some("moment_yy") => bound(&|g| g.of_moment(1)),
            Some("moment_xy") => bound(&|g| g.of_moment(2)),
            _ => Equality::Exact.into(),
        };
    }
    Ok(())
}

/// The yardstick for a function's result over all rows.
pub(super) fn whole(
    function: &AggregateFunction,
    types: &[DataType],
    schema: &SchemaRef,
    rows: &RecordBatch,
    expected: &RecordBatch,
) -> Result<Yardstick, NotPassed> {
    use AggregateFunction as F;
    if types.iter().all(DataType::is_integer) {
        return Ok(ROUNDED.into());
    }
    let all = if types.len() == 2 { F::Corr } else { F::VarPop };
    let probe = GroupBySpec {
        aggregates: vec![aggregate(&all, types)],
        mode: GroupByMode::Partial,
        ..spec(1, vec![0])
    };
    let fragment = Fragment::new(schema.clone(), vec![probe.into()])?;
    let output = reference::run(&fragment, &Morsel::new(rows.clone()))?;
    let state = output
        .morsels
        .into_iter()
        .map(|(_, morsel)| morsel.into_dense_host())
        .collect::<Result<Vec<_>, _>>()?;
    let state = sorted(&arrow::compute::concat_batches(fragment.output(), &state)?)?;
    let values = cast(expected.column(1), &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let distance = |(row, group): (usize, Group)| {
        if values.is_null(row) {
            return 0.0;
        }
        let (value, n) = (values.value(row), group.n);
        let [xx, yy, xy] = [0, 1, 2].map(|product| group.of_moment(product));
        let rounded = 4.0 * value.abs() * f64::EPSILON;
        rounded
            + match function {
                F::VarSamp => xx / (n - 1.0),
                F::VarPop => xx / n,
                // |√a − √b| is at most √|a − b|, and |a − b| / √a.
                F::StddevSamp => root(xx / (n - 1.0), value),
                F::StddevPop => root(xx / n, value),
                F::CovarSamp => xy / (n - 1.0),
                F::CovarPop => xy / n,
                _ => {
                    let [mx, my, _] = group.moments;
                    let relative = (xx / mx).max(yy / my);
                    // Where the variance itself is lost, so is the correlation.
                    if relative > 0.25 { 2.0 } else { xy / (mx * my).sqrt() + 2.0 * relative }
                }
            }
    };
    let distances = groups(&state, 2, types.len() == 2).into_iter().enumerate().map(distance).collect();
    Ok(Yardstick { equality: Equality::Bound, distances })
}

fn root(distance: f64, value: f64) -> f64 {
    if value > 0.0 { distance.sqrt().min(distance / value) } else { distance.sqrt() }
}
