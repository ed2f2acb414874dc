//! Marks of values that are hidden: they tell that one changes, and nobody without the key can try out what it is.

use std::sync::{LazyLock, RwLock};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::mask::MASK;
use crate::sync::{read, write};

/// Of this process alone, unless marks are compared with those of another one.
static KEY: LazyLock<RwLock<[u8; 32]>> = LazyLock::new(|| RwLock::new(rand::random()));

/// Makes marks with this key from now on.
pub fn mark_with(key: [u8; 32]) {
    *write(&KEY) = key;
}

/// What stands in the place of a hidden value, and changes when it does.
pub fn mark(value: &str) -> String {
    let key = *read(&KEY);
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return MASK.to_owned() };
    mac.update(b"mark\0");
    mac.update(value.as_bytes());
    let digest = mac.finalize().into_bytes();
    format!("{MASK} {:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}
