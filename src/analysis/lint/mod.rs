//! `lint`: what is wrong or risky in migration files, without a server.
//!
//! A property of the files alone: nothing is connected to, and nothing is written. Its errors are what `apply`
//! refuses, all of them instead of the first; a file without an error is one that `apply` reads. Warnings and
//! advice are what the text shows of risks; what the data shows is `plan`'s and `rehearse`'s.

pub mod codes;
pub mod file;
pub mod filters;
pub mod finding;
pub mod positions;
mod reading;
pub mod rules;

use std::path::PathBuf;

use serde::Serialize;

use crate::analysis::lint::reading::gather;
use crate::error::Result;
use crate::model::migration::compare_numbers;
use crate::model::source::Ignored;
use codes::Severity;
use file::File;
use finding::{Finding, Findings};
use rules::{danger, down, hygiene, order, wider};

/// What `lint` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LintReport {
    /// How many files were read.
    pub files: i64,
    /// How many findings are errors.
    pub errors: i64,
    /// How many are warnings.
    pub warnings: i64,
    /// How many are advice.
    pub advice: i64,
    /// The findings, by file in the order of the numbers, then by position.
    pub findings: Vec<Finding>,
    /// Files in a directory that are no migrations.
    pub ignored: Vec<Ignored>,
}

/// Reads the files, and every migration of the directories, among `paths`; they are looked at together, in
/// the order of their numbers.
///
/// # Errors
/// [`crate::error::Error::Settings`] for a path where nothing is, [`crate::error::Error::Invalid`] for a directory
/// that cannot be listed. What is wrong with a file is a finding.
pub fn lint(paths: &[PathBuf]) -> Result<LintReport> {
    let (paths, ignored) = gather(paths)?;
    let mut read: Vec<(File, Findings)> = paths.iter().map(|(path, named)| File::read(path, *named)).collect();
    // Stable: what has no number stays in the order of the paths, behind the others.
    read.sort_by(|(a, _), (b, _)| match (&a.number, &b.number) {
        (Some(one), Some(other)) => compare_numbers(one, other).then_with(|| a.shown.cmp(&b.shown)),
        (one, other) => one.is_none().cmp(&other.is_none()),
    });
    let (files, mut findings): (Vec<File>, Vec<Findings>) = read.into_iter().unzip();
    for (file, findings) in files.iter().zip(&mut findings) {
        danger::check(file, findings);
        down::check(file, findings);
        wider::check(file, findings);
        order::after_drop(file, findings);
        hygiene::check(file, findings);
    }
    order::before_created(&files, &mut findings);
    hygiene::compare(&files, &mut findings);
    let found: Vec<Finding> = files.iter().zip(findings).flat_map(|(file, findings)| findings.finish(file)).collect();
    let count = |level| i64::try_from(found.iter().filter(|it| it.level == level).count()).unwrap_or(i64::MAX);
    Ok(LintReport {
        files: i64::try_from(files.len()).unwrap_or(i64::MAX),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        advice: count(Severity::Advice),
        findings: found,
        ignored,
    })
}

#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod tests;
