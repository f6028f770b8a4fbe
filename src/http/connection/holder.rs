//! Who holds a port, for the message that says that it is taken.

use std::net::SocketAddr;

/// The process that listens on the address's port, as "process 123 (name)"; `None` if that cannot be told.
pub fn port_holder(address: SocketAddr) -> Option<String> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|table| {
            let text = std::fs::read_to_string(table).unwrap_or_default();
            text.lines()
                .filter_map(|line| {
                    listening_inode(line, address.port()).map(|inode| format!("socket:[{inode}]"))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    if sockets.is_empty() {
        return None;
    }
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name
            .to_str()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        // Other users' processes cannot be looked into.
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = descriptors.flatten().any(|descriptor| {
            std::fs::read_link(descriptor.path()).is_ok_and(|link| {
                link.to_str()
                    .is_some_and(|link| sockets.iter().any(|socket| socket == link))
            })
        });
        if holds {
            return pid.parse().ok().map(named);
        }
    }
    None
}

/// A process as people know it: "process 123 (name)".
pub fn named(pid: i32) -> String {
    let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("process {pid} ({})", command.trim())
}

/// The inode of a listening socket on this port, in a line of `/proc/net/tcp`.
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next()?, fields.nth(1)?);
    let (_, local_port) = local.rsplit_once(':')?;
    (state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port))
        .then(|| fields.nth(5))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn we_hold_our_own_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = port_holder(listener.local_addr().unwrap()).unwrap();
        assert!(
            holder.starts_with(&format!("process {} (", std::process::id())),
            "{holder}"
        );
    }
}
