//! Edits of a Raspberry Pi's cmdline.txt and config.txt.

use super::super::text::{Text, without_words};

/// Whether a kernel flag is the given one; `key=*` stands for every value.
pub fn is_flag(meant: &str, current: &str) -> bool {
    match meant.strip_suffix("=*") {
        Some(key) => current.split_once('=').is_some_and(|(name, _)| name == key),
        None => meant == current,
    }
}

/// The kernel's command line with and without these flags; `None` when nothing changes.
///
/// # Errors
/// The second line of the file, if there is one: the firmware reads only the first.
pub fn cmdline(text: &str, present: &[String], absent: &[String]) -> Result<Option<String>, String> {
    let mut text = Text::new(text);
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (at, first) = lines.next().map(|(at, line)| (at, line.to_owned())).unwrap_or_default();
    if let Some((_, second)) = lines.next() {
        return Err(second.to_owned());
    }
    drop(lines);
    let remove = |flag: &str| absent.iter().any(|meant| is_flag(meant, flag)) && !present.iter().any(|p| p == flag);
    let mut line = without_words(&first, remove);
    for flag in present {
        if !line.split_whitespace().any(|current| current == flag) {
            line.truncate(line.trim_end().len());
            let blank = if line.is_empty() { "" } else { " " };
            line.push_str(&format!("{blank}{flag}"));
        }
    }
    let changes = line != first;
    let count = usize::from(text.lines().len() > 0);
    text.splice(at, count, [line.as_str()]);
    Ok(changes.then(|| text.to_string()))
}

/// Settings that may occur several times with different values.
const REPEATED: [&str; 7] =
    ["dtoverlay", "dtparam", "device_tree_overlay", "device_tree_param", "gpio", "include", "initramfs"];

fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let (key, value) = line.split_once('=').or_else(|| line.split_once(' '))?;
    (!line.starts_with(['#', '['])).then(|| (key.trim(), value.trim()))
}

fn section_of(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.strip_suffix(']')
}

/// config.txt with and without these settings in a section; `None` when nothing changes. New settings are appended,
/// since the last of two settings wins.
pub fn config(text: &str, section: &str, present: &[String], absent: &[String]) -> Option<String> {
    let wanted: Vec<(&str, &str)> = present.iter().filter_map(|line| setting(line)).collect();
    let mut placed = vec![false; wanted.len()];
    let (mut now, mut changed) = ("all".to_owned(), false);
    let mut text = Text::new(text);
    text.rewrite(|line| {
        if let Some(section) = section_of(line) {
            section.clone_into(&mut now);
        }
        let Some((key, value)) = setting(line).filter(|_| now == section) else {
            return Some(line.to_owned());
        };
        let same = |(wanted, to): &(&str, &str)| *wanted == key && (*to == value || !REPEATED.contains(&key));
        match wanted.iter().position(same) {
            Some(at) if !placed[at] => {
                placed[at] = true;
                let right = wanted[at].1 == value;
                changed |= !right;
                Some(if right { line.to_owned() } else { present[at].trim().to_owned() })
            }
            None if !absent.iter().any(|meant| meant == key || setting(meant) == Some((key, value))) => {
                Some(line.to_owned())
            }
            _ => {
                changed = true;
                None
            }
        }
    });
    let missing: Vec<&String> =
        present.iter().zip(&placed).filter(|(_, placed)| !**placed).map(|(line, _)| line).collect();
    if !missing.is_empty() {
        changed = true;
        let head = (now != section).then(|| format!("[{section}]"));
        let end = text.lines().len();
        text.splice(end, 0, head.as_deref().into_iter().chain(missing.into_iter().map(|line| line.trim())));
    }
    changed.then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn flags_come_and_go_in_the_one_line() {
        let line = "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait quiet\n";
        let flags = all(&["cgroup_enable=memory", "console=tty1"]);
        let wanted = "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait quiet cgroup_enable=memory\n";
        assert_eq!(cmdline(line, &flags, &[]), Ok(Some(wanted.into())));
        assert_eq!(cmdline(wanted, &flags, &all(&["splash"])), Ok(None));
        let gone = "console=tty1 root=PARTUUID=1-02 rootwait\n";
        assert_eq!(cmdline(line, &all(&["console=tty1"]), &all(&["console=*", "quiet"])), Ok(Some(gone.into())));
        assert_eq!(cmdline("a\nb\n", &[], &[]), Err("b".into()));
    }

    const CONFIG: &str = "# notes\ndtparam=audio=on\narm_64bit=1\n[pi4]\narm_boost=1\n[all]\ndtoverlay=vc4\n";

    #[test]
    fn a_setting_is_set_in_its_section_only() {
        let set = |section: &str, lines: &[&str]| config(CONFIG, section, &all(lines), &[]);
        assert_eq!(set("all", &["arm_64bit=1", "dtoverlay=vc4"]), None);
        assert_eq!(set("all", &["arm_64bit=0"]), Some(CONFIG.replace("64bit=1", "64bit=0")));
        assert_eq!(set("all", &["arm_boost=1"]), Some(format!("{CONFIG}arm_boost=1\n")));
        assert_eq!(set("all", &["dtoverlay=disable-bt"]), Some(format!("{CONFIG}dtoverlay=disable-bt\n")));
        assert_eq!(set("pi5", &["x=1", "y=2"]), Some(format!("{CONFIG}[pi5]\nx=1\ny=2\n")));
        assert_eq!(set("pi4", &["x=1"]), Some(format!("{CONFIG}[pi4]\nx=1\n")));
        let twice = config("a=1\na=2\n", "all", &all(&["a=2"]), &[]);
        assert_eq!(twice.as_deref(), Some("a=2\n"));
    }

    #[test]
    fn all_else_stays_as_it_is() {
        let flags = all(&["x=1"]);
        let line = " a=\"b  c\"  quiet d";
        assert_eq!(cmdline(line, &flags, &all(&["quiet"])), Ok(Some(" a=\"b  c\"  d x=1".into())));
        assert_eq!(cmdline("\r\na\r\n", &flags, &[]), Ok(Some("\r\na x=1\r\n".into())));
        assert_eq!(cmdline("", &flags, &[]), Ok(Some("x=1\n".into())));
        let config = |text: &str| config(text, "all", &all(&["b=2"]), &all(&["c"]));
        assert_eq!(config("# x\r\nb=1\r\nc=1\r\nd").as_deref(), Some("# x\r\nb=2\r\nd"));
        assert_eq!(config("\u{feff}b=1").as_deref(), Some("\u{feff}b=2"));
        assert_eq!(config("a=1\r\n").as_deref(), Some("a=1\r\nb=2\r\n"));
    }

    #[test]
    fn what_was_set_is_found_again() {
        for (section, line) in [("all", "x=1"), ("pi5", "dtoverlay=a,b=c"), ("pi4", "arm_boost=0")] {
            let lines = all(&[line]);
            let once = config(CONFIG, section, &lines, &[]).unwrap();
            assert_eq!(config(&once, section, &lines, &[]), None, "{section} {line}");
        }
    }

    #[test]
    fn settings_go_by_name_or_with_their_value() {
        let without = |section: &str, lines: &[&str]| config(CONFIG, section, &[], &all(lines));
        assert_eq!(without("all", &["arm_boost", "dtoverlay=other"]), None);
        assert_eq!(without("pi4", &["arm_boost"]), Some(CONFIG.replace("arm_boost=1\n", "")));
        assert_eq!(without("all", &["dtparam=audio=on"]), Some(CONFIG.replace("dtparam=audio=on\n", "")));
    }
}
