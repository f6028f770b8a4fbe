//! https on `server.listen`: clients of HTTP/1.1 and HTTP/2, certificates that are renewed, and those of clients.

use crate::support::server::Builder;
use crate::support::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A file beside the support's certificates.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/support/tls")
        .join(name)
}

pub(super) fn with(builder: Builder, pair: &str) -> Builder {
    builder
        .env("LARDER_TLS__CERT_FILE", file(&format!("{pair}.pem")))
        .env("LARDER_TLS__KEY_FILE", file(&format!("{pair}.key")))
}

/// A client that trusts both of the support's authorities, with this certificate of its own.
pub(super) fn client(own: Option<&str>, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in [tls_authority(), hosts_authority()] {
        let authority = CertificateDer::from_pem_file(authority).unwrap();
        roots.add(authority).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::from_pem_file(file(&format!("{own}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(file(&format!("{own}.key"))).unwrap();
            config.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

/// One request of HTTP/1.1 over a connection of its own: the whole answer, and the server's certificate.
pub(super) fn ask(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    path: &str,
) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let socket = TcpStream::connect(addr)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let shown = stream.conn.peer_certificates().unwrap()[0].to_vec();
    Ok((answer, shown))
}

fn reqwest_client(protocols: &[&str]) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(client(None, protocols))
        .build()
        .unwrap()
}

#[test]
fn zips_are_the_same_over_both_protocols_and_the_page_says_https() {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(3_000_000, 7));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = with(larder().of(&up), "server").start();
    assert!(larder.stdout().starts_with("listening on https://"));
    let url = format!("https://localhost:{}", larder.addr().port());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], reqwest::Version::HTTP_2),
        (&["http/1.1"], reqwest::Version::HTTP_11),
        (&[], reqwest::Version::HTTP_11),
    ] {
        runtime.block_on(async {
            let client = reqwest_client(protocols);
            // Missed once, kept then.
            for _ in 0..3 {
                for (path, content) in [
                    (module.url("zip"), module.zip_bytes().to_vec()),
                    (module.url("mod"), module.mod_bytes().to_vec()),
                ] {
                    let answer = client.get(format!("{url}{path}")).send().await.unwrap();
                    assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
                    assert_eq!(answer.bytes().await.unwrap(), content, "{path}");
                }
            }
            let page = client.get(&url).send().await.unwrap().text().await.unwrap();
            assert!(page.contains(&format!("GOPROXY={url}")), "{page}");
            let metrics = client.get(format!("{url}/metrics")).send().await.unwrap();
            let metrics = metrics.text().await.unwrap();
            assert!(
                metrics.contains("larder_tls_not_after_seconds 49"),
                "{metrics}"
            );
        });
    }
}

#[test]
fn go_downloads_over_https() {
    let modules = [
        Module::new("example.com/a", "v1.0.0").requires("example.com/b", "v1.0.0"),
        Module::new("example.com/b", "v1.0.0"),
    ];
    let up = FakeUpstream::serving(&modules);
    let larder = with(larder().of(&up), "server").start();
    let go = Go::new(&format!("https://{}", larder.addr()))
        .env("SSL_CERT_FILE", tls_authority().to_str().unwrap());
    go.module(&["example.com/a v1.0.0"]);
    go.ok(&["mod", "download", "all"]);
    go.ok(&["mod", "verify"]);
}

/// As docs/clients.md has it: a token in netrc, or in the address itself.
#[test]
fn go_sends_a_token_for_private_modules() {
    let module = Module::new("git.example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let route = format!(
        "[[routes]]\nmatch = \"git.example.com\"\nvia = \"{}\"\nprivate = true\n",
        up.url()
    );
    let larder = with(larder().upstream("off"), "server")
        .config(&route)
        .set("server.public_url", "https://larder.example.com")
        .start();
    let made = larder.run(&["token", "new", "ci"]).expect(0).stdout;
    let token = made.split_whitespace().last().unwrap();
    let addr = larder.addr();
    let go = |proxy: &str, netrc: &str| {
        let go = Go::new(proxy)
            .env("SSL_CERT_FILE", tls_authority().to_str().unwrap())
            .env("GONOSUMDB", "git.example.com/*");
        go.module(&["git.example.com/m v1.0.0"]);
        go.write("netrc", netrc);
        let file = go.work().join("netrc");
        go.env("NETRC", file.to_str().unwrap())
    };
    let url = format!("https://{addr}");
    let refused = go(&url, "").fails(&["mod", "download", "all"]);
    assert!(refused.contains("401"), "{refused}");
    assert!(refused.contains("token"), "{refused}");
    let netrc = format!("machine {addr} login ci password {token}\n");
    go(&url, &netrc).ok(&["mod", "download", "all"]);
    let url = format!("https://ci:{token}@{addr}");
    go(&url, "").ok(&["mod", "download", "all"]);
    assert_eq!(
        larder.run(&["token", "revoke", "ci"]).expect(0).code,
        Some(0)
    );
    go(&url, "").fails(&["mod", "download", "all"]);
}

#[test]
fn who_speaks_http_is_told() {
    let larder = with(larder().upstream("off"), "server").start();
    let answer = larder.get("/healthz");
    let said = answer.refuses(&[400]);
    assert!(said.contains("https"), "{said}");
}

