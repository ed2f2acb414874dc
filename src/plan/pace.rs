//! Reads `serial` and `max_failures` of a step or a phase: the batches of hosts, and how many hosts may fail.

use std::fmt;

use serde_json::Value;

use super::Spanned;
use crate::document::{Item, Node, Reader, Table};

/// Maximum number of hosts in a key. More are taken for a typo.
const MAX_HOSTS: u32 = 100_000;

/// A number of hosts, absolute or relative to all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// A number of hosts.
    Hosts(u32),
    /// A percentage of all hosts.
    Percent(u32),
}

impl Portion {
    /// Size of the next batch of `total` hosts: percentages are rounded up, and a batch has at least one host.
    fn batch_of(self, total: usize) -> usize {
        let hosts = match self {
            Self::Hosts(hosts) => hosts as usize,
            Self::Percent(percent) => (total * percent as usize).div_ceil(100),
        };
        hosts.max(1)
    }

    /// How many of `total` hosts may fail: percentages are rounded down.
    pub fn at_most_of(self, total: usize) -> usize {
        match self {
            Self::Hosts(hosts) => hosts as usize,
            Self::Percent(percent) => total * percent as usize / 100,
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hosts(hosts) => write!(f, "{hosts}"),
            Self::Percent(percent) => write!(f, "\"{percent}%\""),
        }
    }
}

/// The batches of a step or a phase, and its failure limit.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// `serial`: the sizes of the batches; the last size is used for all further batches. `None`: all hosts at once.
    pub serial: Option<Spanned<Vec<Portion>>>,
    /// `max_failures`: how many hosts may fail before the other hosts stop. `None`: no further batch starts after a
    /// failure.
    pub max_failures: Option<Spanned<Portion>>,
}

impl Pace {
    /// The sizes of the batches of `total` hosts, in order.
    pub fn batches(&self, total: usize) -> Vec<usize> {
        let Some(sizes) = &self.serial else { return vec![total] };
        let mut sizes = sizes.value.iter();
        let (mut size, mut left, mut batches) = (total, total, Vec::new());
        while left > 0 {
            size = sizes.next().map_or(size, |portion| portion.batch_of(total));
            batches.push(size.min(left));
            left -= size.min(left);
        }
        batches
    }
}

impl fmt::Display for Pace {
    /// As written in a plan, on one line. Empty if neither key is set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.serial.as_ref().map(|sizes| match sizes.value.as_slice() {
            [only] => format!("serial = {only}"),
            many => format!("serial = [{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        });
        let failures = self.max_failures.as_ref().map(|most| format!("max_failures = {}", most.value));
        f.write_str(&serial.into_iter().chain(failures).collect::<Vec<_>>().join(", "))
    }
}

/// Takes `serial` and `max_failures` off the table.
pub(super) fn pace(reader: &mut Reader, table: &mut Table) -> Pace {
    let serial = table.take("serial").and_then(|(_, node)| {
        let sizes = match &node.item {
            Item::List(items) if items.is_empty() => {
                let help = "write how many hosts go first: serial = 1, or serial = [1, \"50%\"]".to_owned();
                reader.error("out-of-range", &node.span, "`serial` has no batch size", Some(help));
                return None;
            }
            Item::List(items) => {
                let all: Vec<_> = items.iter().map(|item| portion(reader, "serial", 1, item)).collect();
                all.into_iter().collect()
            }
            _ => portion(reader, "serial", 1, &node).map(|only| vec![only]),
        };
        sizes.map(|sizes: Vec<Portion>| Spanned::new(sizes, node.span.clone()))
    });
    let max_failures = table.take("max_failures").and_then(|(_, node)| {
        portion(reader, "max_failures", 0, &node).map(|most| Spanned::new(most, node.span.clone()))
    });
    Pace { serial, max_failures }
}

