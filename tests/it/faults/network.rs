//! The way out: proxies of the environment and root certificates, as Go has them, for upstreams and for git alike.

use crate::support::*;

const FAULT: &[u16] = &[502, 503, 504];

/// Both forms of each, since a machine may have set either.
fn proxied(builder: server::Builder, proxy: &FakeUpstream, exempt: &str) -> server::Builder {
    builder
        .env("HTTP_PROXY", proxy.url())
        .env("http_proxy", proxy.url())
        .env("NO_PROXY", exempt)
        .env("no_proxy", exempt)
}

#[test]
fn loopback_is_never_asked_through_a_proxy() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let proxy = FakeUpstream::start();
    for host in ["127.0.0.1", "localhost"] {
        let chain = format!("http://{host}:{}", up.port());
        let larder = proxied(larder().upstream(&chain), &proxy, "").start();
        larder.get(&module.url("zip")).ok();
    }
    proxy.assert_untouched();
}

#[test]
fn every_form_of_no_proxy_is_honoured() {
    let module = Module::new("example.com/m", "v1.0.0");
    for exempt in [
        "up.corp.invalid",
        "up.corp.invalid:8081",
        "corp.invalid",
        ".corp.invalid",
        "*.corp.invalid",
        "*.corp.invalid:8081",
        "other.test, UP.corp.invalid",
        "*",
    ] {
        let proxy = FakeUpstream::serving(std::slice::from_ref(&module));
        let chain = "http://up.corp.invalid:8081";
        let larder = proxied(larder().upstream(chain), &proxy, exempt).start();
        // There is no such host; who asks the proxy for it gets an answer.
        larder.get(&module.url("mod")).refuses(FAULT);
        proxy.assert_untouched();
    }
    for other in ["up.corp.invalid:80", "p.corp.invalid", "10.0.0.0/8"] {
        let proxy = FakeUpstream::serving(std::slice::from_ref(&module));
        let chain = "http://up.corp.invalid:8081";
        let larder = proxied(larder().upstream(chain), &proxy, other).start();
        assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_if_it_is_named() {
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::start_self_signed();
    up.add(&module);
    let unnamed = larder().of(&up).start();
    let text = unnamed.get(&module.url("mod")).refuses(FAULT);
    assert!(
        text.contains("upstream.ca_files"),
        "says what to do: {text}"
    );
    up.assert_untouched();
    let file = self_signed();
    let by_variable = larder().of(&up).env("SSL_CERT_FILE", &file).start();
    by_variable.get(&module.url("mod")).ok();
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(&file, folder.path().join("mirror")).unwrap();
    let directories = format!("/nonexistent:{}", folder.path().display());
    let by_directory = larder().of(&up).env("SSL_CERT_DIR", directories).start();
    by_directory.get(&module.url("mod")).ok();
    let text = format!("[upstream]\nca_files = [{:?}]\n", file.to_str().unwrap());
    let by_key = larder().of(&up).config(&text).start();
    by_key.get(&module.url("mod")).ok();
    // Its name counts all the same.
    let chain = up.url().replace("localhost", "ip6-localhost");
    let other_name = larder().upstream(&chain).config(&text).start();
    other_name.get(&module.url("mod")).refuses(FAULT);
}

#[test]
fn what_is_added_takes_nothing_away() {
    let module = Module::new("example.com/m", "v1.0.0");
    let (own, signed) = (FakeUpstream::start_self_signed(), FakeUpstream::start_tls());
    signed.add(&module);
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(tls_authority(), folder.path().join("authority.pem")).unwrap();
    let text = format!(
        "[upstream]\nca_files = [{:?}]\n",
        hosts_authority().to_str().unwrap()
    );
    let larder = larder()
        .upstream(&format!("{},{}", own.url(), signed.url()))
        .env("SSL_CERT_FILE", self_signed())
        .env("SSL_CERT_DIR", folder.path())
        .config(&text)
        .start();
    assert_eq!(larder.get(&module.url("mod")).ok(), module.mod_bytes());
    assert_eq!(own.count("*.mod"), 1);
    let doctor = larder.run(&["doctor"]).stdout;
    for place in ["SSL_CERT_FILE", "SSL_CERT_DIR", "upstream.ca_files"] {
        assert!(doctor.contains(place), "{doctor}");
    }
}
