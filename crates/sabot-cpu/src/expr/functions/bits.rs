//! Functions of the bits of integers.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{Int8Type, Int64Type};
use sabot_expr::functions::BitsFunction;
use sabot_ops::Failure;

use super::{Call, for_integers};

impl Call<'_> {
    pub(super) fn bits_function(&self, function: BitsFunction) -> Result<ArrayRef, Failure> {
        let number = self.arg(0)?;
        let other = self.args.get(1);
        let found = for_integers!(number.array().data_type(), T => {
            type Native = <T as ArrowPrimitiveType>::Native;
            let a = number.operand::<T>().ok_or_else(|| self.wrong_type())?;
            let same = || other.and_then(|other| other.operand::<T>()).ok_or_else(|| self.wrong_type());
            let bits = || other.and_then(|other| other.operand::<Int64Type>()).ok_or_else(|| self.wrong_type());
            match function {
                BitsFunction::BitwiseAnd => self.primitive::<T>(a.zip(same()?, |a, b| a & b)),
                BitsFunction::BitwiseOr => self.primitive::<T>(a.zip(same()?, |a, b| a | b)),
                BitsFunction::BitwiseXor => self.primitive::<T>(a.zip(same()?, |a, b| a ^ b)),
                BitsFunction::BitwiseNot => self.primitive::<T>(a.zip(a, |a, _| !a)),
                BitsFunction::BitCount => self.primitive::<Int8Type>(a.zip(a, |a, _| a.count_ones() as i8)),
                BitsFunction::ShiftLeft => {
                    let bits = bits()?;
                    self.checked::<T>(|row| {
                        let wide = shift_left(i128::from(a.get(row)), bits.get(row))?;
                        Native::try_from(wide).ok()
                    })
                }
                BitsFunction::ShiftRight => {
                    let bits = bits()?;
                    self.checked::<T>(|row| {
                        let bits = u32::try_from(bits.get(row)).unwrap_or(u32::MAX);
                        Some(a.get(row).checked_shr(bits).unwrap_or(0))
                    })
                }
            }
        });
        found.ok_or_else(|| self.wrong_type())
    }
}

/// The number times two to the power of `bits`, where neither is negative.
fn shift_left(number: i128, bits: i64) -> Option<i128> {
    match (number, bits) {
        (..0, _) | (_, ..0) => None,
        (0, _) => Some(0),
        // At most 64 bits moved by at most 63 stay below the sign.
        (_, 0..64) => Some(number << bits),
        _ => None,
    }
}
