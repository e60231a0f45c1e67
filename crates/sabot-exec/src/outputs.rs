//! Where a task's results go.

use std::sync::Arc;
use std::task::Waker;

use crate::edge::Edge;
use crate::element::{Charged, Element};
use sabot_plan::Port;

/// One consumer of a port.
#[derive(Debug)]
pub(crate) enum Fan {
    /// One task.
    One(Arc<Edge>),
    /// The tasks of a keyed stage; the target of each morsel says which.
    ByTarget(Vec<Arc<Edge>>),
}

impl Fan {
    fn edges(&self) -> &[Arc<Edge>] {
        match self {
            Fan::One(edge) => std::slice::from_ref(edge),
            Fan::ByTarget(edges) => edges,
        }
    }
}

/// All consumers of all ports of one task. A fork is several consumers of one port: each element goes
/// to all of them in one step, so that no branch falls behind another by more than its queue.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    main: Vec<Fan>,
    late: Vec<Fan>,
}

impl Outputs {
    pub(crate) fn add(&mut self, port: Port, fan: Fan) {
        match port {
            Port::Main => self.main.push(fan),
            Port::Late => self.late.push(fan),
        }
    }

    pub(crate) fn set_producer(&self, waker: &Waker) {
        self.edges().for_each(|edge| edge.set_producer(waker.clone()));
    }

    fn edges(&self) -> impl Iterator<Item = &Arc<Edge>> {
        self.main.iter().chain(&self.late).flat_map(Fan::edges)
    }

    /// Whether one more morsel fits everywhere. After a no the producer is woken when one may.
    pub(crate) fn has_room(&self) -> bool {
        self.edges().all(|edge| edge.has_room())
    }

    /// Whether anybody reads a port.
    pub(crate) fn is_read(&self, port: Port) -> bool {
        match port {
            Port::Main => !self.main.is_empty(),
            Port::Late => !self.late.is_empty(),
        }
    }

    /// Hands rows to every consumer of a port; only after [`Outputs::has_room`] said yes.
    pub(crate) fn rows(&self, port: Port, target: u32, rows: &Charged) {
        let fans = match port {
            Port::Main => &self.main,
            Port::Late => &self.late,
        };
        for fan in fans {
            let edge = match fan {
                Fan::One(edge) => Some(edge),
                Fan::ByTarget(edges) => edges.get(target as usize),
            };
            debug_assert!(edge.is_some(), "a morsel for task {target}, which does not exist");
            if let Some(edge) = edge {
                edge.push(Element::Morsel(rows.clone()));
            }
        }
    }

    /// Hands a control element to every consumer of every port.
    pub(crate) fn control(&self, element: &Element) {
        self.edges().for_each(|edge| edge.push(element.clone()));
    }
}
