//! The suite passes on the reference, however late it is, and fails on whatever is wrong.

use super::cases::generated;
use super::*;
use crate::reference::RankedRow;
use crate::testing::{CanaryBackend, LateBackend, ReferenceBackend, RefusingBackend, Sabotage};
use crate::{
    Backend, CompileError, CompileJob, Failure, Fragment, JoinSpec, OperatorSpec, OverSpec, RankSpec,
    Support, reference,
};
use arrow::array::{ArrayRef, RecordBatch};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sabot_common::DeviceId;
use sabot_expr::{TypedExpr, TypedKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn only(prefix: &str) -> Options {
    Options { only: Some(prefix.to_owned()), ..Options::quick() }
}

fn assert_passes(backend: &dyn Backend, options: &Options) -> Report {
    let report = run(backend, options);
    assert!(report.failed.is_empty() && report.refused.is_empty() && !report.passed.is_empty(), "{report}");
    report
}

#[test]
fn the_reference_passes_filter_project() {
    assert_passes(&ReferenceBackend::new(), &only("filter-project/"));
}

#[test]
fn the_reference_passes_everything_else() {
    let folders: BTreeSet<String> =
        cells().iter().filter_map(|cell| Some(format!("{}/", cell.split_once('/')?.0))).collect();
    assert_eq!(folders.len(), 12, "{folders:?}");
    let tested = ["filter-project/", "join/", "rank/", "over/", "rolling/"];
    for folder in folders.iter().filter(|folder| !tested.contains(&folder.as_str())) {
        assert_passes(&ReferenceBackend::new(), &only(folder));
    }
}

/// Of joins, ranks and columns over rows around the reference is what others are held against; here the cells
/// are held against themselves where that is cheap.
#[test]
fn the_reference_passes_keyed_operators() {
    for cells in [
        "join/key/utf8",
        "join/condition",
        "join/order",
        "rank/limit",
        "rank/ties",
        "over/rows",
        "rolling/frames",
    ] {
        let report = run_keyed(&ReferenceBackend::new(), &only(cells));
        assert!(report.failed.is_empty() && !report.passed.is_empty(), "{report}");
    }
}

#[test]
fn late_backends_pass_and_are_late() {
    let prefixes = [
        "group-by/whole/avg",
        "fragment/",
        "filter-project/errors",
        "window-assign/",
        "partition/keys",
        "unnest/",
        "predict/",
    ];
    for prefix in prefixes {
        let late = LateBackend::new(Arc::new(ReferenceBackend::new()), 7);
        assert_passes(&late, &only(prefix));
        assert!(late.counters.pending.load(Ordering::Relaxed) > 100);
        assert!(late.counters.overtakes.load(Ordering::Relaxed) > 10);
        assert!(late.counters.parts.load(Ordering::Relaxed) > 10);
        let holding = LateBackend::holding(Arc::new(ReferenceBackend::new()), 7);
        assert_passes(&holding, &only(prefix));
        assert!(holding.counters.held.load(Ordering::Relaxed) > 10);
    }
}

#[test]
fn refused_cases_are_counted_and_never_passed() {
    let refusing = RefusingBackend::new(Arc::new(ReferenceBackend::new()), 3);
    let report = run(&refusing, &only("filter-project/filter/"));
    assert!(!report.refused.is_empty());
    assert!(report.passed.iter().all(|name| report.refused.iter().all(|(refused, _)| refused != name)));
    assert!(report.to_string().contains("seed 3 refuses this fragment"), "{report}");
    let required = Required::parse("filter-project/filter/*").unwrap();
    let shortfall = required.check(&report);
    assert_eq!(shortfall.lost.len(), report.refused_cells().len());
    assert!(shortfall.to_string().starts_with("required but refused: filter-project/filter/"), "{shortfall}");
}

#[test]
fn every_canary_is_found() {
    for sabotage in Sabotage::ALL {
        let canary = CanaryBackend::new(Arc::new(ReferenceBackend::new()), sabotage);
        let report = run(&canary, &Options { patience: Duration::from_millis(1), ..only("fragment/") });
        assert!(!report.failed.is_empty(), "{sabotage:?}: {report}");
    }
}

/// Compiles another fragment than the one it is asked for.
#[derive(Debug)]
struct Mutant {
    from: &'static str,
    to: &'static str,
}

impl Mutant {
    /// The fragment with one word of its stored form changed, if it has it and still is a fragment with
    /// the same output. User functions cannot be read back without their code.
    fn mutate(&self, fragment: &Fragment) -> Option<Fragment> {
        let text = serde_json::to_string(fragment).ok()?;
        if !text.contains(self.from) || text.contains("\"call\"") {
            return None;
        }
        let mutated: Fragment = serde_json::from_str(&text.replacen(self.from, self.to, 1)).ok()?;
        (mutated.output() == fragment.output()).then_some(mutated)
    }
}

impl Backend for Mutant {
    fn device(&self) -> DeviceId {
        DeviceId::new("mutant")
    }
    fn supports(&self, _fragment: &Fragment) -> Support {
        Support::Yes
    }
    fn compile(&self, fragment: &Fragment) -> Result<CompileJob, CompileError> {
        ReferenceBackend::new().compile(&self.mutate(fragment).unwrap_or(fragment.clone()))
    }
}

/// Small misunderstandings of specs and expressions, and a cell that must notice.
#[test]
fn misunderstandings_are_found() {
    let mutants = [
        ("filter-project/compare/int32", "\"lt\"", "\"lt_eq\""),
        ("filter-project/compare/float64", "\"gt_eq\"", "\"gt\""),
        ("filter-project/add/int8", "\"add\"", "\"wrapping_add\""),
        ("filter-project/mul/uint64", "\"mul\"", "\"wrapping_mul\""),
        ("filter-project/logic", "\"and\"", "\"or\""),
        ("filter-project/function/starts_with", "\"starts_with\"", "\"contains\""),
        ("filter-project/function/ends_with", "\"ends_with\"", "\"contains\""),
        ("filter-project/date-trunc/date32", "\"week\"", "\"day\""),
        ("filter-project/date-part/timestamp(ns)", "\"day_of_week\"", "\"day\""),
        ("filter-project/cast/float64/int32", "\"try\"", "\"strict\""),
        ("filter-project/in/utf8", "\"negated\":true", "\"negated\":false"),
        ("filter-project/function/round", "\"round\"", "\"abs\""),
        ("filter-project/is-null/decimal128", "\"is_null\"", "\"is_not_null\""),
        ("filter-project/column/utf8", "\"index\":1", "\"index\":0"),
        ("window-assign/", "\"allowed_lateness\":5000000", "\"allowed_lateness\":5000001"),
        ("window-assign/", "\"offset\":17", "\"offset\":18"),
        ("partition/key/utf8", "\"parallelism\":4", "\"parallelism\":3"),
        ("partition/key/int64", "\"key_groups\":128", "\"key_groups\":127"),
        ("partition/keys", "\"seed\":65", "\"seed\":66"),
        ("group-by/partial/keys", "\"hashed\":[1]", "\"hashed\":[0]"),
        ("group-by/partial/min/float32", "\"min\"", "\"max\""),
        ("group-by/merge/max/utf8", "\"max\"", "\"min\""),
        ("group-by/partial/first/int64", "\"first\"", "\"last\""),
        ("group-by/merge/last/utf8", "\"last\"", "\"first\""),
        ("group-by/partial/bool_and/bool", "\"bool_and\"", "\"bool_or\""),
        ("group-by/final/var_samp/int64", "\"var_samp\"", "\"var_pop\""),
        ("group-by/final/covar_pop/float64, float64", "\"covar_pop\"", "\"covar_samp\""),
        ("group-by/final/approx_quantile/int32", "\"0.4\"", "\"0.5\""),
        ("group-by/partial/filter", "\"filter\":2", "\"filter\":null"),
        ("group-by/partial/key/int8", "\"seed\":114", "\"seed\":113"),
        ("unnest/behind-filter", "\"keep_empty\":true", "\"keep_empty\":false"),
        ("unnest/behind-filter", "\"order\":2", "\"order\":null"),
        ("unnest/long", "\"order\":3", "\"order\":null"),
        ("predict/between-filters", "\"Margin\"", "\"Prediction\""),
        ("predict/row-kinds", "\"most\":2", "\"most\":1"),
        ("predict/feature/int64", "\"features\":[2,0]", "\"features\":[0,2]"),
        ("fragment/filter-window", "\"allowed_lateness\":3", "\"allowed_lateness\":2"),
    ];
    for (cell, from, to) in mutants {
        let report = run(&Mutant { from, to }, &only(cell));
        assert!(!report.failed.is_empty(), "{from} → {to} passed {cell}: {report}");
    }
}

/// Runs another spec than the one it is asked for.
struct KeyedMutant {
    from: &'static str,
    to: &'static str,
}

impl KeyedMutant {
    /// The spec with one word of its stored form changed, if it has it.
    fn mutate<S: Clone + serde::Serialize + serde::de::DeserializeOwned>(&self, spec: &S) -> S {
        let text = serde_json::to_string(spec).unwrap();
        serde_json::from_str(&text.replacen(self.from, self.to, 1)).unwrap_or(spec.clone())
    }
}

impl KeyedOperators for KeyedMutant {
    fn device(&self) -> DeviceId {
        DeviceId::new("mutant")
    }

    fn join(
        &self,
        spec: &JoinSpec,
        probe: &[RecordBatch],
        build: &[RecordBatch],
        max_rows: usize,
    ) -> Result<Vec<RecordBatch>, Failure> {
        ReferenceBackend::new().join(&self.mutate(spec), probe, build, max_rows)
    }

    fn rank(&self, spec: &RankSpec, rows: &[RecordBatch]) -> Result<Vec<RankedRow>, Failure> {
        ReferenceBackend::new().rank(&self.mutate(spec), rows)
    }

    fn over(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<(RecordBatch, Vec<ArrayRef>), Failure> {
        ReferenceBackend::new().over(&self.mutate(spec), rows)
    }

    fn rolling(&self, spec: &OverSpec, rows: &[RecordBatch]) -> Result<Vec<ArrayRef>, Failure> {
        ReferenceBackend::new().rolling(&self.mutate(spec), rows)
    }
}

#[test]
fn misunderstandings_of_keyed_operators_are_found() {
    let mutants = [
        ("join/key/int32", "\"anti\"", "\"semi\""),
        ("join/key/utf8", "\"keys\":[[0,0]]", "\"keys\":[]"),
        ("join/condition/float64", "\"lt_eq\"", "\"lt\""),
        ("join/condition-that-fails", "\"lt\"", "\"lt_eq\""),
        ("join/nearest/timestamp(ms)", "\"backward\"", "\"forward\""),
        ("join/nearest/timestamp(ns)", "\"tolerance\":1000000", "\"tolerance\":null"),
        ("join/unique", "\"unique\":true", "\"unique\":false"),
        ("join/order", "\"ordinal\":3", "\"ordinal\":4"),
        ("rank/sort/float32", "\"descending\":false", "\"descending\":true"),
        ("rank/sort/date32", "\"nulls_first\":true", "\"nulls_first\":false"),
        ("rank/top-k/int64", "\"skip\":2", "\"skip\":1"),
        ("rank/top-n/key/utf8", "\"fetch\":3", "\"fetch\":2"),
        ("rank/distinct/bool", "\"groups\":[0,1]", "\"groups\":[0]"),
        ("rank/dedup/int8", "\"backwards\":true", "\"backwards\":false"),
        ("rank/ties", "\"backwards\":true", "\"backwards\":false"),
        ("over/ranks/decimal128", "\"DenseRank\"", "\"Rank\""),
        ("over/partition/int16", "\"partition\":[0]", "\"partition\":[]"),
        ("over/values/utf8", "{\"Lead\":[0,3]}", "{\"Lead\":[0,2]}"),
        ("over/rows", "\"Rows\"", "\"Range\""),
        ("over/range/int32", "{\"Count\":2}", "{\"Count\":1}"),
        ("over/sum/int32", "{\"Count\":3}", "{\"Count\":4}"),
        ("over/max/float64", "\"max\"", "\"min\""),
        ("rolling/partition/int16", "\"partition\":[0]", "\"partition\":[]"),
        ("rolling/frames", "\"Rows\"", "\"Range\""),
        ("rolling/values/utf8", "{\"Lag\":[0,2]}", "{\"Lag\":[0,1]}"),
        ("rolling/min/int32", "\"min\"", "\"max\""),
    ];
    for (cell, from, to) in mutants {
        let report = run_keyed(&KeyedMutant { from, to }, &only(cell));
        assert!(!report.failed.is_empty(), "{from} → {to} passed {cell}: {report}");
    }
}

#[test]
fn the_file_of_the_cpu_lists_cells() {
    let required = Required::parse(include_str!("../../../../conformance/required/cpu.txt")).unwrap();
    for cell in cells() {
        assert!(required.contains(&cell), "{cell}");
    }
    let twice = Required::parse("union/schema\nunion/schema").unwrap_err();
    assert_eq!(twice.to_string(), "line 2: \"union/schema\" is listed before");
    assert!(Required::parse("union*").is_err());
}

#[test]
fn unlisted_cells_ask_to_be_listed() {
    let report = assert_passes(&ReferenceBackend::new(), &only("union/"));
    let shortfall = Required::parse("union/schema").unwrap().check(&report);
    assert_eq!(shortfall.unlisted, ["union/row-kinds"]);
    assert!(!shortfall.is_empty() && shortfall.lost.is_empty());
}

/// The names of the kinds of nodes in an expression.
fn kinds(expr: &TypedExpr, found: &mut BTreeSet<String>) {
    let kind = match expr.kind() {
        TypedKind::Binary { op, .. } => format!("{op:?}"),
        TypedKind::Function { function, .. } => function.name().to_owned(),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
    };
    found.insert(kind);
    expr.children().into_iter().for_each(|child| kinds(child, found));
}

/// Random expressions would prove nothing if all of them failed, or none, or if some node never came.
#[test]
fn generated_expressions_have_all_nodes_and_fail_now_and_then() {
    let schema = generated::schema();
    let backend = ReferenceBackend::new();
    let name = CaseName { cell: "generated".to_owned(), detail: String::new() };
    let options = Options::quick();
    let mut bench = Bench::new(&backend, &options, 1, &name);
    let morsels = bench.morsels(&schema, false, &|_| data::Values::Mixed).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut found, mut results, mut errors, mut rows) = (BTreeSet::new(), 0, 0, 0);
    for _ in 0..150 {
        let (step, _) = generated::query(&mut rng, 4).step(&schema).unwrap();
        let OperatorSpec::FilterProject(spec) = &step else { unreachable!() };
        spec.predicate
            .iter()
            .chain(spec.projections.iter().map(|p| &p.expr))
            .for_each(|e| kinds(e, &mut found));
        let fragment = Fragment::new(schema.clone(), vec![step]).unwrap();
        for morsel in &morsels {
            match reference::run(&fragment, morsel) {
                Ok(output) => {
                    results += 1;
                    rows += output.morsels.iter().map(|(_, m)| m.rows()).sum::<usize>();
                }
                Err(Failure::Row(_)) => errors += 1,
                Err(other) => panic!("{fragment}: {other}"),
            }
        }
    }
    assert!(errors > results / 20 && results > errors / 2 && rows > 10_000, "{results} {errors} {rows}");
    let all = [
        "Column",
        "Literal",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Mod",
        "WrappingAdd",
        "WrappingSub",
        "WrappingMul",
        "Eq",
        "NotEq",
        "Lt",
        "LtEq",
        "Gt",
        "GtEq",
        "And",
        "Or",
        "Not",
        "Negate",
        "IsNull",
        "IsNotNull",
        "Case",
        "Cast",
        "Coalesce",
        "InList",
        "Like",
        "starts_with",
        "ends_with",
        "contains",
        "date_part",
        "date_trunc",
        "abs",
        "round",
        "sqrt",
        "Call",
    ];
    let missing: Vec<&str> = all.into_iter().filter(|kind| !found.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {found:?}");
}
