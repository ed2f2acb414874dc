//! Repeats the arguments of an earlier run or a saved plan.

use std::ffi::OsString;

use clap::Parser;

use super::failure::Failure;
use super::options::Options;
use super::selection::Selection;
use crate::event::{Problem, Source};
use crate::journal::{RunState, Store};
use crate::secret::MASK;

/// The recorded arguments, parsed as if they were typed now.
#[derive(Debug)]
pub struct Replay {
    /// The plan, and which part of it to run.
    pub selection: Selection,
    /// Inventory and variables as recorded, output format as given now.
    pub options: Options,
}

#[derive(Parser)]
#[command(no_binary_name = true)]
struct ReplayArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: Options,
}

impl Replay {
    /// Parses the recorded arguments. Output format and colour come from `now`.
    ///
    /// # Errors
    /// When a recorded variable is a masked secret, or an argument is not understood any more.
    pub fn of(source: &Source, now: &Options) -> Result<Self, Failure> {
        if source.arguments.iter().any(|argument| argument.contains(MASK)) {
            let problem = Problem::new("a variable given with --var contains a secret, so its value was not recorded");
            return Err(Failure::usage(problem.hint("use `rollout run PLAN`, and give the variable again")));
        }
        let mut arguments: Vec<OsString> = vec![source.plan.clone().into()];
        if let Some(inventory) = &source.inventory {
            arguments.extend(["--inventory".into(), inventory.clone().into()]);
        }
        arguments.extend(source.arguments.iter().map(OsString::from));
        let args = ReplayArgs::try_parse_from(arguments).map_err(|e| {
            let message = e.to_string().lines().next().unwrap_or_default().to_owned();
            Failure::usage(Problem::new(format!("this version does not understand the recorded arguments: {message}")))
        })?;
        let options = Options { output: now.output, color: now.color, ..args.options };
        Ok(Self { selection: args.selection, options })
    }

    /// Whether the latest run of the plan applied the saved plan with this hash, and did not succeed.
    pub fn continues_apply_of(&self, plan: &str, hash: &str) -> bool {
        let store = Store::open(&self.selection.plan, plan, self.options.inventory.as_deref());
        let latest = store.and_then(|store| store.latest()).ok().flatten();
        latest.is_some_and(|(info, _)| {
            info.state != RunState::Succeeded && info.source.is_some_and(|s| s.saved.as_deref() == Some(hash))
        })
    }
}
