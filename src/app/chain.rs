//! Which chain public modules come by. What the operator wrote counts. Else it is what the Go toolchain of this machine
//! is set to; and since the first thing that people do with a running server is to set the toolchain to it, the chain
//! that was found is remembered in the data directory. What somebody does to the settings of their `go` command later
//! never changes where this server fetches from without a word.

mod ourselves;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use crate::clock::Timestamp;
use crate::config::{ConfigErrors, Environment, Loaded, Upstream};
use crate::upstream::{ChainSpec, Origin, Toolchain};
pub use ourselves::Ourselves;

/// How long the `go` command may take to say what it is set to.
const ASK_GO: Duration = Duration::from_secs(1);
/// The file in the data directory.
const FILE: &str = "upstream.json";
/// No honest file is larger. Bytes.
const LARGEST: u64 = 64 << 10;
/// How an operator settles it.
const SETTLE: &str = "--upstream CHAIN (LARDER_UPSTREAM, upstream.chain)";

/// The chain that the operator wrote, if they did.
pub fn operators_chain(loaded: &Loaded) -> Result<Option<ChainSpec>, ConfigErrors> {
    let Some(text) = &loaded.config.upstream.chain else {
        return Ok(None);
    };
    ChainSpec::parse(text)
        .map(Some)
        .map_err(|error| loaded.refuse("upstream.chain", error.to_string()))
}

/// What is odd about the chains of a configuration and no error, a sentence each.
pub fn chain_remarks(loaded: &Loaded) -> Vec<String> {
    let upstream = &loaded.config.upstream;
    let main = upstream.chain.as_deref();
    let main = main.map(|chain| (&upstream.chain_source, "upstream.chain", chain));
    let routes = loaded.config.routes.iter();
    let routes = routes.map(|route| (&route.source, "routes.via", route.via.as_str()));
    let mut remarks = Vec::new();
    for (source, key, text) in main.into_iter().chain(routes) {
        let odd = ChainSpec::oddities(text).into_iter();
        remarks.extend(odd.map(|text| format!("{source}: {key}: {text}")));
    }
    remarks
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is as it should be.
    Fine,
    /// Somebody should know.
    Warning,
    /// The toolchain says something else than what is used, or than what was used so far.
    Fault,
}

/// What there is to say about the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub weight: Weight,
    /// A sentence or two.
    pub text: String,
}

/// The chain that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The chain.
    pub chain: ChainSpec,
    /// Where it is from, for people.
    pub from: String,
    /// What there is to say about that.
    pub note: Option<Note>,
    /// Whether it is what the Go toolchain is set to.
    as_toolchain: bool,
    /// What is to be remembered from now on.
    memory: Memory,
}

/// What is kept in the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// What was found where the operator said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<Remembered>,
    /// What the operator said at the last start, and how, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    chain: String,
    from: Origin,
    /// Whether a server has fetched by it, rather than by what its operator said.
    #[serde(default)]
    used: bool,
    /// When it was found. Milliseconds since 1970; 0 before it is written.
    #[serde(default)]
    at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    chain: String,
    by: String,
}

/// What the toolchain says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// The first chain that can be used, without ourselves, and as it stands there.
    usable: Option<(ChainSpec, String, Origin)>,
    /// What names this server and goes before that, or is that.
    own: Option<Origin>,
    /// What cannot be read, and why; nothing behind it was looked at.
    broken: Option<(Origin, String)>,
}

impl Chosen {
    /// The operator has said so.
    pub fn by_operator(chain: ChainSpec, upstream: &Upstream) -> Self {
        let by = upstream.chain_source.to_string();
        Chosen {
            from: by.clone(),
            note: None,
            as_toolchain: false,
            memory: Memory {
                found: None,
                told: upstream.chain.clone().map(|chain| Told { chain, by }),
            },
            chain,
        }
    }

    /// Says in the log what is used, and why.
    pub fn log(&self) {
        let (chain, from) = (&self.chain, &self.from);
        if self.as_toolchain {
            tracing::info!(%chain, from, "upstream chain, as the Go toolchain is set");
        } else {
            tracing::info!(%chain, from, "upstream chain");
        }
        match &self.note {
            Some(note) if note.weight == Weight::Fine => tracing::info!("{}", note.text),
            Some(note) => tracing::warn!("{}", note.text),
            None => {}
        }
    }

    /// Keeps it in the data directory. A disk that is full or read-only is no reason to stop: then the next start
    /// looks again.
    pub fn remember(&self, data_dir: &Path, at: Timestamp) {
        let mut memory = self.memory.clone();
        if let Some(found) = memory.found.as_mut().filter(|found| found.at == 0) {
            found.at = at.0;
        }
        write(data_dir, &memory);
    }
}

