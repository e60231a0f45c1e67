//! Variance, standard deviation, covariance and correlation.
//!
//! A batch is looked at twice: once for the mean of each group, once for the distances from it. Then its
//! moments are merged into those of the group by Chan's formula. So nothing large is subtracted from
//! something large; a group whose values are all the same has a variance of exactly 0.
//!
//! Over integers sums, squares and products are exact, and what is rounded is the result alone.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use sabot_ops::{AggregateFunction, AggregateSpec, WideSum, central_product, nearest_double};
use std::borrow::Cow;
use std::sync::Arc;

use super::AccumulateError;
use super::family::{GroupState, RowsOf, doubles};

/// Which functions, of how many columns, and which products of distances they need.
#[derive(Clone, Debug)]
struct Kind {
    function: AggregateFunction,
    name: String,
    axes: usize,
    /// The products in the state: places in [`AXES`].
    products: Vec<usize>,
}

/// The axes of each product: x², y², x · y.
const AXES: [[usize; 2]; 3] = [[0, 0], [1, 1], [0, 1]];

impl Kind {
    fn new(spec: &AggregateSpec) -> Self {
        let axes = spec.arguments.len();
        let products = match (&spec.function, axes) {
            (AggregateFunction::Corr, _) => vec![0, 1, 2],
            (_, 1) => vec![0],
            _ => vec![2],
        };
        Self { function: spec.function.clone(), name: spec.name.clone(), axes, products }
    }

    fn beyond(&self) -> AccumulateError {
        AccumulateError::Beyond { aggregate: self.name.clone() }
    }

    /// The value for n values with these products of distances. `shrink` is what the products are larger by
    /// than the sums of products: 1, or n for exact ones.
    fn value(&self, n: i64, products: [f64; 3], shrink: i64) -> Option<f64> {
        use AggregateFunction as F;
        let [xx, yy, xy] = products;
        let shrink = i128::from(shrink);
        let of_population = (i128::from(n) * shrink) as f64;
        let of_sample = (i128::from(n.saturating_sub(1)) * shrink) as f64;
        if n == 0 {
            return None;
        }
        match self.function {
            F::VarPop => Some(xx / of_population),
            F::StddevPop => Some((xx / of_population).sqrt()),
            F::CovarPop => Some(xy / of_population),
            F::Corr if xx == 0.0 || yy == 0.0 => None,
            F::Corr => Some((xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0)),
            _ if n == 1 => None,
            F::VarSamp => Some(xx / of_sample),
            F::StddevSamp => Some((xx / of_sample).sqrt()),
            _ => Some(xy / of_sample),
        }
    }
}

/// Rows in which no argument is null.
fn present(arguments: &[&ArrayRef]) -> Option<NullBuffer> {
    let nulls = arguments.iter().map(|a| a.nulls().cloned());
    let both = nulls.fold(None, |both, one| NullBuffer::union(both.as_ref(), one.as_ref()));
    both.filter(|nulls| nulls.null_count() > 0)
}

fn kept<'a, T: Copy>(values: &'a [T], present: Option<&NullBuffer>) -> Cow<'a, [T]> {
    match present {
        None => Cow::Borrowed(values),
        Some(nulls) => nulls.valid_indices().map(|row| values[row]).collect::<Vec<T>>().into(),
    }
}

/// Counts, means and central moments by group.
#[derive(Debug)]
pub(super) struct Moments {
    kind: Kind,
    counts: Vec<i64>,
    means: [Vec<f64>; 2],
    moments: [Vec<f64>; 3],
}

impl Moments {
    pub(super) fn new(spec: &AggregateSpec) -> Self {
        let (means, moments) = (Default::default(), Default::default());
        Self { kind: Kind::new(spec), counts: Vec::new(), means, moments }
    }

