//! Which data directory a command works on, and whether that is the one of the server that people mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Loaded;

/// How long whoever listens may take to connect and answer.
const ANSWER: Duration = Duration::from_secs(1);
/// What of an answer is looked at. Bytes.
const LOOKED_AT: u64 = 16 << 10;
/// Where the unit for systemd keeps things.
const UNIT: &str = "the systemd unit's is /var/lib/larder";

/// The data directory and where that is written, for people.
pub fn named(loaded: &Loaded) -> String {
    let data_dir = loaded.config.store.data_dir.display();
    match loaded.sources.get("store.data_dir") {
        Some(source) => format!("{data_dir} ({source})"),
        None => data_dir.to_string(),
    }
}

/// The sentence for a data directory that is not there.
pub async fn missing(loaded: &Loaded) -> String {
    let listen = loaded.config.server.listen;
    let server = match larder_at(listen).await {
        true => format!("\nThe server that answers at {listen} keeps its data somewhere else."),
        false => String::new(),
    };
    format!(
        "there is no data directory {}; name it with --data-dir ({UNIT}){server}",
        named(loaded)
    )
}

/// The end of a sentence about a server that answers where the configuration has one, and does not hold the data
/// directory, which nobody else holds.
pub async fn elsewhere(loaded: &Loaded) -> Option<String> {
    let listen = loaded.config.server.listen;
    if !larder_at(listen).await {
        return None;
    }
    let server = crate::http::port_holder(listen);
    let held_by = holder(&loaded.config.store.data_dir);
    let is_same = |server: &String| {
        !held_by.is_empty()
            && server.starts_with(&format!("{} ", held_by.trim_matches([' ', '(', ')'])))
    };
    if server.as_ref().is_some_and(is_same) {
        // It holds the directory and only cannot be asked.
        return None;
    }
    let server = server.map(|it| format!(", {it},")).unwrap_or_default();
    Some(format!(
        "a server answers at {listen}{server} and keeps its data somewhere else than in {}.\n\
         Name its data directory with --data-dir ({UNIT}), or run this as the user and with the settings that it has. \
         If this directory is meant, say with --listen where its own server listens.",
        named(loaded)
    ))
}

/// Who holds a data directory, as its lock says.
pub fn holder(data_dir: &Path) -> String {
    let pid = std::fs::read_to_string(data_dir.join("lock")).unwrap_or_default();
    match pid.trim() {
        "" => String::new(),
        pid => format!(" (process {pid})"),
    }
}

/// Whether a Larder answers there.
async fn larder_at(listen: SocketAddr) -> bool {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let answer = async {
        let mut stream = match TcpStream::connect((ip, listen.port())).await {
            // The wildcard of IPv6 on a machine without that.
            Err(_) if listen.ip().is_unspecified() => {
                TcpStream::connect((Ipv4Addr::LOCALHOST, listen.port())).await?
            }
            stream => stream?,
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {listen}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(LOOKED_AT).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    if listen.port() == 0 {
        return false;
    }
    match timeout(ANSWER, answer).await {
        Ok(Ok(answer)) => {
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            text.starts_with("http/1.1 ") && text.contains("larder")
        }
        _ => false,
    }
}
