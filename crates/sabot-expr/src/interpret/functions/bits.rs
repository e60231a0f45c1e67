//! Functions of the bits of integers.
//!
//! An integer widened to 128 bits has the same low bits, and its sign bit again and again before them;
//! an unsigned one has zeros there. So the operations are those of the wide integers.

use super::Call;
use crate::error::RowErrorKind;
use crate::functions::BitsFunction;
use crate::scalar::Scalar;
use crate::types::is_unsigned_integer;

impl Call<'_> {
    pub(super) fn bits_function(&self, function: BitsFunction) -> Result<Scalar, RowErrorKind> {
        let number = self.integer(0)?;
        let data_type = self.arg(0)?.data_type();
        let width = data_type.primitive_width().unwrap_or(0) as u32 * 8;
        // The bits of the type, and no others.
        let mask = (1i128 << width) - 1;
        match function {
            BitsFunction::BitwiseAnd => self.fitting(Some(number & self.integer(1)?)),
            BitsFunction::BitwiseOr => self.fitting(Some(number | self.integer(1)?)),
            BitsFunction::BitwiseXor => self.fitting(Some(number ^ self.integer(1)?)),
            BitsFunction::BitwiseNot if is_unsigned_integer(&data_type) => self.fitting(Some(number ^ mask)),
            BitsFunction::BitwiseNot => self.fitting(Some(!number)),
            BitsFunction::ShiftLeft => {
                let bits = self.integer(1)?;
                if number < 0 || bits < 0 {
                    return Err(self.failed(format!("{number} by {bits}: neither may be negative")));
                }
                // Whatever is shifted out of 64 bits does not fit; zero stays zero.
                let shifted = match number {
                    0 => Some(0),
                    _ => u32::try_from(bits).ok().filter(|bits| *bits < 64).map(|bits| number << bits),
                };
                self.fitting(shifted)
            }
            BitsFunction::ShiftRight => {
                let bits = u32::try_from(self.integer(1)?).ok().filter(|bits| *bits < width);
                self.fitting(Some(bits.map_or(0, |bits| number >> bits)))
            }
            BitsFunction::BitCount => Ok(Scalar::Int8((number & mask).count_ones() as i8)),
        }
    }
}
