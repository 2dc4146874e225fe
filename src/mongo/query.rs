//! Counting documents as an operation selects them.

use bson::raw::cstr;
use bson::{Document, RawBson, RawDocumentBuf, rawdoc};

use crate::error::server::ServerError;
use crate::model::number::raw_field;
use crate::mongo::reply::written;
use crate::mongo::server::Server;

/// How documents of a collection are selected, besides by a filter.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // the fields of commands
pub struct Query<'a> {
    pub collection: &'a str,
    pub hint: Option<&'a bson::Bson>,
    pub collation: Option<&'a Document>,
    pub variables: Option<&'a Document>,
}

impl Query<'_> {
    /// How many documents `filter` selects, counted one by one: what the server remembers of the whole collection may be
    /// wrong after a crash.
    ///
    /// # Errors
    /// The server's.
    pub async fn count(&self, server: &Server, filter: RawDocumentBuf) -> Result<i64, ServerError> {
        // The command `count` answers an empty filter from what the server remembers; a pipeline does not.
        let none = Document::new();
        let variables =
            if filter.iter().next().is_none() { Some(self.variables.unwrap_or(&none)) } else { self.variables };
        Query { variables, ..*self }.ask(server, filter).await
    }

    /// About how many documents `filter` selects: an empty one is answered from what the server remembers. Nothing is
    /// decided by it.
    ///
    /// # Errors
    /// The server's.
    pub async fn estimate(&self, server: &Server, filter: RawDocumentBuf) -> Result<i64, ServerError> {
        self.ask(server, filter).await
    }

    async fn ask(&self, server: &Server, filter: RawDocumentBuf) -> Result<i64, ServerError> {
        // `count` takes filters that a pipeline refuses ($where); only a pipeline takes variables.
        let mut command = match self.variables {
            None => rawdoc! {"count": self.collection, "query": filter},
            Some(variables) => {
                let mut command = rawdoc! {
                    "aggregate": self.collection, "pipeline": [{"$match": filter}, {"$count": "n"}], "cursor": {},
                };
                command.append(cstr!("let"), raw(variables)?);
                command
            }
        };
        if let Some(hint) = self.hint.and_then(|hint| RawBson::try_from(hint.clone()).ok()) {
            command.append(cstr!("hint"), hint);
        }
        if let Some(collation) = self.collation {
            command.append(cstr!("collation"), raw(collation)?);
        }
        if self.variables.is_none() {
            return Ok(written(&server.ask(command).await?));
        }
        let counted = server.read_all(command).await?;
        Ok(counted.first().map_or(0, |document| raw_field(document, "n").unwrap_or_default()))
    }
}

/// A document as bytes.
///
/// # Errors
/// Where it cannot be encoded.
pub fn raw(document: &Document) -> Result<RawDocumentBuf, ServerError> {
    RawDocumentBuf::try_from(document).map_err(|e| ServerError::from(mongodb::error::Error::from(e)))
}
