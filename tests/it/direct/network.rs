//! The way to git hosts, and who we are there, where the world changes: proxies, certificates, renewed secrets, outages.

use super::*;

const LIB: &str = "corp.example.com/lib";

fn repository() -> Repo {
    let repo = Repo::module(LIB);
    repo.tag("v1.0.0", &repo.git(&["rev-parse", "main"]));
    repo
}

#[test]
fn a_host_whose_certificate_signs_itself() {
    let mut scene = Scene::new();
    scene.host = GitHost::start_self_signed();
    scene.add(repository(), "lib");
    let zip = file_path(LIB, "v1.0.0", "zip");
    let text = scene.larder().start().get(&zip).refuses(&[502]);
    assert!(
        text.contains("upstream.ca_files"),
        "says what to do: {text}"
    );
    let file = self_signed();
    let by_variable = scene.larder().env("SSL_CERT_FILE", &file).start();
    by_variable.get(&zip).ok();
    let text = format!("[upstream]\nca_files = [{:?}]\n", file.to_str().unwrap());
    let by_key = scene.larder().config(&text).start();
    by_key.get(&zip).ok();
}

#[test]
fn git_goes_past_the_proxy_as_the_http_client_does() {
    for exempt in [
        "git.example.com:443",
        "*.example.com:443",
        "git.example.com",
    ] {
        let scene = Scene::with(repository(), "lib");
        let exempt = format!("127.0.0.1,{exempt}");
        let larder = scene.larder().env("NO_PROXY", exempt).start();
        // There is no such host but behind the proxy.
        larder
            .get(&file_path(LIB, "v1.0.0", "zip"))
            .refuses(&[404, 502]);
        let seen = scene.host.requests();
        assert!(
            seen.iter().all(|seen| seen.host != "git.example.com"),
            "{seen:#?}"
        );
    }
    let scene = Scene::with(repository(), "lib");
    let exempt = "127.0.0.1,git.example.com:8443,.git.example.com";
    let larder = scene.larder().env("NO_PROXY", exempt).start();
    larder.get(&file_path(LIB, "v1.0.0", "zip")).ok();
}

#[test]
fn a_renewed_secret_opens_the_repository_without_a_restart() {
    for kind in ["password_file", "token_file", "netrc"] {
        let repo = repository();
        let scene = Scene::with(repo, "lib");
        let at = "git.example.com/lib";
        scene.host.protect(at, "me", "first-secret");
        let text = |secret: &str| match kind {
            "netrc" => settings::netrc_text(&[("git.example.com", "me", secret)]),
            _ => format!("{secret}\n"),
        };
        let builder = scene.larder();
        let file = builder.write("secret", &text("first-secret"));
        let path = file.to_str().unwrap();
        let builder = match kind {
            "netrc" => builder.env("NETRC", path),
            "password_file" => builder.config(&format!(
                "[[credentials]]\nhost = \"git.example.com\"\nusername = \"me\"\npassword_file = {path:?}\n"
            )),
            _ => builder.config(&format!(
                "[[routes]]\nmatch = {LIB:?}\nvia = \"direct\"\nhost = \"git.example.com\"\nusername = \"me\"\ntoken_file = {path:?}\n"
            )),
        };
        let larder = builder.start();
        larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
        std::fs::write(&file, text("second-secret")).unwrap();
        scene.host.protect(at, "me", "second-secret");
        let answer = larder.get(&file_path(LIB, "v1.0.0", "zip"));
        assert!(answer.is_ok(), "{kind}: {}", answer.describe());
        let repo = &scene.repos[0];
        repo.tag("v1.1.0", &repo.git(&["rev-parse", "main"]));
        larder.get(&query_path(LIB, "v1.1.0")).ok();
    }
}

#[test]
fn whoever_comes_after_an_outage_has_begun_learns_why() {
    let mut scene = Scene::with(repository(), "lib");
    let larder = scene.larder().set("breaker.open_for", "1s").start();
    larder.get(&file_path(LIB, "v1.0.0", "info")).ok();
    scene.host.stop();
    let text = until("the breaker open", || {
        let n = fastrand::u32(..);
        let answer = larder.get(&query_path(LIB, &format!("v1.{n}.0")));
        let text = answer.refuses(&[502, 503, 504]);
        text.contains("not asked for another").then_some(text)
    });
    assert!(text.contains("; lastly: "), "{text}");
    assert!(text.to_lowercase().contains("refused"), "{text}");
    larder.wait_stderr("git host git.example.com:443 is failing and is not asked");
    scene.host.restart();
    until("recovery", || {
        (larder.get(&query_path(LIB, "v1.9.9")).status == 404).then_some(())
    });
    larder.wait_stderr("git host git.example.com:443 answers again");
}

#[test]
fn a_page_is_read_whatever_it_says_of_its_coding() {
    let page = go_import_page(&[&format!("{LIB} git https://git.example.com/lib")]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, page.as_bytes()).unwrap();
    let coded = encoder.finish().unwrap();
    for (coding, body) in [
        ("gzip", &coded[..]),
        ("aws-chunked, gzip", &coded[..]),
        ("gzip", page.as_bytes()),
        ("utf-8", page.as_bytes()),
    ] {
        let scene = Scene::with(repository(), "lib");
        let headers = [("Content-Type", "text/html"), ("Content-Encoding", coding)];
        scene.host.put(LIB, 200, &headers, body);
        let answer = scene.larder().start().get(&file_path(LIB, "v1.0.0", "mod"));
        assert!(answer.is_ok(), "{coding}: {}", answer.describe());
    }
}
