//! Facts about a host's operating system and hardware.

use std::collections::BTreeMap;

use crate::connect::ConnectError;

/// Facts about a host. Strings are empty where the host does not report a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct System {
    /// The host's own host name.
    pub hostname: String,
    /// `ID` of /etc/os-release: `debian`.
    pub os_id: String,
    /// `VERSION_ID` of /etc/os-release: `12`.
    pub os_version: String,
    /// `PRETTY_NAME` of /etc/os-release.
    pub os_name: String,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture: `aarch64`, `x86_64`.
    pub arch: String,
    /// Hardware model, where the device tree has one, as on a Raspberry Pi.
    pub model: String,
    /// Size of a memory page, bytes; 16384 on a Raspberry Pi 5's default kernel.
    pub page_size: u64,
    /// Number of usable processors.
    pub cpus: u64,
    /// Memory, MiB.
    pub memory_total: u64,
    /// Memory available without swapping, MiB.
    pub memory_available: u64,
    /// Swap space, MiB.
    pub swap_total: u64,
    /// The kernel's boot id; changes with each boot.
    pub boot_id: String,
    /// Seconds since boot.
    pub uptime: u64,
    /// Name of process 1: `systemd`.
    pub init: String,
    /// Version of control groups in use: 1 or 2.
    pub cgroup: u64,
    /// Kind of virtualization, by systemd: `kvm`, `docker`, `none`.
    pub virtualization: String,
    /// The user that steps run as.
    pub user: String,
    /// The uid of that user.
    pub uid: u64,
}

impl System {
    /// Parses lines of `name=value`.
    pub fn read(text: &str) -> Result<Self, ConnectError> {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let word = |name: &str| values.get(name).map(|v| v.trim().to_owned()).unwrap_or_default();
        let number = |name: &str| word(name).parse::<u64>().unwrap_or_default();
        let mebibytes = |name: &str| number(name) / 1024;
        if word("kernel").is_empty() {
            return Err(ConnectError::failed(format!("the host does not say what system it is: {text}")));
        }
        Ok(Self {
            hostname: word("hostname"),
            os_id: word("os_id"),
            os_version: word("os_version"),
            os_name: word("os_name"),
            kernel: word("kernel"),
            arch: word("arch"),
            model: word("model"),
            page_size: number("page_size"),
            cpus: number("cpus"),
            memory_total: mebibytes("memory_total"),
            memory_available: mebibytes("memory_available"),
            swap_total: mebibytes("swap_total"),
            boot_id: word("boot_id"),
            uptime: word("uptime").split(['.', ' ']).next().and_then(|s| s.parse().ok()).unwrap_or_default(),
            init: word("init"),
            cgroup: number("cgroup"),
            virtualization: word("virtualization"),
            user: word("user"),
            uid: number("uid"),
        })
    }
}
