use super::*;

#[test]
fn cycles_are_found_and_trees_have_none() {
    assert_eq!(cycles(&[vec![1, 2], vec![3], vec![3], vec![]]), Vec::<Vec<usize>>::new());
    // 0 → 1 → 2 → 0, 2 → 3, 3 → 4 → 3, 5 alone, 6 → 6; 9 does not exist.
    let edges = [vec![1], vec![2], vec![0, 3], vec![4], vec![3, 9], vec![], vec![6]];
    assert_eq!(cycles(&edges), [vec![0, 1, 2], vec![3, 4], vec![6]]);
}

#[test]
fn two_cycles_through_one_place_are_one_group() {
    assert_eq!(cycles(&[vec![1, 2], vec![0], vec![0]]), [vec![0, 1, 2]]);
}

#[test]
fn a_long_chain_needs_no_deep_stack() {
    let long: Vec<Vec<usize>> = (0..100_000).map(|it| vec![(it + 1) % 100_000]).collect();
    assert_eq!(cycles(&long).len(), 1);
}

#[test]
fn an_edge_whose_end_is_reached_anyway_is_redundant() {
    // 0 → 1 → 2 and 0 → 2; 0 → 3.
    assert_eq!(redundant(&[vec![1, 2, 3], vec![2], vec![], vec![]], 64), BTreeSet::from([(0, 2)]));
    assert_eq!(redundant(&[vec![1, 2], vec![], vec![]], 64), BTreeSet::new());
    // Within a cycle nothing is left out: which of two edges says more depends on where one begins.
    assert_eq!(redundant(&[vec![1, 2], vec![2], vec![0]], 64), BTreeSet::new());
}
