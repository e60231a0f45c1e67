//! A plan as text: what it does, and how it is run.
//!
//! First the logical plan, each sink on top of what feeds it. An operator that several read is written
//! out once. Then the stages, in the order in which rows pass them: what was pushed into sources, which
//! steps run as one fragment and on which device, and where rows change hands. The text is for people;
//! whoever wants data has the plan itself.

mod join;
mod page;

use arrow::datatypes::Schema;
use sabot_batch::hidden;
use sabot_common::DeviceId;
use sabot_expr::type_name;
use sabot_ops::{Fragment, Projection};
use std::collections::HashSet;

use crate::{
    Boundedness, ChangeMode, Emit, KeyedInput, KeyedStage, NodeKind, PhysicalPlan, Plan, PlanNode, Port,
    Route, SourceStage, Stage, StageInput, StageKind,
};
use page::Page;

/// Whether a device would run a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceVerdict {
    /// The device.
    pub device: DeviceId,
    /// Why it does not run the fragment; `None` when it can.
    pub refusal: Option<String>,
}

/// Describes a plan and what was cut of it, in lines of about 100 columns.
///
/// `devices` is asked for every fragment and gives the devices in order of preference: the first that
/// does not refuse runs it, and the reasons of those before it are printed. Where it gives none there is
/// only the CPU.
///
/// ```
/// use arrow::datatypes::{DataType, Field, Schema};
/// use sabot_plan::{Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, cut, explain};
///
/// let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// let builder = PlanBuilder::new();
/// let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
/// let plan = Plan::from_sinks(&[builder.sink(&flights, SinkRequest::new(Connector::slot("out")))?])?;
/// let text = explain(&plan, &cut(&plan, &CutOptions::default())?, |_| Vec::new());
/// assert!(text.contains("reads delay from slot flights"));
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
pub fn explain(
    plan: &Plan,
    physical: &PhysicalPlan,
    devices: impl Fn(&Fragment) -> Vec<DeviceVerdict>,
) -> String {
    explain_measured(plan, physical, devices, |_| Vec::new())
}

/// As [`explain`], with the lines that `notes` has for the number of a stage: what it is expected to take, what it has done.
///
/// ```
/// # use arrow::datatypes::{DataType, Field, Schema};
/// # use sabot_plan::{Connector, CutOptions, Plan, PlanBuilder, SinkRequest, SourceRequest, cut, explain_measured};
/// # let schema = Schema::new(vec![Field::new("delay", DataType::Int32, false)]);
/// # let builder = PlanBuilder::new();
/// # let flights = builder.source(SourceRequest::bounded(Connector::slot("flights"), schema.into()))?;
/// # let plan = Plan::from_sinks(&[builder.sink(&flights, SinkRequest::new(Connector::slot("out")))?])?;
/// let rows = |stage| Vec::from_iter((stage == 0).then(|| "gave 4 rows".to_owned()));
/// let text = explain_measured(&plan, &cut(&plan, &CutOptions::default())?, |_| Vec::new(), rows);
/// assert!(text.contains("gave 4 rows"));
/// # Ok::<(), sabot_plan::PlanError>(())
/// ```
pub fn explain_measured(
    plan: &Plan,
    physical: &PhysicalPlan,
    devices: impl Fn(&Fragment) -> Vec<DeviceVerdict>,
    notes: impl Fn(usize) -> Vec<String>,
) -> String {
    let mut page = Page::default();
    let mut shown = HashSet::new();
    for (index, node) in plan.nodes().iter().enumerate() {
        if matches!(node.kind, NodeKind::Sink { .. }) {
            tree(&mut page, plan, index, &mut shown);
            page.blank();
        }
    }
    let (tasks, groups) = (physical.keyed_parallelism, physical.key_groups.count());
    page.line(
        "",
        "",
        &format!("stages, with {} for keyed state ({groups} key groups)", counted(tasks, "task")),
    );
    for (index, stage) in physical.stages.iter().enumerate() {
        describe_stage(&mut page, plan, physical, index, stage, &devices);
        for line in notes(index) {
            page.line("     ", "       ", &line);
        }
    }
    page.finish()
}

