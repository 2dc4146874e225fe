//! Undoing changes of the schema: each by the operation that takes it back, if what it made still stands as it
//! left it.

use bson::{Bson, Document, doc};

use super::{finish, remove_made, same_standing, standing};
use crate::catalog::{self, same};
use crate::ops::schema::{Change, change};
use crate::ops::{Halt, Place};
use crate::run::Run;
use crate::run::journal::Journal;
use crate::run::patience::{Patience, patiently};
use crate::run::report::Undone;
use crate::run::slot::Slot;
use crate::run::step::Undo;
use crate::run::transaction::written;
use crate::script::Operation;
use crate::script::operation::{Action, CreateIndex, IndexRef};
use crate::server::Server;
use crate::server_error::ServerError;

/// How an operation is taken back.
enum Way {
    /// By another, with what is to be told beside it.
    Operation(Box<Operation>, Option<(Undone, String)>),
    /// An index is dropped and built as it was: `collMod` cannot make it so.
    Rebuild { index: Document },
    /// A collection set aside returns.
    Return {
        /// `None` where it stands under its name.
        aside: Option<String>,
        before: Document,
    },
    /// What the migration made is removed, if nobody uses it.
    Remove { made: Document },
    /// Not at all: there is nothing to take back, or somebody has changed it since.
    Not { conflict: bool, why: String },
}

impl Way {
    fn by(undo: &Undo, action: Action) -> Self {
        Self::Operation(operation(undo, action), None)
    }

    fn nothing(why: impl Into<String>) -> Self {
        Self::Not { conflict: false, why: why.into() }
    }

    fn conflict(why: impl Into<String>) -> Self {
        Self::Not { conflict: true, why: why.into() }
    }
}

/// Undoes a schema operation; what that removes is captured in `own`. `conflicts` were left in the collection.
pub async fn undo(
    run: &mut Run,
    journal: &mut Journal,
    undo: &Undo,
    own: Option<Slot>,
    conflicts: i64,
    place: Place,
) -> Result<(), Halt> {
    // How a killed attempt began it is how it goes on: it may have removed what would be looked for.
    let mut patience = Patience::new(&run.reporter, &run.stop);
    let way = patiently!(patience, way(&run.server, undo))?;
    match way {
        Way::Operation(operation, remark) => {
            change(run, journal, &Change::Operation(&operation), &undo.hash, own, place).await?;
            let Some((counts, why)) = remark else { return Ok(()) };
            finish(run, journal, undo, place, counts, Some(why)).await
        }
        Way::Rebuild { index } => {
            let rebuild = Change::Rebuild { collection: &undo.collection, index: &index };
            change(run, journal, &rebuild, &undo.hash, own, place).await
        }
        Way::Return { aside, before } => {
            let back = Change::Return { name: &undo.collection, aside: aside.as_deref(), before: &before };
            change(run, journal, &back, &undo.hash, own, place).await
        }
        Way::Remove { made } => {
            let (counts, note) = patiently!(patience, remove_made(&run.server, undo, &made, conflicts))?;
            finish(run, journal, undo, place, counts, note).await
        }
        Way::Not { conflict, why } => {
            let counts = Undone { conflicts: i64::from(conflict), ..Undone::default() };
            finish(run, journal, undo, place, counts, Some(why)).await
        }
    }
}

async fn way(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    match undo.done.as_str() {
        "create_collection" => created(server, undo).await,
        "drop_collection" => dropped(server, undo).await,
        "create_index" => index_made(server, undo).await,
        "drop_index" => index_dropped(server, undo).await,
        "modify_collection" => modified(server, undo).await,
        "rename_collection" => renamed(server, undo).await,
        other => Ok(Way::conflict(format!("an entry of the unknown type {other:?}"))),
    }
}

