//! Programs against the interpreter.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_expr::{FunctionRegistry, Scalar, col, interpret, resolve};
use sabot_ops::{FilterProjectSpec, Projection};
use std::sync::Arc;

use crate::testing::{random_batch, random_spec};
use crate::{Evaluated, Kind, Lowered, Storage, evaluate, load, lower_filter_projects, storage_of};

/// What the interpreter makes of a row.
fn interpreted(spec: &FilterProjectSpec, batch: &RecordBatch, row: usize) -> Evaluated {
    let dropped = |failed| Evaluated { keep: false, failed, outputs: Vec::new() };
    match spec.predicate.as_ref().map(|predicate| interpret(predicate, batch, row)) {
        Some(Err(_)) => return dropped(true),
        Some(Ok(value)) if value.as_bool() != Some(true) => return dropped(false),
        _ => {}
    }
    let computed = spec.projections.iter().filter(|p| p.expr.as_column().is_none());
    let mut outputs = Vec::new();
    for projection in computed {
        match interpret(&projection.expr, batch, row) {
            Err(_) => return dropped(true),
            Ok(value) => outputs.push(bits(&value, projection.expr.data_type())),
        }
    }
    Evaluated { keep: true, failed: false, outputs }
}

fn bits(value: &Scalar, data_type: &DataType) -> Option<u64> {
    let storage = storage_of(data_type).unwrap();
    let array = value.to_array(1).unwrap();
    (!value.is_null()).then(|| load(&array, storage, 0))
}

/// Whether two results are the same; NaNs are, whatever their bits.
fn same(storages: &[Storage], found: &Evaluated, wanted: &Evaluated) -> bool {
    if found.failed != wanted.failed {
        return false;
    }
    if wanted.failed {
        return true;
    }
    let nan = |storage: Storage, bits: u64| match storage.kind() {
        Kind::F32 => f32::from_bits(bits as u32).is_nan(),
        Kind::F64 => f64::from_bits(bits).is_nan(),
        _ => false,
    };
    let equal = |(storage, (a, b)): (&Storage, (&Option<u64>, &Option<u64>))| match (a, b) {
        (Some(a), Some(b)) => a == b || (nan(*storage, *a) && nan(*storage, *b)),
        (a, b) => a == b,
    };
    found.keep == wanted.keep
        && (!wanted.keep || storages.iter().zip(found.outputs.iter().zip(&wanted.outputs)).all(equal))
}

#[test]
fn random_programs_equal_the_interpreter() {
    let number =
        |name: &str, otherwise: u64| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(number("SABOT_RANDOM_SEED", 0xc0de));
    let (mut failed, mut kept) = (0, 0);
    for case in 0..number("SABOT_RANDOM_PROGRAMS", 600).max(600) {
        let batch = random_batch(&mut rng, 24);
        let spec = random_spec(&mut rng, &batch.schema(), |_| true);
        let program = lower_filter_projects(&[&spec]).unwrap().program;
        let storages: Vec<Storage> = program.outputs().iter().map(|o| o.storage).collect();
        for row in 0..batch.num_rows() {
            let (found, wanted) = (evaluate(&program, batch.columns(), row), interpreted(&spec, &batch, row));
            assert!(
                same(&storages, &found, &wanted),
                "case {case}, row {row}: {spec}\n{program:#?}\nfound {found:?}\nwanted {wanted:?}\n{:?}",
                batch.slice(row, 1)
            );
            failed += usize::from(wanted.failed);
            kept += usize::from(wanted.keep);
        }
    }
    assert!(failed > 500 && kept > 3_000, "{failed} rows failed, {kept} were kept");
}

#[test]
fn what_is_not_asked_for_is_not_read() {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64, true),
        Field::new("b", DataType::Int64, false),
        Field::new("s", DataType::Utf8, false),
    ]);
    let typed = |expr| resolve(&expr, &schema, &FunctionRegistry::new()).unwrap();
    let column = |name: &str| Projection { name: name.into(), expr: typed(col(name)) };
    let spec = FilterProjectSpec {
        predicate: Some(typed(col("a").is_not_null())),
        projections: vec![column("s"), column("b")],
        carried: vec![0],
    };
    let program = lower_filter_projects(&[&spec]).unwrap().program;
    // Only whether `a` is null counts, and columns that go through are nobody's business.
    assert_eq!((program.inputs().len(), program.instructions().len()), (1, 1));
    assert!(program.outputs().is_empty());
}

