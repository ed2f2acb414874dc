//! Regular expressions of parameters, compiled once.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use regex::Regex;

use crate::event::Problem;
use crate::plan::{ParamError, refuse};
use crate::sync::lock;

/// The compiled expression; [`check_regex`] has accepted it before.
pub fn regex(pattern: &str) -> Result<Regex, Problem> {
    compiled(pattern).map_err(|e| Problem::new(format!("{pattern} is not a regular expression: {e}")))
}

/// Number of cached expressions.
const MAX_COMPILED: usize = 64;

/// Compiles the expression, or returns it from a cache that all hosts share: compiling takes longer than the edit of
/// one host's file.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = lock(&COMPILED);
    if let Some(regex) = compiled.get(pattern) {
        return Ok(regex.clone());
    }
    let regex = Regex::new(pattern)?;
    if compiled.len() >= MAX_COMPILED {
        compiled.clear();
    }
    compiled.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

/// Refuses an invalid regular expression.
pub fn check_regex(parameter: &str, pattern: Option<&str>) -> Result<(), ParamError> {
    match pattern.map(compiled) {
        Some(Err(error)) => {
            let error = error.to_string();
            // The last line of the message has the reason; those before it draw the position.
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            refuse(parameter, format!("it is not a regular expression: {reason}"))
        }
        _ => Ok(()),
    }
}
