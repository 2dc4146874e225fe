//! What is to be written of one document so that it is as before, by the three-way rule.

use std::collections::HashMap;

use bson::RawDocumentBuf;

use super::edits::{Paths, bars};
use super::writes::Write;
use crate::capture::pack::{PackEntry, What};
use crate::capture::reversal::take_back;
use crate::mongo::id::Id;
use crate::mongo::raw::fingerprint;
use crate::run::report::Undone;

/// What is to be written of one document, by the three-way rule, and which of its fields somebody edited.
pub(crate) fn decide(
    entry: &PackEntry,
    current: &RawDocumentBuf,
    whole: &HashMap<Id, RawDocumentBuf>,
    edited: Option<&Paths>,
    counts: &mut Undone,
) -> (Option<Write>, Vec<Vec<u8>>) {
    let now = fingerprint(current.as_bytes());
    // The whole document, as the path that names no field.
    let all = || vec![Vec::new()];
    match &entry.what {
        What::Changed { delta, after } => {
            let barred = |path: &[u8]| edited.is_some_and(|edited| bars(edited, path));
            let Some(merged) = take_back(delta, current, &barred) else {
                counts.conflicts += 1;
                return (None, all());
            };
            let write = match (merged.document, merged.operators) {
                (None, _) => None,
                (Some(document), Some(operators)) => Some(Write::Operators { operators, document }),
                (Some(document), None) => match Write::replacing(document) {
                    None => {
                        counts.conflicts += 1;
                        return (None, all());
                    }
                    write => write,
                },
            };
            if merged.conflicts > 0 {
                counts.conflicts += 1;
            } else if now[..8] == after[..] {
                counts.restored += 1;
            } else {
                counts.restored_with_edits += 1;
            }
            (write, merged.edited)
        }
        What::Replaced { after } => {
            let before = whole.get(&entry.id);
            // Somebody may have put it back already.
            if before == Some(current) {
                counts.restored += 1;
                return (None, all());
            }
            let write = before.filter(|_| now == *after && edited.is_none()).cloned().and_then(Write::replacing);
            if write.is_some() {
                counts.restored += 1;
                return (write, Vec::new());
            }
            counts.conflicts += 1;
            (None, all())
        }
        What::Inserted { after } if now == *after && edited.is_none() => {
            counts.restored += 1;
            (Some(Write::Delete), Vec::new())
        }
        What::Inserted { .. } => {
            counts.conflicts += 1;
            (None, all())
        }
    }
}
