//! Marks for hidden values: a mark changes when its value changes, and cannot be guessed without the key.

use std::sync::{LazyLock, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::mask::MASK;
use crate::sync::{read, write};

/// Random for each process, unless marks are compared with those of another process.
static KEY: LazyLock<RwLock<[u8; 32]>> = LazyLock::new(|| RwLock::new(rand::random()));

/// Sets the key for all marks from now on.
pub fn mark_with(key: [u8; 32]) {
    *write(&KEY) = key;
}

/// The text shown for a hidden value: a mask and a short keyed hash.
pub fn mark(value: &str) -> String {
    let key = *read(&KEY);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return MASK.to_owned() };
    mac.update(b"mark\0");
    mac.update(value.as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("{MASK} {:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}
