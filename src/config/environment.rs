//! The environment: `LARDER_` + section + `__` + key for every key, and the short twins of flags.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::origin::ValueSource;
use super::raw::Raw;
use super::reader::Reader;
use super::section::{Key, Section};
use super::suggest::nearest;

/// Names the configuration file.
pub(super) const CONFIG: &str = "LARDER_CONFIG";
const PREFIX: &str = "LARDER_";
/// What `larder auth` reads on clients, one of which may be this machine.
const OF_CLIENTS: [&str; 2] = ["LARDER_TOKEN", "LARDER_ID_TOKEN"];

/// Lays the environment over the file. A variable that is set to nothing is not set.
pub(super) fn read(sections: &[Section], reader: &mut Reader<'_>) {
    for key in keys(sections) {
        let long = key.env();
        let short = key.twin.map(|twin| twin.env);
        let long_value = set(reader, &long);
        let short_value = short.and_then(|short| set(reader, short));
        if let (Some(one), Some(other), Some(short)) = (&long_value, &short_value, short)
            && one != other
        {
            reader.warnings.push(format!(
                "{short} and {long} are both set and differ; {short} is used"
            ));
        }
        // The short one last, so that it goes before the other.
        for (name, value) in [(Some(long.as_str()), long_value), (short, short_value)] {
            if let (Some(name), Some(value)) = (name, value) {
                reader.put(key.path(), Raw::Word(value), ValueSource::Env(name.into()));
            }
        }
    }
}

/// Warns of variables that look like ours and are not. `used` are names that the configuration
/// mentions itself (`password_env`).
pub(super) fn warn_of_unknown(
    sections: &[Section],
    used: &BTreeSet<String>,
    reader: &mut Reader<'_>,
) {
    let mut known: Vec<String> = vec![CONFIG.into()];
    known.extend(OF_CLIENTS.map(str::to_owned));
    for key in keys(sections) {
        known.push(key.env());
        known.extend(key.twin.map(|twin| twin.env.to_owned()));
    }
    for (name, value) in reader.env {
        if !name.starts_with(PREFIX) || known.contains(name) || used.contains(name) {
            continue;
        }
        if is_of_service(name, value) {
            continue;
        }
        // What many programs call it.
        let suggestion = match name.as_str() {
            "LARDER_PORT" | "LARDER_ADDR" | "LARDER_ADDRESS" => Some("LARDER_LISTEN"),
            _ => None,
        };
        let suggestion = suggestion.or_else(|| nearest(name, known.iter().map(String::as_str)));
        let suggestion = suggestion
            .map(|meant| format!("; did you mean {meant}?"))
            .unwrap_or_default();
        reader.warnings.push(format!(
            "{name}: there is no such setting, so it is ignored{suggestion}"
        ));
    }
}

/// Whether a variable is one that Kubernetes sets in every pod for a Service whose name begins with ours
/// (`LARDER_SERVICE_HOST`, `LARDER_PORT_3080_TCP_ADDR`, …). Names alone do not tell: `LARDER_PORT=8080` is a mistake.
fn is_of_service(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let is_url = |text: &str| {
        let of = |protocol: &&str| {
            let rest = text.strip_prefix(&protocol.to_lowercase());
            let rest = rest.and_then(|rest| rest.strip_prefix("://"));
            rest.and_then(|rest| rest.rsplit_once(':'))
                .is_some_and(|(host, port)| {
                    is_address(host.trim_matches(['[', ']'])) && is_number(port)
                })
        };
        PROTOCOLS.iter().any(of)
    };
    if name.ends_with("_SERVICE_HOST") {
        return is_address(value);
    }
    if name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return is_number(value);
    }
    if name.ends_with("_PORT") && is_url(value) {
        return true;
    }
    // `…_PORT_3080_TCP`, and that with `_PROTO`, `_PORT` and `_ADDR`.
    let Some((_, rest)) = name
        .rsplit_once("_PORT_")
        .filter(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
    else {
        return false;
    };
    let mut parts = rest.split('_');
    let (port, protocol) = (parts.next(), parts.next());
    let what = parts.next();
    let fits = match what {
        None => is_url(value),
        Some("PROTO") => PROTOCOLS.iter().any(|it| it.eq_ignore_ascii_case(value)),
        Some("PORT") => port == Some(value),
        Some("ADDR") => is_address(value),
        Some(_) => false,
    };
    port.is_some_and(is_number)
        && protocol.is_some_and(|it| PROTOCOLS.contains(&it))
        && parts.next().is_none()
        && fits
}

/// The value of a variable, unless it is empty.
fn set(reader: &Reader<'_>, name: &str) -> Option<String> {
    reader
        .env
        .get(name)
        .filter(|value| !value.trim().is_empty())
        .cloned()
}

fn keys(sections: &[Section]) -> impl Iterator<Item = &Key> {
    sections.iter().flat_map(|section| &section.keys)
}

#[cfg(test)]
mod tests {
    use super::super::testing::loaded_with;

    #[test]
    fn variables_of_a_service_are_no_settings() {
        let service = [
            ("LARDER_SERVICE_HOST", "10.96.12.7"),
            ("LARDER_SERVICE_PORT", "3080"),
            ("LARDER_SERVICE_PORT_HTTP", "3080"),
            ("LARDER_PORT", "tcp://10.96.12.7:3080"),
            ("LARDER_PORT_3080_TCP", "tcp://10.96.12.7:3080"),
            ("LARDER_PORT_3080_TCP_PROTO", "tcp"),
            ("LARDER_PORT_3080_TCP_PORT", "3080"),
            ("LARDER_PORT_3080_TCP_ADDR", "10.96.12.7"),
            ("LARDER_ADMIN_SERVICE_HOST", "fd00::7"),
            ("LARDER_ADMIN_PORT", "tcp://[fd00::7]:3081"),
            ("LARDER_ADMIN_PORT_3081_UDP_ADDR", "fd00::7"),
        ];
        assert_eq!(loaded_with("", &service).warnings, Vec::<String>::new());
        for (name, value) in [
            ("LARDER_PORT", "8080"),
            ("LARDER_PORT", "tcp://somewhere"),
            ("LARDER_SERVICE_HOST", "larder.example.com"),
            ("LARDER_PORT_3080_TCP_ADDR", "here"),
            ("LARDER_PORT_3080_TCP_NAME", "10.96.12.7"),
            ("LARDER_PORT_X_TCP", "tcp://10.96.12.7:3080"),
        ] {
            let warnings = loaded_with("", &[(name, value)]).warnings;
            assert!(
                warnings.len() == 1 && warnings[0].contains(name),
                "{warnings:?}"
            );
        }
        let warnings = loaded_with("", &[("LARDER_PORT", "8080")]).warnings;
        assert!(
            warnings[0].contains("did you mean LARDER_LISTEN?"),
            "{warnings:?}"
        );
    }
}
