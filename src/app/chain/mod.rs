//! Which chain public modules come by. What the operator wrote counts. Else it is what the Go toolchain of this machine
//! is set to; and since the first thing that people do with a running server is to set the toolchain to it, the chain
//! that was found is remembered in the data directory. What somebody does to the settings of their `go` command later
//! never changes where this server fetches from without a word.

mod chosen;
mod decide;
mod memory;
mod ourselves;

use url::Url;

use crate::clock::Timestamp;
use crate::config::{Config, Environment, RouteVia};
use crate::store::SideFile;
use crate::upstream::{ChainSpec, SettingOrigin, Toolchain};
use chosen::Note;
pub use chosen::{Chosen, NoteLevel};
use decide::{decide, look};
use memory::{Memory, Remembered};
pub use ourselves::Ourselves;

/// Where the chain is remembered.
pub fn memory_file(store: &crate::config::Store) -> SideFile {
    SideFile::new(&store.data_dir, "upstream.json")
}

/// The chain that the operator wrote, if they did.
pub fn operators_chain(config: &Config) -> Option<ChainSpec> {
    let chain = config.upstream.chain.as_ref()?;
    Some(chain.value.clone())
}

/// What is odd about the chains of a configuration and no error, a sentence each.
pub fn chain_remarks(config: &Config) -> Vec<String> {
    let upstream = &config.upstream;
    let main = upstream.chain.iter();
    let main = main.map(|chain| (&upstream.chain_source, "upstream.chain", chain));
    let routes = config.routes.iter().filter_map(|route| match &route.via {
        RouteVia::Chain(chain) => Some((route.source(), "routes.via", chain)),
        RouteVia::Refuse | RouteVia::Upstream => None,
    });
    let mut remarks = Vec::new();
    for (source, key, chain) in main.chain(routes) {
        let odd = ChainSpec::oddities(&chain.text).into_iter();
        remarks.extend(odd.map(|text| format!("{source}: {key}: {text}")));
    }
    remarks
}

/// The chain where the operator has not said which.
pub async fn choose_chain(env: &Environment, mut ourselves: Ourselves, file: &SideFile) -> Chosen {
    let toolchain = Toolchain::new(env.clone());
    let (memory, trouble) = match Memory::read(file) {
        Ok(memory) => (memory, None),
        Err(error) => (Memory::default(), Some(error)),
    };
    let mut settings = toolchain.settings("GOPROXY");
    if settings.is_empty()
        && let Some(text) = toolchain.ask_go("GOPROXY").await
    {
        settings.push((text, SettingOrigin::GoCommand));
    }
    let texts = settings.iter().map(|(text, _)| text.clone());
    let remembered = memory.found.iter().map(|it| it.chain.clone());
    let told = memory.told.iter().map(|it| it.chain.clone());
    let chains = texts.chain(remembered).chain(told);
    let chains = chains.filter_map(|text| ChainSpec::parse(&text).ok());
    ourselves.resolve(chains).await;
    let is_self = |url: &Url| ourselves.are(url);
    let mut chosen = decide(&memory, look(settings, &is_self), &is_self);
    if let Some(error) = trouble {
        let mut text = format!(
            "the chain of earlier starts cannot be read ({file}: {error}), so it may have been another one"
        );
        if let Some(note) = &chosen.note {
            text = format!("{text}; {}", note.text);
        }
        let level = NoteLevel::Warning;
        chosen.note = Some(Note { level, text });
    }
    chosen
}

/// Remembers what the operator said, and what the toolchain says while that goes before it: once the toolchain is set
/// to this server, nobody can tell any more.
pub async fn remember_beside(
    chosen: &Chosen,
    env: &Environment,
    mut ourselves: Ourselves,
    file: &SideFile,
    at: Timestamp,
) {
    let mut memory = Memory::read(file).unwrap_or_default();
    let settings = Toolchain::new(env.clone()).settings("GOPROXY");
    let chains = settings.iter();
    let chains = chains.filter_map(|(text, _)| ChainSpec::parse(text).ok());
    ourselves
        .resolve(chains.chain([chosen.chain.clone()]))
        .await;
    if chosen.chain.proxies().any(|url| ourselves.are(url)) {
        tracing::error!(chain = %chosen.chain, from = chosen.from,
            "the upstream chain names this very server, so that what is missing is asked for in a circle");
    }
    let found = look(settings, &|url| ourselves.are(url));
    if let (Some((chain, text, from)), None) = (found.usable, found.own) {
        // What the operator says and the toolchain as well is settled.
        let used = chain == chosen.chain;
        let is_new = memory
            .found
            .as_ref()
            .is_none_or(|known| known.chain != text);
        if is_new && (memory.found.is_none() || used) {
            memory.found = Some(Remembered {
                chain: text,
                from,
                used,
                at: at.0,
            });
        }
    }
    memory.told = chosen.memory.told.clone();
    memory.write(file);
}
