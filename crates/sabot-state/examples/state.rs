//! Looks into a folder of checkpoints: epochs, what they hold, and the state itself.
//!
//! `cargo xtask state <folder>` runs it. It only reads, so a job may be running on the same folder.

use arrow::array::{
    Array, ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array,
    UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;
use clap::Parser;
use parquet::arrow::ArrowWriter;
use sabot_checkpoint::{CheckpointStore, Manifest, OperatorState};
use sabot_common::{Epoch, KeyGroupRange};
use sabot_state::{FolderStore, inspect};
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Shows what is in a folder of checkpoints. Of the folder it only reads.
#[derive(Parser)]
#[command(name = "cargo xtask state", verbatim_doc_comment)]
struct Options {
    /// The folder of checkpoints
    folder: PathBuf,

    /// The epoch to show; the newest when not given
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,

    /// Copies the epoch with all of its state into this folder, from which a job can go on
    #[arg(long, value_name = "FOLDER", conflicts_with = "operator")]
    export: Option<PathBuf>,

    /// Shows the state of an operator, by its name or the beginning of it
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,

    /// Of these key groups alone: 7, or 0..64
    #[arg(long, value_name = "GROUPS", requires = "operator", value_parser = groups)]
    groups: Option<KeyGroupRange>,

    /// Shows how many rows each key group has, instead of the rows
    #[arg(long, requires = "operator", conflicts_with_all = ["parquet", "rows"])]
    by_group: bool,

    /// How many rows to show of each kind
    #[arg(long, value_name = "N", default_value_t = 20, requires = "operator")]
    rows: usize,

    /// Writes the rows to Parquet files in this folder instead, one for each kind
    #[arg(long, value_name = "FOLDER", requires = "operator")]
    parquet: Option<PathBuf>,
}

fn groups(text: &str) -> Result<KeyGroupRange, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|error| format!("{text}: {error}"));
    let (start, end) = match text.split_once("..") {
        Some((start, end)) => (number(start)?, number(end)?),
        None => (number(text)?, number(text)?.saturating_add(1)),
    };
    match start < end {
        true => Ok(KeyGroupRange { start, end }),
        false => Err("the first one must be less than the one past the last".to_owned()),
    }
}

fn main() -> ExitCode {
    let written = run(&Options::parse()).and_then(|text| Ok(std::io::stdout().write_all(text.as_bytes())?));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error)
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String> {
    let store = FolderStore::look(&options.folder)?;
    let epochs = inspect::epochs(&store)
        .map_err(|error| format!("{} is no folder of checkpoints: {error}", options.folder.display()))?;
    let newest = epochs.last().ok_or_else(|| format!("{} has no checkpoints", options.folder.display()))?;
    let chosen = match options.epoch {
        None => &newest.manifest,
        Some(epoch) => {
            let found = epochs.iter().find(|found| found.manifest.epoch == Epoch(epoch));
            let kept =
                || epochs.iter().map(|found| found.manifest.epoch.to_string()).collect::<Vec<_>>().join(", ");
            &found.ok_or_else(|| format!("there is no epoch {epoch}; there are {}", kept()))?.manifest
        }
    };
    if let Some(folder) = &options.export {
        inspect::export(&store, chosen, &FolderStore::open(folder)?)?;
        return Ok(format!("epoch {} is in {}\n", chosen.epoch, folder.display()));
    }
    match &options.operator {
        None => overview(&store, &epochs, chosen),
        Some(name) => {
            let operator = find(chosen, name)?;
            let groups = options.groups.unwrap_or(KeyGroupRange { start: 0, end: chosen.key_groups });
            values(&store, operator, groups, options)
        }
    }
}

fn find<'a>(manifest: &'a Manifest, name: &str) -> Result<&'a OperatorState> {
    let exact = manifest.operators.iter().find(|operator| operator.id.as_str() == name);
    let mut starting = manifest.operators.iter().filter(|operator| operator.id.as_str().starts_with(name));
    let found = exact.or_else(|| starting.next().filter(|_| starting.next().is_none()));
    let all =
        || manifest.operators.iter().map(|operator| operator.id.to_string()).collect::<Vec<_>>().join(", ");
    Ok(found
        .ok_or_else(|| format!("there is no operator \"{name}\", or more than one; there are: {}", all()))?)
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<String> {
    Ok(format!("{}\n", pretty_format_batches(&[RecordBatch::try_from_iter(columns)?])?))
}

/// A column of one value for each item.
fn column<T, V, A: From<Vec<V>> + Array + 'static>(items: &[T], value: impl Fn(&T) -> V) -> ArrayRef {
    Arc::new(A::from(items.iter().map(value).collect::<Vec<V>>()))
}

fn text<T>(items: &[T], value: impl Fn(&T) -> String) -> ArrayRef {
    column::<T, String, StringArray>(items, value)
}

