//! What numbers and bytes are in a stored plan: text.

/// Floats as text: Rust's shortest form that reads back to the same value; a NaN carries its bits.
pub(super) mod float_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// The two float types.
    pub(in crate::scalar) trait Float:
        Sized + Copy + std::fmt::Debug + std::str::FromStr
    {
        fn nan_bits(self) -> Option<u64>;
        fn from_nan_bits(bits: u64) -> Option<Self>;
    }

    impl Float for f32 {
        fn nan_bits(self) -> Option<u64> {
            self.is_nan().then(|| u64::from(self.to_bits()))
        }
        fn from_nan_bits(bits: u64) -> Option<Self> {
            u32::try_from(bits).ok().map(f32::from_bits).filter(|v| v.is_nan())
        }
    }

    impl Float for f64 {
        fn nan_bits(self) -> Option<u64> {
            self.is_nan().then(|| self.to_bits())
        }
        fn from_nan_bits(bits: u64) -> Option<Self> {
            Some(f64::from_bits(bits)).filter(|v| v.is_nan())
        }
    }

    pub(in crate::scalar) fn serialize<F: Float, S: Serializer>(
        value: &F,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value.nan_bits() {
            Some(bits) => serializer.collect_str(&format_args!("nan:{bits:x}")),
            None => serializer.collect_str(&format_args!("{value:?}")),
        }
    }

    pub(in crate::scalar) fn deserialize<'de, F: Float, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<F, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = match text.strip_prefix("nan:") {
            Some(bits) => u64::from_str_radix(bits, 16).ok().and_then(F::from_nan_bits),
            None => text.parse().ok(),
        };
        value.ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a float")))
    }
}

/// A float of 16 bits, as its value in 32 bits, which is exact; a NaN carries its bits.
pub(super) mod float16_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::scalar::Float16;

    pub(in crate::scalar) fn serialize<S: Serializer>(
        value: &Float16,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value.is_nan() {
            true => serializer.collect_str(&format_args!("nan:{:x}", value.to_bits())),
            false => serializer.collect_str(&format_args!("{value:?}")),
        }
    }

    pub(in crate::scalar) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Float16, D::Error> {
        let text = String::deserialize(deserializer)?;
        let value = match text.strip_prefix("nan:") {
            Some(bits) => u16::from_str_radix(bits, 16).ok().map(Float16::from_bits).filter(|v| v.is_nan()),
            None => text.parse().ok(),
        };
        value.ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a float")))
    }
}

pub(super) mod i128_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::scalar) fn serialize<S: Serializer>(
        value: &i128,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::scalar) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom(format!("\"{text}\" is not a 128-bit integer")))
    }
}

pub(super) mod i256_text {
    use arrow::datatypes::i256;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in crate::scalar) fn serialize<S: Serializer>(
        value: &i256,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::scalar) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i256, D::Error> {
        let text = String::deserialize(deserializer)?;
        i256::from_string(&text)
            .ok_or_else(|| de::Error::custom(format!("\"{text}\" is not a 256-bit integer")))
    }
}

/// Bytes as hexadecimal digits.
pub(super) mod bytes_text {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::sync::Arc;

    use crate::scalar::display::Hex;

    pub(in crate::scalar) fn serialize<S: Serializer>(
        value: &Arc<[u8]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(value))
    }

    pub(in crate::scalar) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<[u8]>, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_hex(&text).ok_or_else(|| de::Error::custom(format!("\"{text}\" is not bytes in hexadecimal")))
    }

    fn parse_hex(text: &str) -> Option<Arc<[u8]>> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?));
        rest.is_empty().then(|| bytes.collect())?
    }
}
