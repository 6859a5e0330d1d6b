//! What happens when: an agenda in the order of time, and of entry where times are equal.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use prunella_model::Timestamp;

#[derive(Debug)]
struct Entry<T> {
    at: Timestamp,
    number: u64,
    item: T,
}

impl<T> Entry<T> {
    const fn key(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// An agenda of items.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    number: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), number: 0 }
    }

    pub(crate) fn push(&mut self, at: Timestamp, item: T) {
        self.number += 1;
        self.heap.push(Reverse(Entry { at, number: self.number, item }));
    }

    pub(crate) fn pop(&mut self) -> Option<(Timestamp, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.item))
    }
}
