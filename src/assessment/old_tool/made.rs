//! What the old tool made of a document, as far as that can be known: by its own mapping, whose faults were not ours.

use bson::RawDocumentBuf;

use super::Backup;
use crate::assessment::mapping::{UnifiedValue, default_value};
use crate::assessment::model::{
    AssessmentKind, Edition, MIGRATION_SOURCE, ORIGINAL_ID, Path, QUESTIONS, TOTAL_QUESTIONS, UPDATED_AT,
};
use crate::assessment::values::{count, id_text, text};
use crate::mongo::raw::{ARRAY, DATE, INT32, TEXT, fields, get};

impl Backup {
    /// The fields that the tool wrote, by its own mapping: a value of the same name at the top, whatever it is, or the
    /// default. Its times are the present ones, where they may be its own.
    pub(super) fn made_of<'a>(
        &self,
        before: &'a RawDocumentBuf,
        now: &RawDocumentBuf,
        side: AssessmentKind,
    ) -> Option<Vec<(UnifiedValue<'a>, Option<Path>)>> {
        let own = fields(before.as_bytes())?;
        let existing = |name: &str| {
            let value = get(now.as_bytes(), name).filter(|value| self.may_have_written(value));
            value.map_or_else(|| self.at.timestamp_millis().to_le_bytes().to_vec(), |value| value.value.to_vec())
        };
        let top = |name: &'static str| Path { within: "", name };
        let value = |path: Path, kind: u8, bytes: Vec<u8>| UnifiedValue {
            path,
            kind,
            bytes: bytes.into(),
            origin: None,
            converted: false,
        };
        let table = Edition::First.fields();
        let mut made = Vec::with_capacity(table.len() + 4);
        for field in table {
            let name = if side == AssessmentKind::Teacher && field.path.name == "created_by" {
                "teacher_id"
            } else {
                field.path.name
            };
            let found = own.iter().find(|own| own.name == name.as_bytes());
            made.push(match found {
                Some(found) => (value(field.path, found.kind, found.value.to_vec()), Some(top(name))),
                None if field.path.name == "created_at" => (value(field.path, DATE, existing("created_at")), None),
                None => (default_value(field.path, field.default(side), self.at), None),
            });
        }
        let questions = own.iter().find(|field| field.name == QUESTIONS.as_bytes() && field.kind == ARRAY);
        let questions = questions.map_or(0, |questions| count(questions.value));
        made.push((value(top(TOTAL_QUESTIONS), INT32, questions.to_le_bytes().to_vec()), None));
        made.push((value(top(UPDATED_AT), DATE, existing(UPDATED_AT)), None));
        made.push((value(top(MIGRATION_SOURCE), TEXT, text(side.source().as_bytes())), None));
        made.push((value(top(ORIGINAL_ID), TEXT, text(&id_text(own.first()?))), None));
        Some(made)
    }
}
