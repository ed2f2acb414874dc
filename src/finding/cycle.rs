//! Graphs: an order, and the circles that keep some nodes from having one.

use std::collections::BTreeSet;

/// The circles among nodes that point to others, each as the way around (`a → b → a`); nodes that were shown once are
/// not shown again.
pub fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    // These are in no circle.
    let mut shown: BTreeSet<usize> = topological_order(edges).into_iter().collect();
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

/// Each node after those that point to it; without the nodes of circles and all behind them.
pub fn topological_order(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut above = vec![0; edges.len()];
    edges.iter().flatten().for_each(|node| above[*node] += 1);
    let mut order: Vec<usize> = (0..edges.len()).filter(|node| above[*node] == 0).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for below in &edges[node] {
            above[*below] -= 1;
            if above[*below] == 0 {
                order.push(*below);
            }
        }
    }
    order
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

    #[test]
    fn an_order_ends_where_a_circle_begins() {
        assert_eq!(topological_order(&[vec![2, 2], vec![0], vec![]]), [1, 0, 2]);
        assert_eq!(topological_order(&[vec![1], vec![2], vec![1, 3], vec![]]), [0]);
        let row: Vec<Vec<usize>> = (1..100_000).map(|next| vec![next]).chain([vec![]]).collect();
        assert!(cycles(&row).is_empty());
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