    /// Merges n values with these means and moments into a group.
    fn combine(
        &mut self,
        id: usize,
        count: i64,
        means: [f64; 2],
        moments: [f64; 3],
    ) -> Result<(), AccumulateError> {
        if count == 0 {
            return Ok(());
        }
        let before = self.counts[id];
        let after = before.checked_add(count).ok_or_else(|| self.kind.beyond())?;
        self.counts[id] = after;
        let share = count as f64 / after as f64;
        let weight = before as f64 * share;
        let mut distances = [0.0; 2];
        for (axis, distance) in distances.iter_mut().enumerate().take(self.kind.axes) {
            let mean = &mut self.means[axis][id];
            if before == 0 {
                *mean = means[axis];
            } else {
                *distance = means[axis] - *mean;
                *mean += *distance * share;
            }
        }
        for product in &self.kind.products {
            let [x, y] = AXES[*product].map(|axis| distances[axis]);
            let moment = &mut self.moments[*product][id];
            *moment += moments[*product] + x * y * weight;
        }
        if !(0..self.kind.axes).all(|axis| self.means[axis][id].is_finite()) {
            (0..self.kind.axes).for_each(|axis| self.means[axis][id] = f64::NAN);
            self.kind.products.iter().for_each(|product| self.moments[*product][id] = f64::NAN);
        }
        Ok(())
    }
}

/// The mean of each group's values, relative to the group's first value so that equal values have exactly
/// themselves as mean.
fn means_of(ids: &[u32], values: &[f64], counts: &[i64]) -> Vec<f64> {
    let mut firsts: Vec<Option<f64>> = vec![None; counts.len()];
    let mut sums = vec![0.0; counts.len()];
    for (id, value) in ids.iter().zip(values) {
        let first = firsts[*id as usize].get_or_insert(*value);
        sums[*id as usize] += value - *first;
    }
    let mean = |((first, sum), count): ((Option<f64>, f64), &i64)| {
        first.map_or(0.0, |first| first + sum / *count as f64)
    };
    firsts.into_iter().zip(sums).zip(counts).map(mean).collect()
}

impl GroupState for Moments {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        self.means[..self.kind.axes].iter_mut().for_each(|m| m.resize(groups, 0.0));
        self.kind.products.iter().for_each(|product| self.moments[*product].resize(groups, 0.0));
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.means.iter_mut().chain(&mut self.moments).for_each(Vec::clear);
    }

    fn bytes(&self) -> usize {
        let doubles: usize = self.means.iter().chain(&self.moments).map(Vec::capacity).sum();
        (self.counts.capacity() + doubles) * size_of::<f64>()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let present = present(&rows.arguments);
        let ids = kept(rows.ids, present.as_ref());
        let columns = rows.arguments.iter().map(|a| doubles(a)).collect::<Result<Vec<_>, _>>()?;
        let columns: Vec<Cow<'_, [f64]>> = columns
            .iter()
            .map(|c| kept(c.as_primitive::<Float64Type>().values(), present.as_ref()))
            .collect();
        let groups = self.counts.len();
        let mut counts = vec![0i64; groups];
        ids.iter().for_each(|id| counts[*id as usize] += 1);
        let mut means: Vec<Vec<f64>> = columns.iter().map(|column| means_of(&ids, column, &counts)).collect();
        // What the distances add up to: 0 but for rounding, which it corrects.
        let mut rests: Vec<Vec<f64>> = vec![vec![0.0; groups]; columns.len()];
        for ((column, means), rests) in columns.iter().zip(&means).zip(&mut rests) {
            ids.iter().zip(column.iter()).for_each(|(id, x)| rests[*id as usize] += x - means[*id as usize]);
        }
        let mut moments: [Vec<f64>; 3] = Default::default();
        for product in &self.kind.products {
            let [a, b] = AXES[*product];
            let sums = &mut moments[*product];
            sums.resize(groups, 0.0);
            for ((id, x), y) in ids.iter().zip(columns[a].iter()).zip(columns[b].iter()) {
                let id = *id as usize;
                sums[id] += (x - means[a][id]) * (y - means[b][id]);
            }
            for (id, sum) in sums.iter_mut().enumerate().filter(|(id, _)| counts[*id] > 0) {
                *sum -= rests[a][id] * rests[b][id] / counts[id] as f64;
                // Squares are not negative; the comparison leaves NaN as it is.
                if a == b && *sum < 0.0 {
                    *sum = 0.0;
                }
            }
        }
        for (means, rests) in means.iter_mut().zip(&rests) {
            for (id, mean) in means.iter_mut().enumerate().filter(|(id, _)| counts[*id] > 0) {
                *mean += rests[id] / counts[id] as f64;
            }
        }
        for (id, count) in counts.into_iter().enumerate() {
            let at = |columns: &[Vec<f64>], i: usize| {
                columns.get(i).and_then(|c| c.get(id)).copied().unwrap_or(0.0)
            };
            let means = [at(&means, 0), at(&means, 1)];
            let moments = [at(&moments, 0), at(&moments, 1), at(&moments, 2)];
            self.combine(id, count, means, moments)?;
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let counts = state[0].as_primitive::<Int64Type>().values();
        let column = |at: usize| state[at].as_primitive::<Float64Type>().values();
        let axes = self.kind.axes;
        let products = self.kind.products.clone();
        for (row, id) in ids.iter().enumerate() {
            let (mut means, mut moments) = ([0.0; 2], [0.0; 3]);
            (0..axes).for_each(|axis| means[axis] = column(1 + axis)[row]);
            products
                .iter()
                .enumerate()
                .for_each(|(i, product)| moments[*product] = column(1 + axes + i)[row]);
            self.combine(*id as usize, counts[row], means, moments)?;
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| self.counts[*id as usize])))];
        let moments = self.kind.products.iter().map(|product| &self.moments[*product]);
        for column in self.means[..self.kind.axes].iter().chain(moments) {
            columns.push(Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| column[*id as usize]))));
        }
        Ok(columns)
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let value = |id: &u32| {
            let id = *id as usize;
            let products = [0, 1, 2].map(|p| self.moments[p].get(id).copied().unwrap_or(0.0));
            self.kind.value(self.counts[id], products, 1)
        };
        Ok(Arc::new(ids.iter().map(value).collect::<Float64Array>()))
    }
}

