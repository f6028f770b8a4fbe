//! Metrics: typed families, whose handles are resolved once and given to their owners. No label ever holds a module
//! path.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

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
struct UpstreamLabels {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    upstream: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SumdbLabels {
    database: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DatabaseLabels {
    database: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    database: String,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PrefetchLabels {
    kind: &'static str,
    outcome: PrefetchOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectLabels {
    what: &'static str,
    outcome: &'static str,
}

/// Requests of one endpoint with one outcome.
struct RequestHandles {
    count: Counter,
    seconds: Histogram,
}

/// Metrics of the face.
pub struct RequestMetrics {
    counts: Family<RequestLabels, Counter>,
    seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    /// One for each pair of endpoint and outcome, made when it first happens, so that what never happens is not shown.
    handles: Vec<OnceLock<RequestHandles>>,
    bytes: Vec<Counter>,
    /// Open client connections.
    pub connections: Gauge,
}

impl RequestMetrics {
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

/// Metrics of the engine.
#[derive(Clone, Default)]
pub struct EngineMetrics {
    /// Fetches under way that clients may share.
    pub flights: Gauge,
    /// Clients reading a zip that is still being fetched.
    pub followers: Gauge,
    /// Files in the store.
    pub files: Gauge,
    /// Bytes of the files in the store.
    pub bytes: Gauge,
    /// Files that failed verification.
    pub rejected: Counter,
    /// Verified files that were not kept: no room, or a fault.
    pub unkept: Counter,
    /// Background refreshes.
    pub refreshes: Counter,
    /// Files served although their checksum database could not be reached, and not verified since.
    pub unsettled: Gauge,
    /// Of what is fetched before it is asked for.
    pub prefetch: PrefetchMetrics,
}

/// What became of a prefetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrefetchOutcome {
    /// It is made.
    Made,
    /// Somebody has asked for it.
    Used,
    /// Nobody has, for long.
    Wasted,
    /// It could not be had.
    Failed,
}

impl EncodeLabelValue for PrefetchOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        let word = match self {
            PrefetchOutcome::Made => "made",
            PrefetchOutcome::Used => "used",
            PrefetchOutcome::Wasted => "wasted",
            PrefetchOutcome::Failed => "failed",
        };
        word.encode(encoder)
    }
}

/// Metrics of what is fetched before it is asked for.
#[derive(Clone, Default)]
pub struct PrefetchMetrics {
    outcomes: Family<PrefetchLabels, Counter>,
    /// Bytes of prefetched files that nobody has asked for yet.
    pub bytes: Gauge,
}

impl PrefetchMetrics {
    /// Counts a prefetch of a kind of file (`info`, `mod`, `zip`) with what became of it.
    pub fn count(&self, kind: &'static str, outcome: PrefetchOutcome) {
        let labels = PrefetchLabels { kind, outcome };
        self.outcomes.get_or_create(&labels).inc();
    }

