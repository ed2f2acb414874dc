//! `rollout schema [plan|inventory|event]`: prints a JSON Schema.

use clap::ValueEnum;

use super::exit::Exit;
use super::failure::Failure;
use super::terminal::Terminal;
use crate::actions::Registry;
use crate::{event, inventory, plan};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to print the schema of
    #[arg(value_enum, default_value_t)]
    kind: SchemaKind,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum SchemaKind {
    /// Plan files
    #[default]
    Plan,
    /// Inventory files
    Inventory,
    /// One line of `--output json` of a run, or of a journal
    Event,
}

pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    let schema = match args.kind {
        SchemaKind::Plan => plan::schema(&Registry::standard()),
        SchemaKind::Inventory => inventory::schema(),
        SchemaKind::Event => schemars::schema_for!(event::Event).to_value(),
    };
    terminal.json(&schema)?;
    Ok(Exit::Ok)
}
