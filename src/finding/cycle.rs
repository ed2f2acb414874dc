//! Circles, for messages that show them.

use std::collections::BTreeSet;

/// The circles among nodes that point to others, each as the way around (`a → b → a`); nodes that were shown once are
/// not shown again.
pub fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut shown = BTreeSet::new();
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if !shown.contains(&start)
            && let Some(path) = way_back(start, edges)
        {
            shown.extend(path.iter().copied());
            found.push(path);
        }
    }
    found
}

/// The shortest way from a node to itself.
fn way_back(start: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut came_from = vec![None; edges.len()];
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for next in &edges[node] {
            if *next == start {
                let mut path = vec![start, node];
                while let Some(before) = path.last().and_then(|n| came_from[*n]) {
                    path.push(before);
                }
                if node == start {
                    path.truncate(2);
                }
                path.reverse();
                return Some(path);
            }
            if came_from[*next].is_none() {
                came_from[*next] = Some(node);
                queue.push_back(*next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_around_is_shown_once() {
        assert_eq!(cycles(&[vec![1], vec![2], vec![0], vec![0]]), [[0, 1, 2, 0]]);
        assert_eq!(cycles(&[vec![0], vec![]]), [[0, 0]]);
        assert_eq!(cycles(&[vec![1], vec![0], vec![3], vec![2]]), [[0, 1, 0], [2, 3, 2]]);
        assert!(cycles(&[vec![1, 2], vec![2], vec![]]).is_empty());
        // One node leads into the circle but is not in it.
        assert_eq!(cycles(&[vec![1], vec![2], vec![1]]), [[1, 2, 1]]);
    }

    proptest::proptest! {
        #[test]
        fn every_way_shown_is_a_way(edges in proptest::collection::vec(proptest::collection::vec(0..6usize, 0..4), 6)) {
            for path in cycles(&edges) {
                proptest::prop_assert_eq!(path.first(), path.last());
                proptest::prop_assert!(path.windows(2).all(|w| edges[w[0]].contains(&w[1])));
            }
        }
    }
}
