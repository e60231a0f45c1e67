//! Joins as a user asks for them, and as a plan holds them.
//!
//! The right side is *built*: it is loaded whole, and must end. Then the left side is *probed* against
//! it, row by row, so the left side may go on for ever. A lookup join gives every task that probes the
//! same table; any other join gives each task the rows of both sides whose keys it owns. The results are
//! the same, in content and in order.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sabot_common::Span;
use sabot_expr::types::rules::common_type;
use sabot_expr::{Expr, ExprError, TypedExpr, resolve, type_name};
use sabot_ops::{Direction, JoinColumn, JoinKind, JoinSource, JoinSpec, Nearest, SpecError, in_units};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

use crate::derive::{
    append_only, check_columns, check_names, not_negative, refuse_changes, unbounded_source,
};
use crate::{Boundedness, NodeKind, NodeRef, PlanBuilder, PlanError, Properties};

/// How the right side comes to the tasks that probe it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStrategy {
    /// Rows of both sides go to the owner of their key.
    #[default]
    Exchange,
    /// All tasks share one table of the whole right side. Where the left side cannot wait until the
    /// table is there, because both read one source, rows are exchanged all the same.
    Lookup,
}

/// A join of a plan. Expressions of keys refer to the visible columns of their side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// Which rows are given; the left side is the probe side.
    pub kind: JoinKind,
    /// How the right side is spread.
    pub strategy: JoinStrategy,
    /// Pairs of keys, of one type each. Without any, every row meets every row.
    pub keys: Vec<JoinKey>,
    /// Whether of the rows with an equal key only the nearest in time can match.
    pub nearest: Option<JoinNearest>,
    /// What must be true besides, over the columns of the left side and behind them those of the right.
    pub condition: Option<TypedExpr>,
    /// Whether two rows of the right side with one key are an error.
    pub unique: bool,
    /// The result columns.
    pub columns: Vec<JoinOutput>,
}

/// A pair of keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinKey {
    /// Over the left side.
    pub left: TypedExpr,
    /// Over the right side.
    pub right: TypedExpr,
}

/// The times of an as-of join, timestamps of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinNearest {
    /// Over the left side.
    pub left: TypedExpr,
    /// Over the right side.
    pub right: TypedExpr,
    /// Whether the right row stands before the left one or behind it.
    pub direction: Direction,
    /// How far they may be apart.
    pub tolerance: Option<Span>,
}

/// A result column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinOutput {
    /// Its name.
    pub name: String,
    /// Its values.
    pub source: JoinOutputSource,
}

/// Where the values of a result column come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinOutputSource {
    /// A column of the left side.
    Left(usize),
    /// A column of the right side.
    Right(usize),
    /// A key, by its place among the keys: the left side's, and for right rows without a match the right
    /// side's.
    Key(usize),
}

/// A join as a user asks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinRequest {
    /// What messages call it: `join`, `lookup_join`.
    pub operator: &'static str,
    /// Which rows are given.
    pub kind: JoinKind,
    /// How the right side is spread.
    pub strategy: JoinStrategy,
    /// Pairs of keys, over the left and over the right side.
    pub keys: Vec<(Expr, Expr)>,
    /// For an as-of join the times of both sides, the direction and the tolerance.
    pub nearest: Option<(Expr, Expr, Direction, Option<Span>)>,
    /// A condition over the columns of both sides, by the names that they have in the result.
    pub condition: Option<Expr>,
    /// What is put behind the name of a right column where the left side has one of the same name.
    pub suffix: Option<String>,
    /// The columns of the right side that are given; all when absent.
    pub columns: Option<Vec<Expr>>,
    /// Whether two rows of the right side with one key are an error.
    pub unique: bool,
}

impl JoinRequest {
    /// An inner join by these keys, with all columns.
    pub fn new(keys: impl IntoIterator<Item = (Expr, Expr)>) -> Self {
        Self {
            operator: "join",
            kind: JoinKind::Inner,
            strategy: JoinStrategy::Exchange,
            keys: keys.into_iter().collect(),
            nearest: None,
            condition: None,
            suffix: None,
            columns: None,
            unique: false,
        }
    }
}

