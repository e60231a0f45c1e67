//! SIMD variants of hot kernels, chosen when an operator is built and not when the program is.
//!
//! One binary carries every variant, so it runs on any machine and uses what the machine has. The
//! pattern, shown by [`compare`]: a kernel has one scalar form that defines it, and forms for newer
//! instruction sets that give the same bits; the caller holds a [`Level`], and only this module can
//! make one, after it has asked the processor. A variant is a parameter, so that one test process
//! runs them all.

pub(crate) mod compare;
pub(crate) mod prefetch;

use std::fmt;
use std::str::FromStr;

/// The environment variable that sets the default of [`SimdVariant`]: `auto`, `scalar`, `avx2`, `avx512`.
pub const SIMD_VARIABLE: &str = "SABOT_SIMD";

/// Which instruction set the CPU backend's kernels use.
///
/// ```
/// use sabot_cpu::SimdVariant;
/// assert!(SimdVariant::Scalar.is_available());
/// assert_eq!("avx2".parse(), Ok(SimdVariant::Avx2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SimdVariant {
    /// The newest one that the machine has.
    #[default]
    Auto,
    /// Plain Rust, on any machine.
    Scalar,
    /// AVX2.
    Avx2,
    /// AVX-512 F.
    Avx512,
}

impl SimdVariant {
    /// Every variant, `Auto` first, then from the oldest to the newest.
    pub const ALL: [SimdVariant; 4] =
        [SimdVariant::Auto, SimdVariant::Scalar, SimdVariant::Avx2, SimdVariant::Avx512];

    /// The variant's name in [`SIMD_VARIABLE`] and in messages.
    pub fn name(self) -> &'static str {
        match self {
            SimdVariant::Auto => "auto",
            SimdVariant::Scalar => "scalar",
            SimdVariant::Avx2 => "avx2",
            SimdVariant::Avx512 => "avx512",
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        self.level().is_ok()
    }

    /// The level to run, asked of the processor.
    pub(crate) fn level(self) -> Result<Level, SimdError> {
        let found = match self {
            SimdVariant::Auto => return Ok(detect::avx512().or_else(detect::avx2).unwrap_or(Level::SCALAR)),
            SimdVariant::Scalar => return Ok(Level::SCALAR),
            SimdVariant::Avx2 => detect::avx2(),
            SimdVariant::Avx512 => detect::avx512(),
        };
        found.ok_or(SimdError::Unavailable { variant: self })
    }
}

impl fmt::Display for SimdVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SimdVariant {
    type Err = SimdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.trim().to_lowercase();
        let found = SimdVariant::ALL.into_iter().find(|v| v.name() == wanted);
        found.ok_or_else(|| SimdError::Unknown { name: text.to_owned() })
    }
}

/// Why a SIMD variant cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimdError {
    /// No variant has this name.
    #[error("unknown SIMD variant \"{name}\"; variants: auto, scalar, avx2, avx512")]
    Unknown {
        /// The name as given.
        name: String,
    },
    /// The machine does not have the instructions.
    #[error("SIMD variant {variant} is not available on this machine; auto takes the newest that is")]
    Unavailable {
        /// The variant.
        variant: SimdVariant,
    },
}

/// An instruction set that this machine has. The field is private to this module, so holding a value
/// is the proof that the processor was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    pub(crate) const SCALAR: Level = Level(Set::Scalar);

    /// The variant that names this level.
    pub(crate) fn variant(self) -> SimdVariant {
        match self.0 {
            Set::Scalar => SimdVariant::Scalar,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => SimdVariant::Avx2,
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => SimdVariant::Avx512,
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod detect {
    use super::{Level, Set};

    pub(super) fn avx2() -> Option<Level> {
        is_x86_feature_detected!("avx2").then_some(Level(Set::Avx2))
    }

    pub(super) fn avx512() -> Option<Level> {
        is_x86_feature_detected!("avx512f").then_some(Level(Set::Avx512))
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod detect {
    use super::Level;

    pub(super) fn avx2() -> Option<Level> {
        None
    }

    pub(super) fn avx512() -> Option<Level> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused() {
        for variant in SimdVariant::ALL {
            assert_eq!(variant.to_string().to_uppercase().parse(), Ok(variant));
        }
        let message = SimdVariant::from_str("sse9").unwrap_err().to_string();
        assert_eq!(message, "unknown SIMD variant \"sse9\"; variants: auto, scalar, avx2, avx512");
    }

    #[test]
    fn auto_takes_the_newest_there_is() {
        let auto = SimdVariant::Auto.level().unwrap().variant();
        let newest = SimdVariant::ALL.into_iter().rev().find(|v| v.is_available()).unwrap();
        assert_eq!(auto, newest);
    }
}
