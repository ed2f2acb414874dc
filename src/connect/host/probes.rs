//! Builds scripts from probes, and facts from their output. No I/O.

use std::collections::HashMap;

use super::command::{script, sysctl_file};
use super::facts::System;
use super::guard;
use super::quote;
use super::request::Request;
use super::types::{CONTENT_LIMIT, CommandOutput, Fact, File, FileKind, Module, Probe, Read};
use crate::connect::ConnectError;
use crate::digest::hex;
use crate::excerpt;

/// All probes of a call as one request: one `stat` and one `sha256sum` for all paths, and one part for each other
/// probe.
pub struct Batch<'a> {
    probes: &'a [Probe],
    stats: Vec<&'a str>,
    hashes: Vec<&'a str>,
    sysctls: Vec<String>,
}

/// Files that were too large to be read whole: their index in the facts, and their path.
pub struct LargeFiles(Vec<(usize, String)>);

impl<'a> Batch<'a> {
    /// Groups the probes by the tool that answers them.
    pub fn new(probes: &'a [Probe]) -> Self {
        let mut stats: Vec<&str> = Vec::new();
        let mut hashes: Vec<&str> = Vec::new();
        let mut sysctls: Vec<String> = Vec::new();
        for probe in probes {
            if let Probe::Sysctl { key } = probe {
                sysctls.push(sysctl_file(key));
            }
            if let Probe::File { path, read } = probe {
                if !stats.contains(&path.as_str()) {
                    stats.push(path);
                }
                if matches!(read, Read::Hash | Read::ContentUnless(_)) && !hashes.contains(&path.as_str()) {
                    hashes.push(path);
                }
            }
        }
        Self { probes, stats, hashes, sysctls }
    }

    /// The scripts; [`Self::read`] expects their outputs in the same order.
    pub fn request(&self) -> Request {
        let mut parts = Vec::new();
        if !self.stats.is_empty() {
            parts.push(format!("_ro_stat {}; _ro_twins", quote::words(self.stats.iter().copied())));
        }
        if !self.hashes.is_empty() {
            parts.push(format!("_ro_hash {}", quote::words(self.hashes.iter().copied())));
        }
        if !self.sysctls.is_empty() {
            parts.push(format!("_ro_sysctl {}", quote::words(self.sysctls.iter().map(String::as_str))));
        }
        let mut live = false;
        for probe in self.probes {
            parts.push(match probe {
                Probe::File { path, read } => {
                    let limit = if read.wants_content() { CONTENT_LIMIT + 1 } else { 0 };
                    let unless = if let Read::ContentUnless(hash) = read { hex(hash) } else { String::new() };
                    format!("_ro_read {} {limit} {unless}", quote::word(path)).trim_end().to_owned()
                }
                Probe::Run(run) => {
                    live = true;
                    script(run)
                }
                Probe::Sysctl { .. } => continue,
                Probe::Module { name } => format!("_ro_module {}", quote::word(name)),
                Probe::System => "_ro_system".to_owned(),
                Probe::Guard => guard::probe_script(),
            });
        }
        Request { parts, shows_output: live, ..Request::default() }
    }

    /// Appends one fact for each probe. Returns the files whose hashes need a second request.
    pub fn read(&self, done: &[CommandOutput], facts: &mut Vec<Fact>) -> Result<Option<LargeFiles>, ConnectError> {
        let mut done = done.iter();
        let mut next =
            || done.next().ok_or_else(|| ConnectError::failed("the host answered fewer probes than were sent"));
        let stats = if self.stats.is_empty() { HashMap::new() } else { read_stats(&self.stats, next()?)? };
        let hashes = if self.hashes.is_empty() { HashMap::new() } else { read_hashes(next()?)? };
        let sysctls = if self.sysctls.is_empty() { HashMap::new() } else { read_sysctls(next()?)? };
        let mut large = Vec::new();
        for probe in self.probes {
            facts.push(match probe {
                Probe::File { path, read } => {
                    let answer = next()?;
                    let mut file = stats.get(path.as_str()).cloned();
                    if let Some(file) = &mut file {
                        file.sha256 = hashes.get(path).cloned();
                        if fill_in_content(path, file, *read, answer)? {
                            large.push((facts.len(), path.clone()));
                        }
                    }
                    Fact::File(file)
                }
                Probe::Run(_) => Fact::Run(next()?.clone()),
                Probe::Sysctl { key } => Fact::Sysctl(sysctls.get(&sysctl_file(key)).cloned()),
                Probe::Module { name } => Fact::Module(read_module(name, next()?)?),
                Probe::System => Fact::System(Box::new(System::read(&next()?.stdout.text())?)),
                Probe::Guard => Fact::Guard(guard::read(next()?)?),
            });
        }
        Ok((!large.is_empty()).then_some(LargeFiles(large)))
    }
}