fn portion(reader: &mut Reader, key: &str, least: u32, node: &Node) -> Option<Portion> {
    let within = |number: Option<u64>, most: u32| {
        number.and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n))
    };
    let (portion, most) = match &node.item {
        Item::Scalar(Value::Number(number)) => {
            (within(number.as_u64(), MAX_HOSTS).map(Portion::Hosts), format!("{MAX_HOSTS}"))
        }
        Item::Scalar(Value::String(text)) => {
            let Some(percent) = text.strip_suffix('%') else {
                let number = text.trim().parse::<u32>();
                let help = number.map_or_else(
                    |_| format!("write {key} = 2 or {key} = \"25%\"; templates are not allowed"),
                    |n| format!("write {key} = {n} for hosts, {key} = \"{n}%\" for a share of them"),
                );
                let message = format!("`{key}` must be a number of hosts or a percentage, not \"{text}\"");
                reader.error("bad-portion", &node.span, message, Some(help));
                return None;
            };
            (within(percent.trim().parse().ok(), 100).map(Portion::Percent), "\"100%\"".to_owned())
        }
        _ => {
            reader.wrong_type(key, node, "a number of hosts, or a percentage such as \"25%\"", None);
            return None;
        }
    };
    if portion.is_none() {
        let (least, what) = match &node.item {
            Item::Scalar(Value::String(text)) => (format!("\"{least}%\""), format!("\"{text}\"")),
            Item::Scalar(value) => (least.to_string(), value.to_string()),
            _ => return None,
        };
        let message = format!("`{key}` must be from {least} to {most}, not {what}");
        reader.error("out-of-range", &node.span, message, None);
    }
    portion
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Style;
    use crate::plan::Plan;

    fn batches(serial: &[Portion], total: usize) -> Vec<usize> {
        let serial = Some(Spanned::new(serial.to_vec(), 0..0));
        Pace { serial, max_failures: None }.batches(total)
    }

    #[test]
    fn batches_cover_all_hosts_and_the_last_size_repeats() {
        use Portion::{Hosts, Percent};
        assert_eq!(batches(&[Hosts(2)], 5), [2, 2, 1]);
        assert_eq!(batches(&[Hosts(9)], 5), [5]);
        assert_eq!(batches(&[Hosts(1), Percent(50)], 7), [1, 4, 2]);
        assert_eq!(batches(&[Percent(1)], 3), [1, 1, 1]);
        assert_eq!(batches(&[Percent(34)], 3), [2, 1], "a part of a host is a host");
        assert_eq!(batches(&[Hosts(1)], 0), [0; 0]);
        assert_eq!(Pace::default().batches(4), [4]);
    }

    #[test]
    fn failure_limits_are_rounded_down() {
        assert_eq!(Portion::Percent(10).at_most_of(19), 1);
        assert_eq!(Portion::Percent(10).at_most_of(9), 0);
        assert_eq!(Portion::Hosts(3).at_most_of(2), 3);
    }

    #[test]
    fn a_pace_is_displayed_as_it_is_written() {
        let serial = Some(Spanned::new(vec![Portion::Hosts(1), Portion::Percent(50)], 0..0));
        let pace = Pace { serial, max_failures: Some(Spanned::new(Portion::Percent(10), 0..0)) };
        assert_eq!(pace.to_string(), "serial = [1, \"50%\"], max_failures = \"10%\"");
        assert_eq!(Pace::default().to_string(), "");
    }

    #[test]
    fn invalid_portions_are_refused_with_help() {
        let text = "[plan]\nname = \"x\"\n[phase.one]\nserial = \"1/2\"\nmax_failures = \"130%\"\n\
                    [[phase.one.step]]\nid = \"a\"\naction = \"x\"\nserial = [1, 0, \"0%\", true]\nmax_failures = \"2\"\n\
                    [[phase.one.step]]\nid = \"b\"\naction = \"x\"\nserial = []\nmax_failures = -1\n\
                    [[phase.one.on_failure]]\nid = \"c\"\naction = \"x\"\nserial = 1\nignore_errors = true\n";
        let Err(findings) = Plan::parse("plan.toml".as_ref(), text) else { panic!("accepted") };
        let text = findings.text(Style { color: false, unicode: true, width: 100 });
        let shown = |line: &&str| ["×", "╭─", "help:"].iter().any(|mark| line.contains(mark));
        let shown: Vec<&str> = text.lines().filter(shown).map(str::trim).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        × `serial` must be a number of hosts or a percentage, not "1/2"
        ╭─[plan.toml:4:10]
        help: write serial = 2 or serial = "25%"; templates are not allowed
        × `max_failures` must be from "0%" to "100%", not "130%"
        ╭─[plan.toml:5:16]
        × `serial` must be from 1 to 100000, not 0
        ╭─[plan.toml:9:14]
        × `serial` must be from "1%" to "100%", not "0%"
        ╭─[plan.toml:9:17]
        × `serial` must be a number of hosts, or a percentage such as "25%", not a boolean
        ╭─[plan.toml:9:23]
        × `max_failures` must be a number of hosts or a percentage, not "2"
        ╭─[plan.toml:10:16]
        help: write max_failures = 2 for hosts, max_failures = "2%" for a share of them
        × `serial` has no batch size
        ╭─[plan.toml:14:10]
        help: write how many hosts go first: serial = 1, or serial = [1, "50%"]
        × `max_failures` must be from 0 to 100000, not -1
        ╭─[plan.toml:15:16]
        × `serial` is not a key of a step of `on_failure`
        ╭─[plan.toml:19:1]
        help: rollback steps run when the phase fails, in reverse order
        × `ignore_errors` is not a key of a step of `on_failure`
        ╭─[plan.toml:20:1]
        help: failures of rollback steps are always reported at the end of the run
        "#);
    }
}