/// Writes a node and what feeds it. Chains go straight down, only unions branch off.
fn tree(page: &mut Page, plan: &Plan, root: usize, shown: &mut HashSet<usize>) {
    // Each with what stands before its first line and before all further ones.
    let mut open = vec![(root, String::new(), String::new())];
    while let Some((index, first, rest)) = open.pop() {
        let node = &plan.nodes()[index];
        if !shown.insert(index) {
            page.line(&first, &rest, &format!("{} (as above)", node.id));
            continue;
        }
        let below = if node.inputs.is_empty() { format!("{rest}   ") } else { format!("{rest}│  ") };
        page.line(&first, &below, &format!("{}: {}", node.id, describe(plan, node)));
        for line in properties(plan, node) {
            page.line(&below, &format!("{below}  "), &line);
        }
        for (i, input) in node.inputs.iter().enumerate().rev() {
            open.push(match (node.inputs.len(), i + 1 == node.inputs.len()) {
                (1, _) => (*input, rest.clone(), rest.clone()),
                (_, true) => (*input, format!("{rest}└─ "), format!("{rest}   ")),
                (_, false) => (*input, format!("{rest}├─ "), format!("{rest}│  ")),
            });
        }
    }
}

/// What a node does, in a few words.
fn describe(plan: &Plan, node: &PlanNode) -> String {
    match &node.kind {
        NodeKind::Source { connector, boundedness, changes, .. } => {
            let end = if *boundedness == Boundedness::Unbounded { ", without end" } else { "" };
            let kinds = if *changes == ChangeMode::Changelog { ", with updates and deletes" } else { "" };
            format!("reads {connector}{end}{kinds}")
        }
        NodeKind::EventTime { column, out_of_orderness, idle_timeout } => {
            let idle = idle_timeout.map(|t| format!(", idle after {t:?}")).unwrap_or_default();
            format!("event time is {column}, up to {out_of_orderness} out of order{idle}")
        }
        NodeKind::FilterProject { predicate, projections } => {
            let keeps = predicate.as_ref().map(|p| format!("keeps rows with {p}"));
            let computes = Some(projections).filter(|_| predicate.is_none()).map(|p| computed(p));
            keeps.into_iter().chain(computes).collect::<Vec<_>>().join("; ")
        }
        NodeKind::Aggregate { window, keys, aggregates, .. } => {
            let mut text = String::new();
            if let Some(window) = window {
                text = window.window.to_string();
                if window.allowed_lateness != sabot_common::Span::ZERO {
                    text += &format!(" allowing {} late", window.allowed_lateness);
                }
                text += ", ";
            }
            if keys.is_empty() {
                text += "all rows";
            } else {
                text += &format!("by {}", join(keys.iter().map(named)));
            }
            let calls = aggregates.iter().map(|a| {
                let call = a.to_string();
                if call == a.name { call } else { format!("{call} as {}", a.name) }
            });
            text + ": " + &join(calls)
        }
        NodeKind::Join(join) => join::describe(join, plan, node),
        NodeKind::Rank(ranking) => ranking.to_string(),
        NodeKind::Over(over) => over.to_string(),
        NodeKind::LateRows => format!("rows too late for {}", plan.nodes()[node.inputs[0]].id),
        NodeKind::Union => format!("all rows of {} inputs", node.inputs.len()),
        NodeKind::Unnest(unnest) => unnest.to_string(),
        NodeKind::Predict(spec) => spec.to_string(),
        NodeKind::MapBatches { slot, .. } => format!("calls slot {slot} with each batch"),
        NodeKind::Sink { connector, ordered, .. } => {
            format!("writes {connector}{}", if *ordered { ", in order" } else { "" })
        }
    }
}

