//! The [Install] section of a unit file: the links that enabling the unit creates. Pure.

use std::collections::BTreeMap;

/// The words of each setting.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Install(BTreeMap<String, Vec<String>>);

impl Install {
    /// Parses the section as systemd does: lines of the same name add up, and an empty value discards those before it.
    pub fn parse(unit: &str) -> Self {
        let mut install = Self::default();
        let mut in_section = false;
        let text = unit.replace("\\\r\n", " ").replace("\\\n", " ");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if line.starts_with('[') {
                in_section = line == "[Install]";
            } else if let Some((name, value)) = line.split_once('=').filter(|_| in_section) {
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

    /// The links that exist in `folder` while the unit is enabled. Links with a specifier (`%i`) are left out: only
    /// systemd can expand them.
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
}

/// For messages: `WantedBy=multi-user.target`.
impl std::fmt::Display for Install {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|(name, words)| format!("{name}={}", words.join(" "))).collect();
        f.write_str(&lines.join(", "))
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
        let text = "Alias=x-%i.service y.service, Also=z.socket, RequiredBy=c.target, WantedBy=a.target b.target";
        assert_eq!(Install::parse(UNIT).to_string(), text);
        let other = "[Install]\nWantedBy=a.target b.target\nRequiredBy=c.target\nAlias=x-%i.service\nAlias=y.service\nAlso=z.socket";
        assert_eq!(Install::parse(UNIT), Install::parse(other));
        assert_ne!(Install::parse(UNIT), Install::parse("[Install]\nWantedBy=a.target\n"));
        assert_eq!(Install::parse("[Service]\n"), Install::default());
    }

    #[test]
    fn its_links_are_those_that_systemd_makes() {
        let links = Install::parse(UNIT).links("/s", "u.service");
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
        assert_eq!(Install::parse(template).links("/s", "u@.service"), ["/s/a.target.wants/u@1.service"]);
        assert_eq!(Install::parse("[Install]\nWantedBy=a.target\n").links("/s", "u@.service"), Vec::<String>::new());
    }
}