impl PlanBuilder {
    /// Joins rows of two inputs.
    ///
    /// The result has the columns of the left side, then those of the right (of a semi or an anti join
    /// only the left ones). A key that is a column of one name on both sides stands there once, among the
    /// left ones, as with SQL's USING. Any other name on both sides is refused, unless `suffix` tells how
    /// the right one is to be called. The event time is the left side's; right and full joins have none,
    /// because their last rows have no left side.
    ///
    /// # Errors
    /// [`PlanError`] when a column is missing, keys have no common type, a name stands on both sides, the
    /// right side does not end, or rows bring updates or deletes.
    pub fn join(&self, left: &NodeRef, right: &NodeRef, request: &JoinRequest) -> Result<NodeRef, PlanError> {
        let JoinRequest { operator, kind, strategy, unique, .. } = *request;
        let mut keys = Vec::with_capacity(request.keys.len());
        for (l, r) in &request.keys {
            let (left, right) = self.pair(request, (left, l), (right, r), common_type)?;
            keys.push(JoinKey { left, right });
        }
        let nearest = match &request.nearest {
            None => None,
            Some((l, r, direction, tolerance)) => {
                let (left, right) =
                    self.pair(request, (left, l), (right, r), common_time).map_err(of_times)?;
                Some(JoinNearest { left, right, direction: *direction, tolerance: *tolerance })
            }
        };
        let named = self.named_right(left, right, request, &keys)?;
        let condition = match &request.condition {
            Some(condition) => Some(self.condition(operator, left, right, &named, condition)?),
            None => None,
        };
        let mut columns = Vec::new();
        for (i, field) in left.schema().fields().iter().enumerate() {
            let shared = named.shared_keys.get(field.name()).filter(|_| kind.keeps_build());
            let source = shared.map_or(JoinOutputSource::Left(i), |key| JoinOutputSource::Key(*key));
            columns.push(JoinOutput { name: field.name().clone(), source });
        }
        if kind.gives_build() {
            if !named.ambiguous.is_empty() {
                return Err(PlanError::AmbiguousColumns {
                    operator: operator.to_owned(),
                    columns: named.ambiguous,
                });
            }
            let given = named.columns.into_iter();
            columns.extend(given.map(|(i, name)| JoinOutput { name, source: JoinOutputSource::Right(i) }));
        }
        let join = Join { kind, strategy, keys, nearest, condition, unique, columns };
        NodeRef::new(NodeKind::Join(Box::new(join)), vec![left.clone(), right.clone()])
    }

    /// Resolves two expressions, one over each side, and gives both one type.
    fn pair(
        &self,
        request: &JoinRequest,
        (left, l): (&NodeRef, &Expr),
        (right, r): (&NodeRef, &Expr),
        common: impl Fn(&DataType, &DataType) -> Option<DataType>,
    ) -> Result<(TypedExpr, TypedExpr), PlanError> {
        let operator = request.operator;
        let on = |side: &str| format!("{operator}, {side} side");
        let resolve = |side: &str, node: &NodeRef, expr: &Expr| {
            resolve(expr, node.schema(), self.functions()).map_err(|e| PlanError::expression(&on(side), e))
        };
        let (a, b) = (resolve("left", left, l)?, resolve("right", right, r)?);
        let Some(wanted) = common(a.data_type(), b.data_type()) else {
            return Err(PlanError::JoinTypes {
                operator: operator.to_owned(),
                left: a.to_string(),
                left_type: type_name(a.data_type()),
                right: b.to_string(),
                right_type: type_name(b.data_type()),
            });
        };
        let cast = |side: &str, node: &NodeRef, expr: &Expr, typed: TypedExpr| {
            // A key that may be given from either side has one encoding, too.
            let as_it_is = typed.data_type() == &wanted
                || (!request.kind.keeps_build() && plain(typed.data_type()) == &wanted);
            match as_it_is {
                true => Ok(typed),
                false => resolve(side, node, &expr.clone().cast(wanted.clone())),
            }
        };
        Ok((cast("left", left, l, a)?, cast("right", right, r, b)?))
    }

