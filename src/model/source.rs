//! The migrations directory: reading every file of it, and writing a new one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::error::{Error, Result};
use crate::model::migration::{Migration, compare_numbers, number_of};

/// What a migrations directory holds.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Its migrations in order of their numbers.
    pub migrations: Vec<Migration>,
    /// Its other files, and why they are none.
    pub ignored: Vec<Ignored>,
}

/// A file that is no migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// The file.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// A migration file just written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Created {
    /// The new migration's id.
    pub id: String,
    /// The file's absolute path.
    pub path: String,
    /// The name as given.
    pub name: String,
    /// The description as given, or the one made of the name.
    pub description: String,
}

/// Reads every file of `directory`; one that is absent is empty.
///
/// # Errors
/// [`Error::Invalid`] for the first file that cannot be read, and for two files with one number.
pub fn read_directory(directory: &Path) -> Result<Directory> {
    let mut found = Directory::default();
    let mut numbered: Vec<(String, PathBuf)> = Vec::new();
    for path in list(directory)? {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match classify(&path, &file_name) {
            Ok(number) => numbered.push((number, path)),
            Err(Some(reason)) => found.ignored.push(Ignored { file: path.display().to_string(), reason }),
            Err(None) => {}
        }
    }
    numbered.sort_by(|(a, path_a), (b, path_b)| compare_numbers(a, b).then_with(|| path_a.cmp(path_b)));
    for pair in numbered.windows(2) {
        if compare_numbers(&pair[0].0, &pair[1].0).is_eq() {
            return Err(Error::invalid(
                Some(&pair[1].1),
                format!("has the number of {}; rename one of them, so that their order is plain.", pair[0].1.display()),
            ));
        }
    }
    for (number, path) in numbered {
        let text = read_text(&path)?;
        found.migrations.push(Migration::from_file_text(&format!("migration_{number}"), &path, &text)?);
    }
    Ok(found)
}

/// A migration file's text.
///
/// # Errors
/// [`Error::Invalid`] where it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| Error::invalid(Some(path), format!("it cannot be read: {e}.")))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Error::invalid(Some(path), format!("it is not UTF-8 (byte {at}); save it as UTF-8."))
    })
}

/// The entries of a directory by name; one that is absent is empty.
///
/// # Errors
/// [`Error::Invalid`] where it cannot be read.
pub fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable =
        |e: io::Error| Error::invalid(Some(directory), format!("the migrations directory cannot be read: {e}."));
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

/// The file's number, or why it is no migration; `None` for what nobody would take for one.
///
/// # Errors
/// The reason.
pub fn classify(path: &Path, file_name: &str) -> Result<String, Option<String>> {
    if file_name.starts_with('.') {
        return Err(None);
    }
    if path.is_dir() {
        let looks_like_one = number_of(file_name.strip_suffix(".json").unwrap_or_default()).is_some();
        return Err(looks_like_one.then(|| "it is a directory".to_owned()));
    }
    // Reading a named pipe would wait for whoever writes to it.
    if path.exists() && !path.is_file() {
        return Err(Some("it is no regular file".to_owned()));
    }
    let Some(stem) = file_name.strip_suffix(".json") else {
        return Err(Some("its name does not end in .json".to_owned()));
    };
    let named_like_one = stem.split_once('_').and_then(|(_, rest)| rest.split_once('_'));
    match (number_of(stem), named_like_one) {
        (Some(number), Some((_, name))) if !name.is_empty() => Ok(number.to_owned()),
        _ => Err(Some("its name is not of the form migration_<number>_<name>.json".to_owned())),
    }
}

