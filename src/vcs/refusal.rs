//! What it means when a host says no to git, in words for whoever can change it.

use super::rules::{HostRules, Purpose, Who};
use super::url::{Allowed, RepoUrl};
use super::versions::RepoError;
use super::web::Probe;

/// What becomes of a refusal.
pub enum Diagnosis {
    Final(RepoError),
    /// The host itself is not there.
    Outage(RepoError),
    /// Git has failed though the host answers well; its words.
    Unexplained(RepoError),
    /// The repository is elsewhere now.
    Moved(RepoUrl),
    /// It may be open to everybody, though it is closed to who we are.
    TryAnonymous(RepoError),
}

/// What the host's own answer to our question says.
pub(super) fn judge(
    url: &RepoUrl,
    purpose: &Purpose,
    who: Option<&Who>,
    probe: &Probe,
    words: &str,
) -> Diagnosis {
    let rules = &*purpose.rules;
    let host = url.host();
    let last = |error| Diagnosis::Final(error);
    if let Some(to) = &probe.moved {
        let allowed = Allowed {
            ssh: false,
            insecure: rules.insecure,
        };
        return match RepoUrl::parse(to, allowed) {
            // Who we are there may be somebody else: what it says to nobody is not its last word.
            Ok(to) => Diagnosis::Moved(to),
            Err(error) => last(RepoError::Missing(format!(
                "{url}: it has moved to where larder may not follow: {error}"
            ))),
        };
    }
    match probe.status {
        401 | 407 => match who {
            None => last(RepoError::Missing(wants_login(url, purpose))),
            Some(who) => {
                let refused = RepoError::Refused(format!(
                    "{url}: {host} does not accept larder's credentials ({} by {})\nLarder's operator must set them right there; what was sent is shown to nobody.",
                    who.login.name(),
                    who.written
                ));
                match rules.private {
                    true => last(refused),
                    false => Diagnosis::TryAnonymous(refused),
                }
            }
        },
        403 => last(RepoError::Refused(format!(
            "{url}: {host} answers 403: {}",
            match who {
                Some(who) => format!(
                    "{} ({}) may not read it, or too much has been asked",
                    who.login.name(),
                    who.written
                ),
                None => "larder may not read it without a login, or has asked too much".into(),
            }
        ))),
        404 | 410 => last(RepoError::Missing(format!(
            "{url}: repository not found ({host} answers {}){}",
            probe.status,
            match who {
                Some(who) => format!(
                    "\nIf it exists, {} ({}) may not see it.",
                    who.login.name(),
                    who.written
                ),
                None => String::new(),
            }
        ))),
        200..=299 => Diagnosis::Unexplained(RepoError::Unreachable(format!(
            "{url}: git failed: {}",
            shown(words)
        ))),
        status => last(RepoError::Unreachable(format!(
            "{url}: {host} answers {status}"
        ))),
    }
}

fn wants_login(url: &RepoUrl, purpose: &Purpose) -> String {
    let host = url.host();
    let rules = &purpose.rules;
    let first = format!(
        "{url}: {host} wants a login and larder has none for it: the repository is private, or does not exist"
    );
    let second = match (&rules.login, rules.private) {
        (Some(_), _) => format!(
            "The login of {} is not for this host; if it should be, larder's operator sets host = \"{host}\" in the route.",
            rules.name
        ),
        (None, true) => format!(
            "Larder's operator gives it one in netrc (machine {host}), as [[credentials]] host = \"{host}\", or with a route."
        ),
        (None, false) => {
            "If the module is private, larder's operator names it in --private, or with a route."
                .to_owned()
        }
    };
    format!("{first}\n{second}")
}

/// What ssh says, which has no status.
pub(super) fn ssh_refusal(url: &RepoUrl, rules: &HostRules, words: &str) -> RepoError {
    let host = url.host();
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let key = rules.ssh.as_ref().is_some_and(|ssh| ssh.key.is_some());
    if has(&["Host key verification failed"]) {
        return RepoError::Broken(format!(
            "{url}: the ssh key of {host} is not known here, or not the one that is known\nLarder's operator adds it to known_hosts (ssh_known_hosts of the route)."
        ));
    }
    if has(&["Permission denied"]) {
        let text = format!(
            "{url}: {host} does not accept larder's ssh key\nLarder's operator sets one with ssh_key of the route, or for the user larder runs as."
        );
        return match key {
            true => RepoError::Refused(text),
            false => RepoError::Missing(text),
        };
    }
    if has(&["Name or service not known", "No address associated"]) {
        return RepoError::Missing(format!("{url}: there is no host {host}"));
    }
    if has(&[
        "not found",
        "does not exist",
        "does not appear to be a git repository",
    ]) && !has(&["command not found", "cannot run ssh"])
    {
        return RepoError::Missing(format!("{url}: repository not found"));
    }
    RepoError::Unreachable(format!("{url}: {}", shown(words)))
}

/// Of what git said, as much as fits into a reason.
fn shown(words: &str) -> String {
    let mut start = words.len().saturating_sub(300);
    while !words.is_char_boundary(start) {
        start += 1;
    }
    words[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::rules::Ssh;
    use super::*;

    #[test]
    fn ssh_refusals_have_classes() {
        let url = RepoUrl::parse(
            "ssh://git@git.example.com/x",
            Allowed {
                ssh: true,
                insecure: false,
            },
        )
        .unwrap();
        let of = |words: &str, key: bool| {
            let ssh = Ssh {
                key: key.then(|| "/k".into()),
                known_hosts: None,
            };
            let rules = HostRules {
                ssh: Some(ssh),
                ..HostRules::default()
            };
            let error = ssh_refusal(&url, &rules, words);
            assert!(error.to_string().contains("git.example.com"), "{error}");
            error
        };
        let denied = "git@git.example.com: Permission denied (publickey).";
        assert!(matches!(of(denied, true), RepoError::Refused(_)));
        assert!(matches!(of(denied, false), RepoError::Missing(_)));
        let key = "Host key verification failed.; fatal: Could not read from remote repository.";
        assert!(matches!(of(key, true), RepoError::Broken(_)));
        let missing = "ERROR: Repository not found.; fatal: Could not read";
        assert!(matches!(of(missing, true), RepoError::Missing(_)));
        let down = "ssh: connect to host git.example.com port 22: Connection refused";
        assert!(matches!(of(down, true), RepoError::Unreachable(_)));
    }
}
