//! Options that every subcommand understands.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

/// Options that every subcommand understands.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Inventory file [default: inventory/default.toml, else the only file in inventory/, else this machine alone]
    #[arg(short, long, global = true, value_name = "FILE", env = "ROLLOUT_INVENTORY")]
    pub inventory: Option<PathBuf>,
    /// Set a variable, above all other places; VALUE is a TOML value, else a string. Repeatable
    #[arg(long = "var", global = true, value_name = "NAME=VALUE", value_parser = parse_var)]
    pub vars: Vec<(String, Value)>,
    /// Write text for people or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// When to write colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// For whom output is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// People.
    #[default]
    Text,
    /// Programs.
    Json,
}

/// When to write colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Also into pipes and files.
    Always,
    /// Nowhere.
    Never,
}

impl Options {
    /// The variables of `--var`; the last one of a name wins.
    pub fn overrides(&self) -> Map<String, Value> {
        self.vars.iter().cloned().collect()
    }
}

fn parse_var(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.trim();
    if !crate::template::is_variable_name(name) {
        return Err(format!("`{name}` is not a variable name (letters, digits and `_`, not one of ours)"));
    }
    Ok((name.to_owned(), crate::document::toml_or_text(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_toml_else_text() {
        let value = |text: &str| parse_var(text).map(|v| v.1);
        assert_eq!(value("a=3").unwrap(), json!(3));
        assert_eq!(value("a=[1, \"x\"]").unwrap(), json!([1, "x"]));
        assert_eq!(value("a=true").unwrap(), json!(true));
        assert_eq!(value("a=1.27.0").unwrap(), json!("1.27.0"));
        assert_eq!(value("a=").unwrap(), json!(""));
        assert_eq!(value("a=x=y").unwrap(), json!("x=y"));
        assert!(value("host=x").is_err() && value("a").is_err() && value("a-b=1").is_err());
    }
}
