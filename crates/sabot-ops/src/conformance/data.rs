//! Seeded data that finds mistakes: few and many distinct values, the ends of every type, nulls with
//! poison beneath them, slices, selections, update pairs.

use arrow::array::{Array, ArrayData, ArrayRef, Int64Array, RecordBatch, UInt64Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit, UnionFields, UnionMode, i256,
};
use arrow::error::ArrowError;
use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use sabot_batch::{
    DeviceBatch, DeviceError, Morsel, RowKind, RowKinds, RowOrigin, Selection, TimeBounds, hidden,
};
use sabot_common::{DeviceId, EventTime};
use sabot_expr::types::{decoded_type, is_decimal};
use sabot_expr::{ExprError, Float16, Scalar, decimal, temporal};
use std::any::Any;
use std::sync::Arc;

/// Which values a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// Few different ones, the odd ones among them (zeros of both signs, NaNs, the empty string): keys.
    Few,
    /// Values with which arithmetic seldom overflows.
    Tame,
    /// The ends of the type and random bits.
    Wild,
    /// Tame, and every thirtieth wild.
    Mixed,
}

/// Which values of a column are null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nulls {
    None,
    Some,
    All,
    /// As `Some`, and wild values lie under the nulls.
    Poisoned,
}

impl Nulls {
    pub(super) const ALL: [Nulls; 4] = [Nulls::None, Nulls::Some, Nulls::All, Nulls::Poisoned];
}

/// Which rows of a morsel are alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    /// All, without a selection.
    All,
    Some,
    None,
}

impl Alive {
    pub(super) const ALL: [Alive; 3] = [Alive::All, Alive::Some, Alive::None];
}

/// The types that most of expressions work on, one of each kind.
pub(super) fn all_types() -> Vec<DataType> {
    let mut types = vec![DataType::Boolean];
    types.extend(numbers());
    types.extend(strings());
    types.extend(times());
    types.push(DataType::Decimal128(20, 3));
    types
}

/// Every type of Arrow: what passes through every operator.
pub(super) fn payload_types() -> Vec<DataType> {
    let mut types = all_types();
    types.extend(other_types());
    types.extend(nested_types());
    types
}

/// The types that can be keys.
pub(super) fn key_types() -> Vec<DataType> {
    payload_types().into_iter().filter(sabot_batch::key_hash::supports_key).collect()
}

fn other_types() -> Vec<DataType> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    vec![
        DataType::Null,
        DataType::Float16,
        DataType::Decimal32(7, 2),
        DataType::Decimal64(16, -1),
        DataType::Decimal256(60, 5),
        DataType::Utf8View,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        DataType::FixedSizeBinary(3),
        DataType::Date64,
        DataType::Time32(Second),
        DataType::Time32(Millisecond),
        DataType::Time64(Microsecond),
        DataType::Time64(Nanosecond),
        DataType::Timestamp(Microsecond, Some("Europe/Zurich".into())),
        DataType::Duration(Second),
        DataType::Duration(Nanosecond),
        DataType::Interval(IntervalUnit::YearMonth),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Int64)),
    ]
}

fn nested_types() -> Vec<DataType> {
    let item = |data_type: DataType| Arc::new(Field::new_list_field(data_type, true));
    let point = || {
        let fields = vec![Field::new("x", DataType::Float64, true), Field::new("name", DataType::Utf8, true)];
        DataType::Struct(fields.into())
    };
    let entry = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
    let entries = Field::new("entries", DataType::Struct(entry.into()), false);
    let union = |mode| {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
        DataType::Union(UnionFields::from_fields(fields), mode)
    };
    let (ends, values) =
        (Field::new("run_ends", DataType::Int32, false), Field::new("values", DataType::Utf8, true));
    vec![
        DataType::List(item(DataType::Int32)),
        DataType::List(item(DataType::List(item(DataType::Utf8)))),
        DataType::LargeList(item(DataType::Float64)),
        DataType::ListView(item(DataType::Int64)),
        DataType::LargeListView(item(point())),
        DataType::FixedSizeList(item(DataType::Int16), 2),
        point(),
        DataType::Map(Arc::new(entries), false),
        union(UnionMode::Sparse),
        union(UnionMode::Dense),
        DataType::RunEndEncoded(Arc::new(ends), Arc::new(values)),
    ]
}

