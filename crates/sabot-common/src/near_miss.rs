//! Near misses for messages: `unknown column "orgin"; did you mean "origin"?`.

/// The name among `known` that a user most likely meant by `wrong`, if one is near enough.
///
/// Near enough is at most a third of the longer name's characters changed, added, dropped or swapped
/// with a neighbour (the restricted Damerau–Levenshtein distance), letter case apart. Of equally near
/// names the first of `known` wins.
///
/// ```
/// use sabot_common::did_you_mean;
/// assert_eq!(did_you_mean("orgin", ["delay", "origin"]), Some("origin"));
/// assert_eq!(did_you_mean("price", ["delay", "origin"]), None);
/// ```
pub fn did_you_mean<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = wrong.to_lowercase().chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for name in known {
        let candidate: Vec<char> = name.to_lowercase().chars().collect();
        let distance = edit_distance(&wanted, &candidate);
        let near = distance * 3 <= wanted.len().max(candidate.len());
        if near && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Names for a message, `a, b, c`, cut after twenty with the number of those left out.
///
/// ```
/// # use sabot_common::list_names;
/// assert_eq!(list_names(["delay", "origin"]), "delay, origin");
/// assert_eq!(list_names([]), "(none)");
/// ```
pub fn list_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    match all.len() {
        0 => "(none)".to_owned(),
        n if n > 20 => format!("{}, … ({} more)", all[..20].join(", "), n - 20),
        _ => all.join(", "),
    }
}

fn edit_distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the dynamic programme: two back (for swaps), one back, current.
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_case_and_small_typos_are_near() {
        let known = ["date", "delay", "distance", "origin", "destination"];
        for (wrong, right) in
            [("dealy", "delay"), ("Origin", "origin"), ("distanse", "distance"), ("dat", "date")]
        {
            assert_eq!(did_you_mean(wrong, known), Some(right), "{wrong}");
        }
        assert_eq!(did_you_mean("x", known), None);
        assert_eq!(did_you_mean("anything", []), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..25).map(|i| format!("c{i}")).collect();
        assert!(list_names(names.iter().map(String::as_str)).ends_with("c19, … (5 more)"));
        assert_eq!(list_names([]), "(none)");
    }
}
