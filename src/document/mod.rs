//! A TOML file as a tree in which every key and value knows its place, and a reader that takes it apart; and the files of
//! the project around it.
//!
//! Plan and inventory are read with it: they take the keys that they know, and what is left over is a finding. Knows
//! [`crate::finding`] only. Beside it, [`yaml`]: the texts that others read.

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
