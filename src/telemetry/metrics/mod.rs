//! Metrics: typed families, whose handles are resolved once and given to their owners. No label ever holds a module
//! path. Each file has the families of one owner, which are defined, documented and registered in one place.

mod audit;
mod direct;
mod engine;
mod families;
mod jobs;
mod limits;
mod process;
mod reload;
mod requests;
mod sumdb;
mod tls;
mod upstream;

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub use audit::AuditMetrics;
pub use direct::DirectMetrics;
pub use engine::{EngineMetrics, PrefetchMetrics, PrefetchOutcome};
use families::Families;
pub use jobs::JobMetrics;
pub use limits::{Limit, LimitMetrics};
pub use process::ProcessMetrics;
pub use reload::ReloadMetrics;
pub use requests::{Endpoint, Outcome, RequestMetrics};
pub use sumdb::SumdbMetrics;
pub use tls::{Handshake, TlsMetrics};
pub use upstream::UpstreamMetrics;

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    /// Of clients' requests.
    pub requests: Arc<RequestMetrics>,
    /// Of the engine.
    pub engine: EngineMetrics,
    /// Of direct mode.
    pub direct: DirectMetrics,
    /// Of jobs in the background.
    pub jobs: JobMetrics,
    /// Of TLS on the address for clients.
    pub tls: TlsMetrics,
    /// Of the configuration in force.
    pub reload: ReloadMetrics,
    /// Of the audit log.
    pub audit: AuditMetrics,
    /// Of the process, brought up to date when they are read.
    pub process: ProcessMetrics,
    upstreams: upstream::Upstreams,
    databases: sumdb::Databases,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let mut families = Families(Registry::with_prefix("larder"));
        let requests = RequestMetrics::register(&mut families);
        let engine = EngineMetrics::register(&mut families);
        let upstreams = upstream::Upstreams::register(&mut families);
        let databases = sumdb::Databases::register(&mut families);
        let direct = DirectMetrics::register(&mut families);
        let jobs = JobMetrics::register(&mut families);
        let tls = TlsMetrics::register(&mut families);
        let reload = ReloadMetrics::register(&mut families);
        let audit = AuditMetrics::register(&mut families);
        let process = ProcessMetrics::register(&mut families);
        Metrics {
            registry: families.0,
            requests: Arc::new(requests),
            engine,
            direct,
            jobs,
            tls,
            reload,
            audit,
            process,
            upstreams,
            databases,
        }
    }

    /// Handles for a checksum database.
    pub fn sumdb(&self, name: &str) -> SumdbMetrics {
        self.databases.of(name)
    }

    /// Handles for an upstream, shown by its label (host and port).
    pub fn upstream(&self, label: &str) -> UpstreamMetrics {
        self.upstreams.of(label)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

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
        metrics.jobs.restarts("refresh");
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
            "docs/limits.md",
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
