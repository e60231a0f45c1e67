//! The stored form of a typed expression: nodes in a list, operands before what uses them.
//!
//! Formats such as JSON limit how deep values nest, and a chain of a hundred ORs is a hundred levels. In
//! a list it is a hundred entries. Every node but the last is the operand of exactly one later node;
//! anything else is refused, so a damaged plan is an error and no endless or huge expression.

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::{BoundFunction, TypedExpr, TypedKind};
use crate::expr::{BinaryOp, CastMode};
use crate::functions::Function;
use crate::resolve::DEPTH_MAX;
use crate::scalar::Scalar;
use crate::types::type_serde;

/// One node; its operands are positions in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    #[serde(flatten)]
    kind: Kind,
    #[serde(rename = "type", with = "type_serde")]
    data_type: DataType,
    nullable: bool,
}

/// The position of an operand.
type At = usize;

/// [`TypedKind`] with positions in place of operands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Column { index: usize, name: Arc<str> },
    Literal(Scalar),
    Binary { op: BinaryOp, left: At, right: At },
    Not(At),
    Negate(At),
    IsNull(At),
    IsNotNull(At),
    Case { whens: Vec<(At, At)>, otherwise: Option<At> },
    Cast { input: At, mode: CastMode },
    Coalesce(Vec<At>),
    InList { input: At, list: Vec<At>, negated: bool },
    Like { input: At, pattern: At, negated: bool, insensitive: bool, escape: char },
    Function { function: Function, args: Vec<At> },
    Call { function: BoundFunction, args: Vec<At> },
}

impl From<TypedExpr> for Vec<Node> {
    fn from(expr: TypedExpr) -> Self {
        let mut nodes = Vec::new();
        push(&expr, &mut nodes);
        nodes
    }
}

/// Appends an expression, operands first, and gives its position.
fn push(expr: &TypedExpr, nodes: &mut Vec<Node>) -> At {
    let mut at = |operand: &TypedExpr| push(operand, nodes);
    let kind = match &expr.kind {
        TypedKind::Column { index, name } => Kind::Column { index: *index, name: name.clone() },
        TypedKind::Literal(value) => Kind::Literal(value.clone()),
        TypedKind::Binary { op, left, right } => Kind::Binary { op: *op, left: at(left), right: at(right) },
        TypedKind::Not(input) => Kind::Not(at(input)),
        TypedKind::Negate(input) => Kind::Negate(at(input)),
        TypedKind::IsNull(input) => Kind::IsNull(at(input)),
        TypedKind::IsNotNull(input) => Kind::IsNotNull(at(input)),
        TypedKind::Case { whens, otherwise } => Kind::Case {
            whens: whens.iter().map(|(when, then)| (at(when), at(then))).collect(),
            otherwise: otherwise.as_deref().map(at),
        },
        TypedKind::Cast { input, mode } => Kind::Cast { input: at(input), mode: *mode },
        TypedKind::Coalesce(args) => Kind::Coalesce(args.iter().map(at).collect()),
        TypedKind::InList { input, list, negated } => {
            Kind::InList { input: at(input), list: list.iter().map(at).collect(), negated: *negated }
        }
        TypedKind::Like { input, pattern, negated, insensitive, escape } => Kind::Like {
            input: at(input),
            pattern: at(pattern),
            negated: *negated,
            insensitive: *insensitive,
            escape: *escape,
        },
        TypedKind::Function { function, args } => {
            Kind::Function { function: *function, args: args.iter().map(at).collect() }
        }
        TypedKind::Call { function, args } => {
            Kind::Call { function: function.clone(), args: args.iter().map(at).collect() }
        }
    };
    nodes.push(Node { kind, data_type: expr.data_type.clone(), nullable: expr.nullable });
    nodes.len() - 1
}

/// A list of nodes that is no expression.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoredError {
    #[error("a stored expression has no nodes")]
    Empty,
    #[error("node {node} of a stored expression refers to node {operand}, which is not a free earlier node")]
    Operand { node: usize, operand: usize },
    #[error("{count} nodes of a stored expression are used by no other node")]
    Unused { count: usize },
    #[error("a stored expression is more than {DEPTH_MAX} levels deep")]
    TooDeep,
}

/// The nodes that no later node has taken yet.
struct Free {
    /// Each with its depth.
    nodes: Vec<Option<(TypedExpr, usize)>>,
    /// The depth of the deepest operand taken since the last node was added.
    deepest: usize,
}

impl Free {
    fn take(&mut self, operand: At) -> Result<TypedExpr, StoredError> {
        let node = self.nodes.len();
        let taken = self.nodes.get_mut(operand).and_then(Option::take);
        let (expr, depth) = taken.ok_or(StoredError::Operand { node, operand })?;
        self.deepest = self.deepest.max(depth);
        Ok(expr)
    }

    fn boxed(&mut self, operand: At) -> Result<Box<TypedExpr>, StoredError> {
        self.take(operand).map(Box::new)
    }

    fn all(&mut self, operands: Vec<At>) -> Result<Vec<TypedExpr>, StoredError> {
        operands.into_iter().map(|operand| self.take(operand)).collect()
    }

