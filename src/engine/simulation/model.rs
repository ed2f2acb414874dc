//! A plan of the simulation: small enough to edit at random, and to judge without the engine.

use std::fmt::Write as _;

use crate::plan::StepKind;

/// The hosts of the world, and the patterns that plans use.
pub const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// Patterns with their hosts. These are written down, so that an error of the inventory shows.
pub const PATTERNS: [(&str, &[&str]); 7] = [
    ("all", &HOSTS),
    ("h1", &["h1"]),
    ("h2", &["h2"]),
    ("h1,h2", &["h1", "h2"]),
    ("h2,h3", &["h2", "h3"]),
    ("web", &["h1", "h3"]),
    ("all:!h2", &["h1", "h3"]),
];

/// Values of `serial`, with the sizes of the batches of one, two and three hosts.
pub const SERIALS: [(&str, [&[usize]; 3]); 4] = [
    ("1", [&[1], &[1, 1], &[1, 1, 1]]),
    ("2", [&[1], &[2], &[2, 1]]),
    ("\"50%\"", [&[1], &[1, 1], &[2, 1]]),
    ("[1, \"100%\"]", [&[1], &[1, 1], &[1, 2]]),
];

/// Values of `max_failures`, with how many of one, two and three hosts may fail.
pub const MOSTS: [(&str, [usize; 3]); 5] =
    [("0", [0, 0, 0]), ("1", [1, 1, 1]), ("\"34%\"", [0, 0, 1]), ("\"50%\"", [0, 1, 1]), ("\"100%\"", [1, 2, 3])];

pub const INVENTORY: &str = "[hosts.h1]\n[hosts.h2]\n[hosts.h3]\n[groups.web]\nhosts = [\"h1\", \"h3\"]\n";

#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub phases: Vec<Phase>,
    /// The number of the next step; no id is used twice.
    pub next: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    pub name: String,
    pub needs: Vec<String>,
    pub when: Option<bool>,
    /// Index in [`SERIALS`].
    pub serial: Option<usize>,
    /// Index in [`MOSTS`].
    pub most: Option<usize>,
    /// Steps, handlers and `on_failure` steps, in any order.
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: String,
    pub part: StepKind,
    /// Index in [`PATTERNS`].
    pub hosts: Option<usize>,
    pub needs: Option<Vec<String>>,
    pub when: Option<bool>,
    /// The items of the loop; empty if the step is no loop.
    pub items: Vec<String>,
    pub as_root: bool,
    pub retry: u32,
    /// Seconds.
    pub timeout: u64,
    /// Index in [`SERIALS`].
    pub serial: Option<usize>,
    /// Index in [`MOSTS`].
    pub most: Option<usize>,
    pub ignores: bool,
    pub notify: Vec<String>,
    pub flush: bool,
    pub on_failure: Vec<String>,
    pub sensitive: bool,
    pub tags: Vec<String>,
    pub act: Act,
}

/// The action of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Sets `parts` paths of its own to a value, with one effect each: requests, or commands, which may outlive their
    /// connection.
    Set { value: String, reads: Option<Reads>, parts: usize, commands: bool },
    /// Copies the value of another step's path.
    Copy { of: String },
    /// A command that leaves no trace, with an argument.
    Do { value: String, rerun: bool },
    /// Checks that another step's path has the plan's value.
    Check { of: String },
    /// Waits until another step's path has the plan's value.
    Wait { of: String },
    /// Waits for a value that appears by itself.
    Dawn,
}

/// The step whose output a step reads, on its own host or on a named one.
#[derive(Debug, Clone, PartialEq)]
pub struct Reads {
    pub step: String,
    pub host: Option<String>,
}

impl Act {
    /// The step whose path or output the action needs.
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::Set { reads, .. } => reads.as_ref().map(|r| r.step.as_str()),
            Self::Copy { of } | Self::Check { of } | Self::Wait { of } => Some(of),
            Self::Do { .. } | Self::Dawn => None,
        }
    }

    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Check { .. } | Self::Wait { .. } | Self::Dawn)
    }

    pub fn unguarded(&self) -> bool {
        matches!(self, Self::Do { .. })
    }

    /// Whether the action may be a loop.
    pub fn can_loop(&self) -> bool {
        matches!(self, Self::Do { .. } | Self::Set { reads: None, .. })
    }
}