    /// How often that was counted.
    #[cfg(test)]
    pub fn counted(&self, kind: &'static str, outcome: PrefetchOutcome) -> u64 {
        let labels = PrefetchLabels { kind, outcome };
        self.outcomes.get_or_create(&labels).get()
    }
}

/// Metrics that are looked up when somebody reads them.
#[derive(Clone, Default)]
pub struct ProcessMetrics {
    /// Log lines dropped because the log was not read fast enough.
    pub log_dropped: Counter,
    /// Free bytes of the store's disk.
    pub disk_free: Gauge,
    /// 1 while less than the reserve is free.
    pub disk_low: Gauge,
    /// Bytes of files that are still arriving or being checked.
    pub temporary: Gauge,
    /// Bytes of the memory tier.
    pub hot: Gauge,
    /// Open descriptors.
    pub descriptors: Gauge,
}

/// Metrics of one upstream.
#[derive(Clone)]
pub struct UpstreamMetrics {
    upstream: String,
    seconds: Family<FetchLabels, Histogram, fn() -> Histogram>,
    /// Requests made again.
    pub retries: Counter,
    /// 0 closed, 1 half-open, 2 open.
    pub breaker: Gauge,
    /// 1 while it asks to be left alone.
    pub paused: Gauge,
    /// When it last answered well, and when it last failed. Seconds since 1970; 0 for never.
    pub last_success: Gauge,
    /// As above.
    pub last_error: Gauge,
    /// Requests under way.
    pub in_flight: Gauge,
}

impl UpstreamMetrics {
    /// A fetch has ended; `outcome` is one of a few fixed words.
    pub fn fetched(&self, outcome: &'static str, took: Duration) {
        let labels = FetchLabels {
            upstream: self.upstream.clone(),
            outcome: outcome.to_owned(),
        };
        self.seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}

/// Metrics of one checksum database.
#[derive(Clone)]
pub struct SumdbMetrics {
    database: String,
    asked: Family<SumdbLabels, Counter>,
    /// Records in the latest verified tree.
    pub size: Gauge,
    /// When a verified answer last came. Seconds since 1970; 0 before the first.
    pub heard: Gauge,
    /// 1 while there is a fork that no operator has acknowledged.
    pub fork: Gauge,
    /// 1 while there is a forged tile that no operator has acknowledged.
    pub inconsistent: Gauge,
}

impl SumdbMetrics {
    /// The database was asked for a record or a tree head; `outcome` is one of a few fixed words.
    pub fn asked(&self, outcome: &'static str) {
        let labels = SumdbLabels {
            database: self.database.clone(),
            outcome: outcome.to_owned(),
        };
        self.asked.get_or_create(&labels).inc();
    }
}

/// Metrics of direct mode.
#[derive(Clone)]
pub struct DirectMetrics {
    seconds: Family<DirectLabels, Histogram, fn() -> Histogram>,
    /// Git processes that are running.
    pub processes: Gauge,
    /// Bytes of all mirrors, as last counted.
    pub mirrors: Gauge,
}

impl Default for DirectMetrics {
    fn default() -> Self {
        DirectMetrics {
            seconds: Family::new_with_constructor(fetch_seconds),
            processes: Gauge::default(),
            mirrors: Gauge::default(),
        }
    }
}

impl DirectMetrics {
    /// A git host was asked for something; `what` and `outcome` are each one of a few fixed words.
    pub fn asked(&self, what: &'static str, outcome: &'static str, took: Duration) {
        let labels = DirectLabels { what, outcome };
        let seconds = self.seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }
}

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    /// Of the face.
    pub requests: Arc<RequestMetrics>,
    /// Of the engine.
    pub engine: EngineMetrics,
    /// Of direct mode.
    pub direct: DirectMetrics,
    /// Of the process, brought up to date when they are read.
    pub process: ProcessMetrics,
    fetch_seconds: Family<FetchLabels, Histogram, fn() -> Histogram>,
    retries: Family<UpstreamLabels, Counter>,
    breaker: Family<UpstreamLabels, Gauge>,
    upstream_paused: Family<UpstreamLabels, Gauge>,
    upstream_last_success: Family<UpstreamLabels, Gauge>,
    upstream_last_error: Family<UpstreamLabels, Gauge>,
    upstream_in_flight: Family<UpstreamLabels, Gauge>,
    sumdb_asked: Family<SumdbLabels, Counter>,
    sumdb_size: Family<DatabaseLabels, Gauge>,
    sumdb_heard: Family<DatabaseLabels, Gauge>,
    sumdb_alarms: Family<AlarmLabels, Gauge>,
}

fn request_seconds() -> Histogram {
    Histogram::new([
        0.0001, 0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0,
    ])
}

fn fetch_seconds() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 45.0, 120.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("larder");
        let counts: Family<RequestLabels, Counter> = Family::default();
        let seconds: Family<RequestLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(request_seconds);
        let bytes: Family<EndpointLabel, Counter> = Family::default();
        let connections = Gauge::default();
        let engine = EngineMetrics::default();
        let fetches: Family<FetchLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(fetch_seconds);
        let retries = Family::default();
        let breaker = Family::default();
        let upstream_paused = Family::default();
        let upstream_last_success = Family::default();
        let upstream_last_error = Family::default();
        let upstream_in_flight = Family::default();
        let direct = DirectMetrics::default();
        let process = ProcessMetrics::default();
        let sumdb_asked = Family::default();
        let sumdb_size = Family::default();
        let sumdb_heard = Family::default();
        let sumdb_alarms = Family::default();