    /// The right side's columns under the names that they have in the result.
    fn named_right(
        &self,
        left: &NodeRef,
        right: &NodeRef,
        request: &JoinRequest,
        keys: &[JoinKey],
    ) -> Result<NamedRight, PlanError> {
        let taken: HashSet<&str> = left.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let mut shared_keys = HashMap::new();
        for (place, (l, r)) in request.keys.iter().enumerate() {
            if let (Expr::Column(l), Expr::Column(r)) = (l, r)
                && l == r
                && keys.get(place).is_some()
            {
                shared_keys.insert(l.clone(), place);
            }
        }
        let mut named = NamedRight { columns: Vec::new(), ambiguous: Vec::new(), shared_keys };
        for (index, name, renamed) in right_columns(right, request)? {
            if !renamed && named.shared_keys.contains_key(&name) {
                continue;
            }
            match (&request.suffix, taken.contains(name.as_str())) {
                (Some(suffix), true) => named.columns.push((index, name + suffix)),
                (None, true) => named.ambiguous.push(name),
                (_, false) => named.columns.push((index, name)),
            }
        }
        Ok(named)
    }

    /// A condition over both sides. The right side's columns that the result does not give can be named,
    /// too, where the name is free.
    fn condition(
        &self,
        operator: &str,
        left: &NodeRef,
        right: &NodeRef,
        named: &NamedRight,
        condition: &Expr,
    ) -> Result<TypedExpr, PlanError> {
        let mut fields: Vec<Field> = left.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        let taken: HashSet<String> = fields.iter().map(|f| f.name().clone()).collect();
        for (index, field) in right.schema().fields().iter().enumerate() {
            let given = named.columns.iter().find(|(i, _)| *i == index).map(|(_, name)| name);
            let name = match given.unwrap_or(field.name()) {
                // A name that stands on the left, too, is the left one's; nobody can write this one.
                twice if taken.contains(twice) => format!("{UNWRITTEN}{index}"),
                name => name.clone(),
            };
            fields.push(field.as_ref().clone().with_name(name));
        }
        let both = Schema::new(fields);
        let typed = resolve(condition, &both, self.functions()).map_err(|error| {
            let error = match error {
                ExprError::UnknownColumn { name, .. } => {
                    let names = both.fields().iter().map(|f| f.name().as_str());
                    ExprError::unknown_column(&name, names.filter(|name| !name.starts_with(UNWRITTEN)))
                }
                other => other,
            };
            PlanError::expression(&format!("the condition of {operator}"), error)
        })?;
        let twice = |column: &usize| named.ambiguous.contains(both.field(*column).name());
        if let Some(column) = typed.columns().into_iter().find(twice) {
            let columns = vec![both.field(column).name().clone()];
            return Err(PlanError::AmbiguousColumns { operator: operator.to_owned(), columns });
        }
        if typed.data_type() != &DataType::Boolean {
            let (expression, got) = (typed.to_string(), type_name(typed.data_type()));
            return Err(PlanError::PredicateType { expression, got });
        }
        Ok(typed)
    }
}

/// What names that nobody can write start with.
const UNWRITTEN: char = '\0';

/// The right side's columns by name.
struct NamedRight {
    /// Those that the result can give: place and name.
    columns: Vec<(usize, String)>,
    /// Those whose names stand on the left side, too.
    ambiguous: Vec<String>,
    /// Keys that are a column of one name on both sides: name and place among the keys.
    shared_keys: HashMap<String, usize>,
}

/// The columns of the right side that are asked for: place, name, and whether it is a new one.
fn right_columns(right: &NodeRef, request: &JoinRequest) -> Result<Vec<(usize, String, bool)>, PlanError> {
    let schema = right.schema();
    let Some(wanted) = &request.columns else {
        return Ok(schema.fields().iter().enumerate().map(|(i, f)| (i, f.name().clone(), false)).collect());
    };
    let mut columns = Vec::with_capacity(wanted.len());
    for expr in wanted {
        let (inner, alias) = match expr {
            Expr::Alias { expr, name } => (&**expr, Some(name)),
            other => (other, None),
        };
        let Expr::Column(name) = inner else {
            let (operator, expression) = (request.operator.to_owned(), expr.to_string());
            return Err(PlanError::NoColumn { operator, expression });
        };
        let Ok(index) = schema.index_of(name) else {
            let names = schema.fields().iter().map(|f| f.name().as_str());
            let operator = format!("{}, right side", request.operator);
            return Err(PlanError::expression(&operator, ExprError::unknown_column(name, names)));
        };
        columns.push((index, alias.unwrap_or(name).clone(), alias.is_some()));
    }
    Ok(columns)
}

fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// The same error, about times.
fn of_times(error: PlanError) -> PlanError {
    match error {
        PlanError::JoinTypes { operator, left, left_type, right, right_type } => {
            PlanError::JoinTimes { operator, left, left_type, right, right_type }
        }
        other => other,
    }
}

/// The timestamp type in which two times meet.
fn common_time(left: &DataType, right: &DataType) -> Option<DataType> {
    match common_type(left, right)? {
        time @ DataType::Timestamp(..) => Some(time),
        DataType::Date32 => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => None,
    }
}

impl Join {
    /// The name of the operator in ids and messages.
    pub fn operator(&self) -> &'static str {
        match (self.strategy, &self.nearest, self.keys.is_empty()) {
            (_, Some(_), _) => "asof-join",
            (JoinStrategy::Lookup, None, false) => "lookup-join",
            (_, None, true) => "cross-join",
            (JoinStrategy::Exchange, None, false) => "join",
        }
    }

    /// All expressions, those of keys first.
    pub(crate) fn exprs_mut(&mut self) -> impl Iterator<Item = &mut TypedExpr> {
        let keys = self.keys.iter_mut().flat_map(|key| [&mut key.left, &mut key.right]);
        let times = self.nearest.iter_mut().flat_map(|nearest| [&mut nearest.left, &mut nearest.right]);
        keys.chain(times).chain(self.condition.iter_mut())
    }

    /// The expressions over the left side that must be computed before the join: keys, then the time.
    pub(crate) fn left_exprs(&self) -> Vec<&TypedExpr> {
        let time = self.nearest.iter().map(|nearest| &nearest.left);
        self.keys.iter().map(|key| &key.left).chain(time).collect()
    }

    /// As [`Join::left_exprs`], over the right side.
    pub(crate) fn right_exprs(&self) -> Vec<&TypedExpr> {
        let time = self.nearest.iter().map(|nearest| &nearest.right);
        self.keys.iter().map(|key| &key.right).chain(time).collect()
    }

    /// The operator's form of the join, over columns that stand where `left` and `right` say.
    pub(crate) fn spec(&self, left: &Places, right: &Places, columns: Vec<JoinColumn>) -> JoinSpec {
        let keys = self.keys.len();
        let nearest = self.nearest.as_ref().map(|nearest| {
            let unit = match nearest.left.data_type() {
                DataType::Timestamp(unit, _) => *unit,
                _ => TimeUnit::Microsecond,
            };
            Nearest {
                probe: left.computed.get(keys).copied().unwrap_or(usize::MAX),
                build: right.computed.get(keys).copied().unwrap_or(usize::MAX),
                direction: nearest.direction,
                tolerance: nearest.tolerance.map(|span| in_units(span.micros(), unit)),
            }
        });
        let place = |column: usize| match column.checked_sub(left.visible) {
            None => left.column(column),
            Some(column) => left.width.saturating_add(right.column(column)),
        };
        JoinSpec {
            kind: self.kind,
            keys: left.computed.iter().copied().zip(right.computed.iter().copied()).take(keys).collect(),
            nearest,
            condition: self.condition.as_ref().map(|c| c.clone().map_columns(&place)),
            unique: self.unique,
            seed: 0,
            columns,
            ordinal: 0,
        }
    }

    /// A result column of [`Join::spec`].
    pub(crate) fn column(&self, output: &JoinOutput, left: &Places, right: &Places) -> JoinColumn {
        let key = |places: &Places, key: usize| places.computed.get(key).copied().unwrap_or(usize::MAX);
        let source = match output.source {
            JoinOutputSource::Left(i) => JoinSource::Probe(left.column(i)),
            JoinOutputSource::Right(i) => JoinSource::Build(right.column(i)),
            JoinOutputSource::Key(i) => JoinSource::Either { probe: key(left, i), build: key(right, i) },
        };
        JoinColumn { name: output.name.clone(), source }
    }
}

