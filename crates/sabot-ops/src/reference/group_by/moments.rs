//! Variance, standard deviation, covariance and correlation, from all that was seen.
//!
//! Over integers all sums are exact. Else a value is kept as it came, and partial state as a bundle of values
//! with this mean and these moments; the moments of all are worked out at the end, with twice the digits of a
//! double.

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, i256};
use sabot_expr::{RowErrorKind, Scalar};
use std::sync::Arc;

use super::basic::more;
use super::state::{Row, State};
use crate::group_by::SUM_TYPE;
use crate::reference::{ExactSum, internal};
use crate::{AggregateFunction, AggregateSpec, Failure, nearest_double};

/// The number in an array of one, as a double.
pub(super) fn double(value: &ArrayRef) -> Result<f64, Failure> {
    let double = cast(value, &DataType::Float64).map_err(internal)?;
    Ok(double.as_primitive::<Float64Type>().value(0))
}

/// What a function makes of n, and of the central moments of x, of y, and of both.
fn finish(function: &AggregateFunction, n: f64, xx: f64, yy: f64, xy: f64) -> Option<f64> {
    use AggregateFunction as F;
    if n == 0.0 {
        return None;
    }
    match function {
        F::VarPop => Some(xx / n),
        F::StddevPop => Some((xx / n).sqrt()),
        F::CovarPop => Some(xy / n),
        F::Corr if xx == 0.0 || yy == 0.0 => None,
        F::Corr => Some((xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0)),
        _ if n < 2.0 => None,
        F::VarSamp => Some(xx / (n - 1.0)),
        F::StddevSamp => Some((xx / (n - 1.0)).sqrt()),
        _ => Some(xy / (n - 1.0)),
    }
}

/// Which products the state has: of x with itself, of y with itself, of both.
fn products(aggregate: &AggregateSpec) -> [bool; 3] {
    let (pair, corr) = (aggregate.arguments.len() == 2, aggregate.function == AggregateFunction::Corr);
    [!pair || corr, corr, pair]
}

/// Some values: one as it came, or many as partial state has them.
struct Bundle {
    n: i64,
    mean: [f64; 2],
    /// Of x, of y, of both.
    moments: [f64; 3],
}

/// Moments of numbers among which are others than integers.
pub(super) struct Moments {
    function: AggregateFunction,
    arguments: usize,
    products: [bool; 3],
    seen: Vec<Bundle>,
}

impl Moments {
    pub(super) fn new(aggregate: &AggregateSpec) -> Self {
        Self {
            function: aggregate.function.clone(),
            arguments: aggregate.arguments.len(),
            products: products(aggregate),
            seen: Vec::new(),
        }
    }

    /// All that was seen as one.
    fn total(&self) -> Result<Bundle, Failure> {
        let n = self.seen.iter().try_fold(0, |n, bundle| more(n, bundle.n))?;
        let mut total = Bundle { n, mean: [0.0; 2], moments: [0.0; 3] };
        if n == 0 {
            return Ok(total);
        }
        for axis in 0..self.arguments {
            let mut sum = ExactSum::default();
            self.seen.iter().for_each(|b| add_product(&mut sum, b.n as f64, b.mean[axis]));
            total.mean[axis] = sum.value() / n as f64;
        }
        for (product, axes) in [(0, [0, 0]), (1, [1, 1]), (2, [0, 1])] {
            let mut sum = ExactSum::default();
            for bundle in &self.seen {
                sum.add(bundle.moments[product]);
                let [x, y] = axes.map(|axis| difference(bundle.mean[axis], total.mean[axis]));
                // (x₀ + x₁) · (y₀ + y₁), n times.
                for (x, y) in [(x.0, y.0), (x.0, y.1), (x.1, y.0)] {
                    let high = x * y;
                    let low = x.mul_add(y, -high);
                    add_product(&mut sum, bundle.n as f64, high);
                    add_product(&mut sum, bundle.n as f64, low);
                }
            }
            total.moments[product] = sum.value();
        }
        if !total.mean.iter().all(|mean| mean.is_finite()) {
            (total.mean, total.moments) = ([f64::NAN; 2], [f64::NAN; 3]);
        }
        Ok(total)
    }
}

/// `a − b` and what rounding it lost.
fn difference(a: f64, b: f64) -> (f64, f64) {
    let high = a - b;
    let seen = high - a;
    (high, (a - (high - seen)) - (b + seen))
}

/// Adds a product, both halves of it.
fn add_product(sum: &mut ExactSum, a: f64, b: f64) {
    let high = a * b;
    sum.add(high);
    if high.is_finite() {
        sum.add(a.mul_add(b, -high));
    }
}

impl State for Moments {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if row.arguments.iter().any(|a| a.is_null(0)) {
            return Ok(());
        }
        let mut bundle = Bundle { n: 1, mean: [0.0; 2], moments: [0.0; 3] };
        for (mean, argument) in bundle.mean.iter_mut().zip(row.arguments) {
            *mean = double(argument)?;
        }
        self.seen.push(bundle);
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        let mut bundle =
            Bundle { n: parts[0].as_primitive::<Int64Type>().value(0), mean: [0.0; 2], moments: [0.0; 3] };
        let mut doubles = parts[1..].iter().map(|part| part.as_primitive::<Float64Type>().value(0));
        let missing = || internal("partial state without its moments");
        for mean in bundle.mean.iter_mut().take(self.arguments) {
            *mean = doubles.next().ok_or_else(missing)?;
        }
        for (moment, _) in bundle.moments.iter_mut().zip(self.products).filter(|(_, there)| *there) {
            *moment = doubles.next().ok_or_else(missing)?;
        }
        if bundle.n > 0 {
            self.seen.push(bundle);
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let total = self.total()?;
        let means = total.mean.into_iter().take(self.arguments);
        let moments = total.moments.into_iter().zip(self.products).filter(|(_, there)| *there);
        let doubles = means.chain(moments.map(|(moment, _)| moment));
        let doubles = doubles.map(|x| Arc::new(Float64Array::from(vec![x])) as ArrayRef);
        Ok([Arc::new(Int64Array::from(vec![total.n])) as ArrayRef].into_iter().chain(doubles).collect())
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        let Bundle { n, moments: [xx, yy, xy], .. } = self.total()?;
        let value = finish(&self.function, n as f64, xx, yy, xy);
        Ok(Ok(Arc::new(Float64Array::from(vec![value]))))
    }
}

