//! What is listened on: what the configuration names, and sockets that were handed over.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::handed_over::HandedOver;
use super::start_error::StartError;
use crate::config::{Config, ListenPlace, Loaded};
use crate::http::{BindError, BoundListener, bind, bind_unix};

/// Something that is listened on, and what it is for.
pub struct OpenListener {
    pub bound: BoundListener,
    /// Where, for people and for the line on standard output.
    pub shown: String,
    pub tls: bool,
    /// For administration, and not for modules.
    pub admin: bool,
}

impl OpenListener {
    fn new(bound: BoundListener, tls: bool, admin: bool) -> Self {
        let shown = match (bound.address(), tls) {
            (None, _) => bound.to_string(),
            (Some(address), true) => format!("https://{address}"),
            (Some(address), false) => format!("http://{address}"),
        };
        OpenListener {
            bound,
            shown,
            tls,
            admin,
        }
    }
}

/// What the configuration asks for.
struct Wanted {
    place: ListenPlace,
    tls: bool,
    admin: bool,
    /// What names it, for whoever wants to change it.
    setting: String,
    /// A socket that was handed over for the same comes in its place, whatever the socket's address is.
    gives_way: bool,
}

/// The addresses on which modules are served by a configuration.
pub fn module_addresses(config: &Config) -> Vec<SocketAddr> {
    let of_modules = wanted(config).into_iter().filter(|it| !it.admin);
    let addresses = of_modules.filter_map(|it| match it.place {
        ListenPlace::Address(address) => Some(address),
        ListenPlace::Unix { .. } => None,
    });
    addresses.collect()
}

/// What is listened on by a configuration besides `server.listen`, for people.
pub fn further_listeners(config: &Config) -> Vec<String> {
    let further = wanted(config).into_iter().skip(1);
    let shown = further.map(|it| {
        let tls = if it.tls { ", https" } else { "" };
        let admin = if it.admin { ", administration" } else { "" };
        format!("{}{tls}{admin}", it.place)
    });
    shown.collect()
}

fn wanted(config: &Config) -> Vec<Wanted> {
    let server = Wanted {
        place: ListenPlace::Address(config.server.listen),
        tls: config.tls.cert_file.is_some(),
        admin: false,
        setting: "--listen ADDR:PORT".to_owned(),
        gives_way: true,
    };
    let further = config.listeners.iter().map(|listener| Wanted {
        place: listener.place.clone(),
        tls: listener.tls,
        admin: listener.admin,
        setting: format!("{} ({})", listener.key(), listener.source()),
        gives_way: false,
    });
    let admin = config.admin.listen.map(|address| Wanted {
        place: ListenPlace::Address(address),
        tls: false,
        admin: true,
        setting: "admin.listen".to_owned(),
        gives_way: true,
    });
    [server].into_iter().chain(further).chain(admin).collect()
}

/// Listens on everything. A socket that was handed over comes in the place of what has its address; one that has no such
/// place is for modules or administration by its name, and comes in the place of `server.listen` or `admin.listen`.
///
/// # Errors
/// Something that cannot be listened on, or a socket that cannot be used.
pub async fn open_listeners(
    loaded: &Loaded,
    handed_over: HandedOver,
) -> Result<Vec<OpenListener>, StartError> {
    let config = &loaded.config;
    let has_tls = config.tls.cert_file.is_some();
    let wanted = wanted(config);
    let mut in_place: Vec<Option<BoundListener>> = wanted.iter().map(|_| None).collect();
    let mut others = VecDeque::new();
    for socket in handed_over.0 {
        let (number, name) = (socket.number, socket.name.clone());
        let refuse = |why: String| {
            let name = name.clone();
            StartError::Address(BindError::HandedOver { number, name, why })
        };
        let bound = socket.open();
        let bound = bound.map_err(|error| refuse(format!("cannot be used: {error}")))?;
        let same = wanted.iter().position(|it| is_at(&bound, &it.place));
        if let Some(at) = same.filter(|at| in_place[*at].is_none()) {
            in_place[at] = Some(bound);
            continue;
        }
        let is_unix = bound.address().is_none();
        let (tls, admin) = match name.as_str() {
            "admin" => (false, true),
            "http" => (false, false),
            "tls" if is_unix => {
                return Err(refuse(
                    "is a unix socket, where no TLS is spoken".to_owned(),
                ));
            }
            "tls" if !has_tls => {
                let why = "is for https, which needs tls.cert_file and tls.key_file";
                return Err(refuse(why.to_owned()));
            }
            "tls" => (true, false),
            _ => (has_tls && !is_unix, false),
        };
        others.push_back(OpenListener::new(bound, tls, admin));
    }
    let mut open = Vec::new();
    for (wanted, given) in wanted.into_iter().zip(in_place) {
        let bound = match given {
            Some(bound) => bound,
            None if wanted.gives_way && others.iter().any(|it| it.admin == wanted.admin) => {
                // The first of them stands where it would.
                let first = others.iter().position(|it| it.admin == wanted.admin);
                open.extend(first.and_then(|at| others.remove(at)));
                continue;
            }
            None => match &wanted.place {
                ListenPlace::Address(address) => bind(*address, &wanted.setting).await?,
                ListenPlace::Unix { path, mode } => bind_unix(path, *mode, &wanted.setting).await?,
            },
        };
        open.push(OpenListener::new(bound, wanted.tls, wanted.admin));
    }
    open.extend(others);
    Ok(open)
}

fn is_at(bound: &BoundListener, place: &ListenPlace) -> bool {
    match place {
        ListenPlace::Address(address) => bound.address() == Some(*address),
        ListenPlace::Unix { path, .. } => bound.path().as_ref() == Some(path),
    }
}