/// Where the columns of one side stand among those that come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The user's columns that there are.
    pub(crate) visible: usize,
    /// Each of the user's columns that comes in.
    pub(crate) columns: HashMap<usize, usize>,
    /// The keys, and behind them the time.
    pub(crate) computed: Vec<usize>,
    /// Columns that come in.
    pub(crate) width: usize,
}

impl Places {
    fn column(&self, column: usize) -> usize {
        // A column that is not there is beyond every schema, and the spec is then refused.
        self.columns.get(&column).copied().unwrap_or(usize::MAX)
    }
}

/// The properties of a join's rows, and every check of how it fits its inputs.
pub(crate) fn derive(join: &Join, left: &NodeRef, right: &NodeRef) -> Result<Properties, PlanError> {
    let operator = join.operator();
    refuse_changes(operator, left)?;
    refuse_changes(operator, right)?;
    check_ends(join, left, right)?;
    if let Some(tolerance) = join.nearest.as_ref().and_then(|nearest| nearest.tolerance) {
        not_negative(operator, "tolerance", tolerance)?;
    }
    let (probe, left_places) = with_computed(operator, left.schema(), &join.left_exprs())?;
    let (build, right_places) = with_computed(operator, right.schema(), &join.right_exprs())?;
    let columns = join.columns.iter().map(|c| join.column(c, &left_places, &right_places)).collect();
    let spec = join.spec(&left_places, &right_places, columns);
    let schema = spec.output_schema(&probe, &build).map_err(|error| renamed(error, operator))?;
    if schema.fields().is_empty() {
        return Err(PlanError::NoColumns { operator: operator.to_owned() });
    }
    check_names(operator, schema.fields().iter().map(|f| f.name().as_str()))?;
    let properties = append_only(left);
    let one_each = join.unique || !join.kind.gives_build();
    let time = properties.time.clone().filter(|_| !join.kind.keeps_build());
    let upsert_key = properties.upsert_key.clone().filter(|_| one_each && !join.kind.keeps_build());
    Ok(Properties { schema, time, upsert_key, ..properties })
}

/// The join's own name in an error of its spec.
fn renamed(error: SpecError, operator: &'static str) -> SpecError {
    match error {
        SpecError::ColumnType { role, column, got, expected, .. } => {
            SpecError::ColumnType { operator, role, column, got, expected }
        }
        SpecError::DuplicateName { name, .. } => SpecError::DuplicateName { operator, name },
        other => other,
    }
}

/// The right side is loaded whole; rows of it that match nothing are known when the left side has ended.
fn check_ends(join: &Join, left: &NodeRef, right: &NodeRef) -> Result<(), PlanError> {
    let operator = join.operator().to_owned();
    let bounded = |node: &NodeRef| node.properties().boundedness == Boundedness::Bounded;
    if let Some(right) = unbounded_source(right) {
        let left = (!bounded(left)).then(|| unbounded_source(left)).flatten();
        return Err(PlanError::UnboundedBuildSide { operator, right, left });
    }
    if join.kind.keeps_build()
        && let Some(left) = unbounded_source(left)
    {
        return Err(PlanError::UnboundedOuterJoin { operator, kind: join.kind, left });
    }
    Ok(())
}

/// The schema of a side with the keys behind its columns.
fn with_computed(
    operator: &str,
    schema: &SchemaRef,
    exprs: &[&TypedExpr],
) -> Result<(SchemaRef, Places), PlanError> {
    let visible = schema.fields().len();
    let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    for expr in exprs {
        check_columns(operator, expr, schema)?;
        fields.push(Field::new(expr.to_string(), expr.data_type().clone(), expr.nullable()));
    }
    let width = fields.len();
    let places = Places {
        visible,
        columns: (0..visible).map(|i| (i, i)).collect(),
        computed: (visible..width).collect(),
        width,
    };
    Ok((Schema::new(fields).into(), places))
}

#[cfg(test)]
mod tests;
