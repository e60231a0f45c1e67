//! Predict beside the walk that one writes first: a row at a time, a tree at a time, nodes that own each other.
//!
//! Trees are balanced and their thresholds drawn like the rows, so that every branch of the naive walk is a guess.

use arrow::array::{ArrayRef, AsArray, Float32Array, Float64Array, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type};
use criterion::Criterion;
use sabot_benches::checksum::{self, Row};
use sabot_benches::{Contest, Size, data};
use sabot_cpu::predict::PredictStep;
use sabot_ops::{Forest, Nodes, Objective, PredictColumn, PredictSpec, PredictValue, TreeModel};
use std::sync::Arc;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

pub(crate) fn benchmarks(criterion: &mut Criterion) {
    contest(criterion, 100, 4);
    contest(criterion, 100, 6);
    contest(criterion, 500, 8);
}

fn contest(criterion: &mut Criterion, trees: usize, depth: u32) {
    let Size { rows, morsel_rows } = Size::of_this_run();
    // A row takes hundreds of steps.
    let rows = rows.div_ceil(16);
    let columns = NAMES.iter().zip(0..).map(|(name, seed)| {
        let floats = data::floats(50 + seed, rows).into_iter().map(|x| x as f32);
        (*name, Arc::new(Float32Array::from_iter_values(floats)) as ArrayRef)
    });
    let batch = data::batch(columns);
    let morsels = data::morsels(&batch, morsel_rows);
    let model = Arc::new(model(trees, depth));
    let naive = Naive::of(&model);
    let naively = || -> Vec<ArrayRef> { morsels.iter().map(|rows| naive.margins(rows)).collect() };
    let sum = |columns: &Vec<ArrayRef>| {
        let margins = columns.iter().flat_map(|column| column.as_primitive::<Float64Type>().values());
        checksum::of_rows(margins.map(|margin| Row::new().float(*margin)))
    };
    let contest = Contest {
        group: "predict",
        name: format!("{trees} trees of depth {depth}"),
        rows: rows as u64,
        bytes: data::bytes(&morsels),
        expected: sum(&naively()),
    };
    let columns = vec![PredictColumn { name: "margin".to_owned(), value: PredictValue::Margin }];
    let spec = PredictSpec { model, features: (0..NAMES.len()).collect(), columns };
    let step = PredictStep::new(&spec, &batch.schema()).expect("a model of these columns");
    let run = || -> Vec<ArrayRef> {
        let columns = morsels.iter().flat_map(|rows| step.run(rows).expect("rows of the step's schema"));
        columns.collect()
    };
    contest.with_peer(criterion, (run, sum), "a naive walk", (naively, sum));
}

/// Trees in which both children of a node are split, down to the depth.
fn model(trees: usize, depth: u32) -> TreeModel {
    let (splits, each) = ((1 << depth) - 1, (2 << depth) - 1);
    let numbers = data::floats(41, trees * each);
    let drawn = data::ints(42, trees * each, 0..NAMES.len() as i64);
    let (roots, feature, threshold, left, missing, value) = Default::default();
    let mut nodes = Nodes { roots, feature, threshold, left, missing, value };
    for (node, number) in numbers.into_iter().enumerate() {
        let (root, at) = (node - node % each, node % each);
        if at == 0 {
            nodes.roots.push(root as u32);
        }
        let is_split = at < splits;
        nodes.left.push((if is_split { root + 2 * at + 1 } else { node }) as u32);
        nodes.feature.push(if is_split { drawn[node] as u32 } else { 0 });
        nodes.threshold.push(if is_split { number as f32 } else { 0.0 });
        nodes.missing.push(0);
        nodes.value.push(number as f32 - 500.0);
    }
    let features = NAMES.map(str::to_owned).to_vec();
    TreeModel {
        features,
        base: 0.5,
        divisor: 1,
        objective: Objective::Identity,
        forest: Forest::Single(nodes),
        attributes: Default::default(),
    }
}

/// A tree as one writes it first.
enum Tree {
    Leaf(f32),
    Split { feature: usize, threshold: f32, children: Box<[Tree; 2]> },
}

struct Naive {
    base: f32,
    trees: Vec<Tree>,
}

impl Naive {
    fn of(model: &TreeModel) -> Self {
        let Forest::Single(nodes) = &model.forest else { return Self { base: 0.0, trees: vec![] } };
        fn tree(nodes: &Nodes<f32>, at: usize) -> Tree {
            if nodes.is_leaf(at) {
                return Tree::Leaf(nodes.value[at]);
            }
            let left = nodes.left[at] as usize;
            let children = Box::new([tree(nodes, left), tree(nodes, left + 1)]);
            Tree::Split { feature: nodes.feature[at] as usize, threshold: nodes.threshold[at], children }
        }
        let trees = nodes.roots.iter().map(|root| tree(nodes, *root as usize)).collect();
        Self { base: model.base as f32, trees }
    }

    fn margins(&self, rows: &RecordBatch) -> ArrayRef {
        let columns: Vec<&[f32]> =
            rows.columns().iter().map(|column| &column.as_primitive::<Float32Type>().values()[..]).collect();
        let margin = |row: usize| {
            let mut sum = self.base;
            for tree in &self.trees {
                let mut at = tree;
                while let Tree::Split { feature, threshold, children } = at {
                    at = &children[usize::from(columns[*feature][row] >= *threshold)];
                }
                if let Tree::Leaf(value) = at {
                    sum += value;
                }
            }
            f64::from(sum)
        };
        Arc::new(Float64Array::from_iter_values((0..rows.num_rows()).map(margin)))
    }
}
