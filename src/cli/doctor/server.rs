//! What this server would use, whether it can be reached, how clients are set up, and what would lead
//! them past it.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::super::whereabouts;
use super::context::DoctorContext;
use crate::admin;
use crate::app::{self, NoteLevel, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::{Config, Environment, Loaded};
use crate::engine::Network;
use crate::gomod::Patterns;
use crate::store::{DataDir, Disk, Room};
use crate::sumdb::Head;
use crate::upstream::{ChainSpec, Toolchain, Upstream};
use crate::vcs::git::Git;

/// How long an upstream may take to answer here.
const REACH: Duration = Duration::from_secs(10);

/// Prints everything; false if something will not work.
pub async fn report(context: &DoctorContext<'_>) -> Result<bool, app::StartError> {
    let DoctorContext {
        loaded, env, clock, ..
    } = *context;
    let config = &loaded.config;
    let routes = app::routes(config);
    say!("larder {}", env!("CARGO_PKG_VERSION"));
    let remarks = app::chain_remarks(config);
    for warning in loaded.warnings.iter().chain(&remarks) {
        say!("  warning: {warning}");
    }
    say!("\nServer");
    match &loaded.file {
        Some(file) => say!("  configuration   {}", file.display()),
        None => say!("  configuration   no file; defaults, environment and flags"),
    }
    say!("  listens on      {}", config.server.listen);
    for listener in app::further_listeners(config) {
        say!("                  {listener}");
    }
    let mut healthy = certificate(loaded, clock);
    healthy &= data_dir(loaded, clock);
    running(loaded).await;
    if config.modules.private.is_empty() {
        say!("  private         nothing");
    } else {
        say!("  private         {}", config.modules.private);
    }
    if !routes.rules.is_empty() {
        say!("  routes          {}", routes.rules.len());
    }

    say!("\nUpstream");
    let toolchain = Toolchain::new(env.clone());
    let chosen = context.chain().await;
    say!("  chain           {}  ({})", chosen.chain, chosen.from);
    if let Some(note) = &chosen.note {
        match note.level {
            NoteLevel::Fine => say!("                  {}", note.text),
            NoteLevel::Warning => say!("                  warning: {}", note.text),
            NoteLevel::Fault => {
                healthy = false;
                let text = format!("NOT SETTLED: {}", note.text);
                say!("                  {}", red(&text, env));
            }
        }
    }
    let chain = chosen.chain;
    let maker = context.maker()?;
    git(&maker).await;
    healthy &= upstreams(&maker, env, clock, &chain).await;
    healthy &= databases(config, &maker, &chain).await;
    clients(config, &toolchain);
    say!(
        "\n{}",
        if healthy {
            "All in order."
        } else {
            "Not all in order: see above."
        }
    );
    Ok(healthy)
}

/// Whether clients can be spoken to over TLS, if they are to be.
fn certificate(loaded: &Loaded, clock: &SharedClock) -> bool {
    match app::tls(loaded) {
        Ok(None) => true,
        Ok(Some(tls)) => {
            let Some(validity) = tls.validity else {
                say!("  certificate     of an unknown time");
                return true;
            };
            let now = clock.now();
            let valid = validity.from <= now && now < validity.until;
            say!(
                "  certificate     {} from {} until {}",
                if valid { "valid" } else { "NOT VALID NOW, but" },
                validity.from.rfc3339(),
                validity.until.rfc3339()
            );
            valid
        }
        Err(error) => {
            say!("  certificate     NOT USABLE: {error}");
            false
        }
    }
}

/// Whether what comes straight from git can come.
async fn git(maker: &UpstreamMaker) {
    let hosts = maker.direct().direct().hosts();
    match hosts.git().version().await {
        Ok((major, minor)) => match Git::trouble((major, minor)) {
            None => say!("  git             {major}.{minor}"),
            Some(why) => say!("  git             {major}.{minor}: {why}"),
        },
        Err(error) => {
            say!("  git             {error}: private modules and \"direct\" need it");
        }
    }
}

/// Whether a server has this data directory, or one is there that has another.
async fn running(loaded: &Loaded) {
    let data_dir = &loaded.config.store.data_dir;
    match admin::is_served(data_dir).await {
        Ok(true) => say!(
            "  running         yes{}, on this data directory",
            whereabouts::holder(data_dir)
        ),
        Ok(false) | Err(_) => match whereabouts::elsewhere(loaded).await {
            Some(text) => {
                let mut lines = text.lines();
                say!(
                    "  running         ON ANOTHER DATA DIRECTORY: {}",
                    lines.next().unwrap_or_default()
                );
                for line in lines {
                    say!("                  {line}");
                }
            }
            None => say!("  running         no"),
        },
    }
}

/// In red, where somebody sees colours.
fn red(text: &str, env: &Environment) -> String {
    let forbidden = env.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    if forbidden || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\x1b[31m{text}\x1b[0m")
}

fn data_dir(loaded: &Loaded, clock: &SharedClock) -> bool {
    let config = &loaded.config;
    let dir = &config.store.data_dir;
    let exists = dir.is_dir();
    let probe = dir.ancestors().find(|ancestor| ancestor.exists());
    let writable =
        probe.is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok());
    let disk =
        probe.map(|path| Disk::new(path.to_owned(), config.store.reserve, Arc::clone(clock)));
    let disk = disk.map(|disk| disk.status());
    let free = disk.as_ref().and_then(|disk| disk.free);
    let state = match (exists, writable) {
        (_, false) => "NOT WRITABLE by this user",
        (true, true) => "writable",
        (false, true) => "will be made",
    };
    say!(
        "  data directory  {} ({state}{})",
        dir.display(),
        free.map(|free| format!(", {} MB free", free / 1_000_000))
            .unwrap_or_default()
    );
    let low = disk.filter(|disk| disk.room == Room::Low);
    if let Some(disk) = &low {
        say!(
            "                  less than store.reserve ({} MB) is free: misses would pass through and not be kept",
            disk.reserve / 1_000_000
        );
    }
    let foreign = match exists {
        true => DataDir::judge(dir).err(),
        false => None,
    };
    if let Some(error) = &foreign {
        say!("                  {error}");
    }
    set_aside(dir);
    writable && low.is_none() && foreign.is_none()
}

/// Says of an index that was damaged what is lost with it, for as long as it lies there.
fn set_aside(dir: &std::path::Path) {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut damaged: Vec<_> = names
        .filter(|name| name.starts_with("index.damaged-"))
        .collect();
    damaged.sort();
    let Some(last) = damaged.last() else { return };
    say!("                  the index was damaged once, and made anew from the files ({last}).");
    say!(
        "                  Lost with it: {}.",
        crate::store::rebuild::LOST
    );
    say!(
        "                  Tokens were kept if there was a file \"tokens\" (larder token list). The folder may be deleted."
    );
}

async fn upstreams(
    maker: &UpstreamMaker,
    env: &Environment,
    clock: &SharedClock,
    chain: &ChainSpec,
) -> bool {
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ] {
        if env.get(name).is_some_and(|value| !value.is_empty()) {
            say!("  {name:<15} is set and used");
        }
    }
    let mut trusted = maker.trusted().iter().peekable();
    if trusted.peek().is_none() {
        say!("  certificates    NONE: no https server can be trusted");
    }
    for (number, (place, count)) in trusted.enumerate() {
        let (label, more) = match number {
            0 => ("certificates", ""),
            _ => ("", "more "),
        };
        say!("  {label:<15} {count} {more}from {place}");
    }
    let chain = maker.chain(chain, &maker.direct().of_chain());
    let mut healthy = true;
    let mut any = false;
    for upstream in chain.upstreams() {
        any = true;
        let began = clock.instant();
        let (well, state) = reach(upstream).await;
        healthy &= well;
        let took = clock.instant().saturating_duration_since(began).as_millis();
        let credentials = if upstream.has_credentials() {
            ", with credentials"
        } else {
            ""
        };
        let proxy = upstream.proxy();
        let proxy = proxy.map_or_else(String::new, |proxy| format!(", through the proxy {proxy}"));
        say!(
            "  {:<15} {state} ({took} ms{credentials}{proxy})",
            upstream.label()
        );
    }
    if !any {
        say!(
            "  no upstream in the chain: what is kept is served, and what comes straight from git"
        );
    }
    healthy
}

/// Asks each checksum database for its tree head, and verifies that.
async fn databases(config: &Config, maker: &UpstreamMaker, chain: &ChainSpec) -> bool {
    say!("\nChecksum databases");
    let specs = app::databases(config);
    if specs.is_empty() {
        say!("  none: modules are held to the checksum first seen");
    }
    let mut healthy = true;
    for spec in specs {
        let (_sender, routes) = watch::channel(Some(maker.database_routes(chain, &spec)));
        let network = Network::new(routes, REACH);
        let head = match timeout(REACH * 2, network.latest()).await {
            Ok(Ok(note)) => {
                Head::open(note, &spec.key).map_err(|error| format!("NOT TO BE TRUSTED: {error}"))
            }
            Ok(Err(error)) => Err(format!("NOT REACHABLE: {error}")),
            Err(_) => Err("NOT REACHABLE: no answer in time".to_owned()),
        };
        match head {
            Ok(head) => say!(
                "  {:<15} {} records, signature verified",
                spec.name(),
                head.size
            ),
            Err(why) => {
                healthy = false;
                say!("  {:<15} {why}", spec.name());
            }
        }
    }
    let exclude = &config.sumdb.exclude;
    if !exclude.is_empty() {
        say!("  not asked about {exclude}");
    }
    healthy
}

/// Any answer of an HTTP server but a demand for credentials or its own failure means that it can be used.
async fn reach(upstream: &Upstream) -> (bool, String) {
    match upstream.probe(REACH).await {
        Ok(status) if matches!(status, 401 | 407) => (
            false,
            format!("answers {status}: it wants credentials; set [[credentials]] or netrc"),
        ),
        Ok(status) if status >= 500 => (false, format!("answers {status}")),
        Ok(_) => (true, "reachable".to_owned()),
        Err(failure) => (false, format!("NOT reachable: {failure}")),
    }
}

fn clients(config: &Config, toolchain: &Toolchain) {
    let listen = config.server.listen;
    let host = if listen.ip().is_unspecified() {
        format!("<this machine's name>:{}", listen.port())
    } else {
        listen.to_string()
    };
    let base_path = &config.server.base_path;
    let url = match &config.server.public_url {
        Some(url) => crate::http::for_clients(url, base_path),
        None => {
            let scheme = match config.tls.cert_file {
                Some(_) => "https",
                None => "http",
            };
            format!("{scheme}://{host}{base_path}")
        }
    };
    say!("\nClients");
    say!("  go env -w GOPROXY={url}");
    say!("  or, to go around larder for what it does not have: go env -w GOPROXY={url},direct");
    let rules = app::routes(config).rules;
    let policy = app::policy(config, &rules);
    if policy.has_private() {
        let patterns = policy.private_text();
        say!("  for private modules: go env -w GONOSUMDB={patterns}");
        let public_url = config.server.public_url.as_deref();
        if config.private.open {
            say!("  private modules are for everyone who reaches the port (private.open)");
        } else if crate::http::is_for_this_machine(listen, public_url) {
            say!("  programs on this machine get private modules without a token");
            if public_url.is_none() {
                say!(
                    "  with a web server or a tunnel in front: set server.public_url to its address"
                );
            }
        } else {
            say!("  private modules need a token: larder token new NAME");
        }
    }
    if listen.ip().is_loopback() && config.server.public_url.is_none() {
        say!("  (only from this machine; for others set --listen)");
    }
    say!("\nTraps on this machine");
    let traps = traps(toolchain, &url);
    for trap in &traps {
        say!("  {trap}");
    }
    if traps.is_empty() {
        say!("  none: nothing here leads the go command past larder");
    }
}

/// Settings of this machine's toolchain that would lead it past the server.
fn traps(toolchain: &Toolchain, url: &str) -> Vec<String> {
    let set = |name: &str| {
        toolchain
            .setting(name)
            .filter(|value| !value.trim().is_empty())
    };
    let mut traps = Vec::new();
    match toolchain.var("GOPROXY") {
        Some(value) if !value.contains(url) => {
            traps.push(format!(
                "GOPROXY={value} is set in the environment; it goes before what go env -w writes"
            ));
        }
        _ => {}
    }
    for (name, what) in [
        (
            "GONOPROXY",
            "modules that match it are never asked of larder",
        ),
        (
            "GOPRIVATE",
            "modules that match it are never asked of larder (unless GONOPROXY says otherwise)",
        ),
        (
            "GOINSECURE",
            "modules that match it may be fetched in the clear when larder does not have them",
        ),
    ] {
        if let Some(value) = set(name) {
            traps.push(format!("{name}={value}: {what}"));
        }
    }
    for name in ["GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE"] {
        for fault in set(name).iter().flat_map(|list| Patterns::faults(list)) {
            traps.push(format!("{name}: {fault}"));
        }
    }
    if let Some(flags) = set("GOFLAGS") {
        if flags.contains("-mod=vendor") {
            traps.push(
                "GOFLAGS has -mod=vendor: builds use the vendor folder and ask nobody".to_owned(),
            );
        }
        if flags.contains("-modfile") {
            traps.push("GOFLAGS has -modfile: another go.mod than you see decides".to_owned());
        }
        if flags.contains("-insecure") {
            traps.push("GOFLAGS has -insecure: the go command refuses that since 1.17".to_owned());
        }
    }
    if set("GOSUMDB").is_some_and(|value| value == "off") {
        traps.push(
            "GOSUMDB=off: what is downloaded is not compared with the checksum database".to_owned(),
        );
    }
    for name in ["HTTP_PROXY", "http_proxy"] {
        if toolchain.var(name).is_some() && url.starts_with("http://") {
            traps.push(format!("{name} is set: the go command may ask it instead of larder; add larder's host to NO_PROXY"));
        }
    }
    traps
}
