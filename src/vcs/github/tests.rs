use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Made for these tests with `openssl genrsa`; nothing trusts it.
const TEST_KEY: &str = include_str!("../testdata/github/test-key-pkcs1.pem");
/// The same key.
const TEST_KEY_8: &str = include_str!("../testdata/github/test-key-pkcs8.pem");
/// Its public half.
const TEST_PUBLIC: &str = include_str!("../testdata/github/test-key-public.pem");

/// 2024-03-01T00:00:00Z
const START: u64 = 1_709_251_200_000;

struct Watch(AtomicU64);

impl crate::clock::Clock for Watch {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
    #[allow(clippy::disallowed_methods, reason = "nobody asks for it")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

struct Scene {
    app: Arc<GithubApp>,
    clock: Arc<Watch>,
    /// What GitHub is to answer, in order.
    answers: mpsc::UnboundedSender<String>,
    asked: mpsc::UnboundedReceiver<String>,
}

fn client() -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

fn app(api: &str, key: &str, clock: Arc<Watch>) -> Result<Arc<GithubApp>, AppError> {
    GithubApp::new("12345", "678", key, api, client(), clock)
}

/// A GitHub that answers one request per connection, each with what it is told to.
async fn scene() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/api/v3/", listener.local_addr().unwrap());
    let (answers, mut next) = mpsc::unbounded_channel::<String>();
    let (tell, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            let _ = tell.send(String::from_utf8(request).unwrap());
            let Some(answer) = next.recv().await else {
                break;
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let clock = Arc::new(Watch(AtomicU64::new(START)));
    Scene {
        app: app(&api, TEST_KEY, Arc::clone(&clock)).unwrap(),
        clock,
        answers,
        asked,
    }
}

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn token(token: &str, expires: &str) -> String {
    let body = format!(r#"{{"token":"{token}","expires_at":"{expires}","permissions":{{}}}}"#);
    answer("201 Created", &body)
}

impl Scene {
    fn answer(&self, answer: String) {
        self.answers.send(answer).unwrap();
    }

    async fn token(&self) -> Result<String, AppTokenError> {
        Ok(self.app.token().await?.secret().to_owned())
    }

    fn asked(&mut self) -> usize {
        std::iter::from_fn(|| self.asked.try_recv().ok()).count()
    }

    fn at(&self, seconds: u64) {
        self.clock.0.store(START + seconds * 1000, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_signed_statement_gets_a_token() {
    let mut scene = scene().await;
    scene.answer(token("ghs_abc", "2024-03-01T01:00:00Z"));
    assert_eq!(scene.token().await.unwrap(), "ghs_abc");
    let request = scene.asked.recv().await.unwrap();
    assert!(
        request.starts_with("POST /api/v3/app/installations/678/access_tokens HTTP/1.1\r\n"),
        "{request}"
    );
    let header = |name: &str| {
        let named = |line: &str| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        };
        request.lines().find_map(named).unwrap_or_default()
    };
    assert_eq!(header("accept"), "application/vnd.github+json");
    assert_eq!(header("x-github-api-version"), "2022-11-28");
    assert_eq!(header("user-agent"), "larder");
    let bearer = header("authorization");
    let jwt = bearer.strip_prefix("Bearer ").unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
    assert_eq!(decode(head), br#"{"alg":"RS256","typ":"JWT"}"#);
    assert_eq!(
        String::from_utf8(decode(claims)).unwrap(),
        r#"{"iat":1709251140,"exp":1709251740,"iss":"12345"}"#
    );
    let public: String = TEST_PUBLIC
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let public = BASE64_STANDARD.decode(public).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let mut scene = scene().await;
    scene.answer(token("one", "2024-03-01T01:00:00Z"));
    scene.answer(token("two", "2024-03-01T02:54:59+01:00"));
    scene.answer(token("three", "2024-03-01T00:00:00Z"));
    scene.answer(token("four", "2999-01-01T00:00:00.125Z"));
    for (at, expected) in [
        (0, "one"),
        (3299, "one"),
        (3300, "two"),
        (6598, "two"),
        // Over already: good for this once.
        (6599, "three"),
        (6599, "four"),
        (6599 + 3599, "four"),
    ] {
        scene.at(at);
        assert_eq!(scene.token().await.unwrap(), expected, "at {at}");
    }
    assert_eq!(scene.asked(), 4);
    // The clock steps back, or an hour is over.
    for at in [5000, 5000 + 3600] {
        scene.answer(token("five", "2999-01-01T00:00:00Z"));
        scene.at(at);
        assert_eq!(scene.token().await.unwrap(), "five");
        assert_eq!(scene.asked(), 1);
    }
}

#[tokio::test]
async fn those_who_ask_together_wait_for_one_answer() {
    let mut scene = scene().await;
    let ask = || async { tokio::join!(scene.token(), scene.token(), scene.token()) };
    scene.answer(answer("502 Bad Gateway", ""));
    let down = Err(AppTokenError::Unreachable("status 502 Bad Gateway".into()));
    assert_eq!(ask().await, (down.clone(), down.clone(), down));
    // And a failure is not kept.
    scene.answer(token("t", "2024-03-01T01:00:00Z"));
    let token = Ok("t".to_owned());
    assert_eq!(ask().await, (token.clone(), token.clone(), token));
    assert_eq!(scene.asked(), 2);
}

#[tokio::test]
async fn failures_are_told_apart() {
    let scene = scene().await;
    for (status, number) in [
        ("401 Unauthorized", 401),
        ("403 Forbidden", 403),
        ("404 Not Found", 404),
    ] {
        scene.answer(answer(
            status,
            r#"{"message":"A JSON web token\ncould not be\u001b[31m decoded"}"#,
        ));
        let words = "A JSON web tokencould not be[31m decoded".to_owned();
        assert_eq!(
            scene.token().await,
            Err(AppTokenError::Refused {
                status: number,
                words
            })
        );
    }
    scene.answer(answer(
        "404 Not Found",
        &format!(r#"{{"message":"{}"}}"#, "x".repeat(1000)),
    ));
    assert!(
        matches!(scene.token().await, Err(AppTokenError::Refused { words, .. }) if words.len() == WIDTH)
    );
    scene.answer(answer("403 Forbidden", "<html>"));
    assert!(
        matches!(scene.token().await, Err(AppTokenError::Refused { words, .. }) if words.is_empty())
    );
    for nonsense in [
        answer("201 Created", "{}"),
        answer("201 Created", "token"),
        token("", "2024-03-01T01:00:00Z"),
        token("two words", "2024-03-01T01:00:00Z"),
        token("line\\nbreak", "2024-03-01T01:00:00Z"),
        token("t", "tomorrow"),
        answer("201 Created", &" ".repeat(MAX_ANSWER + 1)),
    ] {
        scene.answer(nonsense);
        assert!(matches!(
            scene.token().await,
            Err(AppTokenError::Nonsense(_))
        ));
    }
    scene.answer("not HTTP".into());
    assert!(matches!(
        scene.token().await,
        Err(AppTokenError::Unreachable(_))
    ));
    let clock = Arc::clone(&scene.clock);
    let nobody = app("http://127.0.0.1:1", TEST_KEY, clock).unwrap();
    assert!(matches!(
        nobody.token().await,
        Err(AppTokenError::Unreachable(_))
    ));
}

#[tokio::test]
async fn c127_nothing_shows_key_or_token() {
    let scene = scene().await;
    scene.answer(token("ghs_secret", "2024-03-01T01:00:00Z"));
    let token = scene.app.token().await.unwrap();
    assert_eq!(format!("{token:?}"), "Token(…)");
    let shown = format!("{:?}", scene.app);
    assert!(
        shown.starts_with("GithubApp(12345, installation 678 at http://127.0.0.1:"),
        "{shown}"
    );
    assert!(!shown.contains("secret"));
}

#[test]
fn keys_in_both_forms() {
    let clock = || Arc::new(Watch(AtomicU64::new(START)));
    let api = "https://api.github.com";
    let statement = |key: &str| app(api, key, clock()).unwrap().statement(1).unwrap();
    assert_eq!(statement(TEST_KEY), statement(TEST_KEY_8));
    assert_eq!(
        statement(TEST_KEY),
        statement(&TEST_KEY.replace('\n', "\r\n"))
    );
    let labelled = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    for (key, expected) in [
        (String::new(), AppError::NoKey),
        (TEST_PUBLIC.to_owned(), AppError::NoKey),
        (TEST_KEY.replace("-----END", "----END"), AppError::NoKey),
        (labelled("RSA PRIVATE KEY", "!"), AppError::NoKey),
        (labelled("RSA PRIVATE KEY", "AAAA"), AppError::BadKey),
        (labelled("PRIVATE KEY", "AAAA"), AppError::BadKey),
        (
            labelled("ENCRYPTED PRIVATE KEY", "AAAA"),
            AppError::EncryptedKey,
        ),
        (
            labelled("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA"),
            AppError::EncryptedKey,
        ),
        (" ".repeat(MAX_KEY + 1), AppError::NoKey),
    ] {
        assert_eq!(app(api, &key, clock()).unwrap_err(), expected, "{key}");
    }
}

#[test]
fn what_else_may_be_configured() {
    let make = |id: &str, installation: &str, api: &str| {
        let clock = Arc::new(Watch(AtomicU64::new(START)));
        let app = GithubApp::new(id, installation, TEST_KEY, api, client(), clock);
        app.map(|app| app.endpoint.to_string())
    };
    let end = "app/installations/1/access_tokens";
    for (api, base) in [
        ("https://api.github.com", "https://api.github.com/"),
        (
            "https://ghe.example.com:8443/api/v3/",
            "https://ghe.example.com:8443/api/v3/",
        ),
        ("http://[::1]:80", "http://[::1]/"),
    ] {
        assert_eq!(
            make("Iv1.0a-b_c", "1", api).unwrap(),
            format!("{base}{end}")
        );
    }
    for api in [
        "",
        "api.github.com",
        "http://api.github.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "https://me@api.github.com",
        "https://me:secret@api.github.com",
        "https://api.github.com/?x",
        "https://api.github.com/#x",
        "data:x",
    ] {
        assert_eq!(make("1", "1", api), Err(AppError::BadApi), "{api}");
    }
    for id in ["", "a b", "ä", "\"", "1\n"] {
        assert_eq!(make(id, "1", "https://a"), Err(AppError::BadId), "{id}");
    }
    for id in ["", "a", "1/2", "-1", "1.."] {
        assert_eq!(
            make("1", id, "https://a"),
            Err(AppError::BadInstallation),
            "{id}"
        );
    }
}

#[test]
fn times() {
    for (text, expected) in [
        ("2024-03-01T00:00:00Z", Some(1_709_251_200)),
        ("2024-03-01T00:00:00.5Z", Some(1_709_251_200)),
        ("2024-03-01T01:30:00+01:30", Some(1_709_251_200)),
        ("2024-02-29T20:00:00.000-04:00", Some(1_709_251_200)),
        ("2024-02-30T00:00:00Z", None),
        ("2024-03-01 00:00:00Z", None),
        ("2024-03-01T00:00:00", None),
        ("2024-03-01T00:00:00.Z", None),
        ("2024-03-01T00:00:00z", None),
        ("2024-03-01T00:00:00+1:00", None),
        ("2024-03-01T00:00:00+24:00", None),
        ("2024-03-01T00:00:00 00:00", None),
        ("2024-03-01T00:00:0äZ", None),
        ("", None),
    ] {
        assert_eq!(rfc3339(text), expected, "{text}");
    }
}
