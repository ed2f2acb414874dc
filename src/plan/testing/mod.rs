//! Test support: builders for plans, and a small catalog of actions.

mod builder;
mod catalog;

pub use builder::at;
pub use catalog::catalog;