/// Exact sums of integers, of their squares and of their products.
pub(super) struct Exact {
    function: AggregateFunction,
    arguments: usize,
    products: [bool; 3],
    n: i64,
    sums: [i256; 2],
    sums_of_products: [i256; 3],
}

impl Exact {
    pub(super) fn new(aggregate: &AggregateSpec) -> Self {
        Self {
            function: aggregate.function.clone(),
            arguments: aggregate.arguments.len(),
            products: products(aggregate),
            n: 0,
            sums: [i256::ZERO; 2],
            sums_of_products: [i256::ZERO; 3],
        }
    }
}

impl State for Exact {
    fn add(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        if row.arguments.iter().any(|a| a.is_null(0)) {
            return Ok(());
        }
        let mut values = [i256::ZERO; 2];
        for (value, argument) in values.iter_mut().zip(row.arguments) {
            let integer = Scalar::from_array(argument.as_ref(), 0).map_err(internal)?.as_integer();
            *value = i256::from_i128(integer.ok_or_else(|| internal("a moment of what is no integer"))?);
        }
        let [x, y] = values;
        self.n = more(self.n, 1)?;
        // Far from 256 bits with fewer than 2⁶³ rows.
        self.sums = [self.sums[0].wrapping_add(x), self.sums[1].wrapping_add(y)];
        for (sum, (a, b)) in self.sums_of_products.iter_mut().zip([(x, x), (y, y), (x, y)]) {
            *sum = sum.wrapping_add(a.wrapping_mul(b));
        }
        Ok(())
    }

    fn merge(&mut self, parts: &[ArrayRef]) -> Result<(), Failure> {
        self.n = more(self.n, parts[0].as_primitive::<Int64Type>().value(0))?;
        let mut wide =
            parts[1..].iter().map(|part| i256::from_i128(part.as_primitive::<Decimal128Type>().value(0)));
        let missing = || internal("partial state without its sums");
        for sum in self.sums.iter_mut().take(self.arguments) {
            *sum = sum.wrapping_add(wide.next().ok_or_else(missing)?);
        }
        for (sum, _) in self.sums_of_products.iter_mut().zip(self.products).filter(|(_, there)| *there) {
            let (high, low) = (wide.next().ok_or_else(missing)?, wide.next().ok_or_else(missing)?);
            *sum = sum.wrapping_add(high.wrapping_mul(i256::from_i128(1 << 64))).wrapping_add(low);
        }
        Ok(())
    }

    fn parts(&self) -> Result<Vec<ArrayRef>, Failure> {
        let mut words = Vec::new();
        words.extend(self.sums.iter().take(self.arguments).copied());
        for (sum, _) in self.sums_of_products.iter().zip(self.products).filter(|(_, there)| *there) {
            let word = i256::from_i128(1 << 64);
            let low = sum.wrapping_rem(word);
            let low = if low.is_negative() { low.wrapping_add(word) } else { low };
            words.extend([sum.wrapping_sub(low).wrapping_div(word), low]);
        }
        let mut parts: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![self.n]))];
        for word in words {
            let narrow = word.to_i128().ok_or_else(|| internal("a sum of integers beyond 128 bits"))?;
            parts.push(Arc::new(Decimal128Array::from(vec![narrow]).with_data_type(SUM_TYPE)));
        }
        Ok(parts)
    }

    fn result(&self) -> Result<Result<ArrayRef, RowErrorKind>, Failure> {
        use AggregateFunction as F;
        let n = self.n as f64;
        // n² times the central moments over n, exactly.
        let central = |product: i256, a: i256, b: i256| {
            let scaled = product.checked_mul(i256::from_i128(self.n.into()))?;
            scaled.checked_sub(a.checked_mul(b)?).map(nearest_double)
        };
        let [x, y] = self.sums;
        let [sum_xx, sum_yy, sum_xy] = self.sums_of_products;
        let moments = (central(sum_xx, x, x), central(sum_yy, y, y), central(sum_xy, x, y));
        let (Some(xx), Some(yy), Some(xy)) = moments else {
            return Err(internal("a moment of integers beyond 256 bits"));
        };
        let sample = (i128::from(self.n) * (i128::from(self.n) - 1)) as f64;
        let population = (i128::from(self.n) * i128::from(self.n)) as f64;
        let value = match &self.function {
            _ if self.n == 0 => None,
            F::Corr => finish(&self.function, n, xx, yy, xy),
            F::VarPop => Some(xx / population),
            F::StddevPop => Some((xx / population).sqrt()),
            F::CovarPop => Some(xy / population),
            _ if self.n == 1 => None,
            F::VarSamp => Some(xx / sample),
            F::StddevSamp => Some((xx / sample).sqrt()),
            _ => Some(xy / sample),
        };
        Ok(Ok(Arc::new(Float64Array::from(vec![value]))))
    }
}
