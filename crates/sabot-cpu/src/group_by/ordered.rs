//! The first and the last value, and all values in order.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, GenericStringArray, GenericStringBuilder, ListArray,
    NullBufferBuilder, OffsetSizeTrait, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use sabot_batch::key_index::KeyIndexError;
use sabot_ops::{AggregateFunction, AggregateSpec, Place};
use std::cmp::Ordering;
use std::sync::Arc;

use super::AccumulateError;
use super::family::{GroupState, RowsOf, decoded};
use super::values::{At, NOTHING, Values};

/// The first or the last value of each group.
#[derive(Debug)]
pub(super) struct Ends {
    wanted: Ordering,
    values: Values,
    /// Where each group's value is, and where the row stood; a group without rows has neither.
    best: Vec<At>,
    places: Vec<Place>,
    /// What the keys in places have allocated.
    keys: usize,
}

impl Ends {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let wanted = match spec.function {
            AggregateFunction::First => Ordering::Less,
            _ => Ordering::Greater,
        };
        let values = Values::new(spec.result_field()?.data_type().clone());
        Ok(Self { wanted, values, best: Vec::new(), places: Vec::new(), keys: 0 })
    }

    /// Lets values in, each with its group, its place and its row in `array`.
    fn improve(
        &mut self,
        array: ArrayRef,
        candidates: impl IntoIterator<Item = (u32, Place, usize)>,
    ) -> Result<(), AccumulateError> {
        let chunk = self.values.push(array);
        let mut changed = Vec::new();
        for (id, place, row) in candidates {
            let (old, old_place) = (&mut self.best[id as usize], &mut self.places[id as usize]);
            let by_value = || self.values.compare((chunk, row), *old);
            if *old == NOTHING || place.cmp(old_place).then_with(by_value) == self.wanted {
                if old.0 != chunk {
                    changed.push(id);
                }
                self.keys = self.keys + place.key.len() - old_place.key.len();
                (*old, *old_place) = ((chunk, row), place);
            }
        }
        self.values.settle(&mut self.best, &changed)
    }
}

impl GroupState for Ends {
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, NOTHING);
        self.places.resize_with(groups, Place::default);
    }

    fn clear(&mut self) {
        self.best.clear();
        self.places.clear();
        self.values.clear();
        self.keys = 0;
    }

    fn bytes(&self) -> usize {
        let fixed = self.best.capacity() * size_of::<At>() + self.places.capacity() * size_of::<Place>();
        fixed + self.keys + self.values.bytes()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let places = rows.places()?;
        let array = decoded(rows.argument()?)?;
        let by_value = Values::comparator(&array, &array);
        // One candidate a group; rows mostly come in order.
        let mut candidates: Vec<Option<usize>> = vec![None; self.best.len()];
        for (row, id) in rows.ids.iter().enumerate() {
            let candidate = &mut candidates[*id as usize];
            let better =
                |old: usize| places.compare(row, old).then_with(|| by_value(row, old)) == self.wanted;
            if candidate.is_none_or(better) {
                *candidate = Some(row);
            }
        }
        let found =
            (0u32..).zip(candidates).filter_map(|(id, row)| row.map(|row| (id, places.get(row), row)));
        self.improve(array, found)
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let places = state[1].as_binary::<i32>();
        let mut candidates = Vec::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate().filter(|(row, _)| places.is_valid(*row)) {
            candidates.push((*id, place_of(places.value(row))?, row));
        }
        self.improve(state[0].clone(), candidates)
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let place = |id: &u32| {
            let id = *id as usize;
            (self.best[id] != NOTHING).then(|| self.places[id].to_bytes())
        };
        Ok(vec![self.result(ids)?, Arc::new(ids.iter().map(place).collect::<BinaryArray>())])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        self.values.gather(&ids.iter().map(|id| self.best[*id as usize]).collect::<Vec<_>>())
    }
}

fn place_of(bytes: &[u8]) -> Result<Place, AccumulateError> {
    Place::from_bytes(bytes)
        .ok_or_else(|| AccumulateError::input("partial state with a place of too few bytes"))
}

/// All values of each group, as lists or as one string.
#[derive(Debug)]
pub(super) struct Lists {
    item: FieldRef,
    separator: Option<String>,
    returns: DataType,
    values: Values,
    entries: Vec<Vec<(Place, At)>>,
    /// What the entries have allocated.
    heap: usize,
}

impl Lists {
    pub(super) fn new(spec: &AggregateSpec) -> Result<Self, AccumulateError> {
        let state = spec.state_fields()?;
        let Some(DataType::List(item)) = state.first().map(|f| f.data_type()) else {
            return Err(AccumulateError::input("values that are no list"));
        };
        let separator = match &spec.function {
            AggregateFunction::StringAgg { separator } => Some(separator.clone()),
            _ => None,
        };
        Ok(Self {
            item: item.clone(),
            separator,
            returns: spec.result_field()?.data_type().clone(),
            values: Values::new(item.data_type().clone()),
            entries: Vec::new(),
            heap: 0,
        })
    }

    fn push(&mut self, id: u32, place: Place, at: At) {
        let entries = &mut self.entries[id as usize];
        let before = entries.capacity();
        self.heap += place.key.len();
        entries.push((place, at));
        self.heap += (entries.capacity() - before) * size_of::<(Place, At)>();
    }

