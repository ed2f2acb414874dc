//! Types of parameters that name a file or folder of the project.
//!
//! In a plan these parameters are paths. Before the engine builds the action, it reads the file below the plan's root
//! and passes path and content instead, or, for a file that the step writes, path and absolute path. The `format` in
//! the schema tells the engine which parameters these are.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::document::LocalFile;

/// A template file; `content` is the rendered text. An empty path means that no file is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateFile {
    /// As written in the plan.
    pub path: String,
    /// The rendered text; empty in static checks.
    pub content: String,
}

/// A text file that is used unchanged. An empty path means that no file is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainFile {
    /// As written in the plan.
    pub path: String,
    /// The text; empty in static checks.
    pub content: String,
}

/// A file of any size and kind that is used unchanged. An empty path means that no file is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// As written in the plan.
    pub path: String,
    /// The content of a short text file. Empty for other files, and in static checks.
    pub content: String,
    /// The file itself, if it is large or not text.
    pub file: Option<LocalFile>,
}

/// A folder and all files below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// As written in the plan.
    pub path: String,
    /// The files, sorted by path. Empty in static checks.
    pub files: Vec<FolderFile>,
}

/// A file of a [`Folder`].
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct FolderFile {
    /// Path below the folder.
    pub path: String,
    #[serde(deserialize_with = "from_base64")]
    pub content: Vec<u8>,
    /// Whether the owner may execute the file.
    pub executable: bool,
}

/// A file of the project that a step writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenFile {
    /// As written in the plan, rendered.
    pub path: String,
    /// Absolute path; empty in static checks.
    pub at: PathBuf,
}

impl WrittenFile {
    /// Why the path does not name a file below the plan's root; `None` if it does.
    pub fn path_error(&self) -> Option<String> {
        let (path, components) = (&self.path, Path::new(&self.path).components());
        let inside = components.clone().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if path.ends_with('/') || components.clone().all(|c| c == Component::CurDir) || path.contains(['\n', '\0']) {
            return Some(format!("\"{path}\" is not the path of a file"));
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