/// The chain where the operator has not said which.
pub async fn choose_chain(env: &Environment, mut ourselves: Ourselves, data_dir: &Path) -> Chosen {
    let toolchain = Toolchain::new(env.clone());
    let (memory, trouble) = match read(data_dir) {
        Ok(memory) => (memory, None),
        Err(error) => (Memory::default(), Some(error)),
    };
    let mut settings = toolchain.settings("GOPROXY");
    if settings.is_empty()
        && let Some(text) = ask_go(&toolchain).await
    {
        settings.push((text, Origin::GoCommand));
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
        let file = data_dir.join(FILE);
        let mut text = format!(
            "the chain of earlier starts cannot be read ({}: {error}), so it may have been another one",
            file.display()
        );
        if let Some(note) = &chosen.note {
            text = format!("{text}; {}", note.text);
        }
        let weight = Weight::Warning;
        chosen.note = Some(Note { weight, text });
    }
    chosen
}

/// Remembers what the operator said, and what the toolchain says while that goes before it: once the toolchain is set
/// to this server, nobody can tell any more.
pub(super) async fn remember_beside(
    chosen: &Chosen,
    env: &Environment,
    mut ourselves: Ourselves,
    data_dir: &Path,
    at: Timestamp,
) {
    let mut memory = read(data_dir).unwrap_or_default();
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
    write(data_dir, &memory);
}

/// What the toolchain says, and whether it names us.
fn look(settings: Vec<(String, Origin)>, is_self: &dyn Fn(&Url) -> bool) -> Found {
    let mut found = Found::default();
    for (text, origin) in settings {
        let chain = match ChainSpec::parse(&text) {
            Ok(chain) => chain,
            Err(error) => {
                found.broken = Some((origin, error.to_string()));
                break;
            }
        };
        if chain.proxies().any(is_self) && found.own.is_none() {
            found.own = Some(origin.clone());
        }
        if let Some(usable) = chain.without(is_self) {
            found.usable = Some((usable, text, origin));
            break;
        }
    }
    found
}

