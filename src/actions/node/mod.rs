//! Hosts: commands, files and what is in them, directories, kernel parameters and modules, facts. One file per action;
//! what they share is in `params`, `content`, `text`, `guards`, `ended` and `effects`.

mod archive;
mod block;
mod command;
mod content;
mod copy_tree;
mod directory;
mod download;
mod effects;
mod ended;
mod facts;
mod file;
mod git;
mod guards;
mod hosts_entry;
mod kernel_module;
mod line;
mod params;
mod script;
mod sysctl;
mod tar;
mod template;
#[cfg(test)]
mod testing;
mod text;
#[cfg(test)]
mod twice;
mod wait_for;

pub use archive::Archive;
pub use block::Block;
pub use command::Command;
pub use copy_tree::CopyTree;
pub use directory::Directory;
pub use download::Download;
pub use facts::Facts;
pub use file::File;
pub use git::Git;
pub use hosts_entry::HostsEntry;
pub use kernel_module::KernelModule;
pub use line::Line;
pub use script::Script;
pub use sysctl::Sysctl;
pub use template::Template;
pub use wait_for::WaitFor;

use super::Registry;

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<Archive>();
    registry.add::<Block>();
    registry.add::<Command>();
    registry.add::<CopyTree>();
    registry.add::<Directory>();
    registry.add::<Download>();
    registry.add::<Facts>();
    registry.add::<File>();
    registry.add::<Git>();
    registry.add::<HostsEntry>();
    registry.add::<KernelModule>();
    registry.add::<Line>();
    registry.add::<Script>();
    registry.add::<Sysctl>();
    registry.add::<Template>();
    registry.add::<WaitFor>();
}
