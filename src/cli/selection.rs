//! Which part of a plan is walked, and how: the arguments that `run`, `plan` and their relatives share.

use std::path::PathBuf;

use super::failure::Failure;
use super::load::Loaded;
use super::options::Options;
use crate::event::Problem;
use crate::graph::{Graph, RenderContext};
use crate::inventory::Host;
use crate::ui::DiffStyle;

/// Which plan, and which part of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Selection {
    /// The plan file
    pub plan: PathBuf,
    /// Only these hosts (a host pattern, such as `pi-1` or `workers:!pi-2`)
    #[arg(long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Only this phase; what it needs is taken as done. Repeatable
    #[arg(long, value_name = "PHASE")]
    pub only: Vec<String>,
    /// Leave this phase out; what needs it runs all the same. Repeatable
    #[arg(long, value_name = "PHASE")]
    pub skip: Vec<String>,
    /// Only steps that have one of these tags; what they need is taken as done. Repeatable, or with commas
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
}

/// How it is walked and shown.
#[derive(Debug, Clone, clap::Args)]
pub struct DisplayArgs {
    /// Steps at a time, over all hosts
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: u32,
    /// How much of the changes to show [default: full in a preview, summary in a run]
    #[arg(long, value_enum)]
    pub diff: Option<DiffStyle>,
}

impl Selection {
    /// The graph of what is selected.
    pub fn graph(&self, loaded: &Loaded) -> Result<Graph, Failure> {
        self.only.iter().chain(&self.skip).try_for_each(|phase| loaded.phase(phase))?;
        self.tags.iter().try_for_each(|tag| loaded.tag(tag))?;
        let limit = self.limit.as_deref().map(|pattern| loaded.hosts(pattern)).transpose()?;
        let in_sight = |host: &Host| limit.as_ref().is_none_or(|only| only.iter().any(|o| o.name == host.name));
        let known = RenderContext { templates: &loaded.templates, scope: &loaded.scope };
        Graph::new(&loaded.plan, |pattern| loaded.hosts(pattern).unwrap_or_default(), in_sight, known)
            .map_err(|e| Failure::usage(Problem::new(e.to_string())))
    }

    /// The same selection, and the variables, as one would type them.
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
