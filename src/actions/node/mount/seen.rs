//! What a host says of a place where something is to be mounted.

use std::collections::HashMap;

use super::tables::{Mounted, mounts};

/// Read from what `look.sh` prints.
#[derive(Debug, Default)]
pub struct Seen {
    /// The path without links: what the kernel calls it.
    pub place: String,
    /// Whether something is there that is no directory.
    pub is_no_directory: bool,
    /// The device that the source means, without links, if it is one that is there.
    pub device: Option<String>,
    /// Its number.
    number: Option<(u32, u32)>,
    /// Whether source and path are the same file or folder.
    pub same_folder: bool,
    /// Names of devices, and where they lead.
    devices: HashMap<String, String>,
    /// Paths as entries of fstab have them, and where these lead.
    places: HashMap<String, String>,
    /// What is mounted at the place, the one on top last.
    mounts: Vec<Mounted>,
}

impl Seen {
    /// `Err` is a line that makes no sense.
    pub fn read(text: &str) -> Result<Self, String> {
        let (head, info) = text.split_once("\nmounts\n").ok_or_else(|| text.to_owned())?;
        let mut lines = head.lines();
        let mut next = || lines.next().ok_or_else(|| head.to_owned());
        let (place, kind, device) = (next()?.to_owned(), next()?, next()?.to_owned());
        let number = next()?.split_once(':').and_then(|(major, minor)| {
            let number = |hex: &str| u32::from_str_radix(hex, 16).ok();
            number(major).zip(number(minor))
        });
        let same_folder = next()? == "same";
        let mut seen = Self {
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
            let table = if what == "device" { &mut seen.devices } else { &mut seen.places };
            table.insert(name.to_owned(), to.to_owned());
        }
        Ok(seen)
    }

    /// What is mounted there: of several mounts, the one on top. A place where systemd mounts on demand is none.
    pub fn live(&self) -> Option<&Mounted> {
        self.mounts.last().filter(|mounted| !mounted.is_on_demand())
    }

    /// Whether anything is mounted there, be it only what mounts on demand.
    pub fn is_mounted(&self) -> bool {
        !self.mounts.is_empty()
    }

    /// Whether what is wanted there is mounted as soon as somebody looks.
    pub fn is_on_demand(&self) -> bool {
        self.mounts.last().is_some_and(Mounted::is_on_demand)
    }

    /// Whether a path, as an entry of fstab has it, means the place.
    pub fn is_here(&self, written: &str) -> bool {
        self.places.get(written).is_some_and(|place| *place == self.place)
    }

    /// Whether another device is mounted than the wanted one, where both are known.
    pub fn is_other_device(&self, live: &Mounted) -> bool {
        let Some(device) = self.device.as_ref().filter(|_| live.source.starts_with("/dev/")) else { return false };
        let source = self.devices.get(&live.source).unwrap_or(&live.source);
        source != device && self.number != Some(live.number)
    }
}