pub(super) fn integers() -> Vec<DataType> {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    vec![Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64]
}

pub(super) fn floats() -> Vec<DataType> {
    vec![DataType::Float32, DataType::Float64]
}

pub(super) fn numbers() -> Vec<DataType> {
    [integers(), floats()].concat()
}

pub(super) fn strings() -> Vec<DataType> {
    let dictionary = |key, value| DataType::Dictionary(Box::new(key), Box::new(value));
    vec![
        DataType::Utf8,
        DataType::LargeUtf8,
        dictionary(DataType::Int8, DataType::Utf8),
        dictionary(DataType::Int32, DataType::Utf8),
        dictionary(DataType::UInt16, DataType::LargeUtf8),
    ]
}

pub(super) fn times() -> Vec<DataType> {
    vec![
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
    ]
}

/// A schema of nullable columns with these names and types.
pub(super) fn schema_of(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, t)| Field::new(*name, t.clone(), true)).collect::<Vec<_>>())
}

/// What goes wrong when data cannot be made: a mistake of the suite.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Expr(#[from] ExprError),
    #[error(transparent)]
    Morsel(#[from] sabot_batch::MorselError),
}

/// A column of `rows` values. Not nullable ones have [`Nulls::None`].
pub(super) fn column(
    rng: &mut ChaCha8Rng,
    data_type: &DataType,
    rows: usize,
    values: Values,
    nulls: Nulls,
) -> Result<ArrayRef, DataError> {
    // A slice at an offset that is no multiple of 8: bitmaps are where offsets go wrong.
    let offset = *[0, 1, 3, 13].choose(rng).unwrap_or(&0);
    let total = rows + offset + 2;
    let valid: Vec<bool> = (0..total)
        .map(|_| match nulls {
            Nulls::None => true,
            Nulls::All => false,
            Nulls::Some | Nulls::Poisoned => rng.random_bool(0.7),
        })
        .collect();
    let beneath = if nulls == Nulls::Poisoned { Values::Wild } else { values };
    let whole = match data_type {
        DataType::Dictionary(key, value) => {
            dictionary(rng, key, value, total, if nulls == Nulls::Poisoned { Values::Mixed } else { values })?
        }
        plain => {
            let drawn = |valid: &bool| match plain {
                // These have no bitmap of their own to lay over values.
                DataType::Union(..) | DataType::RunEndEncoded(..) if !valid => {
                    Scalar::Null(decoded_type(plain).clone())
                }
                _ => scalar(rng, decoded_type(plain), if *valid { values } else { beneath }),
            };
            let scalars: Vec<Scalar> = valid.iter().map(drawn).collect();
            Scalar::collect(plain, &scalars)?
        }
    };
    let whole = match (nulls, data_type) {
        (Nulls::None, _) | (_, DataType::Null | DataType::Union(..) | DataType::RunEndEncoded(..)) => whole,
        _ => make_array(whole.to_data().into_builder().nulls(Some(NullBuffer::from(valid))).build()?),
    };
    Ok(whole.slice(offset, rows))
}

/// Dictionaries with values that occur twice and values that nobody refers to.
fn dictionary(
    rng: &mut ChaCha8Rng,
    key: &DataType,
    value: &DataType,
    rows: usize,
    values: Values,
) -> Result<ArrayRef, DataError> {
    let mut list: Vec<Scalar> = (0..rng.random_range(2..20)).map(|_| scalar(rng, value, values)).collect();
    list.push(list[0].clone());
    let used = list.len() as i64;
    list.push(scalar(rng, value, Values::Wild));
    let list = Scalar::collect(value, &list)?;
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..used))));
    let keys = cast(&keys, key)?.to_data();
    let data_type = DataType::Dictionary(Box::new(key.clone()), Box::new(value.clone()));
    let data = ArrayData::builder(data_type)
        .len(rows)
        .buffers(keys.buffers().to_vec())
        .add_child_data(list.to_data());
    Ok(make_array(data.build()?))
}

