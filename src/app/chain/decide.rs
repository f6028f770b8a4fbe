//! Which chain it is, of what the toolchain says and what is remembered.

use url::Url;

use super::chosen::{Chosen, Note, NoteLevel};
use super::memory::{Memory, Remembered};
use crate::upstream::{ChainSpec, SettingOrigin};

/// How an operator settles it.
const SETTLE: &str = "--upstream CHAIN (LARDER_UPSTREAM, upstream.chain)";

/// What the toolchain says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolchainSetting {
    /// The first chain that can be used, without ourselves, and as it stands there.
    pub usable: Option<(ChainSpec, String, SettingOrigin)>,
    /// What names this server and goes before that, or is that.
    pub own: Option<SettingOrigin>,
    /// What cannot be read, and why; nothing behind it was looked at.
    pub broken: Option<(SettingOrigin, String)>,
}

/// What the toolchain says, and whether it names us.
pub fn look(
    settings: Vec<(String, SettingOrigin)>,
    is_self: &dyn Fn(&Url) -> bool,
) -> ToolchainSetting {
    let mut found = ToolchainSetting::default();
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
pub fn decide(memory: &Memory, found: ToolchainSetting, is_self: &dyn Fn(&Url) -> bool) -> Chosen {
    let ToolchainSetting {
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
    let fresh =
        |(chain, text, from): (ChainSpec, String, SettingOrigin), note: Option<Note>| Chosen {
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
    let note = |level, text| Some(Note { level, text });
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
                stays(known, note(NoteLevel::Fault, text))
            }
            None => {
                let text = format!(
                    "{text}. So that no name goes where it should not, no upstream is asked. Mend that, or say {SETTLE}."
                );
                let chain = ChainSpec::off();
                alone(
                    chain,
                    "nothing that can be used",
                    note(NoteLevel::Fault, text),
                )
            }
        };
    }

    let Some(known) = known else {
        // The first time, or as good as that.
        let partly = usable.as_ref().map(|(.., from)| from) == own.as_ref();
        return match (usable, own.as_ref(), &told) {
            (Some(usable), None, _) => {
                let text = dropped(&usable.0);
                fresh(usable, text.and_then(|text| note(NoteLevel::Warning, text)))
            }
            (Some(usable), Some(own), _) if partly => {
                let text = format!("{own} names this server; of it, {} is left", usable.0);
                fresh(usable, note(NoteLevel::Fine, text))
            }
            (_, Some(own), Some((chain, told))) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}), so it does not say where modules come from; the last start had {chain} by {}, and this one goes on with that. To settle it: {SETTLE}.",
                    told.by
                );
                let from = format!("the last start, {}", told.by);
                let mut chosen = alone(chain.clone(), &from, note(NoteLevel::Warning, text));
                chosen.memory.told = memory.told.clone();
                chosen
            }
            (Some(usable), Some(own), None) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}); using {}, {}. If it was set to something else before, say so: {SETTLE}.",
                    usable.0, usable.2
                );
                fresh(usable, note(NoteLevel::Warning, text))
            }
            (None, Some(own), None) => {
                let text = format!(
                    "the Go toolchain is set to this server itself ({own}), and nothing else says where modules come from; using direct. To settle it: {SETTLE}."
                );
                let chain = ChainSpec::direct();
                alone(
                    chain,
                    "nothing says otherwise",
                    note(NoteLevel::Warning, text),
                )
            }
            (None, None, _) => {
                let text = format!(
                    "no Go toolchain says where modules come from; they come straight from their repositories. To use a proxy: {SETTLE}."
                );
                let chain = ChainSpec::direct();
                alone(chain, "nothing says otherwise", note(NoteLevel::Fine, text))
            }
        };
    };

    match usable {
        Some(now) if now.0 == known.0 && own.is_none() => {
            let text = dropped(&now.0);
            let mut chosen = fresh(now, text.and_then(|text| note(NoteLevel::Warning, text)));
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
            fresh(now, note(NoteLevel::Fault, text))
        }
        Some(now) if own.is_none() => {
            let text = format!(
                "the Go toolchain is set to {} now ({}), but this server goes on with {}, which it found before ({}). To settle it: --upstream {} for the new one, --upstream {} for the old one.",
                now.0, now.2, known.0, known.1.from, now.0, known.0
            );
            stays(known, note(NoteLevel::Fault, text))
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
                    Some(dropped) => note(NoteLevel::Warning, format!("{text}. But {dropped}")),
                    None => note(NoteLevel::Fine, text),
                },
                None => note(NoteLevel::Warning, gone()),
            };
            stays(known, note)
        }
    }
}

#[cfg(test)]
mod tests;
