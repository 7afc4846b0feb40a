//! Lists and objects of an answer, bounded while they are read: what a server writes in two bytes may take a
//! hundred here.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A list of `MOST` entries at most; a longer one is an error.
#[derive(Debug)]
pub(super) struct Few<T, const MOST: usize>(pub(super) Vec<T>);

/// The first `MOST` entries of a list.
#[derive(Debug)]
pub(super) struct First<T, const MOST: usize>(pub(super) Vec<T>);

/// The first `MOST` members of an object; `null` is an empty one.
#[derive(Debug)]
pub(super) struct Members<T, const MOST: usize>(pub(super) Vec<(String, T)>);

impl<T, const MOST: usize> Default for Few<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MOST: usize> Default for First<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MOST: usize> Default for Members<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct List<T> {
    most: usize,
    is_cut: bool,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} entries at most", self.most)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while list.len() < self.most {
            match entries.next_element()? {
                Some(entry) => list.push(entry),
                None => return Ok(list),
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {
            if !self.is_cut {
                return Err(A::Error::custom(format_args!("a list of more than {}", self.most)));
            }
        }
        Ok(list)
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = List { most: MOST, is_cut: false, of: PhantomData };
        deserializer.deserialize_any(list).map(Self)
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for First<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = List { most: MOST, is_cut: true, of: PhantomData };
        deserializer.deserialize_any(list).map(Self)
    }
}

struct Object<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Object<T, MOST> {
    type Value = Members<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Members::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while read.len() < MOST {
            match members.next_entry()? {
                Some(member) => read.push(member),
                None => return Ok(Members(read)),
            }
        }
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Members(read))
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Members<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Object(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_grows_beyond_its_bound() {
        assert_eq!(serde_json::from_str::<Few<u8, 2>>("[1,2]").unwrap().0, [1, 2]);
        assert!(serde_json::from_str::<Few<u8, 2>>("[1,2,3]").is_err());
        assert_eq!(serde_json::from_str::<First<u8, 2>>("[1,2,3]").unwrap().0, [1, 2]);
        assert!(serde_json::from_str::<First<u8, 2>>("null").unwrap().0.is_empty());
        let members: Members<bool, 1> = serde_json::from_str(r#"{"a":true,"b":[{}]}"#).unwrap();
        assert_eq!(members.0, [("a".to_owned(), true)]);
        assert!(serde_json::from_str::<Members<bool, 1>>("7").is_err());
    }
}
