//! Parameters that name a file or folder of the project.
//!
//! In a plan they are paths. Before the action is built, the engine reads the file below the plan's root and hands over
//! path and content, or of a file that a step writes, path and place; the schema's `format` tells it which parameters
//! those are.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::document::LocalFile;

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

/// A file of any size and kind taken as it is. An empty path stands for no file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// As written in the plan.
    pub path: String,
    /// The text, where it is a short one; empty in static checks.
    pub content: String,
    /// Where it lies, where it is long or no text.
    pub file: Option<LocalFile>,
}

/// A folder, with the files in it and below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// As written in the plan.
    pub path: String,
    /// Its files, by name; none in static checks.
    pub files: Vec<FolderFile>,
}

/// A file of a [`Folder`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct FolderFile {
    /// Path below the folder.
    pub path: String,
    /// All of it.
    #[serde(deserialize_with = "from_base64")]
    pub content: Vec<u8>,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// A file of the project that a step writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenFile {
    /// As written in the plan, rendered.
    pub path: String,
    /// The same from the root of the file system; empty in static checks.
    pub at: PathBuf,
}

impl WrittenFile {
    /// Why it is no path of a file below the plan's root, if so.
    pub fn path_error(&self) -> Option<String> {
        let (path, components) = (&self.path, Path::new(&self.path).components());
        let inside = components.clone().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if path.ends_with('/') || components.clone().all(|c| c == Component::CurDir) || path.contains(['\n', '\0']) {
            return Some(format!("\"{path}\" is no path of a file"));
        }
        (!inside).then(|| format!("\"{path}\" is not a path below the plan's root"))
    }
}

impl<'de> Deserialize<'de> for WrittenFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrPlace)
    }
}

impl JsonSchema for WrittenFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WrittenFile".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "written", "description": "path of a file, below the plan's root" })
    }
}

struct PathOrPlace;

impl<'de> Visitor<'de> for PathOrPlace {
    type Value = WrittenFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<WrittenFile, E> {
        Ok(WrittenFile { path: path.to_owned(), at: PathBuf::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenFile, A::Error> {
        let mut file = WrittenFile::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "path" => file.path = map.next_value()?,
                "at" => file.at = map.next_value()?,
                _ => return Err(A::Error::custom("expected a path")),
            }
        }
        Ok(file)
    }
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Folder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrFolder)
    }
}

struct PathOrFolder;

impl<'de> Visitor<'de> for PathOrFolder {
    type Value = Folder;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Folder, E> {
        Ok(Folder { path: path.to_owned(), files: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Folder, A::Error> {
        let mut folder = Folder::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "path" => folder.path = map.next_value()?,
                "files" => folder.files = map.next_value()?,
                _ => return Err(A::Error::custom("expected a path")),
            }
        }
        Ok(folder)
    }
}

macro_rules! file_parameter {
    ($type:ident, $format:literal, $about:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let SourceFile { path, content, .. } = deserializer.deserialize_any(PathOrFile)?;
                Ok(Self { path, content })
            }
        }

        path_schema!($type, $format, $about);
    };
}

macro_rules! path_schema {
    ($type:ident, $format:literal, $about:literal) => {
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
path_schema!(Folder, "folder", "path of a folder, below the plan's root");
path_schema!(SourceFile, "source", "path of a file, below the plan's root");

impl<'de> Deserialize<'de> for SourceFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrFile)
    }
}

struct PathOrFile;

impl<'de> Visitor<'de> for PathOrFile {
    type Value = SourceFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Self::Value, E> {
        Ok(SourceFile { path: path.to_owned(), ..SourceFile::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut file = SourceFile::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "path" => file.path = map.next_value()?,
                "content" => file.content = map.next_value()?,
                "file" => file.file = Some(map.next_value()?),
                _ => return Err(A::Error::custom("expected a path")),
            }
        }
        Ok(file)
    }
}
