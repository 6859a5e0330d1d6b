//! Pure questions about directed graphs, given as lists of who points at whom by place.

use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// Groups of places of which each reaches each other, by Tarjan's algorithm (SIAM J. Comput. 1972), without recursion.
///
/// Only those that are cycles: two places or more, or one that points at itself. Each group is sorted, and so are the
/// groups. What points beyond the list is ignored.
pub(crate) fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut tarjan = Tarjan {
        index: vec![None; edges.len()],
        low: vec![0; edges.len()],
        on_stack: vec![false; edges.len()],
        stack: Vec::new(),
        next: 0,
        groups: Vec::new(),
    };
    for start in 0..edges.len() {
        if tarjan.index[start].is_none() {
            tarjan.visit(edges, start);
        }
    }
    let mut groups = tarjan.groups;
    groups.retain(|group| match group[..] {
        [one] => edges[one].contains(&one),
        _ => true,
    });
    groups.sort();
    groups
}

struct Tarjan {
    index: Vec<Option<usize>>,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    next: usize,
    groups: Vec<Vec<usize>>,
}

impl Tarjan {
    fn visit(&mut self, edges: &[Vec<usize>], start: usize) {
        // Each entry is a place and how many of its edges have been followed.
        let mut path = vec![(start, 0)];
        self.enter(start);
        while let Some((place, followed)) = path.last_mut() {
            let (place, to) = (*place, edges[*place].get(*followed).copied());
            *followed += 1;
            match to {
                None => {
                    path.pop();
                    if let Some((caller, _)) = path.last() {
                        self.low[*caller] = self.low[*caller].min(self.low[place]);
                    }
                    self.leave(place);
                }
                Some(to) if to >= edges.len() => {}
                Some(to) => match self.index[to] {
                    None => {
                        self.enter(to);
                        path.push((to, 0));
                    }
                    Some(index) if self.on_stack[to] => self.low[place] = self.low[place].min(index),
                    Some(_) => {}
                },
            }
        }
    }

    fn enter(&mut self, place: usize) {
        self.index[place] = Some(self.next);
        self.low[place] = self.next;
        self.next += 1;
        self.stack.push(place);
        self.on_stack[place] = true;
    }

    /// Closes a group when its first place is left.
    fn leave(&mut self, place: usize) {
        if self.index[place] != Some(self.low[place]) {
            return;
        }
        let mut group = Vec::new();
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            group.push(member);
            if member == place {
                break;
            }
        }
        group.sort_unstable();
        self.groups.push(group);
    }
}

/// Edges that say nothing new: their end is reached without them, by at most `limit` places. This is what the transitive
/// reduction of a graph without cycles leaves out (Aho, Garey, Ullman 1972); edges within cycles are kept.
pub(crate) fn redundant(edges: &[Vec<usize>], limit: usize) -> BTreeSet<(usize, usize)> {
    let mut group = vec![None; edges.len()];
    for (number, members) in cycles(edges).into_iter().enumerate() {
        for member in members {
            group[member] = Some(number);
        }
    }
    let within = |from: usize, to: usize| group[from].is_some() && group[from] == group[to];
    let mut found = BTreeSet::new();
    for (from, all) in edges.iter().enumerate() {
        for to in all.iter().copied().filter(|to| *to < edges.len() && *to != from && !within(from, *to)) {
            let others = all.iter().copied().filter(|it| *it != to && *it < edges.len());
            if reaches(edges, others.collect(), from, to, limit) {
                found.insert((from, to));
            }
        }
    }
    found
}

/// Whether one of `open` leads to `to` without passing `avoid`.
fn reaches(edges: &[Vec<usize>], mut open: Vec<usize>, avoid: usize, to: usize, limit: usize) -> bool {
    let mut seen: BTreeSet<usize> = BTreeSet::from([avoid]);
    while let Some(place) = open.pop() {
        if seen.len() > limit || !seen.insert(place) {
            continue;
        }
        if edges[place].contains(&to) {
            return true;
        }
        open.extend(edges[place].iter().copied().filter(|it| *it < edges.len()));
    }
    false
}
