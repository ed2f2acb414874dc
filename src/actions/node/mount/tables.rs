//! Lines of /etc/fstab and /proc/self/mountinfo.

/// An entry of fstab, or what is wanted as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Device or the like, such as `UUID=…`.
    pub source: String,
    /// Where.
    pub path: String,
    /// Type of the file system.
    pub fstype: String,
    /// Options, separated by commas.
    pub options: String,
    /// Whether `dump` saves it: 0 or 1.
    pub dump: u32,
    /// Order of checks at boot; 0 for none.
    pub pass: u32,
}

impl Entry {
    /// Reads a line; `None` for notes and what is no entry.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let source = words.next().filter(|word| !word.starts_with('#'))?;
        let (path, fstype) = (words.next()?, words.next()?);
        let options = words.next().unwrap_or("defaults");
        let mut number = || words.next().map_or(Some(0), |word| word.parse().ok());
        let (dump, pass) = (number()?, number()?);
        let (source, path, options) = (unescaped(source), unescaped(path), unescaped(options));
        Some(Self { source, path, fstype: fstype.to_owned(), options, dump, pass })
    }

    /// The line without its line break.
    pub fn line(&self) -> String {
        let [source, path, options] = [&self.source, &self.path, &self.options].map(|text| escaped(text));
        format!("{source} {path} {} {options} {} {}", self.fstype, self.dump, self.pass)
    }
}

/// fstab with `wanted` as the only entry of `path`, or none; all other lines stay as they are. `None`: it is so already.
pub fn edited(text: &str, path: &str, wanted: Option<&Entry>) -> Option<String> {
    let mut out = String::new();
    let mut placed = false;
    for line in text.lines() {
        match Entry::read(line).filter(|entry| without_slash(&entry.path) == path) {
            None => out.push_str(line),
            Some(_) if placed || wanted.is_none() => continue,
            Some(entry) => {
                placed = true;
                match wanted {
                    Some(wanted) if *wanted != entry => out.push_str(&wanted.line()),
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

fn without_slash(path: &str) -> &str {
    if path.len() > 1 { path.trim_end_matches('/') } else { path }
}

/// What is mounted.
#[derive(Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Type of the file system.
    pub fstype: String,
    /// Device or the like.
    pub source: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
}

/// What is mounted at a path: of several mounts, the one on top. `Err` is a line that makes no sense.
pub fn mounted(mountinfo: &str, path: &str) -> Result<Option<Mounted>, String> {
    let mut top = None;
    for line in mountinfo.lines() {
        let odd = || line.to_owned();
        let (mount, system) = line.split_once(" - ").ok_or_else(odd)?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let system: Vec<&str> = system.split(' ').collect();
        let (point, own) = (mount.get(4).ok_or_else(odd)?, mount.get(5).ok_or_else(odd)?);
        let [fstype, source, of_system] = system[..] else { return Err(odd()) };
        if unescaped(point) == path {
            let options = own.split(',').chain(of_system.split(',')).map(str::to_owned).collect();
            top = Some(Mounted { fstype: fstype.to_owned(), source: unescaped(source), options });
        }
    }
    Ok(top)
}

/// White space and backslashes as octal numbers.
fn escaped(text: &str) -> String {
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
    fn only_the_entry_of_the_path_is_edited() {
        let mut same = entry("noatime");
        same.path.push('/');
        assert_eq!(edited(FSTAB, "/mnt/my data", Some(&same)), None);
        let line = "UUID=1-2 /mnt/my\\040data ext4 ro 0 2\n";
        let head = "# static\nproc  /proc proc defaults 0 0\n\n";
        assert_eq!(edited(FSTAB, "/mnt/my data", Some(&entry("ro"))), Some(format!("{head}{line}")));
        assert_eq!(edited(FSTAB, "/mnt/my data", None).as_deref(), Some(head));
        assert_eq!(edited("a /b", "/mnt/my data", Some(&entry("ro"))), Some(format!("a /b\n{line}")));
        assert_eq!(edited(FSTAB, "/other", None), None);
        assert_eq!(edited(&format!("{line}{line}"), "/mnt/my data", Some(&entry("ro"))).as_deref(), Some(line));
    }

    #[test]
    fn the_mount_on_top_counts() {
        let info = "22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n\
                    40 22 0:35 / /mnt/my\\040data rw - tmpfs tmpfs rw,size=1k\n\
                    41 40 8:17 / /mnt/my\\040data ro,noatime shared:9 master:2 - ext4 /dev/sdb1 rw\n";
        let options = ["ro", "noatime", "rw"].map(str::to_owned).to_vec();
        let top = Mounted { fstype: "ext4".into(), source: "/dev/sdb1".into(), options };
        assert_eq!(mounted(info, "/mnt/my data"), Ok(Some(top)));
        assert_eq!(mounted(info, "/mnt"), Ok(None));
        assert_eq!(mounted("what", "/mnt"), Err("what".into()));
    }
}