/// A value of a type that is no dictionary; never null.
pub(super) fn scalar(rng: &mut ChaCha8Rng, data_type: &DataType, values: Values) -> Scalar {
    let values = match values {
        Values::Mixed if rng.random_ratio(1, 30) => Values::Wild,
        Values::Mixed => Values::Tame,
        other => other,
    };
    match data_type {
        DataType::Boolean => Scalar::Boolean(rng.random()),
        DataType::Float32 => Scalar::Float32(float(rng, values) as f32),
        DataType::Float64 => Scalar::Float64(float(rng, values)),
        DataType::Null => Scalar::Null(DataType::Null),
        DataType::Float16 => Scalar::Float16(Float16::from_f64(float(rng, values))),
        decimal if is_decimal(decimal) => decimal_scalar(rng, decimal, values),
        DataType::Utf8 => Scalar::Utf8(text(rng, values).into()),
        DataType::LargeUtf8 => Scalar::LargeUtf8(text(rng, values).into()),
        DataType::Date32 => Scalar::Date32(match values {
            Values::Few => rng.random_range(-1..=2),
            Values::Wild => *[i32::MIN, i32::MAX, -719_529, 0, rng.random()].choose(rng).unwrap_or(&0),
            _ => rng.random_range(-40_000..=40_000),
        }),
        DataType::Timestamp(unit, zone) => {
            Scalar::Timestamp { value: instant(rng, *unit, values), unit: *unit, zone: zone.clone() }
        }
        DataType::Utf8View => Scalar::Utf8View(text(rng, values).into()),
        DataType::Binary => Scalar::Binary(text(rng, values).into_bytes().into()),
        DataType::LargeBinary => Scalar::LargeBinary(text(rng, values).into_bytes().into()),
        DataType::BinaryView => Scalar::BinaryView(text(rng, values).into_bytes().into()),
        DataType::FixedSizeBinary(size) => {
            let byte = |_| if values == Values::Few { rng.random_range(0..2) } else { rng.random() };
            Scalar::FixedSizeBinary((0..*size).map(byte).collect())
        }
        DataType::Date64 => Scalar::Date64(instant(rng, TimeUnit::Second, values).wrapping_mul(86_400_000)),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            let day = temporal::units_per_day(*unit);
            Scalar::Time { value: instant(rng, *unit, values).rem_euclid(day), unit: *unit }
        }
        DataType::Duration(unit) => Scalar::Duration { value: instant(rng, *unit, values), unit: *unit },
        DataType::Interval(IntervalUnit::YearMonth) => Scalar::IntervalYearMonth(small(rng, values)),
        DataType::Interval(IntervalUnit::DayTime) => {
            Scalar::IntervalDayTime { days: small(rng, values), milliseconds: small(rng, values) }
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => Scalar::IntervalMonthDayNano {
            months: small(rng, values),
            days: small(rng, values),
            nanoseconds: instant(rng, TimeUnit::Nanosecond, values),
        },
        nested if nested.is_nested() => nested_scalar(rng, nested, values),
        integer => integer_scalar(rng, integer, values),
    }
}

fn small(rng: &mut ChaCha8Rng, values: Values) -> i32 {
    match values {
        Values::Few => rng.random_range(-1..=2),
        Values::Wild => *[i32::MIN, i32::MAX, 0, rng.random()].choose(rng).unwrap_or(&0),
        _ => rng.random_range(-40..=40),
    }
}

fn decimal_scalar(rng: &mut ChaCha8Rng, data_type: &DataType, values: Values) -> Scalar {
    let (precision, _) = decimal::precision_and_scale(data_type).unwrap_or((1, 0));
    let limit = decimal::power_of_ten(u32::from(precision)).unwrap_or(i256::ONE).wrapping_sub(i256::ONE);
    let digits = match values {
        Values::Few => i256::from(rng.random_range(-1..=2) * 1000),
        Values::Wild => *[limit, limit.wrapping_neg(), i256::ZERO, i256::ONE].choose(rng).unwrap_or(&limit),
        _ => i256::from(rng.random_range(-99_999..=99_999)),
    };
    Scalar::from_decimal(digits, data_type).unwrap_or(Scalar::Null(data_type.clone()))
}