impl LargeFiles {
    /// A request for the hashes of the files.
    pub fn request(&self) -> Request {
        let paths = quote::words(self.0.iter().map(|(_, path)| path.as_str()));
        Request { parts: vec![format!("_ro_hash {paths}")], ..Request::default() }
    }

    pub fn fill(self, done: &[CommandOutput], facts: &mut [Fact]) -> Result<(), ConnectError> {
        let done = done.first().ok_or_else(|| ConnectError::failed("the host answered fewer probes than were sent"))?;
        let hashes = read_hashes(done)?;
        for (at, path) in self.0 {
            if let Some(Fact::File(Some(file))) = facts.get_mut(at) {
                file.sha256 = hashes.get(&path).cloned();
            }
        }
        Ok(())
    }
}

/// Replaces each run of white space by one space: the kernel separates numbers by tabs.
pub fn collapse_whitespace(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The whole standard output; an error if a part was left out, since that part could hold anything.
fn complete_stdout(answer: &CommandOutput) -> Result<String, ConnectError> {
    if answer.stdout.is_cut() || answer.stderr.is_cut() {
        return Err(ConnectError::failed("the host's answer is too long to be read whole")
            .hint("divide the step into several with fewer files or keys each"));
    }
    Ok(answer.stdout.text())
}

fn read_sysctls(answer: &CommandOutput) -> Result<HashMap<String, String>, ConnectError> {
    let errors = answer.stderr.text();
    if errors.lines().any(|line| !is_absence(line)) {
        return Err(cannot("read", "the kernel parameters", answer));
    }
    let text = complete_stdout(answer)?;
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.map(|(file, value)| (file.to_owned(), collapse_whitespace(value))).collect())
}

/// Whether an error message (in the C locale) only says that a file does not exist.
fn is_absence(line: &str) -> bool {
    line.ends_with("No such file or directory") || line.ends_with("Not a directory")
}

/// Sets the link target, or the content and its hash; returns `true` when the file is too large and its hash is still
/// missing.
fn fill_in_content(path: &str, file: &mut File, read: Read, answer: &CommandOutput) -> Result<bool, ConnectError> {
    if !matches!(file.kind, FileKind::Regular | FileKind::Link(_))
        || (!read.wants_content() && file.kind == FileKind::Regular)
    {
        return Ok(false);
    }
    let as_expected = matches!(read, Read::ContentUnless(hash) if file.sha256.as_ref() == Some(&hex(&hash)));
    if file.kind == FileKind::Regular && as_expected {
        return Ok(false);
    }
    if answer.exit != 0 {
        return Err(cannot("read", path, answer));
    }
    if let FileKind::Link(target) = &mut file.kind {
        *target = answer.stdout.text();
        return Ok(false);
    }
    if answer.stdout.length > CONTENT_LIMIT as u64 {
        return Ok(file.sha256.is_none());
    }
    file.sha256 = Some(answer.stdout.sha256.clone());
    file.size = answer.stdout.length;
    file.content = Some(answer.stdout.tail.clone());
    Ok(false)
}

fn read_stats(paths: &[&str], answer: &CommandOutput) -> Result<HashMap<String, File>, ConnectError> {
    let text = complete_stdout(answer)?;
    let mut stats: HashMap<String, File> = text.lines().filter_map(read_stat).collect();
    let users = aliases(&text, "/etc/passwd:");
    let groups = aliases(&text, "/etc/group:");
    for file in stats.values_mut() {
        let of = |names: &[(u32, &str)], number: u32| {
            names.iter().filter(|(of, _)| *of == number).map(|(_, name)| (*name).to_owned()).collect()
        };
        (file.owner_aliases, file.group_aliases) = (of(&users, file.uid), of(&groups, file.gid));
    }
    let errors = answer.stderr.text();
    let other = errors.lines().find(|line| !is_absence(line));
    match (paths.iter().find(|p| !stats.contains_key(**p)), other) {
        (Some(path), Some(_)) => Err(cannot("look at", path, answer)),
        (Some(path), None) if answer.exit == 127 || errors.is_empty() => Err(cannot("look at", path, answer)),
        _ => Ok(stats),
    }
}

/// User or group ids and their further names, as printed by `_ro_twins`.
fn aliases<'a>(text: &'a str, source: &str) -> Vec<(u32, &'a str)> {
    let twin = |line: &'a str| {
        let (number, name) = line.strip_prefix(source)?.split_once(':')?;
        Some((number.parse().ok()?, name))
    };
    text.lines().filter_map(twin).collect()
}

fn read_stat(line: &str) -> Option<(String, File)> {
    let mut fields = line.splitn(7, ':');
    let mode = u32::from_str_radix(fields.next()?, 16).ok()?;
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let size = fields.next()?.parse().ok()?;
    let (owner, group) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let kind = match mode & 0o170_000 {
        0o100_000 => FileKind::Regular,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Link(String::new()),
        _ => FileKind::Other,
    };
    let (owner_also, group_also) = (Vec::new(), Vec::new());
    let mode = mode & 0o7777;
    let file = File {
        kind,
        mode,
        uid,
        gid,
        owner,
        group,
        owner_aliases: owner_also,
        group_aliases: group_also,
        size,
        sha256: None,
        content: None,
    };
    Some((fields.next()?.to_owned(), file))
}

