//! The plane of 100 × 100 km on which terminals stand and cards live.
//!
//! A card pays at terminals less than 5 km away. They are not listed for each card, which would take memory for
//! cards × terminals in reach: the plane is cut into cells of 5 km, so that whatever is in reach lies in the cell
//! of the card or in one of the eight around it, and a terminal of these is drawn again until it is near enough.

use super::random::{Purpose, Random, Streams};

/// The plane's side.
pub const SIDE_KM: f64 = 100.0;
/// A card pays at terminals nearer than this.
pub const REACH_KM: f64 = 5.0;
/// Cells along a side.
const CELLS: usize = (SIDE_KM / REACH_KM) as usize;

/// A place on the plane, in kilometres.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Place {
    pub(crate) fn anywhere(random: &mut Random) -> Self {
        Self { x: random.uniform(0.0, SIDE_KM), y: random.uniform(0.0, SIDE_KM) }
    }

    fn reaches(self, other: Place) -> bool {
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        dx * dx + dy * dy < REACH_KM * REACH_KM
    }

    /// Row and column of its cell.
    fn cell(self) -> (usize, usize) {
        let index = |km: f64| ((km / REACH_KM) as usize).min(CELLS - 1);
        (index(self.y), index(self.x))
    }
}

/// All terminals, by number and by cell.
#[derive(Debug)]
pub(crate) struct Terminals {
    places: Vec<Place>,
    /// Numbers of terminals, those of one cell behind each other.
    by_cell: Vec<u32>,
    /// Where each cell begins in `by_cell`, and where the last one ends.
    starts: Vec<usize>,
}

impl Terminals {
    pub(crate) fn new(count: u32, streams: &Streams) -> Self {
        let place = |terminal| Place::anywhere(&mut streams.get(Purpose::Terminal, u64::from(terminal)));
        let places: Vec<Place> = (0..count).map(place).collect();
        let number = |place: &Place| place.cell().0 * CELLS + place.cell().1;
        let mut by_cell: Vec<u32> = (0..count).collect();
        by_cell.sort_by_key(|terminal| number(&places[*terminal as usize]));
        let mut starts = vec![0; CELLS * CELLS + 1];
        for place in &places {
            starts[number(place) + 1] += 1;
        }
        for cell in 1..starts.len() {
            starts[cell] += starts[cell - 1];
        }
        Self { places, by_cell, starts }
    }

    pub(crate) fn place(&self, terminal: u32) -> Place {
        self.places[terminal as usize]
    }

    /// The terminals of the cell of a place and of those around it, a row of cells each.
    fn around(&self, from: Place) -> [&[u32]; 3] {
        let (row, column) = from.cell();
        let (left, right) = (column.saturating_sub(1), (column + 1).min(CELLS - 1));
        let of_row = |row: Option<usize>| match row.filter(|row| *row < CELLS) {
            Some(row) => &self.by_cell[self.starts[row * CELLS + left]..self.starts[row * CELLS + right + 1]],
            None => &[],
        };
        [of_row(row.checked_sub(1)), of_row(Some(row)), of_row(Some(row + 1))]
    }

    /// Whether a terminal is in reach.
    pub(crate) fn any_in_reach(&self, from: Place) -> bool {
        self.around(from).into_iter().flatten().any(|terminal| from.reaches(self.place(*terminal)))
    }

    /// One of the terminals in reach, of which there must be one.
    pub(crate) fn choose(&self, from: Place, random: &mut Random) -> u32 {
        let rows = self.around(from);
        let all = rows.iter().map(|row| row.len()).sum::<usize>() as u32;
        loop {
            let mut at = random.below(all) as usize;
            for row in rows {
                match row.get(at) {
                    Some(terminal) if from.reaches(self.place(*terminal)) => return *terminal,
                    Some(_) => break,
                    None => at -= row.len(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_terminal_in_reach_is_as_likely_and_no_other() {
        let streams = Streams::new(5);
        let terminals = Terminals::new(2_000, &streams);
        let mut random = streams.get(Purpose::Card, 0);
        for from in [Place { x: 50.0, y: 50.0 }, Place { x: 0.1, y: 99.9 }, Place { x: 99.99, y: 2.0 }] {
            let reached: Vec<u32> = (0..2_000).filter(|t| from.reaches(terminals.place(*t))).collect();
            assert_eq!(terminals.any_in_reach(from), !reached.is_empty());
            let mut hits: BTreeMap<u32, u32> = BTreeMap::new();
            for _ in 0..1_000 * reached.len() {
                *hits.entry(terminals.choose(from, &mut random)).or_default() += 1;
            }
            assert_eq!(hits.keys().copied().collect::<Vec<_>>(), reached);
            assert!(hits.values().all(|hits| (850..1_150).contains(hits)), "{hits:?}");
        }
    }

    #[test]
    fn a_lone_terminal_is_far_from_most_places() {
        let streams = Streams::new(6);
        let terminals = Terminals::new(1, &streams);
        let place = terminals.place(0);
        assert!(terminals.any_in_reach(place));
        let far = Place { x: (place.x + 50.0) % SIDE_KM, y: place.y };
        assert!(!terminals.any_in_reach(far));
        assert_eq!(terminals.choose(place, &mut streams.get(Purpose::Card, 1)), 0);
    }
}
