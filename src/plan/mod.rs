//! The plan file: what it says, with the place where it says it.
//!
//! Knows the inventory and the shared vocabulary; never opens a connection and knows no action by name: what actions
//! there are comes in as a [`Catalog`].

mod catalog;
mod params;
mod scope;
#[cfg(test)]
mod testing;
mod types;
mod value;

pub use crate::finding::{Source, Span, Spanned};
pub use catalog::{Catalog, Kind, Output, ParamError, Place, Role};
pub use params::{FileKind, Param};
pub use scope::{Scope, ScopeError};
pub use types::{Phase, Plan, Retry, Step, template_name};
pub use value::{is_variable_name, toml_or_text};