/// Counts, sums, and sums of products of integers by group.
#[derive(Debug)]
pub(super) struct IntegerMoments {
    kind: Kind,
    counts: Vec<i64>,
    sums: [Vec<i128>; 2],
    products: [Vec<WideSum>; 3],
}

impl IntegerMoments {
    pub(super) fn new(spec: &AggregateSpec) -> Self {
        let (sums, products) = (Default::default(), Default::default());
        Self { kind: Kind::new(spec), counts: Vec::new(), sums, products }
    }

    /// Products that fit 64 bits even when all of the batch are added up.
    fn add_narrow(&mut self, product: usize, ids: &[u32], x: &[i128], y: &[i128]) {
        let mut sums = vec![0i64; self.counts.len()];
        for ((id, x), y) in ids.iter().zip(x).zip(y) {
            sums[*id as usize] += *x as i64 * *y as i64;
        }
        self.products[product].iter_mut().zip(sums).for_each(|(wide, sum)| wide.low += i128::from(sum));
    }

    fn add_wide(
        &mut self,
        product: usize,
        ids: &[u32],
        x: &[i128],
        y: &[i128],
    ) -> Result<(), AccumulateError> {
        for ((id, x), y) in ids.iter().zip(x).zip(y) {
            let sum = &mut self.products[product][*id as usize];
            *sum = sum.plus_product(*x, *y).ok_or_else(|| self.kind.beyond())?;
        }
        Ok(())
    }
}

/// Integers of any type, widened, without nulls.
fn integers(array: &ArrayRef, present: Option<&NullBuffer>) -> Result<Vec<i128>, AccumulateError> {
    use arrow::array::downcast_integer_array;
    let unfit = |other: &DataType| AccumulateError::input(format!("{other} where integers are expected"));
    let array = array.as_ref();
    Ok(downcast_integer_array!(
        array => kept(array.values(), present).iter().map(|x| i128::from(*x)).collect(),
        other => return Err(unfit(other))
    ))
}

fn largest(values: &[i128]) -> u128 {
    values.iter().fold(0, |largest, x| largest.max(x.unsigned_abs()))
}

