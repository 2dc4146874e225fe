//! What keeps a connection to a server from being made, and what to do about it.
//!
//! The driver reports each attempt that failed. For certificates the reason is inside, as the TLS library gave it.

use mongodb::error::ErrorKind;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use time::OffsetDateTime;
use time::macros::format_description;

/// Why a server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The server's certificate is not signed by an authority that the connection trusts.
    UnknownAuthority,
    /// The server's certificate has expired, where it is known when.
    Expired(Option<String>),
    /// The server's certificate is not valid yet, where it is known from when on it is.
    NotYetValid(Option<String>),
    /// The server's certificate is for these names, not for the one that the connection uses.
    WrongName(Vec<String>),
    /// The server's certificate has no subject alternative name.
    NoNames,
    /// The server's certificate is of X.509 version 1 or 2.
    OldVersion,
    /// The server's certificate is an authority's.
    AuthorityAsServer,
    /// Something else about the server's certificate, in the words of the TLS library.
    Certificate(String),
    /// The server wants a certificate of the client, or does not accept the one that it got.
    ClientCertificate,
    /// The server and the client have no version or cipher of TLS in common, or the handshake failed otherwise.
    Handshake(String),
    /// The server uses TLS and the connection does not.
    TlsMissing,
    /// The connection uses TLS and the server does not.
    TlsUnwanted,
    /// The server ends each connection, before the handshake of TLS where that is known.
    Closed {
        /// Whether it ended before a handshake of TLS was over.
        in_handshake: bool,
    },
    /// No address is known for the host.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// Anything else.
    Other,
}

impl Obstacle {
    /// What an error of the driver means.
    pub fn of(error: &mongodb::error::Error) -> Self {
        let io = match error.kind.as_ref() {
            ErrorKind::Io(io) => io,
            ErrorKind::DnsResolve { .. } => return Self::Unresolved,
            _ => return Self::Other,
        };
        if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            return Self::of_tls(tls);
        }
        let text = io.to_string();
        match io.kind() {
            std::io::ErrorKind::ConnectionRefused => Self::Refused,
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::BrokenPipe => Self::Closed { in_handshake: text.contains("handshake") },
            _ if text.contains("failed to lookup address information") => Self::Unresolved,
            _ => Self::Other,
        }
    }

    fn of_tls(error: &TlsError) -> Self {
        match error {
            TlsError::InvalidCertificate(fault) => Self::of_certificate(fault),
            TlsError::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::ClientCertificate,
                other => Self::Handshake(format!("the server's answer was the alert {other:?}")),
            },
            // What came is no message of TLS.
            TlsError::InvalidMessage(_) | TlsError::InappropriateMessage { .. } => Self::TlsUnwanted,
            other => Self::Handshake(other.to_string()),
        }
    }

    fn of_certificate(fault: &CertificateError) -> Self {
        match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownAuthority,
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(day(not_after.as_secs())),
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid(day(not_before.as_secs())),
            CertificateError::NotValidForName => Self::WrongName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => Self::NoNames,
            // Each as `DnsName("h")` or `IpAddress(…)`.
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName(presented.iter().map(|it| it.split('"').nth(1).unwrap_or(it).to_owned()).collect())
            }
            // The library has no names of its own for these two.
            CertificateError::Other(other) => match other.to_string().as_str() {
                "CaUsedAsEndEntity" => Self::AuthorityAsServer,
                "UnsupportedCertVersion" => Self::OldVersion,
                words => Self::Certificate(words.to_owned()),
            },
            other => Self::Certificate(other.to_string()),
        }
    }

    /// Whether another attempt would meet the same.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Closed { .. } | Self::Unresolved | Self::Refused | Self::Other)
    }

    /// The part of a sentence that says what it is.
    pub fn what(&self) -> String {
        let at = |day: &Option<String>| day.as_ref().map(|day| format!(" on {day}")).unwrap_or_default();
        match self {
            Self::UnknownAuthority => {
                "its certificate is not signed by an authority that this connection trusts".to_owned()
            }
            Self::Expired(when) => format!("its certificate expired{}", at(when)),
            Self::NotYetValid(when) => format!("its certificate is not valid yet; it becomes valid{}", at(when)),
            Self::WrongName(names) if names.is_empty() => "its certificate is for another host name".to_owned(),
            Self::WrongName(names) => {
                format!("its certificate is for another host name ({})", names.join(", "))
            }
            Self::NoNames => {
                "its certificate has no subject alternative name; the common name alone is not accepted".to_owned()
            }
            Self::OldVersion => "its certificate is of X.509 version 1; only version 3 is accepted".to_owned(),
            Self::AuthorityAsServer => {
                "it uses the certificate of an authority (CA:TRUE) as its own, which is not accepted".to_owned()
            }
            Self::Certificate(words) => format!("its certificate cannot be used: {words}"),
            Self::ClientCertificate => {
                "it wants a client certificate that it trusts, and this connection has none, or another".to_owned()
            }
            Self::Handshake(words) => format!("the TLS handshake failed: {words}"),
            Self::TlsMissing => "it uses TLS, and this connection does not".to_owned(),
            Self::TlsUnwanted => "this connection uses TLS, and the server does not".to_owned(),
            Self::Closed { .. } => "it ends each connection at once".to_owned(),
            Self::Unresolved => "its name cannot be resolved".to_owned(),
            Self::Refused => "connection refused".to_owned(),
            Self::Other => "it cannot be used".to_owned(),
        }
    }

    /// What to do about it, as sentences; `None` where nothing more can be said than to look whether the server runs.
    pub fn advice(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownAuthority => {
                "Let tlsCAFile in MONGO_URI name a PEM file with the certificate of the authority that signed it, and let the \
                 server send its intermediate certificates. Without tlsCAFile only public authorities are trusted."
            }
            Self::Expired(_) => "Renew the server's certificate. If it is valid, correct the clock of this machine.",
            Self::NotYetValid(_) => {
                "Correct the clock of this machine, or give the server a certificate that is valid now."
            }
            Self::WrongName(_) => {
                "Use one of those names in MONGO_URI, or give the server a certificate that has the name used here among its \
                 subject alternative names."
            }
            Self::NoNames => {
                "Give the server a certificate that has its host name as a subject alternative name (subjectAltName = DNS:…)."
            }
            Self::OldVersion => {
                "Give the server a certificate of version 3 with its host name as a subject alternative name; openssl makes one \
                 when it is given extensions (-extfile)."
            }
            Self::AuthorityAsServer => {
                "Give the server a certificate of its own, signed by that authority, without CA:TRUE, and let tlsCAFile name the \
                 authority's."
            }
            Self::Certificate(_) => "Give the server another certificate.",
            Self::ClientCertificate => {
                "Let tlsCertificateKeyFile in MONGO_URI name a PEM file with a client certificate and its key, signed by an \
                 authority that the server trusts, and valid now."
            }
            Self::Handshake(_) => "Let the server offer TLS 1.2 or 1.3 with a cipher of today.",
            Self::TlsMissing => "Add tls=true to MONGO_URI, and tlsCAFile where the authority is not a public one.",
            Self::TlsUnwanted => {
                "Take tls=true and the other TLS options out of MONGO_URI, or turn TLS on at the server."
            }
            Self::Closed { .. } => {
                "The server may have too many connections (net.maxIncomingConnections), or something between here and there, such \
                 as a firewall or a proxy, ends them. Close connections or raise the limit, then run the command again."
            }
            Self::Unresolved | Self::Refused | Self::Other => return None,
        })
    }
}

/// A moment in UTC, to the minute.
fn day(seconds: u64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    moment.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC")).ok()
}
