//! What the section [Install] of a unit's file asks for. Pure.

use std::collections::BTreeMap;

/// The words of each of its settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Install(BTreeMap<String, Vec<String>>);

impl Install {
    /// Reads it as systemd does: several lines of a name add up, and an empty one takes back what came before it.
    pub fn read(unit: &str) -> Self {
        let mut install = Self::default();
        let mut is_here = false;
        let text = unit.replace("\\\r\n", " ").replace("\\\n", " ");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                is_here = line == "[Install]";
            } else if let Some((name, value)) = line.split_once('=').filter(|_| is_here) {
                let words = install.0.entry(name.trim().to_owned()).or_default();
                if value.trim().is_empty() {
                    words.clear();
                }
                words.extend(value.split_whitespace().map(str::to_owned));
            }
        }
        install.0.retain(|_, words| !words.is_empty());
        install.0.values_mut().for_each(|words| {
            words.sort();
            words.dedup();
        });
        install
    }

    /// Links that are there in `folder` when the unit is enabled, as far as that is known here: of what is written with `%`
    /// only systemd knows what it stands for.
    pub fn links(&self, folder: &str, unit: &str) -> Vec<String> {
        let words = |name: &str| self.0.get(name).map(Vec::as_slice).unwrap_or_default();
        let unit = match (unit.split_once("@."), words("DefaultInstance")) {
            (Some((name, kind)), [instance]) => format!("{name}@{instance}.{kind}"),
            (Some(_), _) => return Vec::new(),
            (None, _) => unit.to_owned(),
        };
        let wanted = words("WantedBy").iter().map(|by| format!("{folder}/{by}.wants/{unit}"));
        let required = words("RequiredBy").iter().map(|by| format!("{folder}/{by}.requires/{unit}"));
        let aliases = words("Alias").iter().map(|alias| format!("{folder}/{alias}"));
        wanted.chain(required).chain(aliases).filter(|link| !link.contains('%')).collect()
    }

    /// For people: `WantedBy=multi-user.target`.
    pub fn told(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|(name, words)| format!("{name}={}", words.join(" "))).collect();
        lines.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "[Unit]\nWantedBy=no\n[Install]\n# WantedBy=no\nWantedBy=gone.target\nWantedBy=\n\
                        WantedBy=b.target \\\n  a.target\nRequiredBy = c.target\nAlias=y.service x-%i.service\nAlso=z.socket\n\
                        [Service]\nAlias=no\n";

    #[test]
    fn only_what_the_section_says_last_counts() {
        let told = "Alias=x-%i.service y.service, Also=z.socket, RequiredBy=c.target, WantedBy=a.target b.target";
        assert_eq!(Install::read(UNIT).told(), told);
        let other = "[Install]\nWantedBy=a.target b.target\nRequiredBy=c.target\nAlias=x-%i.service\nAlias=y.service\nAlso=z.socket";
        assert_eq!(Install::read(UNIT), Install::read(other));
        assert_ne!(Install::read(UNIT), Install::read("[Install]\nWantedBy=a.target\n"));
        assert_eq!(Install::read("[Service]\n"), Install::default());
    }

    #[test]
    fn its_links_are_those_that_systemd_makes() {
        let links = Install::read(UNIT).links("/s", "u.service");
        assert_eq!(
            links,
            [
                "/s/a.target.wants/u.service",
                "/s/b.target.wants/u.service",
                "/s/c.target.requires/u.service",
                "/s/y.service"
            ]
        );
        let template = "[Install]\nWantedBy=a.target\nDefaultInstance=1\n";
        assert_eq!(Install::read(template).links("/s", "u@.service"), ["/s/a.target.wants/u@1.service"]);
        assert_eq!(Install::read("[Install]\nWantedBy=a.target\n").links("/s", "u@.service"), Vec::<String>::new());
    }
}