        registry.register(
            "requests",
            "Requests by endpoint and outcome",
            counts.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from the request's head to the end of the answer",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register_with_unit(
            "response",
            "Bytes of answers' bodies",
            Unit::Bytes,
            bytes.clone(),
        );
        registry.register(
            "connections",
            "Open client connections",
            connections.clone(),
        );
        registry.register(
            "flights",
            "Fetches under way that clients may share",
            engine.flights.clone(),
        );
        registry.register(
            "followers",
            "Clients reading a zip that is still being fetched",
            engine.followers.clone(),
        );
        registry.register("store_files", "Files kept", engine.files.clone());
        registry.register_with_unit(
            "store_size",
            "Size of the files kept",
            Unit::Bytes,
            engine.bytes.clone(),
        );
        registry.register(
            "rejected",
            "Fetched files that failed verification",
            engine.rejected.clone(),
        );
        registry.register(
            "unkept",
            "Verified files that were not kept",
            engine.unkept.clone(),
        );
        registry.register(
            "background_refreshes",
            "Answers asked for again before they got old",
            engine.refreshes.clone(),
        );
        registry.register(
            "prefetches",
            "Files fetched before anybody asked for them, and what became of that",
            engine.prefetch.outcomes.clone(),
        );
        registry.register_with_unit(
            "prefetch_unused",
            "Size of prefetched files that nobody has asked for yet",
            Unit::Bytes,
            engine.prefetch.bytes.clone(),
        );
        registry.register_with_unit(
            "upstream_fetch",
            "Fetches from upstreams with their retries",
            Unit::Seconds,
            fetches.clone(),
        );
        registry.register(
            "upstream_retries",
            "Requests to upstreams made again",
            Family::clone(&retries),
        );
        registry.register(
            "upstream_breaker_state",
            "0 closed, 1 half-open, 2 open",
            Family::clone(&breaker),
        );
        registry.register(
            "upstream_paused",
            "1 while an upstream has asked to be left alone (429, or 503 with a time) and is not asked",
            Family::clone(&upstream_paused),
        );
        registry.register_with_unit(
            "upstream_last_success_timestamp",
            "When an upstream last answered well, 404 included; 0 for never",
            Unit::Seconds,
            Family::clone(&upstream_last_success),
        );
        registry.register_with_unit(
            "upstream_last_error_timestamp",
            "When a fetch from an upstream last failed; 0 for never",
            Unit::Seconds,
            Family::clone(&upstream_last_error),
        );
        registry.register(
            "upstream_in_flight",
            "Requests to upstreams under way",
            Family::clone(&upstream_in_flight),
        );
        registry.register(
            "sumdb_asked",
            "Records and tree heads asked of a checksum database",
            Family::clone(&sumdb_asked),
        );
        registry.register(
            "sumdb_tree_size",
            "Records in the latest verified tree of a checksum database",
            Family::clone(&sumdb_size),
        );
        registry.register_with_unit(
            "sumdb_last_contact",
            "When a verified answer last came from a checksum database, since 1970; 0 before the first",
            Unit::Seconds,
            Family::clone(&sumdb_heard),
        );
        registry.register(
            "sumdb_alarms",
            "1 while something was noticed about a checksum database that no operator has acknowledged",
            Family::clone(&sumdb_alarms),
        );
        registry.register_with_unit(
            "direct_fetch",
            "Requests to git hosts: pages, references, trees, histories",
            Unit::Seconds,
            direct.seconds.clone(),
        );
        registry.register(
            "direct_git_processes",
            "Git processes that are running",
            direct.processes.clone(),
        );
        registry.register_with_unit(
            "direct_mirrors",
            "Size of all mirrors of repositories, as last counted",
            Unit::Bytes,
            direct.mirrors.clone(),
        );
        registry.register(
            "unsettled_files",
            "Files served although their checksum database could not be reached, and not verified since",
            engine.unsettled.clone(),
        );
        registry.register(
            "log_dropped_lines",
            "Log lines dropped so far",
            process.log_dropped.clone(),
        );
        registry.register_with_unit(
            "disk_free",
            "Free space on the store's disk",
            Unit::Bytes,
            process.disk_free.clone(),
        );
        registry.register(
            "disk_low",
            "1 while less than the reserve is free and nothing more is kept",
            process.disk_low.clone(),
        );
        registry.register_with_unit(
            "temporary",
            "Files still arriving or being checked",
            Unit::Bytes,
            process.temporary.clone(),
        );
        registry.register_with_unit(
            "memory_tier",
            "Ready answers in memory, open files counted as if they were",
            Unit::Bytes,
            process.hot.clone(),
        );
        registry.register(
            "open_descriptors",
            "Open file descriptors",
            process.descriptors.clone(),
        );

