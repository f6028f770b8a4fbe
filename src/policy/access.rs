//! Who asks, and who may have which modules: by rules that name them, and by what those get who show nothing. Programs on
//! this machine get everything where the port reaches no further, everyone where the operator says so.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;

use super::caller::{Caller, Identity, Proof, Standing};
use super::caller_pattern::CallerPattern;
use super::decision::Decision;
use crate::gomod::Patterns;

/// What those may have who show nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// Everything.
    Open,
    /// Everything, if they are programs on this machine, as far as a request shows that one of them has made it; else what
    /// is public.
    ThisMachine,
    /// What is public.
    Tokens,
    /// Nothing.
    Closed,
}

/// Who can come to one of the addresses that are listened on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Programs on this machine: it is a loopback address, and clients are not told to come by another one.
    ThisMachine,
    /// Others as well. A unix socket is mostly there for a server in front, which passes on what others ask.
    #[default]
    Others,
}

impl AccessMode {
    /// For an address that serves modules.
    fn at(self, reach: Reach) -> Self {
        match (self, reach) {
            (AccessMode::Open | AccessMode::Closed, _) => self,
            (_, Reach::ThisMachine) => AccessMode::ThisMachine,
            (_, Reach::Others) => AccessMode::Tokens,
        }
    }

    /// For an address of administration. Who has others reach it has chosen who they are.
    fn for_admin(self, reach: Reach) -> Self {
        match (self, reach) {
            (AccessMode::Open, _) | (_, Reach::Others) => AccessMode::Open,
            (_, Reach::ThisMachine) => AccessMode::ThisMachine,
        }
    }
}

/// Which modules some callers may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerRule {
    pub who: Vec<CallerPattern>,
    /// What they may have.
    pub read: Patterns,
    /// What they may not have, whatever `read` says.
    pub not: Patterns,
    /// Whether they may reload the configuration, and are told everything.
    pub admin: bool,
}

impl CallerRule {
    fn names(&self, caller: &Caller) -> bool {
        self.who.iter().any(|who| who.names(caller))
    }
}

/// Who may have which modules. The first rule that names both the caller and the module decides; where none does, the mode.
#[derive(Clone, Debug)]
pub struct Access {
    pub mode: AccessMode,
    rules: Arc<[CallerRule]>,
    /// Tells these rules from all others.
    edition: u64,
    /// The numbers of those that may name strangers.
    of_strangers: Arc<[u32]>,
    /// A rule says who may not have something, be it public or not.
    refuses: bool,
}

/// Of the next rules.
static EDITION: AtomicU64 = AtomicU64::new(0);

impl Access {
    pub fn new(mode: AccessMode, rules: Vec<CallerRule>) -> Self {
        Access {
            mode,
            edition: EDITION.fetch_add(1, Ordering::Relaxed),
            of_strangers: that_may_name(&rules, None),
            refuses: rules.iter().any(|rule| !rule.not.is_empty()),
            rules: rules.into(),
        }
    }

    /// The rules that name a caller, in order.
    fn naming(&self, caller: &Caller) -> impl Iterator<Item = &CallerRule> {
        let find = |identity| that_may_name(&self.rules, Some(identity));
        let numbers = match caller.identity() {
            Some(identity) => identity.named_by(self.edition, || find(identity)),
            None => Arc::clone(&self.of_strangers),
        };
        let count = numbers.len();
        let rules = (0..count).filter_map(move |at| self.rules.get(numbers[at] as usize));
        rules.filter(|rule| rule.names(caller))
    }

    /// Without rules.
    pub fn by(mode: AccessMode) -> Self {
        Access::new(mode, Vec::new())
    }

    /// Whether everyone may have everything, whoever they are.
    pub fn is_open(&self) -> bool {
        self.mode == AccessMode::Open && self.rules.is_empty()
    }