impl GroupState for IntegerMoments {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        self.sums[..self.kind.axes].iter_mut().for_each(|s| s.resize(groups, 0));
        let empty = WideSum::default();
        self.kind.products.iter().for_each(|product| self.products[*product].resize(groups, empty));
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.sums.iter_mut().for_each(Vec::clear);
        self.products.iter_mut().for_each(Vec::clear);
    }

    fn bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(Vec::capacity).sum();
        let products: usize = self.products.iter().map(Vec::capacity).sum();
        self.counts.capacity() * size_of::<i64>() + sums * size_of::<i128>() + products * size_of::<WideSum>()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let present = present(&rows.arguments);
        let ids = kept(rows.ids, present.as_ref());
        let columns = rows.arguments.iter().map(|a| integers(a, present.as_ref()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        ids.iter().for_each(|id| self.counts[*id as usize] += 1);
        for (sums, column) in self.sums.iter_mut().zip(&columns) {
            ids.iter().zip(column).for_each(|(id, x)| sums[*id as usize] += x);
        }
        let bounds: Vec<u128> = columns.iter().map(|column| largest(column)).collect();
        for product in self.kind.products.clone() {
            let [a, b] = AXES[product];
            let bound = bounds[a].saturating_mul(bounds[b]).saturating_mul(ids.len() as u128);
            match bound <= i64::MAX as u128 {
                true => self.add_narrow(product, &ids, &columns[a], &columns[b]),
                false => self.add_wide(product, &ids, &columns[a], &columns[b])?,
            }
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let beyond = self.kind.beyond();
        let column = |at: usize| state[at].as_primitive::<Decimal128Type>().values();
        let counts = state[0].as_primitive::<Int64Type>().values();
        let axes = self.kind.axes;
        for (row, id) in ids.iter().enumerate() {
            let id = *id as usize;
            let count = self.counts[id].checked_add(counts[row]);
            self.counts[id] = count.ok_or_else(|| beyond.clone())?;
            for axis in 0..axes {
                let sum = self.sums[axis][id].checked_add(column(1 + axis)[row]);
                self.sums[axis][id] = sum.ok_or_else(|| beyond.clone())?;
            }
            for (i, product) in self.kind.products.iter().enumerate() {
                let first = 1 + axes + 2 * i;
                let more = WideSum { high: column(first)[row], low: column(first + 1)[row] };
                let sum = &mut self.products[*product][id];
                *sum = sum.plus(more).ok_or_else(|| beyond.clone())?;
            }
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let wide = |values: Vec<i128>| {
            let array = Decimal128Array::from(values).with_data_type(DataType::Decimal128(38, 0));
            Arc::new(array) as ArrayRef
        };
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| self.counts[*id as usize])))];
        for sums in &self.sums[..self.kind.axes] {
            columns.push(wide(ids.iter().map(|id| sums[*id as usize]).collect()));
        }
        for product in &self.kind.products {
            let normalised = ids.iter().map(|id| self.products[*product][*id as usize].normalised());
            let normalised = normalised.collect::<Option<Vec<_>>>().ok_or_else(|| self.kind.beyond())?;
            columns.push(wide(normalised.iter().map(|sum| sum.high).collect()));
            columns.push(wide(normalised.iter().map(|sum| sum.low).collect()));
        }
        Ok(columns)
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let value = |id: &u32| {
            let id = *id as usize;
            let count = self.counts[id];
            let mut products = [0.0; 3];
            for product in &self.kind.products {
                let [x, y] = AXES[*product].map(|axis| self.sums[axis][id]);
                let exact = central_product(count, self.products[*product][id], x, y);
                products[*product] = nearest_double(exact.ok_or_else(|| self.kind.beyond())?);
            }
            // The products are n times too large, which a correlation does not notice.
            Ok(self.kind.value(count, products, count))
        };
        let values = ids.iter().map(value).collect::<Result<Vec<_>, AccumulateError>>()?;
        Ok(Arc::new(Float64Array::from(values)))
    }
}