async fn created(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    if undo.entry.get_document("before").is_ok() {
        return Ok(Way::nothing("it stood before the migration"));
    }
    let Some(now) = standing(server, &undo.collection).await? else {
        // A killed attempt may have renamed it already, and the removal finishes that.
        return Ok(Way::Remove { made: Document::new() });
    };
    let made = undo.entry.get_document("after").cloned().unwrap_or_else(|_| now.clone());
    if now.get_str("type").is_ok_and(|kind| kind == "view") {
        return Ok(if same_standing(&now, &made) {
            Way::by(undo, Action::DropCollection)
        } else {
            Way::conflict("the view was changed since and stays")
        });
    }
    if now.get_str("type").is_ok_and(|kind| kind == "timeseries") {
        return timeseries_made(server, undo).await;
    }
    Ok(Way::Remove { made })
}

/// A time-series collection cannot be renamed aside: it is looked at and dropped.
async fn timeseries_made(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    let found = server.find_all(doc! {"find": &undo.collection, "filter": {}, "limit": 1}).await?;
    Ok(if found.is_empty() {
        Way::by(undo, Action::DropCollection)
    } else {
        Way::conflict("the time-series collection holds documents and stays")
    })
}

async fn dropped(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    let Ok(before) = undo.entry.get_document("before") else {
        return Ok(Way::nothing("there was no such collection"));
    };
    let now = standing(server, &undo.collection).await?;
    let Ok(aside) = undo.entry.get_str("aside") else {
        let options = before.get_document("options").cloned().unwrap_or_default();
        return Ok(match now {
            None => Way::by(undo, Action::CreateCollection { options }),
            Some(now) if same_standing(&now, before) => Way::nothing("the view stands"),
            Some(_) => Way::conflict("something else stands under the view's name"),
        });
    };
    let kept = catalog::collection(server, aside).await?.is_some();
    Ok(match (now, kept) {
        (None, true) => Way::Return { aside: Some(aside.to_owned()), before: before.clone() },
        (None, false) => Way::conflict(format!("{aside:?}, under which it was set aside, is gone")),
        // A killed attempt, of the drop or of this return, may have left its expiry suspended.
        (Some(_), false) => Way::Return { aside: None, before: before.clone() },
        (Some(now), true) if half_returned(&now, before) => {
            Way::Return { aside: Some(aside.to_owned()), before: before.clone() }
        }
        (Some(_), true) => Way::conflict(format!(
            "a collection of this name was made since and stays; `undrop {} --to NEW_NAME` brings the old one back beside it",
            undo.slot.name()
        )),
    })
}

/// A time-series collection whose buckets a killed attempt began to bring back.
fn half_returned(now: &Document, before: &Document) -> bool {
    now.get_str("type").is_ok_and(|kind| kind == "timeseries") && same_standing(now, before)
}

async fn index_made(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    let made = undo.entry.get_bool("made").unwrap_or(false);
    if made && unused(server, undo).await? {
        return Ok(Way::Remove { made: with_index(undo) });
    }
    let name = undo.entry.get_str("index").unwrap_or_default();
    if undo.entry.get_document("before").is_ok() {
        return Ok(Way::nothing("the index stood before the migration"));
    }
    let Some(now) = index(server, &undo.collection, name).await? else { return Ok(Way::nothing("the index is gone")) };
    Ok(match undo.entry.get_document("after") {
        Ok(after) if *after != now => Way::conflict(format!("the index {name:?} was changed since and stays")),
        _ => {
            let remark = if made { Some(used(server, undo).await?) } else { None };
            Way::Operation(operation(undo, Action::DropIndex(IndexRef::Name(name.to_owned()))), remark)
        }
    })
}

/// What stays in a collection that the index was the first thing of.
async fn used(server: &Server, undo: &Undo) -> Result<(Undone, String), ServerError> {
    let reply = server.run(doc! {"count": &undo.collection, "query": {}}, None).await?;
    let made_since = written(&reply);
    let note = format!("{:?} stays: it holds {made_since} documents made since", undo.collection);
    Ok((Undone { made_since, ..Undone::default() }, note))
}

