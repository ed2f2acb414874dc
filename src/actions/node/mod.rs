//! Hosts: commands, files, packages, services, accounts, timers, mounts, kernel parameters and modules, facts. One file or
//! folder per action; what they share is in `params`, `content`, `effects`, `scripts` and `systemd`.

mod apt_repository;
mod authorized_key;
mod boot_config;
mod command;
mod content;
mod cron;
mod directory;
mod effects;
mod facts;
mod file;
mod group;
mod hostname;
mod kernel_module;
mod mount;
mod package;
mod params;
mod scripts;
mod service;
mod sysctl;
mod systemd;
mod template;
#[cfg(test)]
mod testing;
mod timer;
#[cfg(test)]
mod twice;
mod user;

pub use apt_repository::AptRepository;
pub use authorized_key::AuthorizedKey;
pub use boot_config::BootConfig;
pub use command::Command;
pub use cron::Cron;
pub use directory::Directory;
pub use facts::Facts;
pub use file::File;
pub use group::Group;
pub use hostname::Hostname;
pub use kernel_module::KernelModule;
pub use mount::Mount;
pub use package::Package;
pub use service::Service;
pub use sysctl::Sysctl;
pub use template::Template;
pub use timer::Timer;
pub use user::User;

use super::Registry;

/// Adds the actions of this folder.
pub fn register(registry: &mut Registry) {
    registry.add::<AptRepository>();
    registry.add::<AuthorizedKey>();
    registry.add::<BootConfig>();
    registry.add::<Command>();
    registry.add::<Cron>();
    registry.add::<Directory>();
    registry.add::<Facts>();
    registry.add::<File>();
    registry.add::<Group>();
    registry.add::<Hostname>();
    registry.add::<KernelModule>();
    registry.add::<Mount>();
    registry.add::<Package>();
    registry.add::<Service>();
    registry.add::<Sysctl>();
    registry.add::<Template>();
    registry.add::<Timer>();
    registry.add::<User>();
}
