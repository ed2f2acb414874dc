//! Parses TOML files into a tree that keeps the place of every key and value, reads typed values from the tree, and
//! opens the files of the project.
//!
//! The parsers of plan and inventory take the keys that they know off the tree; keys that are left over become
//! findings. Depends on [`crate::finding`] only. [`yaml`] reads YAML, which plan files contain for other tools.

mod duration;
mod local_file;
mod node;
mod project;
mod reader;
mod root;
mod value;
pub mod yaml;

pub use duration::{format_duration, parse_duration};
pub use local_file::LocalFile;
pub use node::{Item, Node, Table, parse, toml_or_text};
pub use project::{Project, open_file, read_file, read_text};
pub use reader::Reader;
pub use root::{below, project_root};
pub use value::{MAX_BYTES, size};