/// Whether a collection that the index was the first thing of holds nothing else.
async fn unused(server: &Server, undo: &Undo) -> Result<bool, ServerError> {
    let Some(now) = standing(server, &undo.collection).await? else { return Ok(true) };
    let found = server.find_all(doc! {"find": &undo.collection, "filter": {}, "limit": 1}).await?;
    Ok(found.is_empty() && same_standing(&now, &with_index(undo)))
}

/// A collection that an index was the first thing of.
fn with_index(undo: &Undo) -> Document {
    let mut made = super::plain();
    if let (Ok(after), Ok(indexes)) = (undo.entry.get_document("after"), made.get_array_mut("indexes")) {
        indexes.push(Bson::Document(after.clone()));
    }
    made
}

async fn index_dropped(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    let before = undo.entry.get_array("before").ok().and_then(|all| match all.as_slice() {
        [Bson::Document(index)] => Some(index),
        _ => None,
    });
    let Some(before) = before else { return Ok(Way::nothing("there was no such index")) };
    let name = before.get_str("name").unwrap_or_default();
    let Some(collection) = catalog::collection(server, &undo.collection).await? else {
        return Ok(Way::nothing("the collection is gone"));
    };
    Ok(match index(server, &undo.collection, name).await? {
        Some(now) if now == *before => Way::nothing("the index stands"),
        Some(_) => Way::conflict(format!("another index {name:?} was made since and stays")),
        None => Way::by(undo, Action::CreateIndex(index_again(before, &collection))),
    })
}

/// The index as `createIndexes` takes it.
pub fn index_again(listed: &Document, collection: &catalog::Collection) -> CreateIndex {
    let mut options = listed.clone();
    for name in ["key", "name", "ns", "background"] {
        options.remove(name);
    }
    // Without a collation an index would get the collection's.
    if collection.options.contains_key("collation") && !options.contains_key("collation") {
        options.insert("collation", doc! {"locale": "simple"});
    }
    CreateIndex {
        keys: listed.get_document("key").cloned().unwrap_or_default(),
        name: listed.get_str("name").unwrap_or_default().to_owned(),
        options,
        commit_quorum: None,
        comment: None,
    }
}

async fn modified(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    let (Ok(before), Ok(asked)) = (undo.entry.get_document("before"), undo.entry.get_document("modified")) else {
        return Ok(Way::nothing("there was no such collection"));
    };
    let Some(now) = standing(server, &undo.collection).await? else {
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
        if same_value(old.get(name), current.get(name)) {
            continue;
        }
        if !same_value(left.get(name), current.get(name)) {
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
        None => Way::nothing("the options stand as before"),
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

fn same_value(a: Option<&Bson>, b: Option<&Bson>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same(a, b),
        (None, None) => true,
        _ => false,
    }
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

async fn renamed(server: &Server, undo: &Undo) -> Result<Way, ServerError> {
    if !undo.entry.get_bool("renames").unwrap_or(false) {
        return Ok(Way::nothing("it was renamed before the migration"));
    }
    let to = undo.entry.get_str("to").unwrap_or_default();
    let source = catalog::collection(server, &undo.collection).await?.is_some();
    let target = catalog::collection(server, to).await?.is_some();
    Ok(match (source, target) {
        (false, true) => {
            let mut back = operation(undo, Action::RenameCollection { to: undo.collection.clone() });
            back.collection = to.to_owned();
            Way::Operation(back, None)
        }
        (true, true) => Way::conflict(format!("both {:?} and {to:?} stand; both stay", undo.collection)),
        (true, false) => Way::nothing("it has its name"),
        (false, false) => Way::nothing("it is gone"),
    })
}

async fn index(server: &Server, collection: &str, name: &str) -> Result<Option<Document>, ServerError> {
    let listed = catalog::indexes(server, collection).await?;
    Ok(listed.into_iter().find(|index| index.get_str("name").is_ok_and(|own| own == name)))
}

fn operation(undo: &Undo, action: Action) -> Box<Operation> {
    let collection = undo.collection.clone();
    Box::new(Operation { collection, action, capture: true, fingerprint: undo.hash.clone() })
}
