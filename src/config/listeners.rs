//! `[[listeners]]`: what is listened on besides `server.listen` and `admin.listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::codec::{file_mode, flag, listen, socket_path};
use super::origin::ValueSource;
use super::reader::Reader;
use super::tables::{Row, Table, Tables, table};

table! {
    /// Further addresses and unix sockets, a table each; server.listen and admin.listen are listened on
    /// as well. These cannot be set in the environment.
    struct Keys = "listeners" {
        /// The address, written as server.listen.
        address: SocketAddr = "127.0.0.1:3082" => listen();
        /// Instead of an address: a unix socket. A socket that is there is replaced if nobody answers at
        /// it. What comes over it may come from a server in front, so private modules need a token.
        unix: PathBuf = "/run/larder/larder.sock" => socket_path();
        /// Who may connect to the unix socket, as permissions of its file.
        mode: u32 = "0660" => file_mode();
        /// https, by what [tls] says; http if this is not there. With [tls] server.listen is https.
        tls: bool = true => flag();
        /// Answer what admin.listen answers, in place of modules. That is then no longer answered where
        /// modules are. Whoever may connect to a unix socket of this kind is told everything.
        admin: bool = false => flag();
    }
}

/// The permissions of a unix socket if nobody says: its user and group.
const MODE: u32 = 0o660;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenPlace {
    Address(SocketAddr),
    Unix {
        path: PathBuf,
        /// The permissions of its file.
        mode: u32,
    },
}

impl fmt::Display for ListenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenPlace::Address(address) => address.fmt(f),
            ListenPlace::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One of the further addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FurtherListener {
    pub place: ListenPlace,
    /// Whether https is spoken there.
    pub tls: bool,
    /// Whether it is for administration, and not for modules.
    pub admin: bool,
    pub(super) row: Row,
}

impl FurtherListener {
    /// The key that says where.
    pub fn key(&self) -> &'static str {
        match self.place {
            ListenPlace::Address(_) => "listeners.address",
            ListenPlace::Unix { .. } => "listeners.unix",
        }
    }

    /// Where the table stands.
    pub fn source(&self) -> &ValueSource {
        &self.row.source
    }
}

/// Reads every table; nothing if one is wrong, which the reader then knows.
pub(super) fn read(tables: &mut Tables, reader: &mut Reader<'_>) -> Option<Vec<FurtherListener>> {
    tables.read(&ARRAY, reader, one)
}

fn one(table: &mut Table<'_, '_>) -> Option<FurtherListener> {
    let keys = Keys::read(table);
    match (table.has("address"), table.has("unix")) {
        (true, true) => table.tell_exclusive(&["address", "unix"]),
        (false, false) => table.need("address", "write one, or unix for a unix socket"),
        (true, false) if table.has("mode") => {
            let message = "is of a unix socket, and this is an address; leave it out";
            table.tell("mode", message);
        }
        (false, true) if keys.tls == Some(true) => {
            let message = "is for addresses: what goes over a unix socket stays on this machine";
            table.tell("tls", message);
        }
        _ => {}
    }
    let place = match (keys.address, keys.unix) {
        (Some(address), _) => ListenPlace::Address(address),
        (None, Some(path)) => ListenPlace::Unix {
            path,
            mode: keys.mode.unwrap_or(MODE),
        },
        (None, None) => return None,
    };
    Some(FurtherListener {
        place,
        tls: keys.tls.unwrap_or_default(),
        admin: keys.admin.unwrap_or_default(),
        row: table.row(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Operator, loaded};
    use super::*;

    fn errors(text: &str) -> String {
        Operator::new(text).errors()
    }

    #[test]
    fn addresses_and_sockets() {
        let config = loaded(
            "[[listeners]]\naddress = \":3090\"\nadmin = true\n\
             [[listeners]]\nunix = \"/run/larder/a.sock\"\n\
             [[listeners]]\nunix = \"/run/larder/b.sock\"\nmode = \"0600\"\n",
        )
        .config;
        let shown: Vec<_> = config
            .listeners
            .iter()
            .map(|it| it.place.to_string())
            .collect();
        let expected = [
            "[::]:3090",
            "unix:/run/larder/a.sock",
            "unix:/run/larder/b.sock",
        ];
        assert_eq!(shown, expected);
        let modes = config.listeners.iter().map(|it| match it.place {
            ListenPlace::Address(_) => 0,
            ListenPlace::Unix { mode, .. } => mode,
        });
        assert_eq!(modes.collect::<Vec<_>>(), [0, 0o660, 0o600]);
        assert!(config.listeners[0].admin && !config.listeners[1].admin);
    }

    #[test]
    fn what_is_wrong_with_a_table() {
        for (table, expected) in [
            ("", "larder.toml:1: listeners.address: is missing"),
            (
                "address = \":1\"\nunix = \"/s\"\n",
                "address and unix exclude each other",
            ),
            (
                "address = \":1\"\nmode = \"0600\"\n",
                "listeners.mode: is of a unix socket",
            ),
            (
                "unix = \"/s\"\ntls = true\n",
                "listeners.tls: is for addresses",
            ),
            (
                "unix = \"/s\"\nmode = \"0999\"\n",
                "larder.toml:3: listeners.mode: \"0999\"",
            ),
            (
                "address = \"x\"\n",
                "larder.toml:2: listeners.address: \"x\"",
            ),
            (
                "address = \":1\"\ntls = true\n",
                "larder.toml:1: listeners.tls: needs a certificate",
            ),
        ] {
            let text = errors(&format!("[[listeners]]\n{table}"));
            assert!(text.contains(expected), "{table}{text}");
        }
        let long = format!("[[listeners]]\nunix = \"/{}\"\n", "x".repeat(120));
        assert!(errors(&long).contains("is too long"), "{}", errors(&long));
    }

    #[test]
    fn two_cannot_have_the_same_place() {
        let text = errors(
            "[server]\nlisten = \"127.0.0.1:3080\"\n[admin]\nlisten = \"127.0.0.1:3081\"\n\
             [[listeners]]\naddress = \":3080\"\n\
             [[listeners]]\naddress = \"127.0.0.1:3081\"\n\
             [[listeners]]\nunix = \"/s\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [[listeners]]\nunix = \"/s\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\n",
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "larder.toml:5: listeners.address: [::]:3080 is taken by server.listen (127.0.0.1:3080); use another one, or leave one of them out",
                "larder.toml:7: listeners.address: 127.0.0.1:3081 is taken by admin.listen (127.0.0.1:3081); use another one, or leave one of them out",
                "larder.toml:13: listeners.unix: unix:/s is taken by [[listeners]] at larder.toml:9; use another one, or leave one of them out",
            ]
        );
    }
}
