//! `rollout graph PLAN`: prints the plan as a picture.

use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::Exit;
use super::failure::Failure;
use super::load;
use super::options::Options;
use super::terminal::Terminal;
use crate::graph;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan file
    plan: PathBuf,
    /// Format of the picture
    #[arg(long = "format", value_name = "FORMAT", value_enum, default_value_t)]
    picture: Picture,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Picture {
    /// A Mermaid flowchart
    #[default]
    Mermaid,
    /// A Graphviz digraph
    Dot,
}

pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let loaded = load::load_checked(&args.plan, options, terminal)?;
    terminal.data(&match args.picture {
        Picture::Mermaid => graph::mermaid(&loaded.plan),
        Picture::Dot => graph::dot(&loaded.plan),
    })?;
    Ok(Exit::Ok)
}
