//! Documents of a collection on both sides, joined along `_id`.
//!
//! Which of two identifiers comes first only the server knows, across types and collations. It is not asked: the
//! documents that stand on both sides come in the same order on both, so where the next two differ, those of the batch
//! that the other side lacks are taken out, by one query for the identifiers of a batch, and the join goes on.

use std::collections::{HashSet, VecDeque};

use bson::raw::cstr;
use bson::{RawDocumentBuf, rawdoc};

use super::fields::Tally;
use super::report::DocumentDifferences;
use crate::backup::catalog::CatalogEntry;
use crate::error::server::ServerError;
use crate::mongo::cursor::DocumentCursor;
use crate::mongo::raw::{self, Builder};
use crate::mongo::retry::{Backoff, Policy};
use crate::mongo::server::Server;

/// How many documents of either side are looked at together.
const BATCH: usize = 1_000;
/// How large those may be together.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

/// What differs in the documents.
pub async fn compare(
    before: &Server,
    after: &Server,
    entry: &CatalogEntry,
) -> Result<DocumentDifferences, ServerError> {
    let mut join = Join {
        before: ComparedSide::open(before, entry).await?,
        after: ComparedSide::open(after, entry).await?,
        tally: Tally::default(),
    };
    while join.step().await? {}
    Ok(join.tally.finish())
}

/// Whether the documents come in the same order on both sides where nobody asks for one. In that order nothing can be
/// carried on with, so a lost cursor begins it anew.
pub async fn same_order(before: &Server, after: &Server, entry: &CatalogEntry) -> Result<bool, ServerError> {
    let mut backoff = Backoff::new(Policy::READ);
    loop {
        match same_order_once(before, after, entry).await {
            Err(e) if e.is_passing() && backoff.wait().await => {}
            answer => return answer,
        }
    }
}

async fn same_order_once(before: &Server, after: &Server, entry: &CatalogEntry) -> Result<bool, ServerError> {
    let command = rawdoc! {"find": &*entry.name, "hint": {"$natural": 1}};
    let (mut was, mut is) = tokio::try_join!(before.find(command.clone()), after.find(command))?;
    loop {
        match tokio::try_join!(was.next(), is.next())? {
            (None, None) => return Ok(true),
            (Some(was), Some(is)) if was == is => {}
            _ => return Ok(false),
        }
    }
}

struct Join {
    before: ComparedSide,
    after: ComparedSide,
    tally: Tally,
}

impl Join {
    /// Takes up what is in memory and reads on; false at the end of both sides.
    async fn step(&mut self) -> Result<bool, ServerError> {
        self.before.fill().await?;
        self.after.fill().await?;
        while let (Some(was), Some(is)) = (self.before.documents.front(), self.after.documents.front()) {
            if !same_id(was, is) {
                break;
            }
            self.tally.both(was.as_bytes(), is.as_bytes());
            self.before.documents.pop_front();
            self.after.documents.pop_front();
        }
        match (self.before.documents.is_empty(), self.after.documents.is_empty()) {
            (true, true) => return Ok(!(self.before.ended && self.after.ended)),
            // One side has ended, or has to be read on first.
            (false, true) if self.after.ended => {
                self.before.documents.drain(..).for_each(|it| self.tally.missing(it.as_bytes()));
            }
            (true, false) if self.before.ended => {
                self.after.documents.drain(..).for_each(|it| self.tally.added(it.as_bytes()));
            }
            (false, false) => self.part().await?,
            _ => {}
        }
        Ok(true)
    }

    /// Takes out what stands on one side only.
    async fn part(&mut self) -> Result<(), ServerError> {
        let there = self.after.which(&self.before.documents).await?;
        self.before.documents.retain(|it| {
            there.contains(&key(it)) || {
                self.tally.missing(it.as_bytes());
                false
            }
        });
        let there = self.before.which(&self.after.documents).await?;
        self.after.documents.retain(|it| {
            there.contains(&key(it)) || {
                self.tally.added(it.as_bytes());
                false
            }
        });
        // What is left stands on both sides and comes in the same order, unless somebody writes meanwhile.
        if let (Some(was), Some(is)) = (self.before.documents.front(), self.after.documents.front())
            && !same_id(was, is)
        {
            return Err(ServerError::found(0, "the documents are being changed while they are compared".to_owned()));
        }
        Ok(())
    }
}

/// One of the two databases.
struct ComparedSide {
    server: Server,
    collection: String,
    cursor: DocumentCursor,
    documents: VecDeque<RawDocumentBuf>,
    ended: bool,
}

impl ComparedSide {
    async fn open(server: &Server, entry: &CatalogEntry) -> Result<Self, ServerError> {
        let mut command = rawdoc! {"find": &*entry.name};
        // Both in the order that the collection had, also where it has another collation by now.
        let collation = entry.options.get_document("collation").map(ToOwned::to_owned);
        command.append(cstr!("collation"), collation.unwrap_or_else(|_| rawdoc! {"locale": "simple"}));
        Ok(Self {
            server: server.clone(),
            collection: entry.name.clone(),
            cursor: server.walk(command).await?,
            documents: VecDeque::new(),
            ended: false,
        })
    }

    /// Reads a batch where nothing is left of the one before.
    async fn fill(&mut self) -> Result<(), ServerError> {
        let mut bytes = 0;
        if !self.documents.is_empty() {
            return Ok(());
        }
        while !self.ended && self.documents.len() < BATCH && bytes < BATCH_BYTES {
            match self.cursor.next().await? {
                Some(document) => {
                    bytes += document.as_bytes().len();
                    self.documents.push_back(document);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }

    /// Which of these identifiers stand here, byte for byte: 1 and 1.0 are one to the server.
    async fn which(&mut self, documents: &VecDeque<RawDocumentBuf>) -> Result<HashSet<Vec<u8>>, ServerError> {
        let mut ids = Builder::new();
        for (at, document) in documents.iter().enumerate() {
            if let Some(id) = raw::get(document.as_bytes(), "_id") {
                ids.value(id.kind, at.to_string().as_bytes(), id.value);
            }
        }
        let mut within = Builder::new();
        within.value(raw::ARRAY, b"$in", ids.finish().as_bytes());
        let mut filter = Builder::new();
        filter.document("_id", within.finish().as_bytes());
        let mut command = rawdoc! {"find": &*self.collection, "projection": {"_id": 1}};
        command.append(cstr!("filter"), filter.finish());
        let mut found = self.server.walk(command).await?;
        let mut keys = HashSet::with_capacity(documents.len());
        while let Some(document) = found.next().await? {
            keys.insert(key(&document));
        }
        Ok(keys)
    }
}

/// An identifier's type and bytes.
fn key(document: &RawDocumentBuf) -> Vec<u8> {
    let Some(id) = raw::get(document.as_bytes(), "_id") else { return Vec::new() };
    let mut key = Vec::with_capacity(id.value.len() + 1);
    key.push(id.kind);
    key.extend_from_slice(id.value);
    key
}

fn same_id(a: &RawDocumentBuf, b: &RawDocumentBuf) -> bool {
    match (raw::get(a.as_bytes(), "_id"), raw::get(b.as_bytes(), "_id")) {
        (Some(a), Some(b)) => a.same_value(&b),
        (a, b) => a.is_none() && b.is_none(),
    }
}