    /// For an address that serves modules.
    pub fn at(&self, reach: Reach) -> Cow<'_, Self> {
        self.with(self.mode.at(reach))
    }

    /// For an address of administration.
    pub fn for_admin(&self, reach: Reach) -> Cow<'_, Self> {
        self.with(self.mode.for_admin(reach))
    }

    fn with(&self, mode: AccessMode) -> Cow<'_, Self> {
        match mode == self.mode {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Access {
                mode,
                ..self.clone()
            }),
        }
    }

    /// Whether answers about a module of which the rules say this are for some only.
    pub fn guards(&self, decision: &Decision) -> bool {
        match self.mode {
            _ if self.refuses => true,
            AccessMode::Open => false,
            AccessMode::ThisMachine | AccessMode::Tokens => decision.is_private(),
            AccessMode::Closed => true,
        }
    }

    /// Whether this caller may have what is about no module in particular, such as tiles of a checksum database.
    pub fn admits_at_all(&self, caller: &Caller) -> bool {
        self.mode != AccessMode::Closed
            || match &caller.standing {
                Standing::Trusted | Standing::Known(_) => true,
                Standing::Stranger { .. } | Standing::Undecided { .. } => {
                    self.naming(caller).any(|rule| !rule.read.is_empty())
                }
            }
    }

    /// Whether this caller may have a module that is guarded. Every answer passes here, also those that are cached.
    pub fn admits(&self, module: &str, private: bool, caller: &Caller) -> bool {
        let for_all = match self.mode {
            AccessMode::Open => true,
            AccessMode::ThisMachine | AccessMode::Tokens => !private,
            AccessMode::Closed => false,
        };
        let in_scope = || {
            let scope = caller.identity().and_then(|it| it.scope.as_ref());
            scope.is_none_or(|scope| scope.matches(module))
        };
        let mut named = false;
        for rule in self.naming(caller) {
            named = true;
            if rule.not.matches(module) {
                return false;
            }
            if rule.read.matches(module) {
                return for_all || in_scope();
            }
        }
        for_all
            || match &caller.standing {
                Standing::Trusted => true,
                // A token is made by the operator, for this; all other callers have what rules give them.
                Standing::Known(identity) => {
                    let is_token = matches!(identity.proof, Proof::Token(_));
                    is_token && !named && in_scope()
                }
                Standing::Stranger { .. } | Standing::Undecided { .. } => false,
            }
    }

    /// Whether they may be told whatever there is to tell of private modules, and where they come from: those who may have
    /// all of them.
    pub fn sees_private(&self, caller: &Caller) -> bool {
        match &caller.standing {
            _ if self.mode == AccessMode::Open => true,
            Standing::Trusted => true,
            Standing::Known(identity) => {
                let is_token = matches!(identity.proof, Proof::Token(_));
                let is_named = self.naming(caller).next().is_some();
                (is_token && identity.scope.is_none() && !is_named) || self.is_admin(caller)
            }
            Standing::Stranger { .. } | Standing::Undecided { .. } => false,
        }
    }

    /// Whether a rule lets them reload the configuration. Those who only come from somewhere have shown too little for it.
    pub fn is_admin(&self, caller: &Caller) -> bool {
        caller.identity().is_some() && self.naming(caller).any(|rule| rule.admin)
    }
}

/// The numbers of the rules that may name somebody, or a stranger.
fn that_may_name(rules: &[CallerRule], identity: Option<&Identity>) -> Arc<[u32]> {
    let may = |rule: &CallerRule| rule.who.iter().any(|who| who.may_name(identity));
    let numbers = (0..).zip(rules).filter(|(_, rule)| may(rule));
    numbers.map(|(number, _)| number).collect()
}

/// Front servers whose word is taken for where a request comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    /// Those that come over a unix socket.
    unix: bool,
}

impl TrustedProxies {
    /// Those in these networks, and those that come over unix sockets if `unix` says so.
    pub fn new(networks: &[IpNet], unix: bool) -> Self {
        TrustedProxies {
            networks: networks.into(),
            unix,
        }
    }

    /// Whether this is the address of one; none is a unix socket.
    fn has(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => self.networks.iter().any(|it| it.contains(&address)),
            None => self.unix,
        }
    }

    /// Where a request comes from that `remote` has sent, over a unix socket if that is none. `forwarded` are the addresses that `X-Forwarded-For` names, the
    /// nearest one last: each is what the one after it has seen, so that the first from the end that is no front server of
    /// ours is as far as anything is known. Something that is no address ends what is known, and is given as well.
    pub fn client<'a>(
        &self,
        remote: Option<IpAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> (Option<IpAddr>, Option<&'a str>) {
        let mut known = remote.map(|it| it.to_canonical());
        for hop in forwarded.rev() {
            if !self.has(known) {
                break;
            }
            match address(hop) {
                Some(address) => known = Some(address),
                None => return (known, Some(hop.trim())),
            }
        }
        (known, None)
    }
}