impl Step {
    /// Whether the step has a guard. Edits change that only along with the step's hosts: a user who removes the guard
    /// of a step whose host has yet to restore itself gets no help.
    pub fn is_guarded(&self) -> bool {
        let number: usize = self.id[1..].parse().unwrap_or_default();
        self.part == StepKind::Step && self.hosts.is_some() && !self.paths().is_empty() && number.is_multiple_of(5)
    }

    /// The hosts of the step; `None` is the controller.
    pub fn places(&self) -> Vec<Option<&'static str>> {
        self.hosts.map_or_else(|| vec![None], |n| PATTERNS[n].1.iter().copied().map(Some).collect())
    }

    pub fn paths(&self) -> Vec<String> {
        self.ids().iter().flat_map(|id| self.paths_of(id)).collect()
    }

    fn paths_of(&self, id: &str) -> Vec<String> {
        match &self.act {
            Act::Set { parts, .. } => (0..*parts).map(|n| format!("{id}.{n}")).collect(),
            Act::Copy { .. } => vec![format!("{id}.0")],
            _ => Vec::new(),
        }
    }

    /// The step's id, or the ids of its items.
    fn ids(&self) -> Vec<String> {
        match self.items.as_slice() {
            [] => vec![self.id.clone()],
            items => items.iter().map(|item| of_item(&self.id, item)).collect(),
        }
    }

    /// The ids that serve an item of another step's loop: that of the same item, else all.
    fn answering(&self, item: Option<&String>) -> Vec<String> {
        match item.filter(|item| self.items.contains(item)) {
            Some(item) => vec![of_item(&self.id, item)],
            None => self.ids(),
        }
    }
}

/// The id of an item in an unrolled model.
pub fn of_item(id: &str, item: &str) -> String {
    format!("{id}[{item}]")
}

/// The loop to which a step of an unrolled model belongs.
pub fn loop_of(id: &str) -> Option<&str> {
    id.split_once('[').map(|(id, _)| id)
}

impl Model {
    /// The model with a step for each item in place of loops.
    pub fn unrolled(&self) -> Self {
        let phases = self.phases.iter().map(|phase| {
            let find = |id: &String| phase.steps.iter().find(|s| s.id == *id);
            let unroll = |step: &Step| -> Vec<Step> {
                let needs = step
                    .needs
                    .as_ref()
                    .map(|needs| needs.iter().filter_map(|need| find(need)?.ids().pop()).collect::<Vec<_>>());
                let part = |(n, id): (usize, String)| {
                    let called = |ids: &[String]| -> Vec<String> {
                        ids.iter().filter_map(find).flat_map(|s| s.answering(step.items.get(n))).collect()
                    };
                    let (notify, on_failure) = (called(&step.notify), called(&step.on_failure));
                    let needs = if n == 0 { needs.clone() } else { None };
                    let flush = step.flush && n == 0;
                    Step { id, needs, flush, notify, on_failure, items: Vec::new(), ..step.clone() }
                };
                step.ids().into_iter().enumerate().map(part).collect()
            };
            Phase { steps: phase.steps.iter().flat_map(unroll).collect(), ..phase.clone() }
        });
        Self { phases: phases.collect(), next: self.next }
    }

