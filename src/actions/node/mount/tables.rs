//! Lines of /etc/fstab and /proc/self/mountinfo.

/// An entry of fstab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Device, or another source such as `UUID=…`.
    pub source: String,
    pub path: String,
    pub fstype: String,
    /// Options, separated by commas.
    pub options: String,
    /// Whether `dump` backs it up: 0 or 1.
    pub dump: u32,
    /// Order of the check at boot; 0 for none.
    pub pass: u32,
}

impl Entry {
    /// Parses a line; `None` for comments and lines that are no entry.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let source = words.next().filter(|word| !word.starts_with('#'))?;
        let (path, fstype) = (words.next()?, words.next()?);
        let options = words.next().unwrap_or("defaults");
        let mut number = || words.next().map_or(Some(0), |word| word.parse().ok());
        let (dump, pass) = (number()?, number()?);
        let (source, path, options) = (unescaped(source), unescaped(path), unescaped(options));
        Some(Self { source, path, fstype: fstype.to_owned(), options, dump, pass })
    }

    /// Whether an entry of the same place has the same meaning.
    fn means(&self, other: &Self) -> bool {
        let of = |entry: &Self| (entry.source.clone(), entry.fstype.clone(), entry.dump, entry.pass);
        of(self) == of(other) && same_options(&self.options, &other.options)
    }

    /// The line without its line break.
    pub fn line(&self) -> String {
        let [source, path, options] = [&self.source, &self.path, &self.options].map(|text| escaped(text));
        format!("{source} {path} {} {options} {} {}", self.fstype, self.dump, self.pass)
    }
}

/// fstab with `wanted` as the only entry of a place, or without any; all other lines stay. `None` when nothing changes.
/// `is_here` says whether a path, as written in fstab, stands for the place.
pub fn edited(text: &str, is_here: impl Fn(&str) -> bool, wanted: Option<&Entry>) -> Option<String> {
    let mut out = String::new();
    let mut placed = false;
    for line in text.lines() {
        match Entry::parse(line).filter(|entry| is_here(&escaped(&entry.path))) {
            None => out.push_str(line),
            Some(_) if placed || wanted.is_none() => continue,
            Some(entry) => {
                placed = true;
                match wanted {
                    Some(wanted) if !wanted.means(&entry) => out.push_str(&wanted.line()),
                    _ => out.push_str(line),
                }
            }
        }
        out.push('\n');
    }
    if let (Some(wanted), false) = (wanted, placed) {
        out.push_str(&format!("{}\n", wanted.line()));
    }
    (out.trim_end_matches('\n') != text.trim_end_matches('\n')).then_some(out)
}

/// The options of a place's entry.
pub fn options_of(text: &str, is_here: impl Fn(&str) -> bool) -> Option<String> {
    text.lines().filter_map(Entry::parse).find(|entry| is_here(&escaped(&entry.path))).map(|entry| entry.options)
}

