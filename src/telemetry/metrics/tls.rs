//! Of TLS on the address for clients.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::families::Families;

/// What became of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handshake {
    Done,
    /// The client does not speak TLS.
    Plain,
    /// Client and server do not agree, or one does not trust the other.
    Failed,
    /// It was not over in time.
    TooSlow,
}

impl EncodeLabelValue for Handshake {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        match self {
            Handshake::Done => "ok",
            Handshake::Plain => "plain",
            Handshake::Failed => "failed",
            Handshake::TooSlow => "timeout",
        }
        .encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    outcome: Handshake,
}

/// Metrics of TLS.
#[derive(Clone)]
pub struct TlsMetrics {
    handshakes: Family<HandshakeLabels, Counter>,
    /// Until when the server's certificate is valid. Seconds since 1970; 0 without one.
    pub not_after: Gauge,
    /// Certificates and keys that were found in the files and could not be used.
    pub refused: Counter,
}

impl TlsMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        let handshakes: Family<HandshakeLabels, Counter> =
            families.labelled("tls_handshakes", "Handshakes with clients");
        for outcome in [
            Handshake::Done,
            Handshake::Plain,
            Handshake::Failed,
            Handshake::TooSlow,
        ] {
            drop(handshakes.get_or_create(&HandshakeLabels { outcome }));
        }
        TlsMetrics {
            handshakes,
            not_after: families.in_unit(
                "tls_not_after",
                "Until when the server's certificate is valid, since 1970; 0 without TLS",
                Unit::Seconds,
            ),
            refused: families.one(
                "tls_reload_failures",
                "How often certificates or keys were found that could not be used, so that those before them stayed in use",
            ),
        }
    }

    /// A handshake has ended.
    pub fn ended(&self, outcome: Handshake) {
        self.handshakes
            .get_or_create(&HandshakeLabels { outcome })
            .inc();
    }
}
