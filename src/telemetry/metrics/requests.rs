//! Of the requests of clients.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::families::{Families, Histograms};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Endpoint {
    List,
    Latest,
    Query,
    Info,
    Mod,
    Zip,
    SumDb,
    Status,
    Other,
}

impl Endpoint {
    const ALL: [Endpoint; 9] = [
        Endpoint::List,
        Endpoint::Latest,
        Endpoint::Query,
        Endpoint::Info,
        Endpoint::Mod,
        Endpoint::Zip,
        Endpoint::SumDb,
        Endpoint::Status,
        Endpoint::Other,
    ];

    /// As in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::List => "list",
            Endpoint::Latest => "latest",
            Endpoint::Query => "query",
            Endpoint::Info => "info",
            Endpoint::Mod => "mod",
            Endpoint::Zip => "zip",
            Endpoint::SumDb => "sumdb",
            Endpoint::Status => "status",
            Endpoint::Other => "other",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered from what is kept.
    Hit,
    /// Fetched.
    Miss,
    /// Asked for again, and the answer is new.
    Refreshed,
    /// Answered with a copy past its time.
    Stale,
    /// A kept "not found".
    Negative,
    /// Not found.
    Absent,
    /// 403.
    Refused,
    /// 401: private, and no token that is known came with the request.
    Unauthorized,
    /// Upstream's fault.
    UpstreamFault,
    /// Refused because this server is doing as much as it may.
    Overloaded,
    /// Our fault.
    OurFault,
    /// The client left before there was an answer.
    Cancelled,
    /// Anything that is not about a module.
    Other,
}

impl Outcome {
    const COUNT: usize = Outcome::Other as usize + 1;

    /// As in logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::Miss => "miss",
            Outcome::Refreshed => "revalidated",
            Outcome::Stale => "stale",
            Outcome::Negative => "negative",
            Outcome::Absent => "absent",
            Outcome::Refused => "refused",
            Outcome::Unauthorized => "unauthorized",
            Outcome::UpstreamFault => "upstream_fault",
            Outcome::Overloaded => "overloaded",
            Outcome::OurFault => "our_fault",
            Outcome::Cancelled => "cancelled",
            Outcome::Other => "other",
        }
    }
}

impl EncodeLabelValue for Endpoint {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.as_str().encode(encoder)
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: Endpoint,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: Endpoint,
}

/// Requests of one endpoint with one outcome.
struct RequestHandles {
    count: Counter,
    seconds: Histogram,
}

/// Metrics of the face.
pub struct RequestMetrics {
    counts: Family<RequestLabels, Counter>,
    seconds: Histograms<RequestLabels>,
    /// One for each pair of endpoint and outcome, made when it first happens, so that what never happens is not shown.
    handles: Vec<OnceLock<RequestHandles>>,
    bytes: Vec<Counter>,
    /// Open client connections.
    pub connections: Gauge,
}

impl RequestMetrics {
    pub(super) fn register(families: &mut Families) -> Self {
        let counts = families.labelled("requests", "Requests by endpoint and outcome");
        let seconds = families.seconds(
            "request",
            "Time from the request's head to the end of the answer",
            of_requests,
        );
        let bytes: Family<EndpointLabel, Counter> =
            families.labelled_in_unit("response", "Bytes of answers' bodies", Unit::Bytes);
        let handles = std::iter::repeat_with(OnceLock::new);
        let bytes = Endpoint::ALL
            .iter()
            .map(|&endpoint| bytes.get_or_create(&EndpointLabel { endpoint }).clone());
        RequestMetrics {
            counts,
            seconds,
            handles: handles.take(Endpoint::ALL.len() * Outcome::COUNT).collect(),
            bytes: bytes.collect(),
            connections: families.one("connections", "Open client connections"),
        }
    }

    /// One request has ended.
    pub fn ended(&self, endpoint: Endpoint, outcome: Outcome, took: Duration, bytes: u64) {
        if let Some(cell) = self
            .handles
            .get(endpoint as usize * Outcome::COUNT + outcome as usize)
        {
            let handles = cell.get_or_init(|| {
                let labels = RequestLabels { endpoint, outcome };
                RequestHandles {
                    count: self.counts.get_or_create(&labels).clone(),
                    seconds: self.seconds.get_or_create(&labels).clone(),
                }
            });
            handles.count.inc();
            handles.seconds.observe(took.as_secs_f64());
        }
        if let Some(counter) = self.bytes.get(endpoint as usize) {
            counter.inc_by(bytes);
        }
    }
}

fn of_requests() -> Histogram {
    Histogram::new([
        0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
    ])
}
