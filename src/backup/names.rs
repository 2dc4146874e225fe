//! Names: of backups, of the files in them, and of the collections that a backup leaves out.

use sha1::{Digest, Sha1};

use crate::error::{Error, Result};
use crate::names::{Names, OLD_ASSESSMENT_BACKUP, OLD_BACKUPS};

/// What every backup's name begins with.
pub const PREFIX: &str = "edulearn_backup_";
/// What a time-series collection's data is stored under.
pub use crate::mongo::profile::BUCKETS;
/// Stored functions: data, although the server calls it its own.
pub const STORED_FUNCTIONS: &str = "system.js";

/// Whether the server keeps the collection for itself.
pub fn the_servers(collection: &str) -> bool {
    collection.starts_with("system.") && collection != STORED_FUNCTIONS
}

/// Whether a restore neither replaces nor drops the collection: the history, and what the old tool left. Where it
/// does not exist it is made from the backup.
pub fn kept(own: &Names, collection: &str) -> bool {
    collection == own.history() || matches!(collection, OLD_BACKUPS | OLD_ASSESSMENT_BACKUP)
}

/// The file name for a collection, without extension, escaped and shortened as mongodump does.
/// Source: mongo-tools, `mongodump/prepare.go` (`outputPath`), and Go's `url.QueryEscape`.
pub fn file_stem(collection: &str) -> String {
    let mut escaped = String::with_capacity(collection.len());
    for byte in collection.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else if byte == b' ' {
            escaped.push('+');
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    // So that no file name with its longest extension passes 255 bytes.
    if escaped.len() > 238 {
        let hash = Sha1::digest(collection.as_bytes());
        escaped.truncate(208);
        escaped.push_str("%24");
        escaped.push_str(&base64_url(&hash));
    }
    escaped
}

/// The collection that a file name stands for; `None` where it was shortened or is no escaped name.
pub fn collection_of(stem: &str) -> Option<String> {
    let bytes = stem.as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = stem.get(at + 1..at + 3)?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            at += 3;
        } else {
            name.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
            at += 1;
        }
    }
    String::from_utf8(name).ok()
}

/// Refuses what cannot be the name of something in the backup directory, such as a path.
///
/// # Errors
/// [`Error::Settings`].
pub fn check(name: &str) -> Result<()> {
    let plain =
        !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']) && !name.contains(char::is_control);
    if plain && name.len() <= 255 {
        return Ok(());
    }
    Err(Error::Settings(format!(
        "{name:?} cannot be the name of a backup: a backup is named, as in edulearn_backup_20241217_143022, and looked for in \
         the backup directory (--backup-dir) only."
    )))
}

/// Whether a name in a manifest is one file of the backup's own directory.
pub fn is_plain_file(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

fn base64_url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_mongodumps() {
        assert_eq!(file_stem("users"), "users");
        assert_eq!(file_stem("a b/c%d\ne;,?é"), "a+b%2Fc%25d%0Ae%3B%2C%3F%C3%A9");
        assert_eq!(file_stem("$&+:=@~._-"), "%24%26%2B%3A%3D%40~._-");
        let long = file_stem(&"n".repeat(239));
        assert_eq!(long.len(), 238);
        assert!(long.starts_with(&format!("{}%24", "n".repeat(208))));
        assert_eq!(file_stem(&"n".repeat(238)), "n".repeat(238));
    }

    proptest::proptest! {
        #[test]
        fn every_short_name_comes_back(name in "[^\0$]{1,60}") {
            proptest::prop_assume!(file_stem(&name).len() < 208);
            proptest::prop_assert_eq!(collection_of(&file_stem(&name)), Some(name));
        }
    }

    #[test]
    fn paths_are_no_names() {
        for name in ["", ".", "..", "../x", "a/b", "/etc", "a\\b", ".hidden", "a\0b", "a\nb"] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check("edulearn_backup_20241217_143022").is_ok());
        assert!(check("a..b").is_ok());
    }
}