    pub fn steps(&self) -> impl Iterator<Item = (&Phase, &Step)> {
        self.phases.iter().flat_map(|p| p.steps.iter().map(move |s| (p, s)))
    }

    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps().find(|(_, s)| s.id == id).map(|(_, s)| s)
    }

    /// The value that a step sets: a literal or a template.
    fn value_of(&self, id: &str) -> String {
        match self.step(id).map(|s| &s.act) {
            Some(Act::Set { value, reads: None, .. }) => value.clone(),
            _ => format!("{{{{ steps.{id}.value }}}}"),
        }
    }

    /// The text of the plan file.
    pub fn text(&self) -> String {
        let mut out = String::from("[plan]\nname = \"simulated\"\n[vars]\non = true\noff = false\n");
        for phase in &self.phases {
            let _ = writeln!(out, "\n[phase.{}]\nneeds = {:?}", phase.name, phase.needs);
            if let Some(when) = phase.when {
                let _ = writeln!(out, "when = \"{}\"", if when { "on" } else { "off" });
            }
            out.push_str(&pace(phase.serial, phase.most));
            for part in StepKind::ALL {
                for step in phase.steps.iter().filter(|s| s.part == part) {
                    let _ = write!(out, "[[phase.{}.{}]]\n{}", phase.name, part.key(), self.table(phase, step));
                }
            }
        }
        out
    }

    fn table(&self, phase: &Phase, step: &Step) -> String {
        let mut out = format!("id = \"{}\"\ntimeout = \"{}s\"\n", step.id, step.timeout);
        let mut add = |line: String| out.extend([line.as_str(), "\n"]);
        if let Some(n) = step.hosts {
            add(format!("hosts = \"{}\"", PATTERNS[n].0));
        }
        if let Some(when) = step.when {
            add(format!("when = \"{}\"", if when { "on" } else { "off" }));
        }
        if step.as_root {
            add("become = true".into());
        }
        if step.sensitive {
            add("sensitive = true".into());
        }
        if step.ignores {
            add("ignore_errors = true".into());
        }
        add(pace(step.serial, step.most));
        if step.retry > 0 {
            add(format!("retry = {}\nretry_delay = \"1s\"", step.retry));
        }
        if step.part == StepKind::Step {
            if let Some(needs) = &step.needs {
                add(format!("needs = {needs:?}"));
            }
            add(format!("notify = {:?}\non_failure = {:?}\ntags = {:?}", step.notify, step.on_failure, step.tags));
            if step.flush {
                add("flush = true".into());
            }
            if step.is_guarded() {
                add(format!("guard = \"{}s\"\nguard_restore = \"undo\"", 3 + step.timeout / 2));
            }
        }
        let mut id = step.id.clone();
        if !step.items.is_empty() {
            add(format!("for_each = {:?}", step.items));
            id = of_item(&id, "{{ item }}");
        }
        match &step.act {
            Act::Set { value, reads, commands, .. } => {
                let mut paths = step.paths_of(&id);
                if step.part == StepKind::OnFailure {
                    paths.extend(self.undone_by(phase, step));
                }
                let value = match reads {
                    Some(Reads { step, host: None }) => format!("{{{{ steps.{step}.value }}}}-{value}"),
                    Some(Reads { step, host: Some(host) }) => {
                        format!("{{{{ steps.{step}.hosts['{host}'].value }}}}-{value}")
                    }
                    None => value.clone(),
                };
                add(format!(
                    "action = \"sim.set\"\nunit = \"{id}\"\npaths = {paths:?}\nvalue = \"{value}\"\ncommands = {commands}"
                ));
            }
            Act::Copy { of } => add(format!("action = \"sim.copy\"\nunit = \"{id}\"\nfrom = \"{of}.0\"")),
            Act::Do { value, rerun } => {
                let on_interrupt = if *rerun { "rerun" } else { "stop" };
                add(format!(
                    "action = \"sim.do\"\nunit = \"{id}\"\nvalue = \"{value}\"\non_interrupt = \"{on_interrupt}\""
                ));
            }
            Act::Check { of } => {
                add(format!("action = \"sim.check\"\npath = \"{of}.0\"\nvalue = \"{}\"", self.value_of(of)));
            }
            Act::Wait { of } => {
                add(format!("action = \"sim.wait\"\npath = \"{of}.0\"\nvalue = \"{}\"", self.value_of(of)));
            }
            Act::Dawn => add(format!("action = \"sim.wait\"\npath = \"dawn.{id}\"\nvalue = \"1\"")),
        }
        out
    }

    /// The paths that an `on_failure` step undoes: those of the steps that name it and run on the same hosts.
    fn undone_by(&self, phase: &Phase, undo: &Step) -> Vec<String> {
        let undone = phase.steps.iter().filter(|s| s.on_failure.contains(&undo.id) && s.hosts == undo.hosts);
        undone.flat_map(Step::paths).collect()
    }
}

fn pace(serial: Option<usize>, most: Option<usize>) -> String {
    let serial = serial.map(|n| format!("serial = {}\n", SERIALS[n].0)).unwrap_or_default();
    serial + &most.map(|n| format!("max_failures = {}\n", MOSTS[n].0)).unwrap_or_default()
}
