//! The rights that work is going to need, compared with those that the user has, before any of it is done.

use serde::Serialize;

use super::rights::{Need, Rights};
use super::server::Server;
use crate::error::rights::{Lacking, Right};
use crate::error::{Error, Result};

/// Rights that work is going to need, and which part of it needs them.
#[derive(Debug, Clone, Default)]
pub struct Demands(Vec<(Need, String)>);

/// A right that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingRight {
    /// The server's name for the action.
    pub action: String,
    /// What it is done to: `database.collection`, a database, or the cluster.
    pub resource: String,
    /// What needs it.
    pub needed_by: Vec<String>,
    #[serde(skip)]
    right: Right,
}

impl Demands {
    /// `needs` are going to be needed by `what`.
    pub fn add(&mut self, what: &str, needs: impl IntoIterator<Item = Need>) {
        self.0.extend(needs.into_iter().map(|need| (need, what.to_owned())));
    }

    /// The rights that are known to be missing.
    pub fn missing(&self, rights: &Rights) -> Vec<MissingRight> {
        let mut missing: Vec<MissingRight> = Vec::new();
        for (need, what) in &self.0 {
            for right in rights.missing(std::slice::from_ref(need)) {
                match missing.iter_mut().find(|it| it.right == right) {
                    Some(known) if known.needed_by.contains(what) => {}
                    Some(known) => known.needed_by.push(what.clone()),
                    None => missing.push(MissingRight {
                        action: right.action.to_owned(),
                        resource: right.on.to_string(),
                        needed_by: vec![what.clone()],
                        right,
                    }),
                }
            }
        }
        missing
    }

    /// Refuses work of which the user may not do a part.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with every missing right and what needs it.
    pub async fn refuse(&self, server: &Server, nothing_done: &str) -> Result<()> {
        let rights = server.rights().await;
        let missing = self.missing(&rights);
        if missing.is_empty() {
            return Ok(());
        }
        let each: Vec<String> =
            missing.iter().map(|it| format!("{} (needed by {})", it.right, it.needed_by.join(", "))).collect();
        let user = rights.user().unwrap_or("of MONGO_URI").to_owned();
        let all = missing.into_iter().map(|it| it.right).collect();
        let lacking = Lacking { user: Some(user.clone()), rights: all, known: true };
        Err(Error::Unavailable(format!(
            "The user {user} lacks rights: {}. {nothing_done} {}, then run the command again.",
            each.join("; "),
            lacking.advice()
        )))
    }
}
