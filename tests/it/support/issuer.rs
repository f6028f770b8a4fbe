//! An OpenID provider: it publishes its keys, and signs tokens.

use super::upstream::FakeUpstream;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub const AUDIENCE: &str = "https://larder.example.com";

/// A provider whose tokens are of jobs in repositories.
pub struct Issuer {
    pub site: FakeUpstream,
    key: EcdsaKeyPair,
}

impl Issuer {
    pub fn start() -> Issuer {
        let site = FakeUpstream::start();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref()).unwrap();
        let point = key.public_key().as_ref();
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
        }]});
        let issuer = Issuer { site, key };
        let found = json!({
            "issuer": issuer.url(),
            "jwks_uri": format!("{}/keys", issuer.url()),
        });
        let put = |path: &str, body: Value| {
            issuer
                .site
                .put(path, "application/json", body.to_string().into_bytes());
        };
        put("/.well-known/openid-configuration", found);
        put("/keys", keys);
        issuer
    }

    pub fn url(&self) -> String {
        self.site.url()
    }

    /// As `[[access.oidc]]`.
    pub fn table(&self) -> String {
        format!(
            "[[access.oidc]]\nname = \"ci\"\nissuer = \"{}\"\naudience = [\"{AUDIENCE}\"]\n\
             claims = {{ owner = \"acme\" }}\nid = \"{{repository}}\"\ngroups = [\"{{owner}}\"]\n",
            self.url()
        )
    }

    /// A token of a job in this repository, with these claims in the place of its own.
    pub fn token(&self, repository: &str, others: &Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut claims = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "job", "iat": now, "exp": now + 300,
            "owner": "acme", "repository": repository,
        });
        for (name, value) in others.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let part = |value: Value| BASE64.encode(value.to_string());
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "k1"});
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        format!("{message}.{}", BASE64.encode(signature))
    }
}
