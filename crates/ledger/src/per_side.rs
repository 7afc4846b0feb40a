//! One value for each side.

use std::ops::{Index, IndexMut};

use crate::Side;

/// One value for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerSide<T> {
    /// That of the send side.
    pub send: T,
    /// That of the receive side.
    pub receive: T,
}

impl<T> PerSide<T> {
    /// What follows for each side from its value.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> PerSide<U> {
        PerSide { send: f(self.send), receive: f(self.receive) }
    }

    /// References to both.
    pub fn as_ref(&self) -> PerSide<&T> {
        PerSide { send: &self.send, receive: &self.receive }
    }

    /// Each side with its value, the send side first.
    pub fn iter(&self) -> impl Iterator<Item = (Side, &T)> {
        [(Side::Send, &self.send), (Side::Receive, &self.receive)].into_iter()
    }

    /// The same, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Side, &mut T)> {
        [(Side::Send, &mut self.send), (Side::Receive, &mut self.receive)].into_iter()
    }
}

impl<T> Index<Side> for PerSide<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Send => &self.send,
            Side::Receive => &self.receive,
        }
    }
}

impl<T> IndexMut<Side> for PerSide<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Send => &mut self.send,
            Side::Receive => &mut self.receive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_its_own_value() {
        let mut both = PerSide { send: 1, receive: 2 };
        both[Side::Receive] += 10;
        assert_eq!([both[Side::Send], both[Side::Receive]], [1, 12]);
        for (side, value) in both.iter_mut() {
            *value += if side == Side::Send { 100 } else { 200 };
        }
        let seen: Vec<_> = both.iter().collect();
        assert_eq!(seen, [(Side::Send, &101), (Side::Receive, &212)]);
        assert_eq!(both.map(|value| value * 2), PerSide { send: 202, receive: 424 });
    }
}