/// A list of up to three items, a struct, a map or a union; one in eight of what it holds is null.
fn nested_scalar(rng: &mut ChaCha8Rng, data_type: &DataType, values: Values) -> Scalar {
    let held = |rng: &mut ChaCha8Rng, field: &Field| {
        let plain = decoded_type(field.data_type());
        // Small keys of dictionaries have to do for the items of all lists.
        let few = matches!(field.data_type(), DataType::Dictionary(..));
        let values = if few { Values::Few } else { values };
        let null = field.is_nullable() && rng.random_ratio(1, 8);
        if null { Scalar::Null(plain.clone()) } else { scalar(rng, plain, values) }
    };
    match data_type {
        DataType::Struct(fields) => Scalar::Struct {
            data_type: data_type.clone(),
            values: fields.iter().map(|field| held(rng, field)).collect(),
        },
        DataType::Union(fields, _) => {
            let fields: Vec<_> = fields.iter().collect();
            let (type_id, field) = fields[rng.random_range(0..fields.len())];
            let value = Box::new(scalar(rng, decoded_type(field.data_type()), values));
            Scalar::Union { data_type: data_type.clone(), type_id, value }
        }
        DataType::FixedSizeList(item, size) => Scalar::List {
            data_type: data_type.clone(),
            items: (0..*size).map(|_| held(rng, item)).collect(),
        },
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => Scalar::List {
            data_type: data_type.clone(),
            items: (0..rng.random_range(0..4)).map(|_| held(rng, item)).collect(),
        },
        other => Scalar::Null(other.clone()),
    }
}

fn integer_scalar(rng: &mut ChaCha8Rng, data_type: &DataType, values: Values) -> Scalar {
    let (low, high): (i128, i128) = match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let value = match values {
        Values::Few => rng.random_range(-1..=4),
        Values::Wild => {
            *[low, high, low + 1, high - 1, 0, -1, rng.random_range(low..=high)].choose(rng).unwrap_or(&0)
        }
        // Products of two of these fit 8 bits often, and sums always.
        _ => rng.random_range(-12..=12),
    };
    Scalar::from_integer(value.clamp(low, high), data_type).unwrap_or(Scalar::Null(data_type.clone()))
}

fn float(rng: &mut ChaCha8Rng, values: Values) -> f64 {
    let other_nan = f64::from_bits(0xfff8_0000_0000_0abc);
    let few = [0.0, -0.0, 1.5, -1.5, f64::NAN, other_nan, f64::INFINITY];
    let wild = [
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        other_nan,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::MIN_POSITIVE / 8.0,
        -0.0,
        1e300,
        9.007_199_254_740_993e15,
        f64::from_bits(rng.random()),
    ];
    match values {
        Values::Few => *few.choose(rng).unwrap_or(&0.0),
        Values::Wild => *wild.choose(rng).unwrap_or(&0.0),
        _ if rng.random_bool(0.5) => f64::from(rng.random_range(-800..=800)) / 8.0,
        _ => rng.random_range(-1000.0..1000.0),
    }
}

fn text(rng: &mut ChaCha8Rng, values: Values) -> String {
    const FEW: [&str; 7] = ["", "a", "b", "ab", "12345678", "123456789", "żółw 🐢"];
    const READABLE: [&str; 14] = [
        "17",
        "-3",
        "3.5",
        " 42 ",
        "1e3",
        "true",
        "no",
        "2001-02-03",
        "2001-02-03T04:05:06",
        "300",
        "nan",
        "a%b",
        "_x_",
        "",
    ];
    match values {
        Values::Few => FEW.choose(rng).unwrap_or(&"").to_string(),
        Values::Wild if rng.random_bool(0.5) => {
            let length = rng.random_range(0..300);
            (0..length).map(|_| *['x', '%', '_', '\\', '\0', 'é', '🐢'].choose(rng).unwrap_or(&'x')).collect()
        }
        Values::Wild => READABLE.choose(rng).unwrap_or(&"").to_string(),
        _ if rng.random_bool(0.3) => READABLE.choose(rng).unwrap_or(&"").to_string(),
        _ => {
            let length = rng.random_range(0..20);
            (0..length).map(|_| rng.random_range('a'..='d')).collect()
        }
    }
}

fn instant(rng: &mut ChaCha8Rng, unit: TimeUnit, values: Values) -> i64 {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    match values {
        Values::Few => rng.random_range(-1..=2) * per_second,
        Values::Wild => *[i64::MIN, i64::MAX, 0, -1, rng.random()].choose(rng).unwrap_or(&0),
        // 1900 to 2100, with fractions of a second.
        _ => rng.random_range(-2_208_988_800..4_102_444_800) * per_second + rng.random_range(0..per_second),
    }
}