/// An address as front servers write it, with a port or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|it| it.ip());
    address.or_else(with_port).map(|it| it.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_word_of_trusted_front_servers_counts() {
        let networks: Vec<IpNet> = ["127.0.0.0/8", "::1/128", "10.9.0.0/16"]
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        let proxies = TrustedProxies::new(&networks, true);
        let client = |remote: &str, header: &'static str| {
            let hops = header.split(',').filter(|hop| !hop.is_empty());
            proxies.client(remote.parse().ok(), hops)
        };
        for (remote, header, from) in [
            ("127.0.0.1", "", "127.0.0.1"),
            ("::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"),
            ("::1", "192.0.2.1", "192.0.2.1"),
            ("192.0.2.9", "192.0.2.1", "192.0.2.9"),
            ("127.0.0.1", "192.0.2.1, 192.0.2.2", "192.0.2.2"),
            ("127.0.0.1", "192.0.2.1, 10.9.1.1", "192.0.2.1"),
            ("127.0.0.1", "192.0.2.1:4711, [2001:db8::1]", "2001:db8::1"),
            ("127.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
            ("127.0.0.1", "[2001:db8::1]:80", "2001:db8::1"),
            ("127.0.0.1", "10.9.1.2, 10.9.1.1", "10.9.1.2"),
            ("unix:", "192.0.2.1, 10.9.1.1", "192.0.2.1"),
        ] {
            assert_eq!(
                client(remote, header),
                (Some(ip(from)), None),
                "{remote} {header}"
            );
        }
        for (header, from, name) in [
            ("192.0.2.1, unknown", "127.0.0.1", "unknown"),
            ("_x, 10.9.1.1", "10.9.1.1", "_x"),
        ] {
            assert_eq!(
                client("127.0.0.1", header),
                (Some(ip(from)), Some(name)),
                "{header}"
            );
        }
        let nobody = TrustedProxies::default();
        for remote in [Some(ip("127.0.0.1")), None] {
            let client = nobody.client(remote, ["192.0.2.1"].into_iter());
            assert_eq!(client, (remote, None));
        }
        assert_eq!(client("unix:", ""), (None, None));
    }

    #[test]
    fn administration_is_for_whoever_reaches_it() {
        for mode in [
            AccessMode::ThisMachine,
            AccessMode::Tokens,
            AccessMode::Closed,
        ] {
            let access = Access::by(mode);
            let admin = |reach| access.for_admin(reach).mode;
            assert_eq!(admin(Reach::ThisMachine), AccessMode::ThisMachine);
            assert_eq!(admin(Reach::Others), AccessMode::Open);
            // What serves modules is judged by who reaches it, whatever is said of another address.
            let modes = [Reach::ThisMachine, Reach::Others].map(|reach| access.at(reach).mode);
            let expected = match mode {
                AccessMode::Closed => [AccessMode::Closed; 2],
                _ => [AccessMode::ThisMachine, AccessMode::Tokens],
            };
            assert_eq!(modes, expected);
        }
    }

    fn caller(standing: Standing) -> Caller {
        Caller {
            address: Some(ip("10.1.2.3")),
            standing,
        }
    }

    fn token(name: &str, scope: Option<&str>) -> Caller {
        caller(Standing::Known(Arc::new(
            Identity::by(Proof::Token(name.into())).for_modules(scope.map(Patterns::parse)),
        )))
    }

    fn rule(who: &str, read: &str, not: &str) -> CallerRule {
        CallerRule {
            who: vec![who.parse().unwrap()],
            read: Patterns::parse(read),
            not: Patterns::parse(not),
            admin: false,
        }
    }

    #[test]
    fn without_rules_the_mode_decides() {
        let oidc = caller(Standing::Known(Arc::new(Identity::by(Proof::Oidc {
            provider: "github".into(),
            id: "acme/app".into(),
        }))));
        let stranger = caller(Standing::default());
        for (mode, private, stranger_has, token_has, oidc_has) in [
            (AccessMode::Open, true, true, true, true),
            (AccessMode::Tokens, false, true, true, true),
            (AccessMode::Tokens, true, false, true, false),
            (AccessMode::ThisMachine, true, false, true, false),
            (AccessMode::Closed, false, false, true, false),
            (AccessMode::Closed, true, false, true, false),
        ] {
            let access = Access::by(mode);
            let has = |caller: &Caller| access.admits("example.com/a", private, caller);
            assert_eq!(has(&stranger), stranger_has, "{mode:?} {private}");
            assert_eq!(has(&token("ci", None)), token_has, "{mode:?} {private}");
            assert_eq!(has(&oidc), oidc_has, "{mode:?} {private}");
        }
    }

    #[test]
    fn a_scope_narrows_what_a_token_opens() {
        for (mode, module, private, has) in [
            (AccessMode::Tokens, "git.example.com/a", true, true),
            (AccessMode::Tokens, "git.example.com/b", true, false),
            (AccessMode::Tokens, "example.com/b", false, true),
            (AccessMode::Closed, "git.example.com/a/v2", true, true),
            (AccessMode::Closed, "example.com/b", false, false),
        ] {
            let rules = [Vec::new(), vec![rule("token:*", "*", "")]];
            for rules in rules {
                let access = Access::new(mode, rules);
                let scoped = token("ci", Some("git.example.com/a"));
                assert_eq!(access.admits(module, private, &scoped), has, "{module}");
                assert!(!access.sees_private(&scoped));
            }
        }
    }

    #[test]
    fn the_first_rule_that_names_caller_and_module_decides() {
        let rules = vec![
            rule("token:ci-*", "git.example.com/ci", ""),
            rule(
                "token:ci-*",
                "",
                "git.example.com/secret,example.com/banned",
            ),
            rule("token:*", "git.example.com", ""),
            rule("address:10.0.0.0/8", "git.example.com/office", ""),
        ];
        let access = Access::new(AccessMode::Tokens, rules);
        let stranger = caller(Standing::default());
        let far = Caller {
            address: Some(ip("192.0.2.1")),
            ..stranger.clone()
        };
        for (who, module, private, has) in [
            (&token("ci-1", None), "git.example.com/ci/x", true, true),
            (
                &token("ci-1", None),
                "git.example.com/secret/x",
                true,
                false,
            ),
            (&token("ci-1", None), "git.example.com/x", true, true),
            (&token("team", None), "git.example.com/secret/x", true, true),
            // Named, and not for this one.
            (&token("team", None), "other.example.com/x", true, false),
            (&token("team", None), "example.com/x", false, true),
            // What a rule takes away is not public any more.
            (&token("ci-1", None), "example.com/banned", false, false),
            (&stranger, "git.example.com/office/x", true, true),
            (&stranger, "git.example.com/x", true, false),
            (&far, "git.example.com/office/x", true, false),
        ] {
            assert_eq!(access.admits(module, private, who), has, "{module} {who:?}");
        }
        // Since public modules can be refused.
        assert!(access.guards(&Decision::default()));
    }

    #[test]
    fn other_rules_name_others() {
        let who = token("ci-1", None);
        for (named, has) in [
            ("token:ci-*", true),
            ("token:x", false),
            ("token:ci-1", true),
        ] {
            let rules = vec![
                rule(named, "git.example.com", ""),
                rule("token:*", "", "git.example.com"),
            ];
            let access = Access::new(AccessMode::Tokens, rules);
            for _ in 0..2 {
                assert_eq!(
                    access.admits("git.example.com/a", true, &who),
                    has,
                    "{named}"
                );
            }
        }
    }

    #[test]
    fn who_administers_has_shown_who_they_are() {
        let admin = |who: &str| CallerRule {
            admin: true,
            ..rule(who, "", "")
        };
        let rules = vec![admin("token:ops"), admin("anyone")];
        let access = Access::new(AccessMode::Tokens, rules);
        assert!(access.is_admin(&token("ops", None)));
        assert!(access.sees_private(&token("ops", None)));
        assert!(access.is_admin(&token("ci", None)));
        assert!(!access.is_admin(&caller(Standing::default())));
        assert!(!access.is_admin(&caller(Standing::Trusted)));
    }
}