fn read_hashes(answer: &CommandOutput) -> Result<HashMap<String, String>, ConnectError> {
    if answer.exit != 0 {
        return Err(cannot("hash", "the files", answer));
    }
    let text = complete_stdout(answer)?;
    let one = |line: &str| {
        // GNU sha256sum starts a line with a backslash when it had to escape the name.
        let (escaped, line) = line.strip_prefix('\\').map_or((false, line), |rest| (true, rest));
        let (hash, name) = line.split_once("  ")?;
        let name = if escaped { name.replace("\\\\", "\\") } else { name.to_owned() };
        Some((name, hash.to_owned()))
    };
    let hashes: HashMap<String, String> = text.lines().filter_map(one).collect();
    // Refuses anything that is not a hash: it could be neither compared nor shown.
    let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    match hashes.iter().find(|(_, hash)| !is_hash(hash)) {
        Some((name, hash)) => {
            let message = format!("the host's sha256sum printed no hash of {name} but: {}", excerpt::head(hash, 80));
            Err(ConnectError::failed(message).hint("check on the host which program `command -v sha256sum` names"))
        }
        None => Ok(hashes),
    }
}

fn read_module(name: &str, answer: &CommandOutput) -> Result<Module, ConnectError> {
    match answer.stdout.text().as_str() {
        "loaded" => Ok(Module::Loaded),
        "builtin" => Ok(Module::BuiltIn),
        "available" => Ok(Module::Available),
        "absent" => Ok(Module::Absent),
        _ => Err(cannot("look for", name, answer)),
    }
}

fn cannot(verb: &str, what: &str, answer: &CommandOutput) -> ConnectError {
    let stderr = answer.stderr.last_lines(3);
    let error = ConnectError::failed(format!("cannot {verb} {what}: {stderr}"));
    if stderr.contains("Permission denied") { error.hint("set `become = true` on the step") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(path: &str, stdout: &str, stderr: &str, exit: i32) -> Result<Option<File>, ConnectError> {
        read_stats(&[path], &CommandOutput::new(exit, stdout, stderr)).map(|mut stats| stats.remove(path))
    }

    #[test]
    fn a_line_of_stat_is_a_file() {
        let file = stat("/a:b", "81a4:0:8:12:root:domain users:/a:b\n", "", 0).unwrap().unwrap();
        assert_eq!((file.kind, file.mode, file.gid, file.size), (FileKind::Regular, 0o644, 8, 12));
        assert_eq!(file.group, "domain users");
        let sticky = stat("/tmp", "43ff:0:0:40:root:root:/tmp", "", 0).unwrap().unwrap();
        assert_eq!((sticky.kind, sticky.mode), (FileKind::Directory, 0o1777));
    }

    #[test]
    fn absence_is_a_fact_and_everything_else_an_error() {
        for absent in ["stat: cannot statx '/a': No such file or directory", "stat: can't stat '/a': Not a directory"] {
            assert_eq!(stat("/a", "", absent, 1).unwrap(), None);
        }
        let denied = stat("/a", "", "stat: cannot statx '/a': Permission denied", 1).unwrap_err();
        let ConnectError::Failed { hint, .. } = &denied else { panic!("{denied:?}") };
        assert!(denied.to_string().contains("cannot look at /a") && hint.as_ref().unwrap().contains("become"));
        assert!(stat("/a", "", "sh: stat: not found", 127).is_err());
        assert!(stat("/a", "", "", 0).is_err());
        let mut cut = CommandOutput::new(1, "", "stat: cannot statx '/a': No such file or directory");
        cut.stdout.length = 1;
        assert!(read_stats(&["/a"], &cut).unwrap_err().to_string().contains("too long to be read whole"));
    }

    #[test]
    fn further_names_of_a_number_belong_to_the_files_of_that_number() {
        let text = "81a4:0:4:5:root:adm:/a\n81a4:1:5:5:daemon:tty:/b\n/etc/passwd:0:toor\n/etc/group:4:odd users\n";
        let stats = read_stats(&["/a", "/b"], &CommandOutput::new(0, text, "")).unwrap();
        assert_eq!((stats.len(), &stats["/a"].owner_aliases[..]), (2, &["toor".to_owned()][..]));
        assert_eq!(stats["/a"].group_aliases, ["odd users"]);
        assert!(stats["/b"].owner_aliases.is_empty() && stats["/b"].group_aliases.is_empty());
    }

    #[test]
    fn one_stat_serves_all_paths() {
        let file = |path: &str| Probe::File { path: path.into(), read: Read::Stat };
        let probes = [file("/a"), file("/b c"), file("/a")];
        assert_eq!(Batch::new(&probes).request().parts[0], "_ro_stat /a '/b c'; _ro_twins");
    }
}
