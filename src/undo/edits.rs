//! What somebody edited since, remembered on the way back.
//!
//! A document may have been changed by several operations. Where its value now is not what the latest of them
//! wrote, somebody has changed it, and the earlier ones must leave it alone even if it happens to be what they
//! wrote. What is found so is kept in a collection, in the transaction that found it, until the captures are
//! purged: an interrupted rollback knows it when it goes on.

use std::collections::{HashMap, HashSet};

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use mongodb::ClientSession;

use crate::error::server::ServerError;
use crate::mongo::id::Id;
use crate::mongo::raw::{ARRAY, BINARY, Builder, TEXT, fields};
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureId;
use crate::run::transaction::send;

/// The paths of fields that somebody changed; the empty one means the document.
pub type Paths = HashSet<Vec<u8>>;

/// Statements of one command.
const STATEMENTS: usize = 1_000;

/// The edits found in one collection.
#[derive(Clone)]
pub struct Edits {
    kept_in: String,
    collection: Vec<u8>,
    /// Whether there may be any.
    any: bool,
}

impl Edits {
    /// Edits in the collection with this UUID, which it keeps however it is renamed.
    ///
    /// # Errors
    /// The server's.
    pub async fn open(server: &Server, oldest: CaptureId, uuid: Option<&[u8]>) -> Result<Self, ServerError> {
        let kept_in = format!("{}_edits", oldest.packs(server.names()));
        let found = server.find(rawdoc! {"find": kept_in.as_str(), "filter": {}, "limit": 1}).await?.next().await?;
        Ok(Self { kept_in, collection: uuid.unwrap_or_default().to_vec(), any: found.is_some() })
    }

    /// The edits of these documents.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(
        &self,
        server: &Server,
        session: Option<&mut ClientSession>,
        ids: impl IntoIterator<Item = &Id>,
    ) -> Result<HashMap<Id, Paths>, ServerError> {
        let mut found = HashMap::new();
        if !self.any {
            return Ok(found);
        }
        let mut keys = Builder::default();
        let mut by_key = HashMap::new();
        for (index, id) in ids.into_iter().enumerate() {
            let key = self.key(id);
            keys.document(index.to_string().as_bytes(), key.as_bytes());
            by_key.insert(key.as_bytes().to_vec(), id.clone());
        }
        let mut within = Builder::default();
        within.value(ARRAY, b"$in", keys.finish().as_bytes());
        let find = rawdoc! {"find": self.kept_in.as_str(), "filter": {"_id": within.finish()}};
        for edit in server.read(find, session, usize::MAX).await? {
            let parts = fields(edit.as_bytes()).unwrap_or_default();
            let part = |name: &[u8]| parts.iter().find(|part| part.name == name);
            let Some(id) = part(b"_id").and_then(|key| by_key.get(key.value)) else { continue };
            let paths = part(b"p").and_then(|paths| fields(paths.value)).unwrap_or_default();
            // A text's length comes first, and a NUL last.
            let text = |value: &[u8]| value.get(4..value.len().saturating_sub(1)).unwrap_or_default().to_vec();
            found.insert(id.clone(), paths.iter().map(|path| text(path.value)).collect());
        }
        Ok(found)
    }

    /// Adds edits.
    ///
    /// # Errors
    /// The server's.
    pub async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
        edited: &[(Id, Vec<Vec<u8>>)],
    ) -> Result<(), ServerError> {
        for edited in edited.chunks(STATEMENTS) {
            self.any = true;
            let statements: RawArrayBuf = edited.iter().map(|(id, paths)| self.statement(id, paths)).collect();
            let command = rawdoc! {"update": self.kept_in.as_str(), "updates": statements};
            send(server, session.as_deref_mut(), command).await?;
        }
        Ok(())
    }

    fn statement(&self, id: &Id, paths: &[Vec<u8>]) -> RawDocumentBuf {
        let mut listed = Builder::default();
        for (index, path) in paths.iter().enumerate() {
            let length = u32::try_from(path.len() + 1).unwrap_or(u32::MAX).to_le_bytes();
            let text = [&length[..], path, &[0]].concat();
            listed.value(TEXT, index.to_string().as_bytes(), &text);
        }
        let mut each = Builder::default();
        each.value(ARRAY, b"$each", listed.finish().as_bytes());
        rawdoc! {"q": {"_id": self.key(id)}, "u": {"$addToSet": {"p": each.finish()}}, "upsert": true}
    }

    fn key(&self, id: &Id) -> RawDocumentBuf {
        let mut key = Builder::default();
        let length = u32::try_from(self.collection.len()).unwrap_or_default().to_le_bytes();
        key.value(BINARY, b"u", &[&length[..], &[0], &self.collection].concat());
        for value in fields(id.as_bytes()).unwrap_or_default() {
            key.value(value.kind, b"i", value.value);
        }
        key.finish()
    }
}

/// Returns true if somebody edited the field, a field that contains it, or a field inside it. The undo then leaves it
/// alone.
pub fn bars(edited: &Paths, path: &[u8]) -> bool {
    let under = |inner: &[u8], outer: &[u8]| {
        inner.starts_with(outer) && (outer.is_empty() || inner.len() == outer.len() || inner[outer.len()] == b'.')
    };
    edited.iter().any(|own| under(path, own) || under(own, path))
}