#[test]
fn refusals_name_the_innermost_expression() {
    let schema = Schema::new(vec![Field::new("s", DataType::Utf8, false)]);
    let typed = |expr| resolve(&expr, &schema, &FunctionRegistry::new()).unwrap();
    let predicate = Some(typed(col("s").eq("x").and(true)));
    let spec = FilterProjectSpec { predicate, projections: Vec::new(), carried: Vec::new() };
    let refused = lower_filter_projects(&[&spec]).unwrap_err().to_string();
    assert_eq!(refused, "`s`: utf8 is not a type that kernels compute with");
}

/// Every part and start of every kind of time, and the casts between them, over values of the whole range.
#[test]
fn times_equal_the_interpreter() {
    use sabot_expr::{DatePart, Expr, Scalar, TruncUnit};
    use sabot_testkit::array::{Spread, random_array};
    let mut rng = ChaCha8Rng::seed_from_u64(0x71e);
    let zone = |zone: &str| Some(zone.into());
    let types = [
        DataType::Date32,
        DataType::Date64,
        DataType::Timestamp(TimeUnit::Second, None),
        DataType::Timestamp(TimeUnit::Millisecond, zone("UTC")),
        DataType::Timestamp(TimeUnit::Microsecond, zone("+00:00")),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        DataType::Time32(TimeUnit::Second),
        DataType::Time64(TimeUnit::Nanosecond),
    ];
    let call = |name: &str, word: &str| {
        let word = Expr::Literal(Scalar::from(word));
        Expr::Function { name: name.to_owned(), args: vec![word, col("t")] }
    };
    let mut exprs: Vec<Expr> = DatePart::ALL.iter().map(|part| call("date_part", part.name())).collect();
    exprs.extend(TruncUnit::ALL.iter().map(|unit| call("date_trunc", unit.name())));
    exprs.extend(types.iter().flat_map(|to| [col("t").cast(to.clone()), col("t").try_cast(to.clone())]));
    let mut lowered = 0;
    for data_type in &types {
        let schema = Arc::new(Schema::new(vec![Field::new("t", data_type.clone(), true)]));
        let wide = random_array(&mut rng, data_type, 300, 0.1, Spread::Wide);
        let narrow = random_array(&mut rng, data_type, 300, 0.1, Spread::Narrow);
        for column in [wide, narrow] {
            let batch = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
            for expr in &exprs {
                let Ok(expr) = resolve(expr, &schema, &FunctionRegistry::new()) else { continue };
                let projections = vec![Projection { name: "p".into(), expr }];
                let spec = FilterProjectSpec { predicate: None, projections, carried: Vec::new() };
                let Ok(Lowered { program, .. }) = lower_filter_projects(&[&spec]) else { continue };
                lowered += 1;
                let storages: Vec<Storage> = program.outputs().iter().map(|o| o.storage).collect();
                for row in 0..batch.num_rows() {
                    let found = evaluate(&program, batch.columns(), row);
                    let wanted = interpreted(&spec, &batch, row);
                    assert!(
                        same(&storages, &found, &wanted),
                        "{spec}: found {found:?}, wanted {wanted:?} of {:?}",
                        batch.slice(row, 1)
                    );
                }
            }
        }
    }
    assert!(lowered > 250, "{lowered} expressions have programs");
}

/// The last digits of a sine are another device's, so nothing may hang on them.
#[test]
fn what_is_approximate_decides_nothing() {
    let schema = Schema::new(vec![Field::new("x", DataType::Float64, true)]);
    let decides = |predicate: Option<sabot_expr::Expr>, expr: sabot_expr::Expr| {
        let typed = |expr| resolve(&expr, &schema, &FunctionRegistry::new()).unwrap();
        let projections = vec![Projection { name: "p".into(), expr: typed(expr) }];
        let predicate = predicate.map(typed);
        let spec = FilterProjectSpec { predicate, projections, carried: Vec::new() };
        lower_filter_projects(&[&spec]).unwrap().program
    };
    let exactly = |predicate, expr| decides(predicate, expr).decides_exactly(&[]);
    let x = || col("x");
    for fine in [x().sin() * 2.0 + x(), -x().exp(), x().sqrt().floor(), x().cos().sqrt()] {
        assert!(exactly(None, fine.clone()), "{fine:?}");
        assert!(exactly(Some(x().gt(0.5)), fine.clone()), "{fine:?}");
        assert!(!exactly(Some((x().sin()).gt(0.5)), fine), "a filter by a sine");
    }
    for decided in
        [x().log(5.0).floor(), x().sin().gt(0.5), x().exp().round(), x().tan().cast(DataType::Int64)]
    {
        assert!(!exactly(None, decided.clone()), "{decided:?}");
    }
    // As a column it is one, as a key it is not.
    let program = decides(None, x().sin());
    assert!(program.decides_exactly(&[]) && !program.decides_exactly(&[0]));
}