/// The epochs, and what one of them holds.
fn overview(
    store: &dyn CheckpointStore,
    epochs: &[inspect::EpochFound],
    chosen: &Manifest,
) -> Result<String> {
    let mut out = format!("job \"{}\"\n", chosen.job);
    let time = |manifest: &Manifest| {
        let created = i64::try_from(manifest.created_ms).unwrap_or(i64::MAX);
        let array = TimestampMillisecondArray::from(vec![created]).with_timezone("+00:00");
        array_value_to_string(&array, 0).unwrap_or_else(|_| "?".to_owned())
    };
    out += &table(vec![
        ("epoch", column::<_, u64, UInt64Array>(epochs, |found| found.manifest.epoch.0)),
        ("kind", text(epochs, |found| format!("{:?}", found.manifest.kind).to_lowercase())),
        ("created", text(epochs, |found| time(&found.manifest))),
        ("generation", column::<_, u64, UInt64Array>(epochs, |found| found.manifest.generation)),
        ("bytes", column::<_, u64, UInt64Array>(epochs, |found| found.bytes)),
        ("bytes_new", column::<_, u64, UInt64Array>(epochs, |found| found.bytes_new)),
    ])?;
    let finished = if chosen.finished { ", at which the job had come to its end" } else { "" };
    writeln!(out, "\nepoch {}{finished}", chosen.epoch)?;
    let partitions: Vec<_> =
        chosen.sources.iter().flat_map(|s| s.partitions.iter().map(move |p| (&s.id, p))).collect();
    out += &table(vec![
        ("source", text(&partitions, |(id, _)| id.to_string())),
        ("partition", text(&partitions, |(_, partition)| partition.name.clone())),
        ("rows", column::<_, u64, UInt64Array>(&partitions, |(_, partition)| partition.rows)),
        ("ended", column::<_, bool, BooleanArray>(&partitions, |(_, partition)| partition.ended)),
    ])?;
    let all = KeyGroupRange { start: 0, end: chosen.key_groups };
    let mut parts = Vec::new();
    for operator in &chosen.operators {
        let kinds = inspect::rows(store, operator, all)?;
        let bytes: BTreeSet<_> = operator.parts.iter().flat_map(|part| &part.blocks).collect();
        let bytes: u64 = bytes.into_iter().map(|block| block.bytes).sum();
        let blocks: usize = operator.parts.iter().map(|part| part.blocks.len()).sum();
        if kinds.is_empty() {
            parts.push((operator, "-".to_owned(), 0, 0, blocks, bytes));
        }
        for (kind, batches) in kinds {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            parts.push((
                operator,
                kind,
                rows as u64,
                inspect::rows_by_group(&batches).len() as u16,
                blocks,
                bytes,
            ));
        }
    }
    out += &table(vec![
        ("operator", text(&parts, |part| part.0.id.to_string())),
        ("kind", text(&parts, |part| part.0.kind.clone())),
        ("tasks", column::<_, u32, UInt32Array>(&parts, |part| part.0.parts.len() as u32)),
        ("part", text(&parts, |part| part.1.clone())),
        ("rows", column::<_, u64, UInt64Array>(&parts, |part| part.2)),
        ("key_groups", column::<_, u16, UInt16Array>(&parts, |part| part.3)),
        ("blocks", column::<_, u64, UInt64Array>(&parts, |part| part.4 as u64)),
        ("bytes", column::<_, u64, UInt64Array>(&parts, |part| part.5)),
    ])?;
    out += &table(vec![
        ("sink", text(&chosen.sinks, |sink| sink.id.to_string())),
        (
            "staged_rows",
            column::<_, u64, UInt64Array>(&chosen.sinks, |sink| sink.staged.iter().map(|s| s.rows).sum()),
        ),
    ])?;
    Ok(out)
}

/// The state of an operator.
fn values(
    store: &dyn CheckpointStore,
    operator: &OperatorState,
    groups: KeyGroupRange,
    options: &Options,
) -> Result<String> {
    let mut out = String::new();
    for (kind, batches) in inspect::rows(store, operator, groups)? {
        let Some(first) = batches.first() else { continue };
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        writeln!(out, "{}, {kind}: {rows} rows", operator.id)?;
        if options.by_group {
            let counts: Vec<(u16, u64)> = inspect::rows_by_group(&batches).into_iter().collect();
            out += &table(vec![
                ("key_group", column::<_, u16, UInt16Array>(&counts, |(group, _)| *group)),
                ("rows", column::<_, u64, UInt64Array>(&counts, |(_, rows)| *rows)),
            ])?;
            continue;
        }
        // Only the metadata of batches differs.
        let schema = Arc::new(Schema::new(first.schema_ref().fields().clone()));
        let batches = batches.iter().map(|batch| batch.clone().with_schema(schema.clone()));
        let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
        match &options.parquet {
            None => {
                let all = concat_batches(&schema, &batches)?;
                let shown = all.slice(0, all.num_rows().min(options.rows));
                out += &format!("{}\n", pretty_format_batches(&[shown])?);
            }
            Some(folder) => {
                let path = write(folder, &kind, &schema, &batches)?;
                writeln!(out, "{}", path.display())?;
            }
        }
    }
    Ok(out)
}

fn write(folder: &Path, kind: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{kind}.parquet"));
    let mut writer = ArrowWriter::try_new(File::create(&path)?, schema.clone(), None)?;
    batches.iter().try_for_each(|batch| writer.write(batch))?;
    writer.close()?;
    Ok(path)
}
