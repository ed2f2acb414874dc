//! Parameters that name a file of the project.
//!
//! In a plan they are paths. Before the action is built, the engine reads the file below the plan's root and hands over
//! path and content; the schema's `format` tells it which parameters those are.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A template file; `content` is its rendered text. An empty path stands for no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateFile {
    /// As written in the plan.
    pub path: String,
    /// The rendered text; empty in static checks.
    pub content: String,
}

/// A file taken as it is. An empty path stands for no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainFile {
    /// As written in the plan.
    pub path: String,
    /// The text; empty in static checks.
    pub content: String,
}

macro_rules! file_parameter {
    ($type:ident, $format:literal, $about:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (path, content) = deserializer.deserialize_any(PathOrFile)?;
                Ok(Self { path, content })
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "description": $about })
            }
        }
    };
}

file_parameter!(TemplateFile, "template", "path of a template file, below the plan's root");
file_parameter!(PlainFile, "file", "path of a file, below the plan's root");

struct PathOrFile;

impl<'de> Visitor<'de> for PathOrFile {
    type Value = (String, String);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Self::Value, E> {
        Ok((path.to_owned(), String::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut file = Self::Value::default();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            match key.as_str() {
                "path" => file.0 = value,
                "content" => file.1 = value,
                _ => return Err(A::Error::custom("expected a path")),
            }
        }
        Ok(file)
    }
}