#[test]
fn files_that_do_not_fit_are_told_before_anything_starts() {
    let wrong =
        with(larder().upstream("off"), "server").env("LARDER_TLS__KEY_FILE", file("hosts.key"));
    for finished in [wrong.serve_to_end(), wrong.run(&["config", "check"])] {
        let said = finished.expect(2).stderr;
        assert!(
            said.contains("tls.key_file") && said.contains("hosts.key"),
            "{said}"
        );
    }
    let wrong =
        with(larder().upstream("off"), "server").env("LARDER_TLS__CERT_FILE", file("README.md"));
    let said = wrong.serve_to_end().expect(2).stderr;
    assert!(
        said.contains("tls.cert_file") && said.contains("README.md"),
        "{said}"
    );
    let half = larder()
        .upstream("off")
        .env("LARDER_TLS__CERT_FILE", file("server.pem"));
    let said = half.serve_to_end().expect(2).stderr;
    assert!(said.contains("tls.key_file"), "{said}");
}

#[test]
fn a_handshake_that_takes_too_long_is_cut() {
    let larder = with(larder().upstream("off"), "server")
        .set("server.request_header_timeout", "1s")
        .start();
    let began = Instant::now();
    let mut silent = TcpStream::connect(larder.addr()).unwrap();
    let mut half = TcpStream::connect(larder.addr()).unwrap();
    half.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut rest = Vec::new();
        // An end, or a reset.
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn clients_show_certificates() {
    for (mode, without) in [("optional", true), ("required", false)] {
        let larder = with(larder().upstream("off"), "server")
            .env("LARDER_TLS__CLIENT_CA_FILES", file("client-authority.pem"))
            .set("tls.client_auth", mode)
            .start();
        for (own, fine) in [
            (Some("client"), true),
            (None, without),
            (Some("self-signed"), false),
        ] {
            let config = Arc::new(client(own, &[]));
            let answer = ask(larder.addr(), &config, "/healthz");
            let is_fine = answer.is_ok_and(|(answer, _)| answer.starts_with(b"HTTP/1.1 200"));
            assert_eq!(is_fine, fine, "{mode} {own:?}");
        }
    }
}

/// Puts a pair into the place of another by renaming a link to its folder, as Kubernetes does.
fn bend(folder: &Path, certificate: &str, key: &str) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let data = folder.join(format!("data-{number}"));
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(file(certificate), data.join("tls.crt")).unwrap();
    std::fs::copy(file(key), data.join("tls.key")).unwrap();
    let link = folder.join("new");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    std::fs::rename(link, folder.join("data")).unwrap();
}

#[test]
fn certificates_are_followed_and_no_request_fails() {
    let _heavy = heavy();
    let module = Module::new("example.com/m", "v1.0.0");
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let builder = larder().of(&up);
    let folder = builder.home().join("pair");
    std::fs::create_dir(&folder).unwrap();
    bend(&folder, "server.pem", "server.key");
    let larder = builder
        .env("LARDER_TLS__CERT_FILE", folder.join("data/tls.crt"))
        .env("LARDER_TLS__KEY_FILE", folder.join("data/tls.key"))
        .start();
    let addr = larder.addr();
    let config = Arc::new(client(None, &[]));
    let path = module.url("mod");
    ask(addr, &config, &path).unwrap();
    let shown = |name: &str| CertificateDer::from_pem_file(file(name)).unwrap().to_vec();
    let shows = |name: &str| {
        let wanted = shown(name);
        until(&format!("{name} to be shown"), || {
            let (_, own) = ask(addr, &config, "/healthz").unwrap();
            (own == wanted).then_some(())
        });
    };
    /// Ends the other thread also when an assertion fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let url = format!("https://localhost:{}{path}", addr.port());
                let kept = [reqwest_client(&["h2"]), reqwest_client(&["http/1.1"])];
                while !over.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed) < 10_000 {
                    for client in kept.iter().chain([&reqwest_client(&["h2"])]) {
                        for _ in 0..20 {
                            let answer = client.get(&url).send().await.unwrap();
                            assert_eq!(answer.status().as_u16(), 200);
                            assert_eq!(answer.bytes().await.unwrap(), module.mod_bytes());
                            asked.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        });
        let _over = Over(&over);
        bend(&folder, "hosts.pem", "hosts.key");
        shows("hosts.pem");
        // A key that does not fit, and a certificate that is over.
        bend(&folder, "server.pem", "hosts.key");
        larder.wait_stderr("is not the key of the certificate");
        bend(&folder, "expired.pem", "expired.key");
        larder.wait_stderr("was valid until");
        let (_, own) = ask(addr, &config, "/healthz").unwrap();
        assert_eq!(own, shown("hosts.pem"), "the last good pair");
        bend(&folder, "server.pem", "server.key");
        shows("server.pem");
    });
    let warned = larder
        .stderr()
        .matches("is not the key of the certificate")
        .count();
    assert_eq!(warned, 1, "said once");
    let (metrics, _) = ask(addr, &config, "/metrics").unwrap();
    let metrics = String::from_utf8_lossy(&metrics);
    assert!(
        metrics.contains("larder_tls_reload_failures_total 2"),
        "{metrics}"
    );
}
