//! The answer of `probe.sh`: what is mounted at a path.

use std::collections::HashMap;

use super::tables::{Mounted, mounts};

/// State of a mount point.
#[derive(Debug, Default)]
pub struct MountState {
    /// The path without links, as the kernel lists it.
    pub place: String,
    /// Whether something other than a directory is at the path.
    pub is_no_directory: bool,
    /// Path without links of the device that the parameter `source` stands for, if there is one.
    pub device: Option<String>,
    /// Major and minor number of that device.
    number: Option<(u32, u32)>,
    /// Whether source and path are the same file or folder.
    pub same_folder: bool,
    /// Paths of devices that are links, and their targets.
    devices: HashMap<String, String>,
    /// Paths as written in fstab, and the same paths without links.
    places: HashMap<String, String>,
    /// All mounts at the place; the topmost is the last.
    mounts: Vec<Mounted>,
}

impl MountState {
    /// `Err` holds a line that does not parse.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (head, info) = text.split_once("\nmounts\n").ok_or_else(|| text.to_owned())?;
        let mut lines = head.lines();
        let mut next = || lines.next().ok_or_else(|| head.to_owned());
        let (place, kind, device) = (next()?.to_owned(), next()?, next()?.to_owned());
        let number = next()?.split_once(':').and_then(|(major, minor)| {
            let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
            number(major).zip(number(minor))
        });
        let same_folder = next()? == "same";
        let mut state = Self {
            mounts: mounts(info, &place)?,
            place,
            is_no_directory: kind == "other",
            device: Some(device).filter(|device| !device.is_empty()),
            number,
            same_folder,
            ..Self::default()
        };
        for line in lines {
            let mut words = line.splitn(3, ' ');
            let (Some(what), Some(name), Some(to)) = (words.next(), words.next(), words.next()) else {
                return Err(line.to_owned());
            };
            let table = if what == "device" { &mut state.devices } else { &mut state.places };
            table.insert(name.to_owned(), to.to_owned());
        }
        Ok(state)
    }

    /// The topmost mount; `None` when there is none, or only an automount that nobody has used yet.
    pub fn top_mount(&self) -> Option<&Mounted> {
        self.mounts.last().filter(|mounted| !mounted.is_on_demand())
    }

    /// Whether anything is mounted, be it an automount.
    pub fn is_mounted(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Whether an automount is set up that mounts the file system on first access.
    pub fn is_on_demand(&self) -> bool {
        self.mounts.last().is_some_and(Mounted::is_on_demand)
    }

    /// Whether a path, as written in fstab, stands for this mount point.
    pub fn is_here(&self, written: &str) -> bool {
        self.places.get(written).is_some_and(|place| *place == self.place)
    }

    /// Whether another device than the wanted one is mounted; false when either is not known.
    pub fn is_other_device(&self, live: &Mounted) -> bool {
        let Some(device) = self.device.as_ref().filter(|_| live.source.starts_with("/dev/")) else { return false };
        let source = self.devices.get(&live.source).unwrap_or(&live.source);
        source != device && self.number != Some(live.number)
    }
}
