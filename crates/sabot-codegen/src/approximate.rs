//! Which values may differ in their last digits from device to device, and what depends on them.
//!
//! Sines and powers come from a library of the device. A result may be off by some units in the last place, and says so; but what is
//! counted, compared, keyed or rounded has to be the same everywhere, also when a morsel is done again elsewhere.

use crate::ir::{Binary, Inst, Program, Reg, Unary};
use crate::sweep::operands;

impl Program {
    /// Which values are approximate, by their registers; `None` where something is decided by one: a comparison, a whole number, a
    /// step of a function that has steps, or what a function of the user's makes of it.
    fn approximations(&self) -> Option<Vec<bool>> {
        let mut approximate: Vec<bool> = Vec::with_capacity(self.instructions().len());
        for (inst, kind) in self.instructions() {
            let from_one =
                operands(*inst).into_iter().flatten().any(|operand: Reg| approximate[operand.index()]);
            let same_for_all = matches!(inst, Inst::Unary(Unary::IsNan, _));
            let has_steps = matches!(
                inst,
                Inst::Unary(Unary::Floor | Unary::Ceil | Unary::Trunc | Unary::Round, _)
                    | Inst::Binary(Binary::Rem, _, _)
                    | Inst::Call(..)
            );
            if from_one && !same_for_all && (has_steps || !kind.is_float()) {
                return None;
            }
            // What is left of a division is exact.
            let is_one = inst.is_function(*kind) && !matches!(inst, Inst::Binary(Binary::Rem, _, _));
            approximate.push(is_one || (from_one && !same_for_all));
        }
        Some(approximate)
    }

    /// Whether nothing but the values of floats depends on how a device computes functions of floats, and none of these outputs does,
    /// because rows are told apart by them.
    pub fn decides_exactly(&self, keys: &[usize]) -> bool {
        let Some(approximate) = self.approximations() else { return false };
        keys.iter().all(|key| !approximate[self.outputs()[*key].value.index()])
    }
}
