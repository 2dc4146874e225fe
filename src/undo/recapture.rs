//! Capturing what an exact rollback itself takes away, so that it can be undone in turn.

use bson::RawDocumentBuf;
use mongodb::ClientSession;

use super::writes::Write;
use crate::capture::delta::{DocumentChange, difference};
use crate::capture::documents::keep_packs;
use crate::capture::kept::insert_whole;
use crate::capture::pack::Packer;
use crate::error::server::ServerError;
use crate::mongo::raw::first;
use crate::mongo::server::Server;
use crate::run::capture_key::CaptureKey;

/// What the undo itself takes away, captured in turn.
pub(crate) struct Recapture {
    capture_key: Option<CaptureKey>,
    packer: Option<Packer>,
    whole: Vec<RawDocumentBuf>,
}

impl Recapture {
    /// For the chunk of this number.
    pub(crate) fn new(capture_key: Option<CaptureKey>, chunk: i64) -> Self {
        Self { capture_key, packer: capture_key.map(|capture_key| Packer::new(capture_key, chunk)), whole: Vec::new() }
    }

    /// Adds a document and what is written of it.
    pub(crate) fn add(&mut self, current: &RawDocumentBuf, write: &Write) {
        let Some(packer) = &mut self.packer else { return };
        let Some(id) = first(current.as_bytes()) else { return };
        let Some(result) = write.document() else {
            self.whole.push(current.clone());
            return;
        };
        match difference(current, result) {
            DocumentChange::None => {}
            DocumentChange::Fields(delta) => packer.changed(&id, &delta, result),
            DocumentChange::Whole => {
                packer.replaced(&id, result);
                self.whole.push(current.clone());
            }
        }
    }

    /// Writes it, once.
    pub(crate) async fn write(
        &mut self,
        server: &Server,
        mut session: Option<&mut ClientSession>,
    ) -> Result<(), ServerError> {
        let (Some(capture_key), Some(packer)) = (self.capture_key, self.packer.take()) else { return Ok(()) };
        insert_whole(server, session.as_deref_mut(), &capture_key.whole(server.names()), &self.whole).await?;
        keep_packs(server, session, capture_key, &packer.finish()).await
    }
}
