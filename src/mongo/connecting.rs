//! The first connection: it is given up as soon as it is known that none can be made, and then says why.
//!
//! The driver tries on until its time is over, and its error tells little. So its monitors report to [`Watch`] what they
//! meet at each server. What is meant by a connection that just ends is found out by one attempt with TLS or without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bson::doc;
use mongodb::Client;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, ServerAddress, Tls, TlsOptions};
use tokio::time::Instant;

use super::obstacle::Obstacle;
use crate::error::Error;

/// How long every server must be out of reach before that is the answer, where another attempt might still find it.
const OUT_OF_REACH: Duration = Duration::from_millis(1_500);
/// How often what was seen is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the attempt may take that finds out what a server speaks.
const PROBE: Duration = Duration::from_secs(2);

/// What the monitors of a client met at each server.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Mutex<BTreeMap<String, Reachability>>>);

#[derive(Clone, Debug)]
enum Reachability {
    /// No answer yet.
    Awaited,
    /// It answers.
    Reached,
    /// It cannot be used.
    Failed(ServerAddress, Obstacle),
}

impl Watch {
    /// Takes what the monitors of a client with these options report.
    pub fn of(options: &mut ClientOptions) -> Self {
        let watch = Self::default();
        let own = watch.clone();
        options.sdam_event_handler = Some(EventHandler::callback(move |event| own.take(event)));
        watch
    }

    fn take(&self, event: SdamEvent) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            SdamEvent::ServerOpening(it) => drop(seen.insert(it.address.to_string(), Reachability::Awaited)),
            SdamEvent::ServerClosed(it) => drop(seen.remove(&it.address.to_string())),
            SdamEvent::ServerHeartbeatSucceeded(it) => {
                seen.insert(it.server_address.to_string(), Reachability::Reached);
            }
            SdamEvent::ServerHeartbeatFailed(it) => {
                let failed = Reachability::Failed(it.server_address.clone(), Obstacle::of(&it.failure));
                seen.insert(it.server_address.to_string(), failed);
            }
            _ => {}
        }
    }

    /// What is in the way at each server that was tried, if nothing answers.
    fn obstacles(&self) -> Option<Vec<(ServerAddress, Obstacle)>> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed: Option<Vec<_>> = seen
            .values()
            .map(|it| match it {
                Reachability::Failed(address, obstacle) => Some((address.clone(), obstacle.clone())),
                Reachability::Awaited | Reachability::Reached => None,
            })
            .collect();
        failed.filter(|all| !all.is_empty())
    }

    /// Ends once it is known that no server can be used: at once where no attempt could go better, else after a moment,
    /// unless somebody said how long to wait for a server (`patient`): he knows of one that is about to start.
    pub async fn failure(&self, options: &ClientOptions, patient: bool) -> Unusable {
        let mut since = Instant::now();
        let mut probed = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(mut all) = self.obstacles().filter(|all| all.iter().all(|(_, it)| *it != Obstacle::Other)) else {
                since = Instant::now();
                continue;
            };
            for (address, obstacle) in &mut all {
                if matches!(obstacle, Obstacle::Closed { .. }) {
                    let key = address.to_string();
                    if !probed.contains_key(&key) {
                        probed.insert(key.clone(), explained(options, address, obstacle).await);
                    }
                    *obstacle = probed[&key].clone();
                }
            }
            if all.iter().all(|(_, it)| it.is_final()) || (!patient && since.elapsed() >= OUT_OF_REACH) {
                return Unusable { servers: all, strangers: strangers(options) };
            }
        }
    }

    /// What was met when the driver gave up, where that says more than its error.
    pub fn last(&self, options: &ClientOptions) -> Option<Unusable> {
        let servers = self.obstacles()?;
        let telling = servers.iter().any(|(_, it)| it.advice().is_some() || *it == Obstacle::Unresolved);
        telling.then(|| Unusable { servers, strangers: strangers(options) })
    }
}

