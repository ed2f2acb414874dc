//! Options that every subcommand accepts.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Inventory file [default: inventory/default.toml, else the only file in inventory/, else this machine alone]
    #[arg(short, long, global = true, value_name = "FILE", env = "ROLLOUT_INVENTORY")]
    pub inventory: Option<PathBuf>,
    /// Set a variable; overrides the plan and the inventory. VALUE is read as TOML, or else as text. Repeatable
    #[arg(long = "var", global = true, value_name = "NAME=VALUE", value_parser = parse_var)]
    pub vars: Vec<(String, Value)>,
    /// Write text, or JSON for programs
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
}

/// Format of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always, also into pipes and files
    Always,
    /// Never
    Never,
}

impl Options {
    /// The variables of `--var`. If a name is given twice, the last value wins.
    pub fn overrides(&self) -> Map<String, Value> {
        self.vars.iter().cloned().collect()
    }
}

fn parse_var(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = name.trim();
    if !crate::template::is_variable_name(name) {
        return Err(format!(
            "`{name}` is not a variable name: use letters, digits and `_`, and no name that rollout defines itself"
        ));
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