/// How the rows of a morsel are dressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dress {
    pub(super) alive: Alive,
    /// Deletes and update pairs among the inserts.
    pub(super) kinds: bool,
}

/// A morsel of a batch with a selection, kinds, and an origin that agrees with [`hidden::ROW`].
pub(super) fn morsel(rng: &mut ChaCha8Rng, batch: RecordBatch, dress: Dress) -> Result<Morsel, DataError> {
    let rows = batch.num_rows();
    let first_row = hidden::row_numbers(&batch).filter(|_| rows > 0).map(|numbers| numbers.value(0));
    let bounds = hidden::times(&batch).and_then(|times| {
        let (min, max) = (arrow::compute::min(times)?, arrow::compute::max(times)?);
        Some(TimeBounds { min: EventTime(min), max: EventTime(max) })
    });
    let mut morsel = Morsel::new(batch)
        .with_time_bounds(bounds)
        .with_origin(first_row.map(|first_row| RowOrigin { partition: "p".into(), first_row }));
    let kinds = if dress.kinds { changelog(rng, rows) } else { vec![RowKind::Insert; rows] };
    // Pairs stand and fall together in what a kernel is given.
    let mut bits: Vec<bool> = (0..rows).map(|_| dress.alive != Alive::None && rng.random_bool(0.6)).collect();
    for row in 1..rows {
        if kinds[row] == RowKind::UpdateAfter {
            bits[row] = bits[row - 1];
        }
    }
    if dress.kinds {
        morsel = morsel.with_kinds(RowKinds::PerRow(kinds.into()))?;
    }
    if dress.alive != Alive::All {
        let mut words = vec![0u64; rows.div_ceil(64)];
        for row in (0..rows).filter(|row| bits[*row]) {
            words[row / 64] |= 1 << (row % 64);
        }
        morsel = morsel.with_selection(Selection::from_words(words, rows))?;
    }
    Ok(morsel)
}

/// The morsel with its columns on a device that is nobody's; a lost one cannot be copied to the host.
pub(super) fn on_another_device(morsel: &Morsel, lost: bool) -> Result<Morsel, DataError> {
    let batch = Arc::new(Elsewhere { batch: morsel.to_host()?, lost });
    let dressed = Morsel::on_device(batch)
        .with_kinds(morsel.kinds().clone())?
        .with_time_bounds(morsel.time_bounds())
        .with_origin(morsel.origin().cloned());
    Ok(match morsel.selection() {
        Some(selection) => dressed.with_selection(selection.clone())?,
        None => dressed,
    })
}

#[derive(Debug)]
struct Elsewhere {
    batch: RecordBatch,
    lost: bool,
}

impl DeviceBatch for Elsewhere {
    fn schema(&self) -> SchemaRef {
        self.batch.schema()
    }
    fn rows(&self) -> usize {
        self.batch.num_rows()
    }
    fn bytes(&self) -> usize {
        self.batch.get_array_memory_size()
    }
    fn device(&self) -> DeviceId {
        DeviceId::new("elsewhere")
    }
    fn is_ready(&self) -> bool {
        true
    }
    fn to_host(&self) -> Result<RecordBatch, DeviceError> {
        if self.lost {
            let reason = "lost on purpose".to_owned();
            return Err(DeviceError { device: self.device(), reason, lost: true });
        }
        Ok(self.batch.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn changelog(rng: &mut ChaCha8Rng, rows: usize) -> Vec<RowKind> {
    let mut kinds = Vec::with_capacity(rows + 1);
    while kinds.len() < rows {
        match rng.random_range(0..4) {
            0 => kinds.push(RowKind::Delete),
            1 if kinds.len() + 2 <= rows => kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]),
            _ => kinds.push(RowKind::Insert),
        }
    }
    kinds
}

/// The numbers of `rows` rows in their source, from a random one on.
pub(super) fn row_numbers(rng: &mut ChaCha8Rng, rows: usize) -> ArrayRef {
    let first: u64 = rng.random_range(0..1_000_000);
    Arc::new(UInt64Array::from_iter_values(first..first + rows as u64))
}

/// A schema with the hidden columns of these names at its end.
pub(super) fn with_hidden(schema: Schema, names: &[&str]) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.extend(names.iter().filter_map(|name| hidden::field(name)).map(Arc::new));
    Arc::new(Schema::new(fields))
}
