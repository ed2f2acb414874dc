//! The plan file as data, with the place in the file of every value, and its static checks.
//!
//! Depends on the inventory and the modules below it. Opens no connection and names no action: the available actions
//! come in as a [`Catalog`].

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
pub mod testing;
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
