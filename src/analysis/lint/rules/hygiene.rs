//! Names, numbers, and files that do nothing.

use std::collections::HashMap;

use crate::analysis::lint::codes::{DUPLICATE_NAME, DUPLICATE_NUMBER, EMPTY_MIGRATION, EMPTY_NAME, LISTING_ORDER};
use crate::analysis::lint::file::File;
use crate::analysis::lint::finding::{FindingPlace, Findings};
use crate::model::migration::compare_numbers;

/// Words that say that something is done, and not what.
const EMPTY_WORDS: [&str; 22] = [
    "a",
    "change",
    "changes",
    "data",
    "db",
    "fix",
    "fixes",
    "foo",
    "migrate",
    "migration",
    "misc",
    "my",
    "new",
    "old",
    "schema",
    "script",
    "some",
    "temp",
    "test",
    "tmp",
    "update",
    "x",
];

/// Looks at one file.
pub fn check(file: &File, findings: &mut Findings) {
    if let Some(name) = &file.name
        && !name.trim().is_empty()
        && says_nothing(name)
    {
        findings.add(
            file,
            EMPTY_NAME,
            FindingPlace::Field("/name"),
            format!("the name {name:?} does not say what it does."),
        );
    }
    if file.whole && file.up.is_empty() && !file.empty {
        findings.add(file, EMPTY_MIGRATION, FindingPlace::Field("/up"), "the up script has no operations.");
    }
}

/// Compares the files, which are in the order of their numbers.
pub fn compare(files: &[File], findings: &mut [Findings]) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        let Some(name) = file.name.as_deref().filter(|name| !name.trim().is_empty()) else { continue };
        match names.get(name) {
            Some(first) => {
                let message = format!("{} has the name {name:?}, too.", files[*first].shown);
                findings[at].add(file, DUPLICATE_NAME, FindingPlace::Field("/name"), message);
            }
            None => {
                names.insert(name, at);
            }
        }
    }
    for at in 1..files.len() {
        let (Some(before), Some(number)) = (&files[at - 1].number, &files[at].number) else { continue };
        // Files of several directories are no sequence.
        if parent(&files[at - 1]) != parent(&files[at]) || files[at - 1].id.is_none() || files[at].id.is_none() {
            continue;
        }
        if compare_numbers(before, number).is_eq() {
            let message = format!("has the number of {}.", files[at - 1].shown);
            findings[at].add(&files[at], DUPLICATE_NUMBER, FindingPlace::Field(""), message);
        } else if before > number {
            let message = format!("applies after {}, and is listed before it.", files[at - 1].shown);
            findings[at].add(&files[at], LISTING_ORDER, FindingPlace::Field(""), message);
        }
    }
}

fn parent(file: &File) -> &str {
    file.shown.rsplit_once(std::path::is_separator).map_or("", |(parent, _)| parent)
}

/// Whether nothing is left of a name without numbers and words that fit every migration.
fn says_nothing(name: &str) -> bool {
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| word.trim_matches(|c: char| c.is_ascii_digit()).to_lowercase())
        .all(|word| word.is_empty() || word == "v" || EMPTY_WORDS.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::says_nothing;

    #[test]
    fn names_are_judged_by_their_words() {
        for name in
            ["migration_001", "update", "fix", "test", "20241217", "Fix 2", "new-migration", "v2", "update_data_3"]
        {
            assert!(says_nothing(name), "{name}");
        }
        for name in ["add_user_preferences", "fix_roles", "update_document_schema", "größe", "drop v1 api keys"] {
            assert!(!says_nothing(name), "{name}");
        }
    }
}
