//! Which of the known names is meant by one that is not known.

use super::TargetName;

/// The most targets that are suggested in place of an unknown one.
const MOST_TARGETS: usize = 3;

/// The known key that differs least, if it differs little.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let written = key.to_ascii_lowercase().replace('-', "_");
    let (distance, best) =
        known.iter().map(|candidate| (edit_distance(&written, candidate), candidate)).min()?;
    (distance <= 1 + best.len() / 4).then_some(*best)
}

/// The targets whose names are most like `name`, the likest first, [`MOST_TARGETS`] at most.
pub(super) fn likest<'k>(
    name: &str,
    known: impl Iterator<Item = &'k TargetName>,
) -> Vec<&'k TargetName> {
    let length = name.chars().count();
    let written = name.to_lowercase();
    let most = 1 + length / 3;
    let mut likes: Vec<(usize, &TargetName)> = known
        // What differs more in length differs more; without this a long list takes long.
        .filter(|known| known.as_str().chars().count().abs_diff(length) <= most)
        .map(|known| (edit_distance(&written, &known.as_str().to_lowercase()), known))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    likes.sort();
    likes.into_iter().take(MOST_TARGETS).map(|(_, known)| known).collect()
}

/// How many insertions, deletions and replacements lie between two words (Levenshtein).
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut left = i + 1;
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (above, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *above;
            left = replaced.min(left + 1).min(diagonal + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
