//! Secrets that somebody renews while the server runs.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[test]
fn a_renewed_secret_is_used_without_a_restart() {
    let module = Module::new("example.com/m", "v1.0.0");
    for kind in ["password_file", "bearer_file", "netrc"] {
        let up = FakeUpstream::start_tls();
        up.add(&module);
        let builder = larder().of(&up).env("SSL_CERT_FILE", tls_authority());
        let content = |secret: &str| match kind {
            "netrc" => format!("machine localhost login ann password {secret}\n"),
            _ => format!("{secret}\n"),
        };
        let file = builder.write("secret", &content("old"));
        let builder = match kind {
            "netrc" => builder.env("NETRC", &file),
            kind => {
                let user = match kind {
                    "password_file" => "username = \"ann\"\n",
                    _ => "",
                };
                let file = file.to_str().unwrap();
                builder.config(&format!(
                    "[[credentials]]\nhost = \"localhost:{}\"\n{user}{kind} = {file:?}\n",
                    up.port()
                ))
            }
        };
        let sent = |secret: &str| match kind {
            "bearer_file" => format!("Bearer {secret}"),
            _ => basic("ann", secret),
        };
        let larder = builder.start();
        larder.get(&module.url("info")).ok();
        let seen = up.last("*.info");
        assert_eq!(seen.header("authorization"), Some(sent("old").as_str()));
        // Renewed; the old one is refused once.
        std::fs::write(&file, content("new")).unwrap();
        up.rule_n("*.mod", 1, Fault::status(401));
        let answer = larder.get(&module.url("mod"));
        assert!(answer.is_ok(), "{kind}: {}", answer.describe());
        assert_eq!(up.count("*.mod"), 2, "{kind}");
        let seen = up.last("*.mod");
        assert_eq!(
            seen.header("authorization"),
            Some(sent("new").as_str()),
            "{kind}"
        );
        larder.get(&module.url("zip")).ok();
        let seen = up.last("*.zip");
        assert_eq!(
            seen.header("authorization"),
            Some(sent("new").as_str()),
            "{kind}"
        );
    }
}

#[test]
fn a_secret_that_stays_refused_is_sent_once() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::start_tls();
    up.add(&module);
    up.rule("*", Fault::status(401));
    let builder = larder().of(&up).env("SSL_CERT_FILE", tls_authority());
    let netrc = builder.write("netrc", "machine localhost login ann password x\n");
    let larder = builder.env("NETRC", netrc).start();
    larder.get(&module.url("mod")).refuses(&[502]);
    assert_eq!(up.count("*.mod"), 1);
}
