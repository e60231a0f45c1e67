//! Sums of floats without any rounding, to hold rounded sums against.

/// The exact sum of floats, rounded once when it is asked for.
///
/// The finite values are kept as a list of doubles whose exact sum is theirs and of which no two have
/// bits in common (Shewchuk, *Adaptive Precision Floating-Point Arithmetic*, 1997). Infinities and NaNs
/// are added apart, as IEEE 754 says. Exact as long as no partial sum leaves the finite range.
///
/// ```
/// use sabot_ops::reference::ExactSum;
/// let sum: ExactSum = [1e100, 1.0, -1e100].into_iter().collect();
/// assert_eq!(sum.value(), 1.0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    /// Ascending in magnitude, none of them zero.
    parts: Vec<f64>,
    special: Option<f64>,
}

impl ExactSum {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.special = Some(self.special.unwrap_or(0.0) + value);
            return;
        }
        let mut high = value;
        let mut rest = Vec::with_capacity(self.parts.len() + 1);
        for part in &self.parts {
            let (sum, error) = two_sum(high, *part);
            if error != 0.0 {
                rest.push(error);
            }
            high = sum;
        }
        if high != 0.0 {
            rest.push(high);
        }
        self.parts = rest;
    }

    /// The double nearest to the sum, ties to even; 0.0 for no values.
    pub fn value(&self) -> f64 {
        if let Some(special) = self.special {
            return special;
        }
        let mut falling = self.parts.iter().rev().copied();
        let mut high = falling.next().unwrap_or(0.0);
        for part in falling.by_ref() {
            let (sum, error) = two_sum(high, part);
            high = sum;
            if error == 0.0 {
                continue;
            }
            // The parts share no bits, so what follows is smaller than the last bit of `error`. It
            // matters only when `error` is exactly half of the last bit of `high`: then it says which
            // side of the tie the sum lies on.
            let next = falling.next().unwrap_or(0.0);
            let doubled = high + 2.0 * error;
            let tie = doubled - high == 2.0 * error;
            if tie && next != 0.0 && (next > 0.0) == (error > 0.0) {
                high = doubled;
            }
            break;
        }
        high
    }
}

impl FromIterator<f64> for ExactSum {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = ExactSum::default();
        values.into_iter().for_each(|value| sum.add(value));
        sum
    }
}

/// `a + b` rounded, and what the rounding lost.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_seen = sum - a;
    let a_seen = sum - b_seen;
    (sum, (a - a_seen) + (b - b_seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_where_plain_addition_is_not() {
        let thirds: ExactSum = std::iter::repeat_n(0.1, 10).collect();
        assert_eq!(thirds.value(), 1.0);
        let lost: ExactSum = [1e16, 1.0, 1e-16, -1e16].into_iter().collect();
        assert_eq!(lost.value(), 1.0);
        assert_eq!(ExactSum::default().value(), 0.0);
    }

    #[test]
    fn ties_are_broken_by_what_follows() {
        let half = f64::EPSILON / 2.0;
        let even: ExactSum = [1.0, half].into_iter().collect();
        assert_eq!(even.value(), 1.0);
        let above: ExactSum = [1.0, half, 1e-300].into_iter().collect();
        assert_eq!(above.value(), 1.0 + f64::EPSILON);
        let below: ExactSum = [1.0 + f64::EPSILON, half, -1e-300].into_iter().collect();
        assert_eq!(below.value(), 1.0 + f64::EPSILON);
    }

    #[test]
    fn special_values_add_as_ieee_says() {
        let sum = |values: &[f64]| values.iter().copied().collect::<ExactSum>().value();
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert!(sum(&[f64::NEG_INFINITY, f64::INFINITY, 1.0]).is_nan());
        assert!(sum(&[f64::NAN, f64::INFINITY]).is_nan());
    }
}
