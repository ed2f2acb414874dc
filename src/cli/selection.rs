//! Arguments shared by `run`, `plan` and other subcommands: which part of a plan to run, and how to show it.

use std::path::PathBuf;

use super::failure::Failure;
use super::load::Loaded;
use super::options::Options;
use crate::event::Problem;
use crate::graph::{Graph, RenderContext};
use crate::inventory::Host;
use crate::ui::DiffStyle;

#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// The plan file
    pub plan: PathBuf,
    /// Only these hosts: a host pattern, such as `pi-1` or `workers:!pi-2`
    #[arg(long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Only this phase; phases that it needs are taken as done. Repeatable
    #[arg(long, value_name = "PHASE")]
    pub only: Vec<String>,
    /// Leave this phase out; phases that need it run all the same. Repeatable
    #[arg(long, value_name = "PHASE")]
    pub skip: Vec<String>,
    /// Only steps with one of these tags; steps that they need are taken as done. Repeatable, or separated by commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct DisplayArgs {
    /// Run up to this many steps at a time, over all hosts
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: u32,
    /// How much of the changes to show [default: full in a preview, summary in a run]
    #[arg(long, value_enum)]
    pub diff: Option<DiffStyle>,
}

impl Selection {
    /// The graph of the selected hosts; checks the names of phases and tags.
    pub fn graph(&self, loaded: &Loaded) -> Result<Graph, Failure> {
        self.only.iter().chain(&self.skip).try_for_each(|phase| loaded.check_phase(phase))?;
        self.tags.iter().try_for_each(|tag| loaded.check_tag(tag))?;
        let limit = self.limit.as_deref().map(|pattern| loaded.hosts(pattern)).transpose()?;
        let is_included = |host: &Host| limit.as_ref().is_none_or(|only| only.iter().any(|o| o.name == host.name));
        let context = RenderContext { templates: &loaded.templates, scope: &loaded.scope };
        Graph::new(&loaded.plan, |pattern| loaded.hosts(pattern).unwrap_or_default(), is_included, context)
            .map_err(|e| Failure::usage(Problem::new(e.to_string())))
    }

    /// The selection and the variables as command-line arguments.
    pub fn arguments(&self, options: &Options) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: &str| arguments.extend([format!("--{name}"), value.to_owned()]);
        self.limit.iter().for_each(|pattern| add("limit", pattern));
        self.only.iter().for_each(|phase| add("only", phase));
        self.skip.iter().for_each(|phase| add("skip", phase));
        self.tags.iter().for_each(|tag| add("tags", tag));
        options.vars.iter().for_each(|(name, value)| add("var", &format!("{name}={value}")));
        arguments
    }
}