        let handles = std::iter::repeat_with(OnceLock::new)
            .take(Endpoint::ALL.len() * Outcome::COUNT)
            .collect();
        let bytes = Endpoint::ALL
            .iter()
            .map(|&endpoint| bytes.get_or_create(&EndpointLabel { endpoint }).clone())
            .collect();
        Metrics {
            registry,
            requests: Arc::new(RequestMetrics {
                counts,
                seconds,
                handles,
                bytes,
                connections,
            }),
            engine,
            direct,
            process,
            fetch_seconds: fetches,
            retries,
            breaker,
            upstream_paused,
            upstream_last_success,
            upstream_last_error,
            upstream_in_flight,
            sumdb_asked,
            sumdb_size,
            sumdb_heard,
            sumdb_alarms,
        }
    }

    /// Handles for a checksum database.
    pub fn sumdb(&self, name: &str) -> SumdbMetrics {
        let database = || DatabaseLabels {
            database: name.to_owned(),
        };
        let alarm = |kind| {
            let database = name.to_owned();
            self.sumdb_alarms
                .get_or_create(&AlarmLabels { database, kind })
                .clone()
        };
        SumdbMetrics {
            database: name.to_owned(),
            asked: self.sumdb_asked.clone(),
            size: self.sumdb_size.get_or_create(&database()).clone(),
            heard: self.sumdb_heard.get_or_create(&database()).clone(),
            fork: alarm("fork"),
            inconsistent: alarm("inconsistent"),
        }
    }

    /// Handles for an upstream, shown by its label (host and port).
    pub fn upstream(&self, label: &str) -> UpstreamMetrics {
        let labels = UpstreamLabels {
            upstream: label.to_owned(),
        };
        UpstreamMetrics {
            upstream: label.to_owned(),
            seconds: self.fetch_seconds.clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            breaker: self.breaker.get_or_create(&labels).clone(),
            paused: self.upstream_paused.get_or_create(&labels).clone(),
            last_success: self.upstream_last_success.get_or_create(&labels).clone(),
            last_error: self.upstream_last_error.get_or_create(&labels).clone(),
            in_flight: self.upstream_in_flight.get_or_create(&labels).clone(),
        }
    }

    /// In Prometheus' own text format (0.0.4), which more tools read.
    pub fn encode_plain(&self) -> String {
        plain(&self.encode())
    }

