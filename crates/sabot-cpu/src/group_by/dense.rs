//! Group ids by direct addressing, for keys with few distinct values in a morsel.
//!
//! Keys of dictionaries are already numbers, and the start of a window hardly changes from one row to
//! the next. When the distinct values of all key columns multiply to a table that fits the caches, a
//! row's place there is a sum of codes: no hashing, no comparison of keys, no string touched. Whatever
//! does not fit gives up early and leaves the morsel to the hash table.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use sabot_batch::key_index::text::{Texts, for_each_code};
use sabot_batch::key_index::words;
use std::collections::HashMap;

/// Distinct words of one column in one morsel, nulls apart, that are worth direct addressing. A morsel
/// of 16 Ki rows seldom spans more windows.
const WORDS_MAX: usize = 256;
/// Slots of the word table: a quarter full at most.
const WORD_SLOTS: usize = 4 * WORDS_MAX;
/// Places of a table that always pays: 256 KiB stay in L2.
const PLACES_MIN: usize = 1 << 16;
/// Morsels that are hashed without a try after this many failures in a row at most.
const PAUSE_MAX: u32 = 63;

/// Assigns dense ids to rows by direct addressing, where that is possible.
#[derive(Debug, Default)]
pub(super) struct DenseKeys {
    /// By row: the place in `places`.
    codes: Vec<u32>,
    /// By place: id + 1, or 0. All zero between morsels.
    places: Vec<u32>,
    words: WordCodes,
    dictionaries: Vec<Option<Dictionary>>,
    failures: u32,
    pause: u32,
}

/// The values of a dictionary, numbered so that equal ones have one number.
#[derive(Debug)]
struct Dictionary {
    values: ArrayRef,
    /// `None` when the values are distinct and none is null: codes are numbers then.
    numbers: Option<Vec<u32>>,
}

impl DenseKeys {
    /// Replaces `ids` by one id a row, dense and in order of first appearance, and `first_rows` by the
    /// first row of each id. False when the keys are not of that kind; both are then of no meaning.
    pub(super) fn assign(
        &mut self,
        keys: &[ArrayRef],
        ids: &mut Vec<u32>,
        first_rows: &mut Vec<u32>,
    ) -> bool {
        if !keys.iter().all(|k| may_be_dense(k.as_ref())) {
            return false;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return false;
        }
        let Some(places) = self.add_codes(keys) else {
            self.failures = self.failures.saturating_add(1);
            self.pause = (1u32 << self.failures.min(6)).min(PAUSE_MAX);
            return false;
        };
        self.failures = 0;
        if self.places.len() < places {
            self.places.resize(places, 0);
        }
        ids.clear();
        first_rows.clear();
        for (row, code) in (0u32..).zip(&self.codes) {
            let place = &mut self.places[*code as usize];
            if *place == 0 {
                first_rows.push(row);
                *place = first_rows.len() as u32;
            }
            ids.push(*place - 1);
        }
        for row in first_rows.iter() {
            self.places[self.codes[*row as usize] as usize] = 0;
        }
        true
    }

    /// Fills `codes`; the number of places, or `None` when there would be too many.
    fn add_codes(&mut self, keys: &[ArrayRef]) -> Option<usize> {
        let rows = keys.first()?.len();
        self.codes.clear();
        self.codes.resize(rows, 0);
        let limit = PLACES_MIN.max(rows);
        let mut stride = 1usize;
        self.dictionaries.resize_with(keys.len(), || None);
        for (key, dictionary) in keys.iter().zip(&mut self.dictionaries) {
            let distinct = match key.data_type() {
                DataType::Dictionary(_, _) => {
                    let values = key.as_any_dictionary().values();
                    if values.len() > limit / stride {
                        return None;
                    }
                    add_dictionary(key.as_ref(), dictionary, stride, &mut self.codes)?
                }
                _ => self.words.add(key.as_ref(), stride, &mut self.codes)?,
            };
            stride = stride.checked_mul(distinct).filter(|s| *s <= limit)?;
        }
        Some(stride)
    }
}

