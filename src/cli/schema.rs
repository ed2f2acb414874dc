//! `rollout schema [plan|inventory|event]`

use clap::ValueEnum;

use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::{event, inventory, plan};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What the schema is of
    #[arg(value_enum, default_value_t)]
    of: Of,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Of {
    /// Plan files
    #[default]
    Plan,
    /// Inventory files
    Inventory,
    /// One line of `--output json`, and of a journal
    Event,
}

/// Prints the schema.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let schema = match args.of {
        Of::Plan => plan::schema(&Registry::standard()),
        Of::Inventory => inventory::schema(),
        Of::Event => schemars::schema_for!(event::Event).to_value(),
    };
    terminal.json(&schema)?;
    Ok(Exit::Ok)
}
