//! Asking pages, and git hosts why they say no, over HTTP.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::time::Instant;
use url::Url;

use super::guard::{Barred, Guard};
use super::reserved::Reserved;
use super::resolve::{MetaPage, PageError};
use crate::coding;
use crate::credentials::Credentials;

/// Before something that failed is asked for again.
const AGAIN: Duration = Duration::from_millis(200);
/// What git asks a repository first.
const FIRST: &str = "/info/refs?service=git-upload-pack";
/// What git's answer to that is called.
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";
/// How it may begin, behind a length of four digits.
const BEGINNINGS: [&[u8]; 2] = [b"# service=git-upload-pack", b"version 2"];
/// As much of an answer as shows that. Bytes.
const BEGINNING: usize = 32;

/// Gives a client, made when it is first needed: it takes memory and time.
pub type MakeClient = Arc<dyn Fn() -> Result<HostConnections, String> + Send + Sync>;

/// A client with the connections that it has.
pub struct HostConnections {
    pub client: reqwest::Client,
    /// Has all later requests go onto new connections: one of these may have died without a word.
    pub leave_behind: Box<dyn FnOnce() + Send>,
}

/// A client for addresses that strangers name.
pub struct Web {
    client: MakeClient,
    guard: Arc<Guard>,
    credentials: Arc<Credentials>,
    time: Duration,
    /// Of a page. Bytes.
    max_page: usize,
}

/// What a git host says to the first thing that git asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub status: u16,
    /// Where the repository is, if that is elsewhere.
    pub moved: Option<String>,
    /// Whether the answer is one of git's.
    pub is_git: bool,
}

impl Web {
    /// The client, which is made when it is needed, resolves and redirects by the `guard`; an answer is there within
    /// `time`. Of a page `max_page` bytes are read: tags stand in its head.
    pub fn new(
        client: MakeClient,
        guard: Arc<Guard>,
        credentials: Arc<Credentials>,
        time: Duration,
        max_page: usize,
    ) -> Self {
        Web {
            client,
            guard,
            credentials,
            time,
            max_page,
        }
    }

    /// Gets a page, as who we are by `own` or else by what is known of its host. What may pass is asked for once more.
    pub async fn page(&self, url: &str, own: Option<HeaderValue>) -> Result<MetaPage, PageError> {
        let began = Instant::now();
        let mut first = self.page_once(url, own.clone()).await;
        if own.is_none() && first.as_ref().is_ok_and(|page| page.status == 401) {
            first = self.as_renewed(url, first).await;
        }
        let may_pass = match &first {
            Ok(page) => page.status >= 500 || page.status == 429,
            Err(PageError::Fault(_)) => true,
            // Not the host but the connection was too slow: it was found dead.
            Err(PageError::Timeout) => began.elapsed() < self.time,
            Err(_) => false,
        };
        if !may_pass {
            return first;
        }
        tokio::time::sleep(AGAIN).await;
        self.page_once(url, own).await
    }

    /// A page has refused who we are by what is known of its host, which may have been renewed.
    async fn as_renewed(
        &self,
        url: &str,
        refused: Result<MetaPage, PageError>,
    ) -> Result<MetaPage, PageError> {
        let Ok(parsed) = Url::parse(url) else {
            return refused;
        };
        let sent = self.credentials.known().authorization(&parsed);
        match self.credentials.renewed(&parsed, None, sent.as_ref()).await {
            Some(login) => self.page_once(url, Some(login)).await,
            None => refused,
        }
    }

    async fn page_once(&self, url: &str, own: Option<HeaderValue>) -> Result<MetaPage, PageError> {
        let url = self.permitted(url).await?;
        let login = match own {
            Some(own) => Some(own),
            None => self.credentials.authorization(&url).await,
        };
        let mut answer = self.get(url, login).await?;
        let status = answer.status().as_u16();
        let says_gzip = coding::says_gzip(answer.headers());
        let mut body = BytesMut::new();
        let read = async {
            while let Some(piece) = answer.chunk().await? {
                let room = self.max_page.saturating_sub(body.len());
                body.extend_from_slice(&piece[..piece.len().min(room)]);
                if body.len() == self.max_page {
                    break;
                }
            }
            Ok(())
        };
        match tokio::time::timeout(self.time, read).await {
            Ok(Ok(())) => {
                let body = match says_gzip && coding::is_gzip(&body) {
                    true => coding::beginning(&body, self.max_page as u64).into(),
                    false => body.freeze(),
                };
                Ok(MetaPage { status, body })
            }
            Ok(Err(error)) => Err(page_error(&error)),
            Err(_) => Err(PageError::Timeout),
        }
    }