/// Whether two lists of options mean the same. Order matters only where one option overrides another.
pub fn same_options(a: &str, b: &str) -> bool {
    const COMPOUND_OPTIONS: [&str; 6] = ["defaults", "user", "users", "owner", "group", "loud"];
    let sorted = |options: &str| {
        let mut options: Vec<String> = options.split(',').map(str::to_owned).collect();
        options.sort();
        options
    };
    let names = sorted(a);
    let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
    let plain = |option: &str| option.strip_prefix("no").unwrap_or(option).to_owned();
    let both_ways = |option: &String| {
        let same_name = names.iter().filter(|other| plain(&name(other)) == plain(&name(option))).count() > 1;
        let ways =
            matches!(option.as_str(), "ro" | "rw") && ["ro", "rw"].iter().all(|way| names.iter().any(|n| n == way));
        same_name || ways || COMPOUND_OPTIONS.contains(&option.as_str())
    };
    a == b || (names == sorted(b) && !names.iter().any(both_ways))
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
pub struct Mounted {
    pub fstype: String,
    /// Device, or another source.
    pub source: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
    /// Major and minor number of the device.
    pub number: (u32, u32),
}

impl Mounted {
    /// Whether this is an automount, which systemd replaces on first access.
    pub fn is_on_demand(&self) -> bool {
        self.fstype == "autofs"
    }
}

/// The mounts at a path; the topmost is the last. `Err` holds a line that does not parse.
pub fn mounts(mountinfo: &str, path: &str) -> Result<Vec<Mounted>, String> {
    let mut all = Vec::new();
    for line in mountinfo.lines() {
        let unexpected = || line.to_owned();
        let (mount, system) = line.split_once(" - ").ok_or_else(unexpected)?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let system: Vec<&str> = system.split(' ').collect();
        let (point, own) = (mount.get(4).ok_or_else(unexpected)?, mount.get(5).ok_or_else(unexpected)?);
        let [fstype, source, of_system] = system[..] else { return Err(unexpected()) };
        if unescaped(point) == path {
            let options = own.split(',').chain(of_system.split(',')).map(str::to_owned).collect();
            let number = mount.get(2).and_then(|number| number.split_once(':')).ok_or_else(unexpected)?;
            let number = number.0.parse().ok().zip(number.1.parse().ok()).ok_or_else(unexpected)?;
            all.push(Mounted { fstype: fstype.to_owned(), source: unescaped(source), options, number });
        }
    }
    Ok(all)
}

/// White space and backslashes as octal escapes.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn unescaped(text: &str) -> String {
    let text = text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    text.replace("\\043", "#").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(options: &str) -> Entry {
        let text = |text: &str| text.to_owned();
        Entry {
            source: text("UUID=1-2"),
            path: text("/mnt/my data"),
            fstype: text("ext4"),
            options: text(options),
            dump: 0,
            pass: 2,
        }
    }

    const FSTAB: &str = "# static\nproc  /proc proc defaults 0 0\n\nUUID=1-2 /mnt/my\\040data/ ext4\tnoatime 0 2\n";

    #[test]
    fn only_the_entry_of_the_place_is_edited() {
        let here = |path: &str| path.trim_end_matches('/') == "/mnt/my\\040data";
        assert_eq!(edited(FSTAB, here, Some(&entry("noatime"))), None, "a path may be written otherwise");
        let line = "UUID=1-2 /mnt/my\\040data ext4 ro 0 2\n";
        let head = "# static\nproc  /proc proc defaults 0 0\n\n";
        assert_eq!(edited(FSTAB, here, Some(&entry("ro"))), Some(format!("{head}{line}")));
        assert_eq!(edited(FSTAB, here, None).as_deref(), Some(head));
        assert_eq!(edited("a /b", here, Some(&entry("ro"))), Some(format!("a /b\n{line}")));
        assert_eq!(edited(FSTAB, |_| false, None), None);
        assert_eq!(edited(&format!("{line}{line}"), here, Some(&entry("ro"))).as_deref(), Some(line));
        assert_eq!(options_of(FSTAB, here).as_deref(), Some("noatime"));
    }

    #[test]
    fn the_order_of_options_counts_only_where_one_sets_what_another_does() {
        assert!(same_options("noatime,nofail", "nofail,noatime") && same_options("user,exec", "user,exec"));
        for (a, b) in [
            ("user,exec", "exec,user"),
            ("ro,rw", "rw,ro"),
            ("exec,noexec", "noexec,exec"),
            ("size=1,size=2", "size=2,size=1"),
        ] {
            assert!(!same_options(a, b), "{a}");
        }
        assert!(!same_options("noatime", "noatime,ro"));
    }

    #[test]
    fn the_mount_on_top_comes_last() {
        let info = "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n\
                    40 22 0:35 / /mnt/my\\040data rw - tmpfs tmpfs rw,size=1k\n\
                    41 40 8:17 / /mnt/my\\040data ro,noatime shared:9 master:2 - ext4 /dev/sdb1 rw\n";
        let options = ["ro", "noatime", "rw"].map(str::to_owned).to_vec();
        let top = Mounted { fstype: "ext4".into(), source: "/dev/sdb1".into(), options, number: (8, 17) };
        let all = mounts(info, "/mnt/my data").unwrap();
        assert_eq!((all.len(), all.last()), (2, Some(&top)));
        assert_eq!(mounts(info, "/mnt"), Ok(Vec::new()));
        assert_eq!(mounts("what", "/mnt"), Err("what".into()));
    }
}