/// Which chain it is. What somebody has set goes before what came with the toolchain; of two that somebody has set, the
/// one that was there first stays: the later one is more likely to be about a `go` command than about this server.
fn decide(memory: &Memory, found: Found, is_self: &dyn Fn(&Url) -> bool) -> Chosen {
    let Found {
        usable,
        own,
        broken,
    } = found;
    let known = memory.found.as_ref().and_then(|known| {
        let chain = ChainSpec::parse(&known.chain).ok()?;
        Some((chain.without(is_self)?, known.clone()))
    });
    let told = memory.told.as_ref().and_then(|told| {
        let chain = ChainSpec::parse(&told.chain).ok()?;
        let chain = chain.without(is_self)?;
        chain.proxies().next()?;
        Some((chain, told))
    });
    // What the operator said at the last start goes before a default that never was in use.
    let known = known
        .filter(|(_, known)| own.is_none() || told.is_none() || known.from.is_set() || known.used);
    let dropped = |used: &ChainSpec| {
        let (chain, told) = told.as_ref().filter(|(chain, _)| chain != used)?;
        Some(format!(
            "the last start had the chain {chain} by {}; this one has not, and uses {used}. To keep the other one: --upstream {chain}.",
            told.by
        ))
    };
    let stays = |(chain, known): (ChainSpec, Remembered), note: Option<Note>| Chosen {
        from: format!("remembered, from {}", known.from),
        note,
        as_toolchain: false,
        memory: Memory {
            found: Some(Remembered {
                used: true,
                ..known
            }),
            told: None,
        },
        chain,
    };
    let fresh = |(chain, text, from): (ChainSpec, String, Origin), note: Option<Note>| Chosen {
        from: from.to_string(),
        note,
        as_toolchain: own.as_ref().is_none_or(|own| *own == from),
        memory: Memory {
            found: Some(Remembered {
                chain: text,
                from,
                used: true,
                at: 0,
            }),
            told: None,
        },
        chain,
    };
    let note = |weight, text| Some(Note { weight, text });
    let alone = |chain: ChainSpec, from: &str, note: Option<Note>| Chosen {
        chain,
        from: from.to_owned(),
        note,
        as_toolchain: false,
        memory: Memory {
            found: memory.found.clone(),
            told: None,
        },
    };

    if let Some((origin, error)) = broken {
        let text = format!("{origin} cannot be used: {error}");
        return match known {
            Some(known) => {
                let text = format!(
                    "{text}. This server goes on with {}, which it found before in {}. Mend that, or say {SETTLE}.",
                    known.0, known.1.from
                );
                stays(known, note(Weight::Fault, text))
            }
            None => {
                let text = format!(
                    "{text}. So that no name goes where it should not, no upstream is asked. Mend that, or say {SETTLE}."
                );
                let chain = ChainSpec::off();
                alone(chain, "nothing that can be used", note(Weight::Fault, text))
            }
        };
    }

    let Some(known) = known else {
        // The first time, or as good as that.
        let partly = usable.as_ref().map(|(.., from)| from) == own.as_ref();
        return match (usable, own.as_ref(), &told) {
            (Some(usable), None, _) => {
                let text = dropped(&usable.0);
                fresh(usable, text.and_then(|text| note(Weight::Warning, text)))
            }
            (Some(usable), Some(own), _) if partly => {
                let text = format!("{own} names this server; of it, {} is left", usable.0);
                fresh(usable, note(Weight::Fine, text))
            }
            (_, Some(own), Some((chain, told))) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}), so it does not say where modules come from; the last start had {chain} by {}, and this one goes on with that. To settle it: {SETTLE}.",
                    told.by
                );
                let from = format!("the last start, {}", told.by);
                let mut chosen = alone(chain.clone(), &from, note(Weight::Warning, text));
                chosen.memory.told = memory.told.clone();
                chosen
            }
            (Some(usable), Some(own), None) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}); using {}, {}. If it was set to something else before, say so: {SETTLE}.",
                    usable.0, usable.2
                );
                fresh(usable, note(Weight::Warning, text))
            }
            (None, Some(own), None) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}), and nothing else says where modules come from; using direct. To settle it: {SETTLE}."
                );
                let chain = ChainSpec::direct();
                alone(chain, "nothing says otherwise", note(Weight::Warning, text))
            }
            (None, None, _) => {
                let text = format!(
                    "no Go toolchain says where modules come from; they come straight from their repositories. To use a proxy: {SETTLE}."
                );
                let chain = ChainSpec::direct();
                alone(chain, "nothing says otherwise", note(Weight::Fine, text))
            }
        };
    };

    match usable {
        Some(now) if now.0 == known.0 && own.is_none() => {
            let text = dropped(&now.0);
            let mut chosen = fresh(now, text.and_then(|text| note(Weight::Warning, text)));
            if let Some(found) = &mut chosen.memory.found
                && found.from == known.1.from
            {
                found.at = known.1.at;
            }
            chosen
        }
        // What stands beside us in a client's chain is what the client asks without us.
        Some(now) if own.as_ref() != Some(&now.2) && now.2.is_set() && !known.1.from.is_set() => {
            let text = format!(
                "the chain is {} from now on ({}); until now it was {} ({}). To settle it whatever the Go toolchain is set to: {SETTLE}.",
                now.0, now.2, known.0, known.1.from
            );
            fresh(now, note(Weight::Fault, text))
        }
        Some(now) if own.is_none() => {
            let text = format!(
                "the Go toolchain is set to {} now ({}), but this server goes on with {}, which it found before ({}). To settle it: --upstream {} for the new one, --upstream {} for the old one.",
                now.0, now.2, known.0, known.1.from, now.0, known.0
            );
            stays(known, note(Weight::Fault, text))
        }
        _ => {
            let text = own.map(|own| {
                format!("the Go toolchain is set to this server itself by now ({own}), which changes nothing")
            });
            let gone = || {
                format!(
                    "the Go toolchain says nothing by now of where modules come from; this server goes on with {}. To settle it: {SETTLE}.",
                    known.0
                )
            };
            let note = match text {
                Some(text) => match dropped(&known.0) {
                    Some(dropped) => note(Weight::Warning, format!("{text}. But {dropped}")),
                    None => note(Weight::Fine, text),
                },
                None => note(Weight::Warning, gone()),
            };
            stays(known, note)
        }
    }
}

/// Where the toolchain's files are not in a usual place.
async fn ask_go(toolchain: &Toolchain) -> Option<String> {
    let go = toolchain.go_command()?;
    let mut command = tokio::process::Command::new(go);
    command
        .args(["env", "GOPROXY"])
        .env("GOTOOLCHAIN", "local")
        .kill_on_drop(true);
    let output = timeout(ASK_GO, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// What is remembered; nothing where nothing is.
fn read(data_dir: &Path) -> Result<Memory, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = match std::fs::File::open(data_dir.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
        Err(error) => return Err(error.to_string()),
    };
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn write(data_dir: &Path, memory: &Memory) {
    if read(data_dir).is_ok_and(|known| known == *memory) {
        return;
    }
    let file = data_dir.join(FILE);
    if let Err(error) = try_write(data_dir, &file, memory) {
        tracing::warn!(%error, file = %file.display(), "the upstream chain cannot be remembered for the next start");
    }
}

/// Readable for nobody else: a chain may carry a password.
fn try_write(data_dir: &Path, file: &PathBuf, memory: &Memory) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(memory)?;
    text.push(b'\n');
    let mut temporary = tempfile::NamedTempFile::new_in(data_dir.join("tmp"))?;
    temporary.write_all(&text)?;
    temporary.as_file().sync_all()?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests;
