//! Which tokens are taken, and how keys come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use futures_util::FutureExt;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::testing::{SigningKey, message, set};
use super::*;
use crate::clock::{Clock as _, Manual, SystemClock};
use crate::policy::{Proof, Wildcard};

const ISSUER: &str = "https://issuer.example.com";
const AUDIENCE: &str = "https://larder.example.com";

/// What the provider says at the moment, and how often it was asked.
#[derive(Default)]
struct Provider {
    answer: Mutex<Option<String>>,
    kept: Mutex<Option<Bytes>>,
    asked: AtomicUsize,
}

impl Provider {
    fn publishing(keys: &[&SigningKey]) -> Arc<Self> {
        let provider = Provider::default();
        *provider.answer.lock() = Some(set(keys));
        Arc::new(provider)
    }

    fn source(self: &Arc<Self>) -> KeySource {
        let (fetch, kept, keep) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        KeySource {
            fetch: Arc::new(move || {
                fetch.asked.fetch_add(1, Ordering::Relaxed);
                let answer = fetch.answer.lock().clone();
                async {
                    answer
                        .map(Bytes::from)
                        .ok_or("connection refused".to_owned())
                }
                .boxed()
            }),
            kept: Arc::new(move || {
                let kept = kept.kept.lock().clone();
                async { kept }.boxed()
            }),
            keep: Arc::new(move |keys| {
                *keep.kept.lock() = Some(keys);
                async {}.boxed()
            }),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn settings() -> IssuerSettings {
    IssuerSettings {
        name: "ci".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        algorithms: vec![Algorithm::RS256, Algorithm::ES256],
        max_lifetime: Duration::from_secs(3600),
        claims: vec![ClaimRule {
            claim: "owner".to_owned(),
            values: vec![Wildcard::new("acme")],
        }],
        id: "{repository}".parse().unwrap(),
        groups: vec!["{owner}".parse().unwrap()],
    }
}

fn issuers_with(settings: IssuerSettings, provider: &Arc<Provider>, clock: SharedClock) -> Issuers {
    let issuer = Issuer::new(settings, provider.source(), Arc::clone(&clock));
    Issuers::new(vec![Arc::new(issuer)], clock)
}

fn issuers(provider: &Arc<Provider>) -> Issuers {
    issuers_with(settings(), provider, Arc::new(SystemClock))
}

fn now() -> u64 {
    SystemClock.now().0 / 1000
}

/// Claims that are taken, with these in their place.
fn claims(others: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "x", "iat": now() - 5, "nbf": now() - 5, "exp": now() + 300,
        "owner": "acme", "repository": "acme/app",
    });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in others.as_object().unwrap() {
        match value {
            Value::Null => drop(all.remove(name)),
            value => drop(all.insert(name.clone(), value.clone())),
        }
    }
    claims
}

#[tokio::test]
async fn a_good_token_shows_who_somebody_is() {
    let key = SigningKey::new("k1");
    let provider = Provider::publishing(&[&key]);
    let issuers = issuers(&provider);
    assert_eq!(provider.asked(), 0);
    for others in [
        json!({}),
        json!({"aud": ["https://else.example.com", AUDIENCE]}),
        // Clocks that are a minute apart.
        json!({"exp": now() - 50}),
        json!({"nbf": now() + 50, "iat": now() + 50}),
        json!({"nbf": null, "iat": null}),
        json!({"iat": now(), "exp": now() + 3600}),
    ] {
        let token = key.token(&claims(others.clone()));
        let Shown::Known(identity) = issuers.look_at(&token).await else {
            panic!("{others}: {:?}", issuers.look_at(&token).await);
        };
        assert_eq!(identity.to_string(), "oidc:ci:acme/app");
        assert!(matches!(&identity.proof, Proof::Oidc { .. }));
        assert_eq!(identity.groups, ["acme"]);
        let is_over = others
            .get("exp")
            .is_some_and(|exp| exp.as_u64() < Some(now()));
        assert_eq!(issuers.remembered(&token).is_none(), is_over);
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn tokens_that_are_not_good_say_why() {
    let key = SigningKey::new("k1");
    let provider = Provider::publishing(&[&key]);
    let issuers = issuers(&provider);
    for (others, why) in [
        (json!({"exp": now() - 90}), "has expired"),
        (json!({"exp": null}), "has no claim \"exp\""),
        (json!({"nbf": now() + 90}), "is not good yet"),
        (
            json!({"aud": "https://else.example.com"}),
            "is meant for another server",
        ),
        (json!({"aud": null}), "has no claim \"aud\""),
        (
            json!({"exp": now() + 7200}),
            "is good for longer than access.oidc.max_lifetime",
        ),
        (
            json!({"exp": now() + 7200, "iat": null}),
            "is good for longer than",
        ),
        (json!({"owner": "evil"}), "has a claim \"owner\""),
        (json!({"owner": null}), "has a claim \"owner\""),
        (
            json!({"repository": null}),
            "lacks a claim that access.oidc.id",
        ),
        (
            json!({"repository": "a\nb"}),
            "lacks a claim that access.oidc.id",
        ),
        (
            json!({"iss": "https://else.example.com"}),
            "is a token of a provider that this larder does not know",
        ),
        (json!({"iss": null}), "is not known to this larder"),
    ] {
        let token = key.token(&claims(others.clone()));
        match issuers.look_at(&token).await {
            Shown::Bad(text) => assert!(text.contains(why), "{others}: {text}"),
            other => panic!("{others}: {other:?}"),
        }
        assert!(issuers.remembered(&token).is_none());
    }
    let long = "x".repeat(LONGEST_TOKEN + 1);
    for text in ["", "x", "a.b.c", "eyJ.eyJ.x", &long] {
        assert!(
            matches!(issuers.look_at(text).await, Shown::Bad(_)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn forged_tokens_are_not_taken() {
    let (key, other) = (SigningKey::new("k1"), SigningKey::new("k1"));
    let provider = Provider::publishing(&[&key]);
    let issuers = issuers(&provider);
    let good = claims(json!({}));
    let (body, signature) = {
        let token = key.token(&good);
        let (body, signature) = token.rsplit_once('.').unwrap();
        (body.to_owned(), signature.to_owned())
    };
    let unsigned = message(&json!({"alg": "none", "kid": "k1"}), &good);
    // The public key as a shared secret.
    let confused = {
        let message = message(&json!({"alg": "HS256", "kid": "k1"}), &good);
        let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key.public_bytes());
        let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
        format!("{message}.{}", BASE64.encode(tag))
    };
    let altered = {
        let header = body.split('.').next().unwrap();
        let claims = claims(json!({"repository": "acme/other"}));
        format!("{header}.{}.{signature}", BASE64.encode(claims.to_string()))
    };
    // Keys that the token brings along, or says where they are.
    let brought = other.with_header(
        &json!({"alg": "ES256", "kid": "k1", "jwk": other.published(), "jku": "https://evil.example.com/keys"}),
        &good,
    );
    let critical = key.with_header(
        &json!({"alg": "ES256", "kid": "k1", "crit": ["exp"]}),
        &good,
    );
    for (what, token) in [
        ("not signed", format!("{unsigned}.")),
        ("the key as a secret", confused),
        ("altered", altered),
        ("signed by somebody else", other.token(&good)),
        ("with its own key", brought),
        ("cut", format!("{body}.{}", &signature[..40])),
        (
            "another algorithm",
            format!(
                "{}.{signature}",
                message(&json!({"alg": "RS256", "kid": "k1"}), &good)
            ),
        ),
        ("something critical", critical),
    ] {
        let shown = issuers.look_at(&token).await;
        assert!(matches!(shown, Shown::Bad(_)), "{what}: {shown:?}");
    }
}

#[tokio::test]
async fn unknown_keys_are_asked_for_once_a_minute() {
    let keys = [
        SigningKey::new("k1"),
        SigningKey::new("k2"),
        SigningKey::new("k3"),
    ];
    let provider = Provider::publishing(&[&keys[0]]);
    let clock = Arc::new(Manual::at(SystemClock.now()));
    let issuers = issuers_with(settings(), &provider, clock.clone());
    let tokens = keys.each_ref().map(|key| key.token(&claims(json!({}))));
    let known = async |at: usize| matches!(issuers.look_at(&tokens[at]).await, Shown::Known(_));
    assert!(known(0).await);
    for _ in 0..100 {
        let flood = SigningKey::new("flood").token(&claims(json!({})));
        let shown = issuers.look_at(&flood).await;
        assert!(
            matches!(&shown, Shown::Bad(why) if why.contains("does not publish")),
            "{shown:?}"
        );
    }
    assert_eq!(provider.asked(), 1);
    // The provider has changed its keys.
    *provider.answer.lock() = Some(set(&[&keys[1]]));
    assert!(!known(1).await);
    clock.pass(Duration::from_secs(61));
    assert!(known(1).await);
    assert_eq!(provider.asked(), 2);
    // An hour later it is away, and what is known goes on.
    *provider.answer.lock() = None;
    clock.pass(Duration::from_secs(3700));
    assert!(known(1).await);
    assert_eq!(provider.asked(), 3);
    assert!(known(1).await);
    let shown = issuers.look_at(&tokens[2]).await;
    assert!(
        matches!(&shown, Shown::Undecided(why) if why.contains("connection refused")),
        "{shown:?}"
    );
    assert_eq!(provider.asked(), 3);
    // It is back, and asked soon.
    *provider.answer.lock() = Some(set(&[&keys[1], &keys[2]]));
    clock.pass(Duration::from_secs(6));
    assert!(known(2).await);
    assert_eq!(provider.asked(), 4);
}

#[tokio::test]
async fn kept_keys_serve_while_the_provider_is_away() {
    let key = SigningKey::new("k1");
    let provider = Provider::publishing(&[&key]);
    let token = key.token(&claims(json!({})));
    assert!(matches!(
        issuers(&provider).look_at(&token).await,
        Shown::Known(_)
    ));
    *provider.answer.lock() = None;
    // As after a restart.
    assert!(matches!(
        issuers(&provider).look_at(&token).await,
        Shown::Known(_)
    ));
    // Without them nobody can say.
    *provider.kept.lock() = Some("damaged".into());
    assert!(matches!(
        issuers(&provider).look_at(&token).await,
        Shown::Undecided(_)
    ));
    for answer in [
        "",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"eHh4\",\"kid\":\"k1\"}]}",
    ] {
        *provider.answer.lock() = Some(answer.to_owned());
        assert!(
            matches!(
                issuers(&provider).look_at(&token).await,
                Shown::Undecided(_)
            ),
            "{answer}"
        );
    }
    // One key that is not understood is no reason to leave out the others.
    let strange = format!("{{\"keys\":[{{\"kty\":\"new\"}},7,{}]}}", key.published());
    *provider.answer.lock() = Some(strange);
    assert!(matches!(
        issuers(&provider).look_at(&token).await,
        Shown::Known(_)
    ));
}

#[tokio::test]
async fn several_say_who_tokens_of_one_provider_are_for() {
    let key = SigningKey::new("k1");
    let provider = Provider::publishing(&[&key]);
    let clock: SharedClock = Arc::new(SystemClock);
    let issuer = |name: &str, owner: &str| {
        let settings = IssuerSettings {
            name: name.to_owned(),
            claims: vec![ClaimRule {
                claim: "owner".to_owned(),
                values: vec![Wildcard::new(owner)],
            }],
            ..settings()
        };
        Arc::new(Issuer::new(settings, provider.source(), Arc::clone(&clock)))
    };
    let issuers = Issuers::new(
        vec![issuer("one", "a"), issuer("two", "acme")],
        Arc::clone(&clock),
    );
    let Shown::Known(identity) = issuers.look_at(&key.token(&claims(json!({})))).await else {
        panic!("not known");
    };
    assert_eq!(identity.to_string(), "oidc:two:acme/app");
}

#[tokio::test]
async fn a_token_is_remembered_until_it_expires() {
    let key = SigningKey::new("k1");
    let provider = Provider::publishing(&[&key]);
    let clock = Arc::new(Manual::at(SystemClock.now()));
    let issuers = issuers_with(settings(), &provider, clock.clone());
    let token = key.token(&claims(json!({})));
    assert!(issuers.remembered(&token).is_none());
    assert!(matches!(issuers.look_at(&token).await, Shown::Known(_)));
    clock.pass(Duration::from_secs(290));
    assert!(issuers.remembered(&token).is_some());
    clock.pass(Duration::from_secs(11));
    assert!(issuers.remembered(&token).is_none());
}
