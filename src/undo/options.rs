//! Taking back a change of a collection's options, or of one of its indexes', by `collMod` where it can.

use bson::{Bson, Document, doc};

use super::existing::definition;
use super::way::{Way, operation};
use crate::error::server::ServerError;
use crate::model::equivalence::same;
use crate::model::script::operation::Action;
use crate::mongo::server::Server;
use crate::run::report::Undone;
use crate::undo::operation::UndoOperation;

/// How a `modify_collection` is taken back.
pub(super) async fn modified(server: &Server, undo: &UndoOperation) -> Result<Way, ServerError> {
    let (Ok(before), Ok(asked)) = (undo.entry.get_document("before"), undo.entry.get_document("modified")) else {
        return Ok(Way::nothing("there was no such collection"));
    };
    let Some(now) = definition(server, &undo.collection).await? else {
        return Ok(Way::nothing("the collection is gone"));
    };
    let after = undo.entry.get_document("after").unwrap_or(&now);
    let options = |of: &Document| of.get_document("options").cloned().unwrap_or_default();
    let (old, left, current) = (options(before), options(after), options(&now));
    let mut back = Document::new();
    let mut edited = Vec::new();
    let view = before.get_str("type").is_ok_and(|kind| kind == "view");
    for name in asked.keys().filter(|name| !matches!(name.as_str(), "index" | "comment")) {
        let name = stored_name(name);
        if same_option(name, &old, &current) {
            continue;
        }
        if !same_option(name, &left, &current) {
            edited.push(name.to_owned());
            continue;
        }
        if name == "timeseries" {
            edited.push("the granularity, which the server lets grow only".to_owned());
            continue;
        }
        back.insert(asked_name(name), old.get(name).cloned().unwrap_or_else(|| default_of(name)));
    }
    if view && !back.is_empty() {
        back = doc! {"viewOn": old.get("viewOn").cloned(), "pipeline": old.get("pipeline").cloned()};
    }
    match index_back(before, after, &now, asked) {
        IndexBack::Collmod(index) => drop(back.insert("index", index)),
        IndexBack::Rebuild(index) if back.is_empty() && edited.is_empty() => return Ok(Way::Rebuild { index }),
        IndexBack::Rebuild(index) => edited.push(format!(
            "the index {:?}, which only building it anew would make as it was",
            index.get_str("name").unwrap_or_default()
        )),
        IndexBack::Edited(name) => edited.push(format!("the index {name:?}")),
        IndexBack::Nothing => {}
    }
    let left = (!edited.is_empty())
        .then(|| format!("left as it is, changed since or not to be changed back: {}", edited.join(", ")));
    Ok(match left {
        left if !back.is_empty() => {
            let remark = left.map(|why| (Undone { conflicts: 1, ..Undone::default() }, why));
            Way::Operation(operation(undo, Action::ModifyCollection { options: back }), remark)
        }
        Some(left) => Way::conflict(left),
        None => Way::nothing("the options are as before"),
    })
}

/// `collMod`'s words for what `listCollections` calls otherwise.
const RENAMED: [(&str, &str); 2] = [("cappedSize", "size"), ("cappedMax", "max")];

fn stored_name(asked: &str) -> &str {
    RENAMED.iter().find(|(own, _)| *own == asked).map_or(asked, |(_, stored)| stored)
}

fn asked_name(stored: &str) -> &str {
    RENAMED.iter().find(|(_, own)| *own == stored).map_or(stored, |(asked, _)| asked)
}

/// Whether an option has the same value in both. The server lists a default only once somebody has asked for it:
/// this undo, before it was killed, too.
fn same_option(name: &str, one: &Document, other: &Document) -> bool {
    let value = |options: &Document| options.get(name).cloned().unwrap_or_else(|| default_of(name));
    same(&value(one), &value(other))
}

/// What `collMod` is told for an option that was not set.
fn default_of(name: &str) -> Bson {
    match name {
        "validationLevel" => "strict".into(),
        "validationAction" => "error".into(),
        "expireAfterSeconds" => "off".into(),
        "changeStreamPreAndPostImages" => doc! {"enabled": false}.into(),
        // Unlimited.
        "max" => 0.into(),
        _ => Document::new().into(),
    }
}

enum IndexBack {
    Nothing,
    Collmod(Document),
    Rebuild(Document),
    Edited(String),
}

fn index_back(before: &Document, after: &Document, now: &Document, asked: &Document) -> IndexBack {
    let Ok(asked) = asked.get_document("index") else { return IndexBack::Nothing };
    let find = |of: &Document| {
        of.get_array("indexes")
            .into_iter()
            .flatten()
            .filter_map(Bson::as_document)
            .find(|index| match (asked.get("name"), asked.get("keyPattern")) {
                (Some(name), _) => index.get("name") == Some(name),
                (None, Some(keys)) => index.get("key").is_some_and(|own| same(own, keys)),
                _ => false,
            })
            .cloned()
    };
    let (Some(old), Some(current)) = (find(before), find(now)) else { return IndexBack::Nothing };
    if old == current {
        return IndexBack::Nothing;
    }
    let name = old.get_str("name").unwrap_or_default().to_owned();
    if find(after).is_some_and(|left| left != current) {
        return IndexBack::Edited(name);
    }
    let mut back = doc! {"name": &name};
    if old.get("hidden") != current.get("hidden") {
        back.insert("hidden", old.get_bool("hidden").unwrap_or(false));
    }
    match old.get("expireAfterSeconds") {
        before if before == current.get("expireAfterSeconds") => {}
        Some(before) => drop(back.insert("expireAfterSeconds", before.clone())),
        // collMod cannot make an index one that does not expire.
        None => return IndexBack::Rebuild(old),
    }
    let modified = |key: &str| matches!(key, "hidden" | "expireAfterSeconds");
    let others = |of: &Document| -> Document {
        of.iter().filter(|(key, _)| !modified(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    if others(&old) == others(&current) { IndexBack::Collmod(back) } else { IndexBack::Rebuild(old) }
}
