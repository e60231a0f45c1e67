//! Join: every key type and kind, conditions, nearest rows in time, and every type on its way through.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use sabot_batch::hidden;
use sabot_expr::{Expr, FunctionRegistry, col, lit, resolve, type_name};

use super::Cases;
use crate::conformance::bench::{Checked, NotPassed};
use crate::conformance::data::{Nulls, Values, all_types, key_types, payload_types, schema_of, with_hidden};
use crate::conformance::keyed::KeyedBench;
use crate::{Direction, JoinColumn, JoinKind, JoinSource, JoinSpec, Nearest};

const KINDS: [JoinKind; 6] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti];

pub(super) fn add(cases: &mut Cases) {
    for kind in KINDS {
        for data_type in key_types() {
            let name = format!("join/key/{}", type_name(&data_type));
            cases.keyed(name, kind.name(), move |bench| {
                let shape = Shape::new(std::slice::from_ref(&data_type));
                for values in [Values::Few, Values::Wild] {
                    check(bench, &shape, &shape.spec(kind, 1), &|_| values)?;
                }
                Ok(())
            });
        }
        for data_type in all_types() {
            let name = format!("join/condition/{}", type_name(&data_type));
            cases.keyed(name, kind.name(), move |bench| {
                let shape = Shape::new(&[DataType::Int32, data_type.clone()]);
                let spec = shape.with_condition(kind, 1, col("l1").lt_eq(col("r1")))?;
                check(bench, &shape, &spec, &|_| Values::Few)
            });
        }
        for data_type in payload_types() {
            let name = format!("join/payload/{}", type_name(&data_type));
            cases.keyed(name, kind.name(), move |bench| {
                let shape = Shape::new(&[DataType::Int16, data_type.clone()]);
                let values = |i| if i == 0 { Values::Few } else { Values::Mixed };
                check(bench, &shape, &shape.spec(kind, 1), &values)
            });
        }
        for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
            let instant = DataType::Timestamp(unit, None);
            for direction in [Direction::Backward, Direction::Forward] {
                let name = format!("join/nearest/{}", type_name(&instant));
                let instant = instant.clone();
                cases.keyed(name, format!("{kind}, {direction:?}"), move |bench| {
                    nearest(bench, kind, &instant, direction)
                });
            }
        }
        cases.keyed("join/keys", kind.name(), move |bench| {
            let shape = Shape::new(&[DataType::Float64, DataType::Utf8, DataType::Boolean]);
            check(bench, &shape, &shape.spec(kind, 3), &|_| Values::Few)
        });
        // A dictionary meets its strings, and the build side has another type than the probe side.
        cases.keyed("join/dictionary-with-plain", kind.name(), move |bench| {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
            let shape = Shape { build: sided("r", &[DataType::Utf8]), ..Shape::new(&[dictionary]) };
            check(bench, &shape, &shape.spec(kind, 1), &|_| Values::Few)
        });
        cases.keyed("join/no-keys", kind.name(), move |bench| {
            let shape = Shape::new(&[DataType::Int32]);
            check(bench, &shape, &shape.spec(kind, 0), &|_| Values::Few)?;
            let spec = shape.with_condition(kind, 0, (col("l0") + col("r0")).eq(3))?;
            check(bench, &shape, &spec, &|_| Values::Few)
        });
        cases.keyed("join/order", kind.name(), move |bench| {
            let order = [hidden::TIME, hidden::LATE, hidden::PARTITION, hidden::ROW, hidden::KEY];
            let side = |name| with_hidden(schema_of(&[(name, DataType::Int8)]), &order);
            let shape = Shape { probe: side("l0"), build: side("r0") };
            check(bench, &shape, &shape.spec(kind, 1), &|_| Values::Few)
        });
        cases.keyed("join/unique", kind.name(), move |bench| {
            let shape = Shape::new(&[DataType::Int64]);
            let spec = JoinSpec { unique: true, ..shape.spec(kind, 1) };
            // Keys from the ends of the type stand twice in most batches, and in some they do not.
            check(bench, &shape, &spec, &|_| Values::Wild)
        });
        // Which pairs the others look at beyond the first match is not defined.
        if kind.gives_build() {
            cases.keyed("join/condition-that-fails", kind.name(), move |bench| {
                let shape = Shape::new(&[DataType::Int32, DataType::Int64]);
                let spec = shape.with_condition(kind, 1, (lit(10) / col("l1")).lt(col("r1")))?;
                check(bench, &shape, &spec, &|i| if i == 0 { Values::Few } else { Values::Tame })
            });
        }
    }
}

/// The two sides: columns `l0`, `l1` … and `r0`, `r1` …, and the place of each row in its stream.
struct Shape {
    probe: SchemaRef,
    build: SchemaRef,
}

fn sided(side: &str, types: &[DataType]) -> SchemaRef {
    let names: Vec<String> = (0..types.len()).map(|i| format!("{side}{i}")).collect();
    let columns: Vec<(&str, DataType)> =
        names.iter().map(String::as_str).zip(types.iter().cloned()).collect();
    with_hidden(schema_of(&columns), &[hidden::ROW])
}

