//! Which collections of a database are this tool's own: by the exact form of their names and by a record of ours that
//! names them, never by how a name begins. A user may have a collection `migrations_restore_x`.

use std::collections::HashSet;

use bson::doc;

use super::restore::journal;
use crate::error::server::ServerError;
use crate::mongo::server::Server;
use crate::names::{Form, Names};
use crate::run::capture_key::HEADER;

/// The collections that records of ours name. Read after the catalog was listed: a record is written before the
/// collections that it names are made.
#[derive(Debug, Clone, Default)]
pub struct Own {
    names: Names,
    captures: HashSet<String>,
    restores: HashSet<String>,
}

impl Own {
    /// Reads the records.
    ///
    /// # Errors
    /// The server's.
    pub async fn read(server: &Server) -> Result<Self, ServerError> {
        let names = server.names().clone();
        let find = doc! {"find": names.captures(), "filter": {"_id.op": HEADER}, "projection": {"_id": 1}};
        let captures = server.find_all(find).await?;
        let captures = captures
            .iter()
            .filter_map(|header| Some(header.get_document("_id").ok()?.get_object_id("run").ok()?.to_hex()));
        let find = doc! {"find": names.restore_journal(), "filter": {"_id": journal::HEAD}, "projection": {"run": 1}};
        let restores = server.find_all(find).await?;
        let restores = restores.iter().filter_map(|head| head.get_str("run").ok().map(str::to_owned));
        Ok(Self { names, captures: captures.collect(), restores: restores.collect() })
    }

    /// Whether the collection is the lock, a journal or a capture. The ledger and the history are data.
    pub fn holds(&self, collection: &str) -> bool {
        match self.names.form(collection) {
            Some(Form::Fixed) => true,
            Some(Form::OfCapture(run)) => self.captures.contains(run),
            Some(Form::OfRestore(run)) => self.restores.contains(run),
            None => false,
        }
    }

    /// Whether the collection has a name like ours and is not.
    pub fn resembles(&self, collection: &str) -> bool {
        self.names.begins_like_ours(collection) && !self.holds(collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ours_only_with_its_record() {
        let run = "0123456789abcdef01234567";
        let own = Own { names: Names::default(), captures: [run.to_owned()].into(), restores: [run.to_owned()].into() };
        let none = Own::default();
        for name in ["migrations_lock", "migrations_undo", "migrations_restore"] {
            assert!(own.holds(name) && none.holds(name), "{name}");
        }
        for form in [
            "undo_R",
            "undo_R_1",
            "undo_R_12_originals",
            "undo_R_edits",
            "kept_R_3",
            "restore_R_1_2",
            "restore_R_aside",
        ] {
            let name = format!("migrations_{}", form.replace('R', run));
            assert!(own.holds(&name), "{name}");
            assert!(none.resembles(&name), "{name}");
        }
        for name in [
            "migrations_restore_x",
            "migrations_kept_a",
            "migrations_undo_x",
            "migrations_undo_R_x",
            "migrations_kept_R",
        ] {
            let name = name.replace('R', run);
            assert!(own.resembles(&name), "{name}");
        }
        for name in ["migrations", "migrations_history", "migrations_log", "migrations_other", "users"] {
            assert!(!own.holds(name) && !own.resembles(name), "{name}");
        }
    }
}
