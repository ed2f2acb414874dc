//! A made-up host for tests: a few files, kernel parameters, and the output of commands.

use sha2::{Digest as _, Sha256};

use crate::connect::host::{self, CommandOutput, File, FileKind, Read};
use crate::connect::{Fact, Probe};
use crate::digest::hex;

/// The content of the host. Probes of the machine that runs the tool get the same answers.
#[derive(Default)]
pub struct Host {
    /// Paths, and what is there.
    pub files: &'static [(&'static str, FileState)],
    /// Parts of command lines, and what a command with that part prints. Other commands print nothing. The exit status
    /// is 0, or 1 if the command line contains `fails`.
    pub commands: &'static [(&'static str, &'static str)],
    /// Names and values of kernel parameters.
    pub sysctls: &'static [(&'static str, &'static str)],
}

/// An entry at a path, owned by root.
pub enum FileState {
    Text(&'static str, u32),
    Folder(u32),
    Link(&'static str),
}

impl Host {
    pub fn answer(&self, probe: &Probe) -> Fact {
        let (Probe::Host(probe) | Probe::Controller(probe)) = probe else {
            panic!("{probe:?} is no question about a host")
        };
        Fact::Host(match probe {
            host::Probe::File { path, read } => {
                let thing = self.files.iter().find(|(at, _)| at == path);
                host::Fact::File(thing.map(|(_, thing)| thing.file(*read)))
            }
            host::Probe::Run(run) => {
                let command = run.command.to_string();
                let output = self.commands.iter().find(|(words, _)| command.contains(words));
                let exit = i32::from(command.contains("fails"));
                host::Fact::Run(CommandOutput::new(exit, output.map_or("", |(_, output)| output), ""))
            }
            host::Probe::Sysctl { key } => {
                let value = self.sysctls.iter().find(|(name, _)| name == key);
                host::Fact::Sysctl(value.map(|(_, value)| (*value).to_owned()))
            }
            host::Probe::Module { name } if name == "overlay" => host::Fact::Module(host::Module::Loaded),
            host::Probe::Module { .. } => host::Fact::Module(host::Module::Available),
            host::Probe::System => host::Fact::System(Box::default()),
            host::Probe::Guard => host::Fact::Guard(None),
        })
    }
}

impl FileState {
    fn file(&self, read: Read) -> File {
        let (kind, mode, text) = match self {
            Self::Text(text, mode) => (FileKind::Regular, *mode, *text),
            Self::Folder(mode) => (FileKind::Directory, *mode, ""),
            Self::Link(to) => (FileKind::Link((*to).to_owned()), 0o777, ""),
        };
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let regular = kind == FileKind::Regular;
        let is_read = regular && read.wants_content() && read != Read::ContentUnless(hash);
        File {
            kind,
            mode,
            uid: 0,
            gid: 0,
            owner: "root".into(),
            group: "root".into(),
            owner_aliases: Vec::new(),
            group_aliases: Vec::new(),
            size: text.len() as u64,
            sha256: (regular && read != Read::Stat).then(|| hex(&hash)),
            content: is_read.then(|| text.as_bytes().to_vec()),
        }
    }
}