impl Shape {
    fn new(types: &[DataType]) -> Self {
        Self { probe: sided("l", types), build: sided("r", types) }
    }

    /// All columns of a join by the first `keys` columns; the first of them from whichever side has it.
    fn spec(&self, kind: JoinKind, keys: usize) -> JoinSpec {
        let column = |name: &str, source| JoinColumn { name: name.to_owned(), source };
        let place = |name| self.probe.index_of(name).ok();
        let time = place(hidden::TIME).zip(place(hidden::LATE)).filter(|_| kind.keeps_build());
        let mut columns = Vec::new();
        for (i, field) in self.probe.fields().iter().enumerate() {
            // Results of rows without a probe row have no time, and their own hidden key.
            let timed = [hidden::TIME, hidden::LATE].contains(&field.name().as_str());
            if field.name() != hidden::KEY && !(timed && kind.keeps_build()) {
                columns.push(column(field.name(), JoinSource::Probe(i)));
            }
        }
        if kind.gives_build() {
            let visible =
                |(_, field): &(usize, &arrow::datatypes::FieldRef)| !hidden::is_hidden(field.name());
            for (i, field) in self.build.fields().iter().enumerate().filter(visible) {
                columns.push(column(field.name(), JoinSource::Build(i)));
            }
            if keys > 0 && self.probe.field(0).data_type() == self.build.field(0).data_type() {
                columns.push(column("key", JoinSource::Either { probe: 0, build: 0 }));
            }
            columns.push(column(hidden::KEY, JoinSource::Order { probe: place(hidden::KEY), time }));
        }
        JoinSpec {
            kind,
            keys: (0..keys).map(|i| (i, i)).collect(),
            nearest: None,
            condition: None,
            unique: false,
            seed: 0x5ab0_7000_0000_0011,
            columns,
            ordinal: 3,
        }
    }

    fn with_condition(&self, kind: JoinKind, keys: usize, condition: Expr) -> Result<JoinSpec, NotPassed> {
        let both = JoinSpec::condition_schema(
            &hidden::visible_schema(&self.probe),
            &hidden::visible_schema(&self.build),
        );
        let visible = hidden::visible_schema(&self.probe).fields().len();
        let hidden = self.probe.fields().len() - visible;
        let condition = resolve(&condition, &both, &FunctionRegistry::new())?;
        let condition = condition.map_columns(&|i| if i < visible { i } else { i + hidden });
        Ok(JoinSpec { condition: Some(condition), ..self.spec(kind, keys) })
    }
}

/// The join of sides of all sizes. Every size of one side meets others of the other: they are as many, but
/// in another order, and nulls of the two sides do not keep in step.
fn check(
    bench: &mut KeyedBench<'_>,
    shape: &Shape,
    spec: &JoinSpec,
    values: &dyn Fn(usize) -> Values,
) -> Checked {
    for (probe, build) in sides(bench, shape, values)? {
        bench.check_join(spec, &probe, &build)?;
    }
    Ok(())
}

fn sides(
    bench: &mut KeyedBench<'_>,
    shape: &Shape,
    values: &dyn Fn(usize) -> Values,
) -> Result<Vec<(RecordBatch, RecordBatch)>, NotPassed> {
    let mut sides = Vec::new();
    for probe in bench.batches(&shape.probe, values)? {
        let (size, nulls) = (sides.len() * 5 % 6, Nulls::ALL[sides.len() * 3 % 4]);
        let rows = [0, 1, 31, 32, 33, 65].get(size).copied().unwrap_or_default();
        let build = bench.batch(&shape.build, rows, nulls, values)?;
        // The long side is the one that is looked up, and the one that is looked up in.
        sides.push((probe, build));
    }
    let long = sides.last().filter(|(probe, _)| probe.num_rows() > 100).map(|(probe, _)| probe.num_rows());
    if let Some(rows) = long {
        let probe = bench.batch(&shape.probe, 33, Nulls::Poisoned, values)?;
        let build = bench.batch(&shape.build, rows, Nulls::Poisoned, values)?;
        sides.push((probe, build));
    }
    Ok(sides)
}

/// The nearest row in time, however far and within a tolerance, with times close by and at the ends.
fn nearest(bench: &mut KeyedBench<'_>, kind: JoinKind, instant: &DataType, direction: Direction) -> Checked {
    let shape = Shape::new(&[DataType::Int8, instant.clone()]);
    for (values, tolerance) in [
        (Values::Few, None),
        (Values::Few, Some(1_000_000)),
        (Values::Wild, None),
        (Values::Wild, Some(i64::MAX)),
    ] {
        let nearest = Some(Nearest { probe: 1, build: 1, direction, tolerance });
        let spec = JoinSpec { nearest, ..shape.spec(kind, 1) };
        check(bench, &shape, &spec, &|i| if i == 0 { Values::Few } else { values })?;
    }
    Ok(())
}
