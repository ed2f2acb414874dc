//! The plan file: what it says, with the place where it says it.
//!
//! Knows the inventory and the shared vocabulary; never opens a connection and knows no action by name: what actions
//! there are comes in as a [`Catalog`].

mod catalog;
mod scope;
mod source;
mod types;

pub use catalog::{Catalog, Kind, Output, ParamError, Place, Role};
pub use scope::{Scope, ScopeError};
pub use source::{Source, Span, Spanned};
pub use types::{Phase, Plan, Retry, Step, template_name};
