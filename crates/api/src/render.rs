//! Workloads and their manifests, on the wire.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use utoipa::PartialSchema;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema};

/// A workload as its platform describes it, which is for `surfaces` to read. A name that appears
/// twice in an object is refused: which of the two was meant is not ours to guess.
#[derive(Clone, Debug, Serialize)]
pub struct WorkloadBody(pub Map<String, Value>);

/// A manifest.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rendered {
    /// A Kubernetes `List`.
    #[schema(value_type = Object)]
    pub manifest: Value,
    /// What the workload says that the manifest leaves out.
    pub warnings: Vec<String>,
}

impl<'de> Deserialize<'de> for WorkloadBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Unique.deserialize(deserializer)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(D::Error::custom("invalid type, expected a JSON object")),
        }
    }
}

impl PartialSchema for WorkloadBody {
    fn schema() -> RefOr<Schema> {
        let about = "A recipe of AI Blueprints (`recipe_mode`), a run of the Digital Hub (`secrets` and `image`, or a `spec` with them) or a job of Apolo (`image`, or a `container`)";
        ObjectBuilder::new()
            .description(Some(about))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .build()
            .into()
    }
}

impl ToSchema for WorkloadBody {}

/// Any JSON in which each name appears once in its object.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = access.next_value_seed(Self)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("each key must appear once"));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn a_workload_is_any_object_with_each_name_once() {
        let text = r#"{"a":{"b":[1,-1,1.5,null,true,"x"]}}"#;
        let body: WorkloadBody = parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&body).unwrap(), text);
        for refused in ["[]", "5", r#"{"a":1,"a":1}"#, r#"{"a":[{"b":"MARKER","b":"MARKER"}]}"#] {
            let problem = parse::<WorkloadBody>(refused.as_bytes()).unwrap_err();
            assert_eq!(problem.status, 422, "{refused}");
            assert!(!problem.detail.contains("MARKER"), "{}", problem.detail);
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(1000), "}".repeat(1000));
        assert!(parse::<WorkloadBody>(deep.as_bytes()).is_err());
    }
}