    /// In the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Turns OpenMetrics text into Prometheus' older format: there a counter's family has the name of its samples, and units
/// and the end have no lines.
fn plain(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    // What is said of a family comes before its type.
    let mut help: Option<(&str, &str)> = None;
    for line in open.lines() {
        let mut words = line.splitn(4, ' ');
        let (hash, word) = (words.next(), words.next());
        let (name, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        match (hash, word) {
            (Some("#"), Some("HELP")) => help = Some((name, rest)),
            (Some("#"), Some("TYPE")) => {
                let (ending, kind) = match rest {
                    "counter" => ("_total", "counter"),
                    "gauge" | "histogram" | "summary" => ("", rest),
                    _ => ("", "untyped"),
                };
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    text.push_str(&format!("# HELP {name}{ending} {help}\n"));
                }
                text.push_str(&format!("# TYPE {name}{ending} {kind}\n"));
            }
            (Some("#"), _) => {}
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: Endpoint,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn handles_count_where_they_should() {
        let metrics = Metrics::new();
        metrics
            .requests
            .ended(Endpoint::Zip, Outcome::Miss, Duration::from_millis(3), 10);
        metrics
            .requests
            .ended(Endpoint::Other, Outcome::Other, Duration::from_millis(3), 0);
        metrics
            .upstream("proxy.example.com")
            .fetched("ok", Duration::from_millis(20));
        let text = metrics.encode();
        assert!(
            text.contains(r#"larder_requests_total{endpoint="zip",outcome="miss"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"larder_response_bytes_total{endpoint="zip"} 10"#),
            "{text}"
        );
        assert!(text.contains(r#"larder_requests_total{endpoint="other",outcome="other"} 1"#));
        assert!(text.contains(
            r#"larder_upstream_fetch_seconds_count{upstream="proxy.example.com",outcome="ok"} 1"#
        ));
        assert!(text.ends_with("# EOF\n"));
    }

    /// Metrics of which every family has a sample.
    fn all() -> Metrics {
        let metrics = Metrics::new();
        let took = Duration::from_millis(20);
        metrics.requests.ended(Endpoint::Zip, Outcome::Hit, took, 1);
        metrics.upstream("proxy.example.com").fetched("ok", took);
        metrics.sumdb("sum.example.com").asked("ok");
        metrics.direct.asked("refs", "ok", took);
        metrics.engine.prefetch.count("mod", PrefetchOutcome::Made);
        metrics
    }

    /// Families by the names of their samples, without the endings of histograms.
    fn exposed() -> BTreeSet<String> {
        let text = all().encode_plain();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    }

    fn document(name: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(path).unwrap()
    }

    /// Names of metrics in a text, as they stand there.
    fn named(text: &str) -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("larder_"))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_readme_lists_every_family_and_no_other() {
        let readme = document("README.md");
        let table = readme.split_once("\n## Metrics\n").unwrap().1;
        let table = table.split("\n## ").next().unwrap();
        let rows = table.lines().filter(|line| line.starts_with("| `larder_"));
        let first = rows.filter_map(|row| row.split('|').nth(1));
        let listed = named(&first.collect::<Vec<_>>().join(" "));
        assert_eq!(listed, exposed());
    }

    #[test]
    fn documents_and_alerts_use_families_that_are_there() {
        let exposed = exposed();
        for file in [
            "README.md",
            "ARCHITECTURE.md",
            "config/observability/README.md",
            "config/observability/alerts.yml",
        ] {
            for name in named(&document(file)) {
                let endings = ["_bucket", "_count", "_sum"].into_iter();
                let mut bases = endings.filter_map(|ending| name.strip_suffix(ending));
                let there = exposed.contains(&name) || bases.any(|base| exposed.contains(base));
                assert!(there, "{file} names {name}, which is no metric");
            }
        }
    }

    #[test]
    fn plain_text_has_no_part_that_only_openmetrics_has() {
        let text = all().encode_plain();
        assert!(
            !text.contains("# EOF") && !text.contains("# UNIT"),
            "{text}"
        );
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap().to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(
                    rest.split(' ').next(),
                    Some(family.as_str()),
                    "help before type"
                );
            } else {
                assert!(line.starts_with(&family), "{line} belongs to {family}");
            }
        }
        let help = "# HELP larder_requests_total Requests by endpoint and outcome.\n# TYPE larder_requests_total counter\n";
        assert!(text.contains(help), "{text}");
    }
}
