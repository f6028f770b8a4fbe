//! For one module: which rule it is under, where it comes from, who we are there, whether that
//! answers, and what versions there are.

use std::sync::Arc;

use bytes::Bytes;

use super::context::DoctorContext;
use crate::app::{self, UpstreamMaker};
use crate::clock::SharedClock;
use crate::config::RouteVia;
use crate::engine::{Chain, FetchRequest};
use crate::gomod::ModulePath;
use crate::kit::FetchContext;
use crate::policy::RouteDecision;
use crate::protocol::{Key, Meta, MetaKey};
use crate::upstream::ChainSpec;
use crate::vcs::direct::{DirectProfile, DirectQuery, Location, RepositoryModule};

/// Versions that are shown.
const SHOWN: usize = 8;

/// Prints everything about a module; false if it is not to be had.
pub async fn explain(
    context: &DoctorContext<'_>,
    module: &ModulePath,
    wanted: Option<&str>,
) -> Result<bool, app::StartError> {
    let loaded = context.loaded;
    let chosen = context.chain().await.chain;
    let maker = &context.maker()?;
    let config = &loaded.config;
    let routes = app::routes(config);
    let (_sender, public) = tokio::sync::watch::channel(None);
    let own = maker.chains(&routes, public);
    let policy = app::policy(config, &routes.rules);
    let decision = policy.decide(module);
    say!("\nModule {module}");
    match &decision.private {
        Some(pattern) => {
            say!(
                "  private         yes, by {pattern:?}: no public upstream or checksum database is told of it"
            );
            say!(
                "  served to       {}",
                if config.private.open {
                    "everyone who reaches the port (private.open)"
                } else {
                    "whoever has a token (larder token new NAME); on a loopback address, everyone on this machine"
                }
            );
        }
        None => say!("  private         no"),
    }
    let databases = config.sumdb.databases.iter();
    let databases: Vec<_> = databases.map(|it| it.value.name()).collect();
    let verified = match decision.unlisted() {
        _ if databases.is_empty() => "held to the checksum first seen".to_owned(),
        Some(pattern) => {
            format!("held to the checksum first seen ({pattern:?} keeps it from databases)")
        }
        None => format!("by {}", databases.join(", ")),
    };
    say!("  verified        {verified}");
    let direct = maker.direct();
    match decision.route {
        RouteDecision::Refused(pattern) => {
            say!("  route           REFUSED by the route for {pattern:?}");
            Ok(false)
        }
        RouteDecision::Nowhere | RouteDecision::Upstream => {
            say!("  route           the chain: {}", chosen);
            let chain = maker.chain(&chosen, &direct.of_chain());
            Ok(by_chain(&chain, module, wanted).await)
        }
        RouteDecision::Route(number) => {
            let route = &config.routes[number];
            say!(
                "  route           {} ({}): {}",
                number + 1,
                route.modules,
                route.via
            );
            match &route.via {
                RouteVia::Chain(chain) if chain.value == ChainSpec::direct() => Ok(by_git(
                    maker,
                    context.clock,
                    &direct.of_route(number),
                    module,
                    wanted,
                )
                .await),
                _ => Ok(by_chain(&own.route(number), module, wanted).await),
            }
        }
        RouteDecision::Private(pattern) => {
            say!("  route           straight from git, by the private pattern {pattern:?}");
            Ok(by_git(maker, context.clock, &direct.of_private(), module, wanted).await)
        }
    }
}

async fn by_git(
    maker: &UpstreamMaker,
    clock: &SharedClock,
    profile: &Arc<DirectProfile>,
    module: &ModulePath,
    wanted: Option<&str>,
) -> bool {
    let at_proxy = match profile.place(module).await {
        Ok(Location::Repository(hosted)) => Some(repository(&hosted, clock, wanted).await),
        Ok(Location::Proxy(url)) => {
            say!("  module proxy    {url}  (as its page says)");
            None
        }
        Err(error) => Some(trouble("repository", &error.to_string())),
    };
    match at_proxy {
        Some(healthy) => healthy,
        None => {
            let chain = maker.chain(&ChainSpec::direct(), profile);
            by_chain(&chain, module, wanted).await
        }
    }
}

async fn repository(hosted: &RepositoryModule, clock: &SharedClock, wanted: Option<&str>) -> bool {
    say!("  repository      {}", hosted.url());
    if !hosted.folder().is_empty() {
        say!("  folder          {}", hosted.folder());
    }
    match hosted.who().await {
        Ok(Some(who)) => say!(
            "  credential      {} (by {}), ********",
            who.login.name(),
            who.written
        ),
        Ok(None) if hosted.url().scheme().is_ssh() => say!("  credential      ssh"),
        Ok(None) => say!("  credential      none: it is asked as nobody"),
        Err(error) => return trouble("credential", &error.to_string()),
    }
    let began = clock.instant();
    match hosted.ask(DirectQuery::List).await {
        Ok(list) => {
            say!(
                "  reachable       yes ({} ms)",
                clock.instant().saturating_duration_since(began).as_millis()
            );
            versions(&list, wanted);
            true
        }
        Err(error) => trouble("reachable", &error.to_string()),
    }
}

async fn by_chain(chain: &Chain, module: &ModulePath, wanted: Option<&str>) -> bool {
    let key = Key::Meta(MetaKey {
        module: module.clone(),
        meta: Meta::List,
    });
    let context = FetchContext::default();
    match chain.fetch_small(&FetchRequest::new(&key, &context)).await {
        Ok(reply) => {
            say!("  answered by     {}", reply.from);
            versions(&reply.content.body, wanted);
            true
        }
        Err(error) => {
            let text = crate::http::error_lines(&error).join("\n");
            // It is the module that was asked about; its list is only the means.
            let text = text.replace(&key.describe(), module.as_str());
            trouble("answered by", &format!("nobody: {text}"))
        }
    }
}

/// The highest versions of a list.
fn versions(list: &Bytes, wanted: Option<&str>) {
    let text = String::from_utf8_lossy(list);
    let mut versions: Vec<_> = text
        .lines()
        .filter_map(|line| crate::gomod::Version::parse(line.split_whitespace().next()?).ok())
        .collect();
    versions.sort();
    let highest: Vec<_> = versions
        .iter()
        .rev()
        .take(SHOWN)
        .map(|it| it.as_str())
        .collect();
    match highest.as_slice() {
        [] => say!("  versions        none (branches and commits can be asked for)"),
        highest => say!(
            "  versions        {}: {}{}",
            versions.len(),
            highest.join(" "),
            if versions.len() > SHOWN { " …" } else { "" }
        ),
    }
    // Words such as `latest`, branches and commits are in no list.
    if let Some(wanted) = wanted.filter(|it| crate::gomod::Version::parse(it).is_ok()) {
        match versions.iter().any(|it| it.as_str() == wanted) {
            true => say!("  {wanted:<15} is among them"),
            false => say!("  {wanted:<15} is NOT among them"),
        }
    }
}

/// What is wrong, all lines of it.
fn trouble(what: &str, text: &str) -> bool {
    let mut lines = text.lines();
    say!("  {what:<15} NO: {}", lines.next().unwrap_or_default());
    for line in lines {
        say!("                  {line}");
    }
    false
}
