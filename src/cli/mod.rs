//! The command line: one small file per subcommand.
//!
//! A subcommand loads what it needs, calls the layers below, and returns the exit code. Data goes to stdout, everything
//! else to stderr. Only this folder and the readers of the event stream (`ui`) write to the terminal.

mod actions;
mod apply;
mod check;
mod completions;
mod converge;
mod detach;
pub mod exit;
pub mod failure;
mod graph;
mod inject;
mod load;
mod lock;
pub mod log;
mod notify;
mod opened_journal;
pub mod options;
mod prove;
mod replay;
mod resume;
mod run;
mod runs;
mod schema;
mod secrets;
mod selection;
mod session;
mod show;
mod signals;
pub mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use exit::Exit;
use failure::Failure;
use options::Options;
use terminal::Terminal;

use crate::secret::environment;

/// Rolls systems out: a flat TOML plan, run as a graph over SSH, Kubernetes, Helm and Vault.
#[derive(Debug, Parser)]
#[command(name = "rollout", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check plans without connecting to anything
    Check(check::Args),
    /// Run a plan; if the last run did not succeed, continue from there
    Run(run::RunArgs),
    /// Preview a plan: show what a run would change, and change nothing
    Plan(run::PlanArgs),
    /// Make exactly the changes of a saved plan, or list what has moved since
    Apply(apply::Args),
    /// Continue a run that did not succeed, with the arguments that it had
    Resume(resume::Args),
    /// In a test environment, let each step fail once, continue, and run again, which must change nothing
    Prove(prove::Args),
    /// Keep a world as a plan says: probe on a schedule, report drift and repair it
    Converge(converge::Args),
    /// Print a plan's graph as a picture
    Graph(graph::Args),
    /// List the runs of this machine, or delete old ones
    Runs(runs::Args),
    /// Show what each step of a run did, saw and printed
    Show(show::Args),
    /// List the actions, or show one with its parameters, outputs and an example
    Actions(actions::Args),
    /// Print the JSON Schema of plans, inventories or events, for editors and programs
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Parses the arguments, runs the subcommand, and returns the exit code.
pub fn main() -> ExitCode {
    environment::receive();
    log::start();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` are reported as errors too, with exit code 0.
            let _unread = error.print();
            return u8::try_from(error.exit_code()).map_or(Exit::Usage.into(), ExitCode::from);
        }
    };
    let terminal = Terminal::new(cli.options.output, cli.options.color);
    cli.command.run(&cli.options, &terminal).unwrap_or_else(|failure| failure.report(&terminal)).into()
}

impl Command {
    fn run(&self, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
        match self {
            Self::Check(args) => check::run(args, options, terminal),
            Self::Run(args) => run::run(args, options, terminal),
            Self::Plan(args) => run::plan(args, options, terminal),
            Self::Apply(args) => apply::run(args, options, terminal),
            Self::Resume(args) => resume::run(args, options, terminal),
            Self::Prove(args) => prove::run(args, options, terminal),
            Self::Converge(args) => converge::run(args, options, terminal),
            Self::Graph(args) => graph::run(args, options, terminal),
            Self::Runs(args) => runs::run(args, terminal),
            Self::Show(args) => show::run(args, terminal),
            Self::Actions(args) => actions::run(args, terminal),
            Self::Schema(args) => schema::run(args, terminal),
            Self::Completions(args) => completions::run(args, &mut Cli::command(), terminal),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory as _;
        super::Cli::command().debug_assert();
    }
}
