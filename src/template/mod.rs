//! Templates: `{{ … }}` in strings and files, and expressions such as `when`.
//!
//! Undefined names are errors with name and line. Reads template files below the plan's root and nothing else. The
//! language is Jinja's, with the additional filters of `filters`.

mod bounds;
mod builtin;
mod context;
mod error;
mod filters;
mod inspect;
mod names;
mod render;
mod variables;
mod watch;
mod weight;

pub use context::{Context, RESERVED_NAMES, is_variable_name};
pub use error::TemplateError;
pub use names::{Names, OutputRef};
pub use render::{Templates, is_template};
pub use variables::{Resolution, VariableError, Variables};
pub use watch::{RENDER_TIMEOUT, RenderTimedOut, with_watchdog};