/// No server can be used, and why.
#[derive(Debug)]
pub struct Unusable {
    servers: Vec<(ServerAddress, Obstacle)>,
    /// The servers of the connection string, where members of a replica set may have other names.
    strangers: Option<Vec<String>>,
}

impl Unusable {
    /// The error for people.
    pub fn error(&self, target: &str) -> Error {
        let each: Vec<String> =
            self.servers.iter().map(|(address, obstacle)| format!("{address}: {}", obstacle.what())).collect();
        let mut advice: Vec<&str> = Vec::new();
        // What can be mended first: a server that nobody reaches may be one that is stopped.
        for it in self.servers.iter().filter_map(|(_, obstacle)| obstacle.advice()) {
            if !advice.contains(&it) {
                advice.push(it);
            }
        }
        let mut advice = advice.join(" ");
        let others = |seeds: &Vec<String>| !self.servers.iter().any(|(it, _)| seeds.contains(&it.to_string()));
        if let Some(seeds) = self.strangers.as_ref().filter(|seeds| others(seeds)) {
            if !advice.is_empty() {
                advice.push(' ');
            }
            advice.push_str(&format!(
                "{} answers and is a member of a replica set that names its members so. Let this machine know these names, or add \
                 directConnection=true to MONGO_URI to use the named server alone; it must be the primary to be written to.",
                seeds.join(", ")
            ));
        } else if advice.is_empty() {
            advice = match self.servers.iter().any(|(_, it)| *it == Obstacle::Unresolved) {
                true => "Check the host names in MONGO_URI and that this machine can resolve them, then run the command again.",
                false => "Check that the server runs and that MONGO_URI names it, then run the command again.",
            }
            .to_owned();
        }
        Error::Unavailable(format!(
            "Cannot use MongoDB at {target}: no server can be used ({}). {advice}",
            each.join("; ")
        ))
    }
}

/// The servers that the connection string names, unless they are used by these names alone.
fn strangers(options: &ClientOptions) -> Option<Vec<String>> {
    (options.direct_connection != Some(true)).then(|| options.hosts.iter().map(ToString::to_string).collect())
}

/// What it means that a server ends connections: it is tried with TLS where they had none, or without.
async fn explained(options: &ClientOptions, address: &ServerAddress, obstacle: &Obstacle) -> Obstacle {
    let with_tls = matches!(options.tls, Some(Tls::Enabled(_)));
    if with_tls && !matches!(obstacle, Obstacle::Closed { in_handshake: true }) {
        // The handshake was over, and then the server looked at the client's certificate.
        return Obstacle::ClientCertificate;
    }
    match speaks(options, address, !with_tls).await {
        true if with_tls => Obstacle::TlsUnwanted,
        true => Obstacle::TlsMissing,
        false => obstacle.clone(),
    }
}

/// Whether a server answers with TLS, or without. It is not told who asks.
async fn speaks(options: &ClientOptions, address: &ServerAddress, with_tls: bool) -> bool {
    let mut options = options.clone();
    options.hosts = vec![address.clone()];
    options.direct_connection = Some(true);
    options.repl_set_name = None;
    options.load_balanced = None;
    options.credential = None;
    options.server_selection_timeout = Some(PROBE);
    options.connect_timeout = Some(PROBE);
    let any = TlsOptions::builder().allow_invalid_certificates(true).build();
    options.tls = Some(if with_tls { Tls::Enabled(any) } else { Tls::Disabled });
    let watch = Watch::of(&mut options);
    let Ok(client) = Client::with_options(options) else { return false };
    let admin = client.database("admin");
    let asked = admin.run_command(doc! {"hello": 1});
    let failed = async {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(all) = watch.obstacles() {
                // A handshake that got so far is one.
                let spoken = |it: &Obstacle| {
                    *it == Obstacle::ClientCertificate || *it == Obstacle::Closed { in_handshake: false }
                };
                return with_tls && all.iter().any(|(_, it)| spoken(it));
            }
        }
    };
    let answered = tokio::select! {
        answer = asked => answer.is_ok(),
        spoken = failed => spoken,
    };
    client.shutdown().await;
    answered
}
