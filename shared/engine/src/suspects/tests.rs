use super::*;

/// A service with the usual latency `usual` and these latencies afterwards, 100 requests in each interval.
fn service(calls: &[usize], usual: f64, after: &[f64]) -> Service {
    let history = (0..40).map(|it| usual * (1.0 + f64::from(it % 5) * 0.01)).collect();
    Service {
        calls: calls.to_vec(),
        indicator: Window { history, before: vec![usual], after: after.iter().copied().map(Some).collect() },
        requests: after.iter().map(|_| Some(100.0)).collect(),
        resources: Vec::new(),
    }
}

fn order(suspects: &[Suspect]) -> Vec<usize> {
    suspects.iter().map(|it| it.service).collect()
}

#[test]
fn callers_inherit_their_loss_and_only_where_it_arises_something_remains() {
    // 0 calls 1 and 2, 1 calls 3. The fault is in 1: it is slow, and what it calls is not.
    let graph = [
        service(&[1, 2], 0.10, &[0.60]),
        service(&[3], 0.05, &[0.55]),
        service(&[], 0.02, &[0.02]),
        service(&[], 0.01, &[0.01]),
    ];
    let suspects = rank(&graph, 0, Worse::High);
    assert_eq!(order(&suspects), [1, 0]);
    assert!(suspects[0].share.unwrap() > 0.9, "{suspects:?}");
}

#[test]
fn a_shaky_leaf_does_not_take_the_blame_for_a_large_loss() {
    // 2 deviates more than anything else in its own terms, but adds a tenth of a millisecond.
    let graph = [service(&[1, 2], 0.10, &[0.60]), service(&[], 0.05, &[0.55]), service(&[], 0.000_1, &[0.002])];
    assert_eq!(rank(&graph, 0, Worse::High)[0].service, 1);
}

#[test]
fn a_level_that_had_shifted_before_is_no_cause() {
    let mut shifted = service(&[], 0.05, &[0.55]);
    shifted.indicator.before = vec![0.55];
    let graph = [service(&[1, 2], 0.10, &[0.60]), shifted, service(&[], 0.02, &[0.50])];
    assert_eq!(order(&rank(&graph, 0, Worse::High)), [2, 0]);
}

#[test]
fn what_was_never_called_before_speaks_of_its_caller() {
    let stranger =
        Service { indicator: Window { after: vec![Some(0.0)], ..Window::default() }, ..service(&[], 1.0, &[]) };
    let available = |calls: &[usize], after: f64| service(calls, 100.0, &[after]);
    let graph = [available(&[1], 80.0), available(&[2], 75.0), stranger];
    assert_eq!(order(&rank(&graph, 0, Worse::Low)), [1, 0]);
}

#[test]
fn own_resources_outrank_symptoms() {
    let mut hot = service(&[], 0.05, &[0.07]);
    hot.resources =
        vec![Window { history: vec![10.0, 11.0, 12.0, 11.0, 10.0], before: vec![11.0], after: vec![Some(95.0)] }];
    let graph = [service(&[1, 2], 0.10, &[0.30]), hot, service(&[], 0.05, &[0.10])];
    let suspects = rank(&graph, 0, Worse::High);
    assert_eq!(suspects[0].service, 1);
    assert!(suspects[0].resources_rose);
}

#[test]
fn nothing_from_outside_makes_it_panic() {
    assert_eq!(rank(&[], 0, Worse::High), []);
    assert_eq!(rank(&[service(&[7, 0], 0.1, &[0.2])], 3, Worse::High), []);
    let mut odd = service(&[7, 0, 1], 0.1, &[f64::NAN, f64::INFINITY]);
    odd.indicator.history = vec![f64::NAN];
    odd.indicator.before = Vec::new();
    let cycle = [odd, service(&[0], 0.1, &[0.9])];
    assert_eq!(rank(&cycle, 0, Worse::High).len(), 2);
}

#[test]
fn equal_values_share_a_rank() {
    let fused = fuse(&[vec![(0, 2.0), (1, 2.0), (2, 1.0)]]);
    assert_eq!(fused, [(0, 1.0 / 6.0), (1, 1.0 / 6.0), (2, 1.0 / 8.0)]);
}