    fn add(&mut self, node: Node) -> Result<(), StoredError> {
        self.deepest = 0;
        let expr =
            TypedExpr { kind: self.kind(node.kind)?, data_type: node.data_type, nullable: node.nullable };
        let depth = self.deepest + 1;
        if depth > DEPTH_MAX {
            return Err(StoredError::TooDeep);
        }
        self.nodes.push(Some((expr, depth)));
        Ok(())
    }

    fn kind(&mut self, kind: Kind) -> Result<TypedKind, StoredError> {
        Ok(match kind {
            Kind::Column { index, name } => TypedKind::Column { index, name },
            Kind::Literal(value) => TypedKind::Literal(value),
            Kind::Binary { op, left, right } => {
                TypedKind::Binary { op, left: self.boxed(left)?, right: self.boxed(right)? }
            }
            Kind::Not(input) => TypedKind::Not(self.boxed(input)?),
            Kind::Negate(input) => TypedKind::Negate(self.boxed(input)?),
            Kind::IsNull(input) => TypedKind::IsNull(self.boxed(input)?),
            Kind::IsNotNull(input) => TypedKind::IsNotNull(self.boxed(input)?),
            Kind::Case { whens, otherwise } => {
                let pair = |(when, then)| Ok((self.take(when)?, self.take(then)?));
                let whens = whens.into_iter().map(pair).collect::<Result<_, StoredError>>()?;
                TypedKind::Case { whens, otherwise: otherwise.map(|value| self.boxed(value)).transpose()? }
            }
            Kind::Cast { input, mode } => TypedKind::Cast { input: self.boxed(input)?, mode },
            Kind::Coalesce(args) => TypedKind::Coalesce(self.all(args)?),
            Kind::InList { input, list, negated } => {
                TypedKind::InList { input: self.boxed(input)?, list: self.all(list)?, negated }
            }
            Kind::Like { input, pattern, negated, insensitive, escape } => TypedKind::Like {
                input: self.boxed(input)?,
                pattern: self.boxed(pattern)?,
                negated,
                insensitive,
                escape,
            },
            Kind::Function { function, args } => TypedKind::Function { function, args: self.all(args)? },
            Kind::Call { function, args } => TypedKind::Call { function, args: self.all(args)? },
        })
    }
}

impl TryFrom<Vec<Node>> for TypedExpr {
    type Error = StoredError;

    fn try_from(nodes: Vec<Node>) -> Result<Self, StoredError> {
        let mut free = Free { nodes: Vec::with_capacity(nodes.len()), deepest: 0 };
        for node in nodes {
            free.add(node)?;
        }
        let (root, _) = free.nodes.pop().flatten().ok_or(StoredError::Empty)?;
        match free.nodes.iter().flatten().count() {
            0 => Ok(root),
            count => Err(StoredError::Unused { count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{col, lit};
    use crate::{FunctionRegistry, resolve};
    use arrow::datatypes::{Field, Schema};

    fn typed(expr: crate::Expr) -> TypedExpr {
        let schema = Schema::new(vec![Field::new("x", DataType::Int32, false)]);
        resolve(&expr, &schema, &FunctionRegistry::new()).unwrap()
    }

    #[test]
    fn the_stored_form_is_a_list() {
        assert_eq!(
            serde_json::to_string(&typed(col("x").gt(15))).unwrap(),
            concat!(
                r#"[{"column":{"index":0,"name":"x"},"type":"int32","nullable":false},"#,
                r#"{"literal":{"int32":15},"type":"int32","nullable":false},"#,
                r#"{"binary":{"op":"gt","left":0,"right":1},"type":"bool","nullable":false}]"#
            )
        );
    }

    #[test]
    fn the_deepest_expression_is_read_back() {
        let chain = (0..98).fold(col("x").eq(-1), |expr, i| expr.or(col("x").eq(i)));
        let nested = (0..198).fold(lit(true), |expr, _| expr.not());
        for expr in [typed(chain), typed(nested)] {
            let text = serde_json::to_string(&expr).unwrap();
            assert_eq!(serde_json::from_str::<TypedExpr>(&text).unwrap(), expr);
        }
    }

    #[test]
    fn damaged_lists_are_refused() {
        let leaf = r#"{"literal":{"boolean":true},"type":"bool","nullable":false}"#;
        let not = |at: usize| format!(r#"{{"not":{at},"type":"bool","nullable":false}}"#);
        let and = r#"{"binary":{"op":"and","left":0,"right":0},"type":"bool","nullable":false}"#;
        let deep = (0..DEPTH_MAX).map(not).fold(leaf.to_owned(), |list, node| format!("{list},{node}"));
        for (list, message) in [
            (String::new(), "no nodes"),
            (not(0), "node 0 of a stored expression refers to node 0"),
            (format!("{leaf},{}", not(2)), "node 1 of a stored expression refers to node 2"),
            (format!("{leaf},{and}"), "refers to node 0, which is not a free earlier node"),
            (format!("{leaf},{leaf}"), "1 nodes of a stored expression are used by no other node"),
            (deep, "more than 200 levels deep"),
        ] {
            let error = serde_json::from_str::<TypedExpr>(&format!("[{list}]")).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