    /// Asks a repository what git has asked it, to find out why git was refused.
    pub async fn probe(
        &self,
        repository: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Probe, PageError> {
        let asked = format!("{}{FIRST}", repository.trim_end_matches('/'));
        let url = self.permitted(&asked).await?;
        let mut answer = self.get(url.clone(), authorization).await?;
        let moved = (*answer.url() != url).then(|| answer.url().as_str().strip_suffix(FIRST));
        let (status, moved) = (answer.status(), moved.flatten().map(str::to_owned));
        let kind = answer.headers().get(CONTENT_TYPE);
        let mut is_git = status.is_success()
            && kind.is_some_and(|kind| kind.as_bytes().starts_with(ADVERTISEMENT.as_bytes()));
        if status.is_success() && !is_git {
            let mut begun = BytesMut::new();
            let read = async {
                while begun.len() < BEGINNING {
                    match answer.chunk().await {
                        Ok(Some(piece)) => begun.extend_from_slice(&piece),
                        _ => break,
                    }
                }
            };
            // Too slow is not one of git's either.
            let _ = tokio::time::timeout(self.time, read).await;
            is_git = begins_as_git(&begun);
        }
        Ok(Probe {
            status: status.as_u16(),
            moved,
            is_git,
        })
    }

    async fn permitted(&self, url: &str) -> Result<Url, PageError> {
        let url = Url::parse(url).map_err(|error| PageError::Fault(error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let line = self.guard.line(url.scheme(), host, port).await;
        line.map_err(barred)?;
        Ok(url)
    }

    async fn get(
        &self,
        url: Url,
        authorization: Option<HeaderValue>,
    ) -> Result<reqwest::Response, PageError> {
        let connections = (self.client)().map_err(PageError::Fault)?;
        let mut request = connections.client.get(url).timeout(self.time * 2);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let answer = match tokio::time::timeout(self.time, request.send()).await {
            Ok(answer) => answer.map_err(|error| page_error(&error)),
            Err(_) => Err(PageError::Timeout),
        };
        if let Err(PageError::Timeout | PageError::Fault(_)) = &answer {
            (connections.leave_behind)();
        }
        answer
    }
}

fn begins_as_git(begun: &[u8]) -> bool {
    let (length, rest) = begun.split_at(begun.len().min(4));
    let is_length = length.len() == 4 && length.iter().all(u8::is_ascii_hexdigit);
    is_length && BEGINNINGS.iter().any(|it| rest.starts_with(it))
}

/// Judges the host of a redirect by what is written; its address is judged when it is resolved.
pub fn judge_redirect(guard: &Guard, reserved: &Reserved, url: &Url) -> Result<(), String> {
    if reserved.covers_url(url) {
        return Err("it leads to what is for private modules alone".into());
    }
    let host = url.host_str().unwrap_or_default();
    guard.judge(host).map_err(|error| error.to_string())
}

fn barred(error: Barred) -> PageError {
    match error {
        Barred::Inside(_) => PageError::Forbidden(error.to_string()),
        Barred::NoHost(_) => PageError::NoHost,
        Barred::Unresolved { .. } => PageError::Fault(error.to_string()),
    }
}

fn page_error(error: &reqwest::Error) -> PageError {
    let mut causes = vec![];
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(known) = inner.downcast_ref::<Barred>() {
            return barred(known.clone());
        }
        causes.push(inner.to_string());
        cause = inner.source();
    }
    if error.is_timeout() {
        return PageError::Timeout;
    }
    // The outermost repeats the address; the innermost says what is wrong.
    let text = causes.pop().unwrap_or_default();
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    // Going in circles is a fault; where it must not go is for good.
    match error.is_redirect() && !text.starts_with("more than") {
        true => PageError::Forbidden(format!("its redirect is not followed: {text}")),
        false => PageError::Fault(text),
    }
}