fn may_be_dense(key: &dyn Array) -> bool {
    match key.data_type() {
        DataType::Dictionary(_, value) => matches!(**value, DataType::Utf8 | DataType::LargeUtf8),
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => false,
        plain => words::is_word_type(plain),
    }
}

/// Adds `stride` times the number of each row's value; the count of numbers, null included.
fn add_dictionary(
    key: &dyn Array,
    known: &mut Option<Dictionary>,
    stride: usize,
    codes: &mut [u32],
) -> Option<usize> {
    let values = key.as_any_dictionary().values();
    // Readers hand out the same dictionary for many morsels; its values are compared by address.
    let same = |d: &&Dictionary| d.values.to_data().ptr_eq(&values.to_data());
    if known.as_ref().filter(same).is_none() {
        *known = Some(Dictionary { values: values.clone(), numbers: number(values)? });
    }
    let numbers = known.as_ref()?.numbers.as_deref();
    let null = values.len() as u32;
    let stride = u32::try_from(stride).ok()?;
    let mut codes = codes.iter_mut();
    for_each_code(key.as_any_dictionary().keys(), |code| {
        let number = match (code, numbers) {
            (None, _) => null,
            (Some(code), None) => code as u32,
            (Some(code), Some(numbers)) => numbers.get(code).copied().unwrap_or(null),
        };
        if let Some(place) = codes.next() {
            *place += stride * number;
        }
    });
    Some(values.len() + 1)
}

/// The number of each value: its own place, or that of the first equal value; `values.len()` for null.
/// `None` inside when every value is its own number; `None` outside when the values are no strings.
fn number(values: &ArrayRef) -> Option<Option<Vec<u32>>> {
    let texts = Texts::new(values.as_ref()).ok()??;
    let mut first: HashMap<&[u8], u32> = HashMap::with_capacity(texts.len());
    let null = texts.len() as u32;
    let numbers: Vec<u32> = (0..null)
        .map(|place| texts.get(place as usize).map_or(null, |text| *first.entry(text).or_insert(place)))
        .collect();
    let distinct = (0..null).zip(&numbers).all(|(place, number)| place == *number);
    Some(if distinct { None } else { Some(numbers) })
}

/// Numbers the distinct words of a column in order of appearance.
#[derive(Debug)]
struct WordCodes {
    slots: Vec<Option<(i64, u32)>>,
    used: Vec<usize>,
}

impl Default for WordCodes {
    fn default() -> Self {
        Self { slots: vec![None; WORD_SLOTS], used: Vec::with_capacity(WORDS_MAX) }
    }
}

impl WordCodes {
    /// Adds `stride` times the number of each row's word, 0 being null; the count of numbers.
    fn add(&mut self, key: &dyn Array, stride: usize, codes: &mut [u32]) -> Option<usize> {
        let words = words::encode(key)?;
        let stride = u32::try_from(stride).ok()?;
        for slot in self.used.drain(..) {
            self.slots[slot] = None;
        }
        let mut rest = codes;
        let mut start = 0;
        // Runs of one value cost one look-up.
        for run in words.values.chunk_by(|a, b| a == b) {
            let step = stride * self.number(*run.first()?)?;
            let (here, behind) = rest.split_at_mut(run.len());
            match &words.nulls {
                None => here.iter_mut().for_each(|code| *code += step),
                Some(nulls) => {
                    for (row, code) in (start..).zip(here) {
                        *code += if nulls.is_valid(row) { step } else { 0 };
                    }
                }
            }
            rest = behind;
            start += run.len();
        }
        Some(self.used.len() + 1)
    }

    /// The number of a word, from 1; `None` when there are too many words.
    fn number(&mut self, word: i64) -> Option<u32> {
        // Multiplying spreads multiples of a window's size over the upper bits.
        let spread = (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let mut at = spread as usize % WORD_SLOTS;
        loop {
            match self.slots[at] {
                Some((known, number)) if known == word => return Some(number),
                Some(_) => at = (at + 1) % WORD_SLOTS,
                None if self.used.len() == WORDS_MAX => return None,
                None => {
                    self.used.push(at);
                    let number = self.used.len() as u32;
                    self.slots[at] = Some((word, number));
                    return Some(number);
                }
            }
        }
    }
}
