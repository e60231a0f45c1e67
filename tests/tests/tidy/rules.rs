//! Who may depend on whom, as data.
//!
//! One row for each crate under `crates/`; a crate without a row is a violation, so that a new one is
//! placed deliberately. The rows follow the order of dependency: each crate names only crates above it.

/// A crate's place.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Name of the package.
    pub(crate) name: &'static str,
    /// Crates it may name; whatever these may name is allowed too.
    pub(crate) may_use: &'static [&'static str],
    /// Libraries that this crate alone may name, besides the free ones.
    pub(crate) owns: &'static [&'static str],
    /// A leaf joins the engine to a heavy library: only the facade sees it.
    pub(crate) leaf: bool,
}

const fn row(name: &'static str, may_use: &'static [&'static str], owns: &'static [&'static str]) -> Row {
    Row { name, may_use, owns, leaf: false }
}

const fn leaf(name: &'static str, may_use: &'static [&'static str], owns: &'static [&'static str]) -> Row {
    Row { name, may_use, owns, leaf: true }
}

/// Libraries that every crate may name.
pub(crate) const FREE: &[&str] = &["arrow", "thiserror", "serde", "bytemuck", "tracing"];

/// Small libraries that several crates may name, each with the reason why it is harmless.
pub(crate) const LIGHT: &[(&str, &str)] = &[
    ("bytes", "bytes that are shared without a copy; part of parquet and of every network client"),
    ("chrono", "dates of the calendar; it is part of arrow, so that nothing is added to the build"),
    ("chrono-tz", "the clocks of time zones; it is part of arrow too"),
    ("futures-core", "the `Stream` trait and nothing else"),
    ("rand", "seeded data in the conformance suite and the testkit"),
    ("rand_chacha", "the generator whose sequence is the same everywhere"),
];

/// Heavy libraries with several owners, each with the reason why one is not enough. Nobody else may name them.
pub(crate) const SHARED: &[(&str, &str)] = &[
    (
        "serde_json",
        "records of NDJSON in sabot-files; XGBoost's models in sabot-ops, which reads them where it says what they \
         mean; manifests of checkpoints, which people read too; what the facade keeps of devices that were measured; it is \
         in every build anyway",
    ),
    (
        "tokio",
        "timers of the runtime in sabot-exec; connections in sabot-object-store, behind a blocking interface and \
         on a runtime of its own, so that neither sees the other's",
    ),
];

/// The one crate that joins leaves and backends to the runtime.
pub(crate) const FACADE: &str = "sabot";

/// The table.
pub(crate) const TABLE: &[Row] = &[
    row("sabot-common", &[], &[]),
    row("sabot-placement", &["sabot-common"], &[]),
    row("sabot-checkpoint", &["sabot-common"], &["blake3", "serde_json", "sha2"]),
    row("sabot-batch", &["sabot-common"], &[]),
    row("sabot-time", &["sabot-common"], &[]),
    row("sabot-expr", &["sabot-batch"], &["chrono", "regex"]),
    row("sabot-ops", &["sabot-expr", "sabot-time"], &["serde_json"]),
    row("sabot-plan", &["sabot-ops"], &[]),
    row("sabot-cpu", &["sabot-ops"], &[]),
    row("sabot-testkit", &["sabot-expr"], &["proptest"]),
    // Random programs of its feature `testing` are made of the testkit's expressions.
    row("sabot-codegen", &["sabot-ops", "sabot-testkit"], &[]),
    row("sabot-gpu-ops", &["sabot-codegen"], &["sabot-kernels", "sabot-shaders"]),
    row("sabot-state", &["sabot-batch", "sabot-checkpoint"], &["libc", "twox-hash"]),
    row("sabot-stream", &["sabot-cpu", "sabot-plan", "sabot-state"], &[]),
    row("sabot-connect", &["sabot-expr"], &[]),
    row("sabot-exec", &["sabot-stream", "sabot-connect", "sabot-placement"], &["rayon", "rustix", "tokio"]),
    leaf("sabot-files", &["sabot-connect"], &["flate2", "glob", "memchr", "parquet", "serde_json", "zstd"]),
    leaf(
        "sabot-object-store",
        &["sabot-checkpoint", "sabot-common", "sabot-connect"],
        &["humantime", "object_store", "reqwest", "rustls", "rustls-platform-verifier", "tokio"],
    ),
    row("sabot-emu", &["sabot-gpu-ops"], &["tempfile"]),
    leaf("sabot-cuda", &["sabot-gpu-ops"], &["cudarc"]),
    leaf("sabot-wgpu", &["sabot-gpu-ops"], &["pollster", "wgpu"]),
    row(
        FACADE,
        &["sabot-exec", "sabot-files", "sabot-object-store", "sabot-cuda", "sabot-wgpu"],
        &["serde_json"],
    ),
];

/// Packages that must not be in the lock file at all: the default build needs a Rust toolchain and a C
/// compiler, and no cmake, no libclang, no system library.
pub(crate) const REFUSED: &[&str] = &["cmake", "bindgen", "clang-sys", "openssl-sys"];

/// Families of packages of which the lock file may hold one major version only: types of two of them do
/// not fit together, and everything would be built twice.
pub(crate) const ONE_MAJOR: &[&str] = &["arrow", "parquet"];