fn computed(projections: &[Projection]) -> String {
    let computed =
        projections.iter().filter(|p| p.expr.as_column().is_none() || p.expr.to_string() != p.name);
    match join(computed.map(named)) {
        none if none.is_empty() => "picks columns".to_owned(),
        list => format!("computes {list}"),
    }
}

fn named(projection: &Projection) -> String {
    let text = projection.expr.to_string();
    if text == projection.name { text } else { format!("{text} as {}", projection.name) }
}

/// What is known of a node's rows, where it is not the same as for its only input.
fn properties(plan: &Plan, node: &PlanNode) -> Vec<String> {
    let known = &node.properties;
    let before = match node.inputs.as_slice() {
        [input] => Some(&plan.nodes()[*input].properties),
        _ => None,
    };
    let mut lines = Vec::new();
    if before.is_none_or(|b| b.schema != known.schema) {
        lines.push(format!("columns {}", columns(&known.schema)));
    }
    if before.is_none_or(|b| b.time != known.time) {
        lines.push(match &known.time {
            None if before.is_none() => "no event time".to_owned(),
            None => "no event time any more".to_owned(),
            Some(time) => match &time.column {
                Some(column) => format!("event time in {column}"),
                None => "event time in no column".to_owned(),
            },
        });
    }
    if let Some(key) =
        known.upsert_key.as_ref().filter(|_| before.is_none_or(|b| b.upsert_key != known.upsert_key))
    {
        lines.push(match key.is_empty() {
            true => "one row".to_owned(),
            false => format!("one row for each {}", join(key.iter().cloned())),
        });
    }
    lines
}

/// `name type`, with a question mark where there may be nulls.
fn columns(schema: &Schema) -> String {
    let mark = |nullable: bool| if nullable { "?" } else { "" };
    join(
        schema
            .fields()
            .iter()
            .map(|f| format!("{} {}{}", f.name(), type_name(f.data_type()), mark(f.is_nullable()))),
    )
}

fn describe_stage(
    page: &mut Page,
    plan: &Plan,
    physical: &PhysicalPlan,
    index: usize,
    stage: &Stage,
    devices: &impl Fn(&Fragment) -> Vec<DeviceVerdict>,
) {
    let kind = match &stage.kind {
        StageKind::Source(_) => "source",
        StageKind::Fragment(_) => "fragment",
        StageKind::MapBatches(_) => "function",
        StageKind::Table(_) => "table",
        StageKind::Lookup(_) => "look-up",
        StageKind::Keyed(_) => "keyed state",
        StageKind::Sink(_) => "sink",
    };
    let from = join(stage.inputs.iter().map(|input| from_stage(input, physical)));
    let from = if from.is_empty() { "one task a partition".to_owned() } else { format!("from {from}") };
    let number = format!("{index:>3}  ");
    page.line(&number, "       ", &format!("{kind}, {from}"));
    let mut detail = |text: &str| page.line("     ", "       ", text);
    detail(&format!("does {}", join(stage.operators.iter().map(ToString::to_string))));
    match &stage.kind {
        StageKind::Source(source) => describe_source(&mut detail, source),
        StageKind::Fragment(fragment) => {
            detail(&format!("runs on {}", placement(&devices(&fragment.fragment))));
            detail(&format!("steps {}", fragment.fragment));
        }
        StageKind::MapBatches(_) => detail("runs on cpu (a user's function)"),
        StageKind::Table(stage) => join::table(&mut detail, stage),
        StageKind::Lookup(lookup) => join::lookup(&mut detail, *lookup),
        StageKind::Keyed(keyed) => describe_keyed(&mut detail, keyed),
        StageKind::Sink(sink) if sink.ordered => detail(order(stage, plan)),
        StageKind::Sink(_) => {}
    }
    let hidden: Vec<&str> =
        stage.output.fields().iter().filter_map(|f| f.name().strip_prefix(hidden::PREFIX)).collect();
    if !hidden.is_empty() && !matches!(stage.kind, StageKind::Sink(_)) {
        detail(&format!("carries hidden {}", hidden.join(", ")));
    }
}

