//! netrc files: no panic; an entry is whole and of single words, line ends of either kind mean the same, and a login goes
//! to its host alone and never without TLS.
#![no_main]

use larder::credentials::{KnownCredentials, netrc};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|text: &str| {
    let machines = netrc::parse(text);
    for machine in &machines {
        for word in [&machine.name, &machine.login, &machine.password] {
            assert!(!word.is_empty() && !word.contains(char::is_whitespace));
        }
    }
    // `Machine` does not show what it holds.
    assert!(netrc::parse(&text.replace('\n', "\r\n")) == machines);
    let known = KnownCredentials {
        netrc: machines,
        ..KnownCredentials::default()
    };
    for machine in &known.netrc {
        let Ok(url) = Url::parse(&format!("https://{}/", machine.name)) else {
            continue;
        };
        let host = url.host_str().unwrap();
        let is_of_host = known.netrc.iter().any(|machine| machine.name == host);
        let is_of_address = !url.username().is_empty() || url.password().is_some();
        assert_eq!(known.login(&url).is_some(), is_of_host || is_of_address);
        let _ = known.authorization(&url);
        let plain = Url::parse(&format!("http://{host}/")).unwrap();
        assert!(known.login(&plain).is_none());
    }
});
