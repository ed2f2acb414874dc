//! The plan file: what it says, with the place where it says it.
//!
//! Knows the inventory and the shared vocabulary; never opens a connection and knows no action by name: what actions
//! there are comes in as a [`Catalog`].

mod catalog;
mod check;
mod files;
pub mod folder;
mod guard;
mod items;
mod keys;
mod pace;
mod params;
mod parse;
mod schema;
mod scope;
mod secret_entries;
mod secrets;
pub mod source;
mod step;
#[cfg(test)]
mod testing;
mod types;

pub use crate::finding::{Source, Span, Spanned};
pub use catalog::{ActionInfo, Catalog, Output, ParamError, Role, RunsOn, TextCheck, refuse};
pub use check::check;
pub use files::{Folder, FolderFile, PlainFile, SourceFile, TemplateFile, WrittenFile};
pub use items::{Item, ItemError};
pub use pace::{Pace, Portion};
pub use params::{FileKind, Param};
pub use schema::schema;
pub use scope::{Scope, ScopeError};
pub use secret_entries::secrets;
pub use secrets::{References, used_secrets};
pub use types::{Guard, Phase, Plan, Retry, Step, StepKind, template_name};
