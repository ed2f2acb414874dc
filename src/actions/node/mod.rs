//! Actions on hosts: commands, files and their content, packages, services, accounts, timers, mounts, kernel parameters
//! and modules, facts, copies of a host's files, reboots. One file or folder per action.
//!
//! Shared by the actions: `params` (parameters), `probes` and `effects` (what is asked and done on the host), `failure`
//! (error messages), `content` and `text` (files and their lines), `conditions` and `exit_policy` (commands), `systemd`
//! (units).

mod apt_repository;
mod archive;
mod authorized_key;
mod block;
mod boot_config;
mod bytes;
mod command;
mod conditions;
mod content;
mod copy_tree;
mod cron;
mod directory;
mod download;
mod effects;
mod exit_policy;
mod facts;
mod failure;
mod fetch;
mod file;
mod git;
mod group;
mod hostname;
mod hosts_entry;
#[cfg(test)]
mod idempotence;
mod install;
mod kernel_module;
mod line;
mod mount;
mod package;
mod params;
mod probes;
mod reboot;
mod script;
mod service;
mod sysctl;
mod systemd;
mod tar;
mod template;
#[cfg(test)]
mod testing;
mod text;
mod timer;
mod user;
mod wait_for;

pub use apt_repository::AptRepository;
pub use archive::Archive;
pub use authorized_key::AuthorizedKey;
pub use block::Block;
pub use boot_config::BootConfig;
pub use command::Command;
pub use copy_tree::CopyTree;
pub use cron::Cron;
pub use directory::Directory;
pub use download::Download;
pub use facts::Facts;
pub use fetch::Fetch;
pub use file::File;
pub use git::Git;
pub use group::Group;
pub use hostname::Hostname;
pub use hosts_entry::HostsEntry;
pub use kernel_module::KernelModule;
pub use line::Line;
pub use mount::Mount;
pub use package::Package;
pub use reboot::Reboot;
pub use script::Script;
pub use service::Service;
pub use sysctl::Sysctl;
pub use template::Template;
pub use timer::Timer;
pub use user::User;
pub use wait_for::WaitFor;

use super::Registry;

/// Adds all `node.*` actions.
pub fn register(registry: &mut Registry) {
    registry.add::<AptRepository>();
    registry.add::<Archive>();
    registry.add::<AuthorizedKey>();
    registry.add::<Block>();
    registry.add::<BootConfig>();
    registry.add::<Command>();
    registry.add::<CopyTree>();
    registry.add::<Cron>();
    registry.add::<Directory>();
    registry.add::<Download>();
    registry.add::<Facts>();
    registry.add::<Fetch>();
    registry.add::<File>();
    registry.add::<Git>();
    registry.add::<Group>();
    registry.add::<Hostname>();
    registry.add::<HostsEntry>();
    registry.add::<KernelModule>();
    registry.add::<Line>();
    registry.add::<Mount>();
    registry.add::<Package>();
    registry.add::<Reboot>();
    registry.add::<Script>();
    registry.add::<Service>();
    registry.add::<Sysctl>();
    registry.add::<Template>();
    registry.add::<Timer>();
    registry.add::<User>();
    registry.add::<WaitFor>();
}
