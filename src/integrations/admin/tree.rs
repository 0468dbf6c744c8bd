use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Any JSON, and whether an object in it names a field twice.
///
/// Readers disagree on which of the two counts, so that a proxy may have checked another
/// value than the one that would be used.
pub(super) struct Tree {
    value: Value,
    twice: Option<String>,
}

impl Tree {
    /// The JSON, or a name that an object has twice.
    pub(super) fn into_value(self) -> Result<Value, String> {
        match self.twice {
            None => Ok(self.value),
            Some(name) => Err(name),
        }
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        Self { value, twice: None }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Value::from(value).into())
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Value::Null.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let (mut values, mut twice) = (Vec::new(), None);
        while let Some(item) = items.next_element::<Tree>()? {
            twice = twice.or(item.twice);
            values.push(item.value);
        }
        Ok(Tree { value: values.into(), twice })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let (mut fields, mut twice) = (Map::new(), None);
        while let Some((name, entry)) = entries.next_entry::<String, Tree>()? {
            twice = twice.or(entry.twice);
            if fields.insert(name.clone(), entry.value).is_some() {
                twice = twice.or(Some(name));
            }
        }
        Ok(Tree { value: fields.into(), twice })
    }
}