    /// The entries of a group in order.
    fn sorted(&self, id: u32) -> Vec<&(Place, At)> {
        let mut sorted: Vec<&(Place, At)> = self.entries[id as usize].iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| self.values.compare(a.1, b.1)));
        sorted
    }

    /// The items of some groups one after the other, and how many each group has.
    fn items(&self, ids: &[u32]) -> Result<(Vec<&Place>, ArrayRef, Vec<usize>), AccumulateError> {
        let (mut places, mut ats, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(ids.len()));
        for id in ids {
            let sorted = self.sorted(*id);
            lengths.push(sorted.len());
            for (place, at) in sorted {
                places.push(place);
                ats.push(*at);
            }
        }
        i32::try_from(ats.len())
            .map_err(|_| AccumulateError::input("more than 2³¹ items in one column of lists"))?;
        Ok((places, self.values.gather(&ats)?, lengths))
    }

    /// The strings of each group joined.
    fn joined<O: OffsetSizeTrait>(&self, separator: &str, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        let (_, values, lengths) = self.items(ids)?;
        // Views are joined as plain strings.
        let plain = cast(&values, &GenericStringArray::<O>::DATA_TYPE).map_err(AccumulateError::input)?;
        let texts: &GenericStringArray<O> = plain.as_string::<O>();
        let bytes = texts.value_data().len() + texts.len() * separator.len();
        if O::from_usize(bytes).is_none() {
            return Err(AccumulateError::Text(KeyIndexError::TextTooLong { bytes }));
        }
        let mut builder = GenericStringBuilder::<O>::with_capacity(ids.len(), bytes);
        let mut next = 0;
        let mut joined = String::new();
        for length in lengths {
            if length == 0 {
                builder.append_null();
                continue;
            }
            joined.clear();
            for row in next..next + length {
                if row > next {
                    joined.push_str(separator);
                }
                joined.push_str(texts.value(row));
            }
            next += length;
            builder.append_value(&joined);
        }
        let joined: ArrayRef = Arc::new(builder.finish());
        cast(&joined, &self.returns).map_err(AccumulateError::input)
    }
}

impl GroupState for Lists {
    fn resize(&mut self, groups: usize) {
        self.entries.resize_with(groups, Vec::new);
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.values.clear();
        self.heap = 0;
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Vec<(Place, At)>>() + self.heap + self.values.bytes()
    }

    fn update(&mut self, rows: &RowsOf<'_>) -> Result<(), AccumulateError> {
        let places = rows.places()?;
        let array = decoded(rows.argument()?)?;
        // A null is an item of a list; strings are joined without.
        let skipped = array.logical_nulls().filter(|_| self.separator.is_some());
        let chunk = self.values.push(array);
        for (row, id) in rows.ids.iter().enumerate() {
            if skipped.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.push(*id, places.get(row), (chunk, row));
            }
        }
        Ok(())
    }

    fn merge(&mut self, ids: &[u32], state: &[ArrayRef]) -> Result<(), AccumulateError> {
        let (lists, orders) = (state[0].as_list::<i32>(), state[1].as_list::<i32>());
        let (offsets, other) = (lists.value_offsets(), orders.value_offsets());
        let (start, end) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        let lengths = |offsets: &[i32]| offsets.windows(2).map(|ends| ends[1] - ends[0]).collect::<Vec<_>>();
        if lengths(offsets) != lengths(other) {
            return Err(AccumulateError::input("partial state with another number of values than of places"));
        }
        // A copy of its own: the rows may be few of a large batch.
        let rows: Vec<u32> = (start..end).map(|row| row as u32).collect();
        let values = take(lists.values(), &UInt32Array::from(rows), None).map_err(AccumulateError::input)?;
        let chunk = self.values.push(values);
        let places = orders.values().as_binary::<i32>();
        for (row, id) in ids.iter().enumerate() {
            for (i, at) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                let place = place_of(places.value(other[row] as usize + i))?;
                self.push(*id, place, (chunk, at - start));
            }
        }
        Ok(())
    }

    fn state(&self, ids: &[u32]) -> Result<Vec<ArrayRef>, AccumulateError> {
        let (places, values, lengths) = self.items(ids)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let places = BinaryArray::from_iter_values(places.into_iter().map(Place::to_bytes));
        let bytes = Arc::new(Field::new_list_field(DataType::Binary, false));
        let orders = ListArray::try_new(bytes, offsets.clone(), Arc::new(places), None);
        let values = ListArray::try_new(self.item.clone(), offsets, values, None);
        Ok(vec![
            Arc::new(values.map_err(AccumulateError::input)?),
            Arc::new(orders.map_err(AccumulateError::input)?),
        ])
    }

    fn result(&self, ids: &[u32]) -> Result<ArrayRef, AccumulateError> {
        match &self.separator {
            Some(separator) if self.returns == DataType::LargeUtf8 => self.joined::<i64>(separator, ids),
            Some(separator) => self.joined::<i32>(separator, ids),
            None => {
                let (_, values, lengths) = self.items(ids)?;
                let mut nulls = NullBufferBuilder::new(ids.len());
                lengths.iter().for_each(|length| nulls.append(*length > 0));
                let offsets = OffsetBuffer::from_lengths(lengths);
                let lists = ListArray::try_new(self.item.clone(), offsets, values, nulls.finish());
                Ok(Arc::new(lists.map_err(AccumulateError::input)?))
            }
        }
    }
}
