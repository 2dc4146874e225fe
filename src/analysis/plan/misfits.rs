//! Documents that an update operator refuses: whose `_id` it would change, or that have a value it does not take.

use bson::raw::cstr;
use bson::{Bson, Document, RawDocumentBuf, rawdoc};

use super::look::{EXAMPLES, PlanContext, PlanError, find as find_command, id_text};
use super::report::OperationPlan;
use crate::error::codes;
use crate::model::script::operation::UpdateDocuments;
use crate::mongo::query::{Query, raw};
use crate::plural;

/// Looks for them and notes what the update would fail at.
pub async fn find(
    look: &PlanContext<'_>,
    query: &Query<'_>,
    filter: &RawDocumentBuf,
    update: &UpdateDocuments,
    plan: &mut OperationPlan,
) -> Result<(), PlanError> {
    let Bson::Document(operators) = &update.update else { return Ok(()) };
    let mut refused: Vec<(RawDocumentBuf, String, i32)> = Vec::new();
    for (operator, fields) in operators {
        for (path, value) in fields.as_document().into_iter().flatten() {
            let own = path == "_id" || (operator == "$rename" && value.as_str() == Some("_id"));
            if own {
                let condition = match operator.as_str() {
                    "$setOnInsert" | "$min" | "$max" | "$currentDate" => continue,
                    "$set" => bson::doc! {"_id": {"$ne": value.clone()}},
                    "$inc" => match value {
                        Bson::Int32(0) | Bson::Int64(0) => continue,
                        _ => Document::new(),
                    },
                    _ => Document::new(),
                };
                refused.push((
                    raw(&condition)?,
                    format!("{operator} changes _id, which cannot change"),
                    codes::IMMUTABLE_FIELD,
                ));
            } else if let Some((condition, takes)) = misfit(operator, path) {
                refused.push((raw(&condition)?, format!("{operator} takes {takes} in {path:?}"), codes::TYPE_MISMATCH));
            }
        }
    }
    for (condition, message, code) in refused {
        let both = rawdoc! {"$and": [filter.clone(), condition]};
        let counted = match look.count(query, &both).await {
            // A filter that cannot be one of several conditions.
            Err(PlanError::Refused(_)) => continue,
            counted => counted?.0,
        };
        if counted == 0 {
            continue;
        }
        let mut command = find_command(query, &both, &[])?;
        command.append(cstr!("limit"), i64::try_from(EXAMPLES).unwrap_or(1));
        let mut examples = Vec::new();
        look.each(command, |document| examples.push(id_text(document))).await?;
        let message =
            format!("{message}: {}, for example _id {}", plural::counted(counted, "document"), examples.join(", "));
        if update.multi {
            plan.fails(message, Some(code));
        } else {
            plan.notes.push(message);
        }
    }
    Ok(())
}

/// The documents with a value that an update operator refuses, and what it takes. Told of fields that are no place in an
/// array.
fn misfit(operator: &str, path: &str) -> Option<(Document, &'static str)> {
    if path.split('.').any(|part| part.starts_with('$') || part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let (fits, takes) = match operator {
        "$inc" | "$mul" => ("$isNumber", "numbers only"),
        "$push" | "$addToSet" | "$pull" | "$pullAll" | "$pop" => ("$isArray", "arrays only"),
        _ => return None,
    };
    let value = format!("${path}");
    let mut fits_value = Document::new();
    fits_value.insert(fits, bson::doc! {"$ifNull": [&value, Bson::Null]});
    let there = bson::doc! {"$ne": [{"$type": &value}, "missing"]};
    Some((bson::doc! {"$expr": {"$and": [there, {"$not": [fits_value]}]}}, takes))
}