fn from_stage(input: &StageInput, physical: &PhysicalPlan) -> String {
    let port = if input.port == Port::Late { "the late rows of " } else { "" };
    let route = match input.route {
        Route::Forward => "task by task".to_owned(),
        Route::KeyGroups => format!("exchanged by key over {}", counted(physical.keyed_parallelism, "task")),
        Route::Gather => "gathered by one task".to_owned(),
    };
    format!("{port}{} {route}", input.stage)
}

fn describe_source(detail: &mut impl FnMut(&str), source: &SourceStage) {
    let read = source.projection.iter().filter_map(|c| source.schema.fields().get(*c));
    let names = join(read.map(|f| f.name().clone()));
    let names = if names.is_empty() { "no column".to_owned() } else { names };
    let all = source.schema.fields().len();
    let part = if source.projection.len() == all { String::new() } else { format!(" (of {all} columns)") };
    detail(&format!("reads {names}{part} from {}", source.connector));
    if let Some(pruning) = &source.pruning {
        detail(&format!("may leave out rows without {pruning}"));
    }
    if !source.after.is_empty() {
        let others = join(source.after.iter().map(ToString::to_string));
        detail(&format!("waits for the end of {others}, which a join must have first"));
    }
}

fn describe_keyed(detail: &mut impl FnMut(&str), keyed: &KeyedStage) {
    detail("runs on cpu (the owner of the keys keeps their state)");
    match keyed {
        KeyedStage::Aggregate(stage) => detail(match stage.input {
            KeyedInput::Partial => "merges partial state made upstream",
            KeyedInput::Raw if stage.window.as_ref().is_some_and(crate::KeyedWindow::counts_rows) => {
                "takes single rows, because their order decides which window they are in"
            }
            KeyedInput::Raw => {
                "takes single rows, because partitions may return or come to windows that are closed"
            }
        }),
        KeyedStage::Join(stage) => join::keyed(detail, stage),
        KeyedStage::Over(stage) => detail(match stage.rolling.as_ref().map(|rolling| rolling.emit) {
            Some(Emit::Final) => {
                "keeps the rows that later ones reach, and lets rows go as the watermark passes them"
            }
            Some(Emit::OnArrival) => "keeps the rows that later ones reach, and lets rows go as they come",
            None => "holds all rows until the input ends",
        }),
        KeyedStage::Rank(stage) if stage.as_it_goes => {
            detail("lets rows go as the watermark passes them");
            if !stage.feeders.is_empty() {
                let sources = join(stage.feeders.iter().map(ToString::to_string));
                detail(&format!("ends the reading of {sources} when all rows that are wanted have left"));
            }
        }
        KeyedStage::Rank(stage) => detail(match (stage.windowed, stage.spec.fetch) {
            (true, _) => "gives the rows of a window when it closes",
            (false, Some(_)) => "holds the rows that may stay, until the input ends",
            (false, None) => "holds all rows until the input ends",
        }),
    }
}

fn order(stage: &Stage, plan: &Plan) -> &'static str {
    let sink = stage.operators.last().and_then(|id| plan.node(id));
    match sink.is_some_and(|node| node.properties.time.is_some()) {
        true => "merges tasks into one order between watermarks",
        false => "merges tasks into one order when all rows are there",
    }
}

/// `cpu (cuda:0: no driver)`, or `cpu (only device)`.
fn placement(verdicts: &[DeviceVerdict]) -> String {
    let chosen = verdicts.iter().find(|v| v.refusal.is_none());
    let device = chosen.map_or_else(DeviceId::cpu, |v| v.device.clone());
    let refusals = verdicts.iter().filter_map(|v| Some(format!("{}: {}", v.device, v.refusal.as_ref()?)));
    match join(refusals) {
        none if none.is_empty() && verdicts.iter().all(|v| v.device == DeviceId::cpu()) => {
            format!("{device} (only device)")
        }
        none if none.is_empty() => format!("{device} (first choice)"),
        reasons => format!("{device} ({reasons})"),
    }
}

fn counted(number: u32, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
