//! Sort, top-k, limit, top-N, distinct and dedup as a user asks for them, and what is known of their rows.
//!
//! They are one operator, [`sabot_ops::RankSpec`]: rows of each group, numbered in an order, some of them
//! kept. What differs is what each of them promises of its result: [`RankCall`].

use arrow::datatypes::{DataType, Field, Schema};
use sabot_expr::{Expr, type_name};
use sabot_ops::{Projection, is_sortable};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

use crate::derive::{append_only, check_columns, check_keys, check_names, refuse_changes, unbounded_source};
use crate::{Boundedness, NodeKind, NodeRef, OrderBy, PlanError, Properties, SortExpr};

/// Which of its uses the operator was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankCall {
    /// All rows, or the first of them, in a new order: the order of the result is that of the keys, and its
    /// rows have no event time.
    Sort,
    /// Some rows in a row, in the order of the stream.
    Limit,
    /// The first rows of each group, with their number. Of windowed results each window is a group of its
    /// own, and the result has its event time; other rows have none any more.
    TopN,
    /// One row of each key, the first or the last.
    Unique,
    /// One row of each kind.
    Distinct,
}

impl RankCall {
    /// The call's name in messages and `explain`.
    pub fn name(self) -> &'static str {
        match self {
            RankCall::Sort => "sort",
            RankCall::Limit => "limit",
            RankCall::TopN => "top_n",
            RankCall::Unique => "unique",
            RankCall::Distinct => "distinct",
        }
    }

    /// Whether rows stay what and when they were; otherwise the result has an order of its own.
    pub fn keeps_order(self) -> bool {
        !matches!(self, RankCall::Sort | RankCall::TopN)
    }
}

/// A ranking over the columns of its input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// What was asked for.
    pub call: RankCall,
    /// What makes a group, each under a name of its own.
    pub groups: Vec<Projection>,
    /// Whether each window is a group of its own.
    pub windowed: bool,
    /// The order in a group; the order of the stream decides what it leaves open.
    pub order: Vec<OrderBy>,
    /// Whether the order of the stream counts from its end.
    pub backwards: bool,
    /// How many rows of a group are left out.
    pub skip: u64,
    /// How many are kept at most; `None` for all.
    pub fetch: Option<u64>,
    /// The result column with a row's number in its group, from 1.
    pub number: Option<String>,
}

impl Ranking {
    /// Whether rows leave in the order of the stream while it goes on: what is asked for is decided by the
    /// rows before, and event time says when these are all there.
    pub(crate) fn leaves_as_it_goes(&self, input: &Properties) -> bool {
        self.call.keeps_order() && self.order.is_empty() && !self.backwards && input.time.is_some()
    }
}

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |items: Vec<String>| items.join(", ");
        let mut parts = Vec::new();
        match self.fetch {
            Some(1) if self.order.is_empty() => {
                parts.push((if self.backwards { "the last row" } else { "the first row" }).to_owned())
            }
            Some(fetch) => parts.push(format!("the first {fetch} rows")),
            None => parts.push("all rows".to_owned()),
        }
        if self.skip > 0 {
            parts.push(format!("behind {}", self.skip));
        }
        if self.windowed {
            parts.push("of each window".to_owned());
        }
        if !self.groups.is_empty() {
            parts.push(format!("per {}", join(self.groups.iter().map(|g| g.expr.to_string()).collect())));
        }
        if !self.order.is_empty() {
            parts.push(format!("by {}", join(self.order.iter().map(ToString::to_string).collect())));
        }
        if let Some(number) = &self.number {
            parts.push(format!("numbered as {number}"));
        }
        f.write_str(&parts.join(" "))
    }
}

/// A top-N as a user asks for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopNRequest {
    /// How many rows of each group.
    pub rows: u64,
    /// What makes a group, beside the window of windowed results.
    pub groups: Vec<Expr>,
    /// The order in a group.
    pub order: Vec<SortExpr>,
    /// Name of the column with the rows' numbers.
    pub number: String,
}

/// Which row of equal ones stays.
///
/// ```
/// use sabot_plan::Keep;
/// assert_eq!(Keep::default(), Keep::First);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// The first in the order of the stream.
    #[default]
    First,
    /// The last.
    Last,
}

