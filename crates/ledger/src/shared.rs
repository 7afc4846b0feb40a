//! A value that its owner changes while others hold it as it was.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A value that a ledger has in common with its snapshots, so that a snapshot takes no room of its own for
/// it. It is copied when it changes while a snapshot is there, and at no other time.
#[derive(Debug, Default)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Whether both are one and the same memory.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: PartialEq> Shared<T> {
    /// Holds it in common with another one that is the same, so that both take the room of one.
    pub(crate) fn join(&mut self, other: &Self) {
        if **self == **other {
            *self = other.clone();
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || *self.0 == *other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_keeps_the_value_that_it_was_taken_of_and_costs_nothing_while_it_is_the_same() {
        let mut owner = Shared::from(vec![1]);
        let before: *const Vec<i32> = &*owner;
        owner.push(2);
        assert!(std::ptr::eq(before, &*owner), "nobody else holds it");
        let snapshot = owner.clone();
        assert!(std::ptr::eq(&*snapshot, &*owner));
        owner.push(3);
        assert_eq!((&*snapshot, &*owner), (&vec![1, 2], &vec![1, 2, 3]));
        assert!(snapshot != owner && snapshot == Shared::from(vec![1, 2]));
    }
}