/// Writes a new migration file from the template and returns what was written. The number is the UTC
/// time to the second; where that is taken, the next free second.
///
/// # Errors
/// [`Error::Settings`] for a name without a letter or digit, [`Error::Invalid`] where the file cannot be
/// written.
pub fn create(directory: &Path, name: &str, description: Option<&str>) -> Result<Created> {
    let slug = slug(name);
    if slug.is_empty() {
        return Err(Error::Settings(format!(
            "The name {name:?} has no letter or digit to name a file by; try a name like add_user_preferences."
        )));
    }
    let unwritable =
        |path: &Path, e: io::Error| Error::invalid(Some(path), format!("the migration cannot be written: {e}."));
    fs::create_dir_all(directory).map_err(|e| unwritable(directory, e))?;
    let description = match description {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => format!("Migration {name}"),
    };
    let text = template(name, &description);
    let taken: Vec<String> =
        list(directory)?.iter().filter_map(|path| number_of(path.file_stem()?.to_str()?).map(str::to_owned)).collect();
    let mut second = OffsetDateTime::now_utc();
    loop {
        let number = second
            .format(format_description!("[year][month][day][hour][minute][second]"))
            .map_err(|e| Error::Settings(format!("The clock of this machine cannot be used: {e}.")))?;
        second += time::Duration::SECOND;
        if taken.contains(&number) {
            continue;
        }
        let path = directory.join(format!("migration_{number}_{slug}.json"));
        // Another process may take the same second: giving the file its name decides.
        match publish(&path, text.as_bytes()) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(unwritable(&path, e)),
            Ok(()) => {
                let absolute = fs::canonicalize(&path).unwrap_or(path);
                return Ok(Created {
                    id: format!("migration_{number}"),
                    path: absolute.display().to_string(),
                    name: name.to_owned(),
                    description,
                });
            }
        }
    }
}

/// Writes a new file beside its place, under a hidden name, and gives it its own name when all of it is on the disk: half a
/// file would stop every later command.
fn publish(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    // Unlike a rename, a link replaces no other file. Some file systems have no links.
    let published = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists && !path.exists() => fs::rename(&beside, path),
        linked => linked,
    });
    let _ = fs::remove_file(&beside);
    published
}

/// The part of a file name made of a migration's name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.trim().chars().take(100) {
        if c.is_alphanumeric() || c == '-' {
            slug.push(c);
        } else if !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.trim_matches('_').to_owned()
}

fn template(name: &str, description: &str) -> String {
    let [name, description] = [name, description].map(|text| serde_json::Value::from(text).to_string());
    format!(
        "{{\n  \"name\": {name},\n  \"description\": {description},\n  \"up\": {{\n    \"operations\": []\n  }},\n  \
         \"down\": {{\n    \"operations\": []\n  }}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) {
        fs::write(directory.join(name), text).expect("writes");
    }

    const EMPTY: &str = r#"{"name": "x", "up": {"operations": []}, "down": {"operations": []}}"#;

    #[test]
    fn files_come_by_number_and_others_are_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["migration_10_b.json", "migration_9_a.json", "migration_20241217143022_c.json"] {
            write(dir.path(), name, EMPTY);
        }
        for name in ["README.md", "migration_x_y.json", "migration_7.json", "notes.json", "migration_3_.json"] {
            write(dir.path(), name, "nonsense");
        }
        write(dir.path(), ".hidden", "");
        fs::create_dir(dir.path().join("archive")).expect("mkdir");
        let found = read_directory(dir.path()).expect("reads");
        let ids: Vec<&str> = found.migrations.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["migration_9", "migration_10", "migration_20241217143022"]);
        assert_eq!(found.ignored.len(), 5, "{:?}", found.ignored);
    }

    #[test]
    fn one_number_twice_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        write(dir.path(), "migration_1_a.json", EMPTY);
        write(dir.path(), "migration_001_b.json", EMPTY);
        let message = read_directory(dir.path()).expect_err("refused").to_string();
        assert!(message.contains("migration_1_a.json") && message.contains("migration_001_b.json"), "{message}");
    }

    #[test]
    fn an_absent_directory_is_empty_and_garbage_is_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert!(read_directory(&dir.path().join("none")).expect("empty").migrations.is_empty());
        fs::write(dir.path().join("migration_1_a.json"), [0xff, 0xfe, 0x00]).expect("writes");
        let message = read_directory(dir.path()).expect_err("refused").to_string();
        assert!(message.contains("migration_1_a.json") && message.contains("UTF-8"), "{message}");
    }

    #[test]
    fn created_files_take_the_next_free_second_and_load() {
        let dir = tempfile::tempdir().expect("tempdir");
        let created: Vec<Created> =
            (0..3).map(|_| create(dir.path(), "Add \"x\" / users", None).expect("creates")).collect();
        let found = read_directory(dir.path()).expect("reads");
        assert_eq!(found.migrations.len(), 3);
        for (created, migration) in created.iter().zip(&found.migrations) {
            assert_eq!(created.id, migration.id);
            assert_eq!(migration.name, "Add \"x\" / users");
            assert!(created.path.ends_with("_Add_x_users.json"), "{}", created.path);
        }
        assert!(create(dir.path(), "../..", None).is_err());
    }
}