/// Whether the rows of a node are results of windows, so that rows of one window are those of one event
/// time, and a watermark says when all of them have come.
pub(crate) fn is_windowed(node: &NodeRef) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        if node.properties().time.is_none() {
            return false;
        }
        match node.kind() {
            NodeKind::Aggregate { window: Some(_), .. } => {}
            NodeKind::Aggregate { .. } | NodeKind::LateRows => return false,
            NodeKind::Source { .. } | NodeKind::EventTime { .. } => return false,
            // A side without event time, such as a table that is looked up, leaves that of the other.
            _ if seen.insert(node.address()) => {
                open.extend(node.inputs().iter().filter(|input| input.properties().time.is_some()));
            }
            _ => {}
        }
    }
    true
}

pub(crate) fn derive_ranking(ranking: &Ranking, input: &NodeRef) -> Result<Properties, PlanError> {
    let operator = ranking.call.name();
    refuse_changes(operator, input)?;
    if ranking.windowed && !is_windowed(input) {
        let message = "its rows are no results of windows".to_owned();
        return Err(PlanError::Corrupt { operator: operator.to_owned(), message });
    }
    if !ranking.windowed
        && !ranking.leaves_as_it_goes(input.properties())
        && let Some(source_name) = unbounded_source(input)
    {
        return Err(PlanError::UnboundedRanking { call: operator, advice: advice(ranking), source_name });
    }
    if matches!(ranking.call, RankCall::Sort | RankCall::TopN) && ranking.order.is_empty() {
        return Err(PlanError::NoOrder { operator });
    }
    if ranking.call == RankCall::Unique && ranking.groups.is_empty() {
        return Err(PlanError::NoColumns { operator: operator.to_owned() });
    }
    check_keys(operator, &ranking.groups, input.schema())?;
    for key in &ranking.order {
        check_columns(operator, &key.expr, input.schema())?;
        if !is_sortable(key.expr.data_type()) {
            let (expression, got) = (key.expr.to_string(), type_name(key.expr.data_type()));
            return Err(PlanError::SortType { operator, expression, got });
        }
    }
    let mut fields: Vec<Field> = input.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(ranking.number.iter().map(|name| Field::new(name, DataType::Int64, false)));
    check_names(operator, fields.iter().map(|f| f.name().as_str()))?;
    let before = input.properties();
    let time = before.time.clone().filter(|_| ranking.call.keeps_order() || ranking.windowed);
    Ok(Properties {
        schema: Schema::new(fields).into(),
        time,
        upsert_key: upsert_key(ranking, input),
        // A limit has a last row although its input has none.
        boundedness: match ranking.call == RankCall::Limit && ranking.fetch.is_some() {
            true => Boundedness::Bounded,
            false => before.boundedness,
        },
        order_sensitive: true,
        ..append_only(input)
    })
}

/// Rows that are kept are still told apart by what told them apart before; where one row of each key is
/// kept, by the key.
fn upsert_key(ranking: &Ranking, input: &NodeRef) -> Option<Vec<String>> {
    let one_each = matches!(ranking.call, RankCall::Unique | RankCall::Distinct);
    let names = || {
        let name = |group: &Projection| {
            group.expr.as_column().and_then(|c| input.schema().fields().get(c)).map(|f| f.name().clone())
        };
        ranking.groups.iter().map(name).collect::<Option<Vec<String>>>()
    };
    input.properties().upsert_key.clone().or_else(|| if one_each { names() } else { None })
}

/// What to do about input that never ends.
fn advice(ranking: &Ranking) -> &'static str {
    match ranking.call {
        RankCall::Sort => {
            "write to an ordered sink for the order of event time, or put a windowed aggregation and top_n before"
        }
        RankCall::TopN => "put a windowed aggregation before it, so that each window has its own result",
        RankCall::Unique if ranking.backwards => {
            "the last row of a key is known only then: keep the first, or aggregate in windows"
        }
        RankCall::Limit | RankCall::Unique | RankCall::Distinct => {
            "declare its event time, so that rows have an order in which they are final"
        }
    }
}
