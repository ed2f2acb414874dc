//! Topological order of a graph, and its cycles.

use std::collections::BTreeSet;

/// The cycles of a graph given as the targets of each node. A cycle is the path around it (`a → b → a`). A node that is
/// part of one reported cycle starts no other.
pub fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    // Nodes in the order are on no cycle.
    let mut shown: BTreeSet<usize> = topological_order(edges).into_iter().collect();
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if !shown.contains(&start)
            && let Some(path) = shortest_cycle(start, edges)
        {
            shown.extend(path.iter().copied());
            found.push(path);
        }
    }
    found
}

/// Nodes in topological order. Nodes on a cycle, or reachable from one, are left out.
pub fn topological_order(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut incoming = vec![0; edges.len()];
    edges.iter().flatten().for_each(|node| incoming[*node] += 1);
    let mut order: Vec<usize> = (0..edges.len()).filter(|node| incoming[*node] == 0).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for target in &edges[node] {
            incoming[*target] -= 1;
            if incoming[*target] == 0 {
                order.push(*target);
            }
        }
    }
    order
}

/// The shortest path from a node to itself.
fn shortest_cycle(start: usize, edges: &[Vec<usize>]) -> Option<Vec<usize>> {
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
        // One node leads into the cycle but is not on it.
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
