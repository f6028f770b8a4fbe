//! Another module proxy, and what its failures mean for whoever asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::{FetchRequest, Known, Origin, OriginError, Reply, Revalidation};
use crate::engine::error::{Class, EngineError};
use crate::gomod::Version;
use crate::protocol::{CheckedBody, Key, Kind};
use crate::upstream::{
    Failure, Revalidated, SinkError, SourceError, Upstream, UpstreamRequest, Validators, ZipStream,
};

#[async_trait]
impl Origin for Upstream {
    fn label(&self) -> &Arc<str> {
        self.label()
    }

    fn is_proxy(&self) -> bool {
        true
    }

    async fn fetch_small(
        &self,
        request: &FetchRequest<'_>,
        time: Duration,
    ) -> Result<Reply, OriginError> {
        let path = request.key.to_string();
        let check = |body: &Bytes| request.check(body);
        let fetched = self.fetch_small(&asked(request, &path), time, &check).await;
        match fetched {
            Ok((content, validators)) => Ok(reply(self, content, validators)),
            Err(error) => Err(failed(request, self, &error)),
        }
    }

    async fn revalidate(
        &self,
        request: &FetchRequest<'_>,
        known: &Known<'_>,
        time: Duration,
    ) -> Result<Revalidation, OriginError> {
        if *known.from != **self.label() {
            let reply = Origin::fetch_small(self, request, time).await?;
            return Ok(Revalidation::New(reply));
        }
        let path = request.key.to_string();
        let check = |body: &Bytes| request.check(body);
        let asked = asked(request, &path);
        match self
            .revalidate(&asked, known.validators, time, &check)
            .await
        {
            Ok(Revalidated::NotModified) => Ok(Revalidation::NotModified),
            Ok(Revalidated::New(content, validators)) => {
                Ok(Revalidation::New(reply(self, content, validators)))
            }
            Err(error) => Err(failed(request, self, &error)),
        }
    }

    async fn fetch_zip(
        &self,
        request: &FetchRequest<'_>,
        _version: &Version,
        time: Duration,
        stream: &mut ZipStream<'_>,
    ) -> Result<Arc<str>, OriginError> {
        let path = request.key.to_string();
        match stream.fetch(self, &asked(request, &path), time).await {
            Ok(()) => Ok(Arc::clone(self.label())),
            Err(error) => Err(failed(request, self, &error)),
        }
    }

    fn wants_rest(&self) -> bool {
        self.wants_rest()
    }

    fn has_answered_since(&self, then: Instant) -> bool {
        self.has_answered_since(then)
    }

    fn as_upstream(&self) -> Option<&Upstream> {
        Some(self)
    }
}

fn asked<'a>(request: &FetchRequest<'a>, path: &'a str) -> UpstreamRequest<'a> {
    UpstreamRequest {
        path,
        module: Some(request.key.module()),
        first_byte: None,
        max: request.max,
        max_of_strangers: request.max_of_strangers,
        large: matches!(request.key, Key::File(file) if file.kind == Kind::Zip),
        context: request.context,
    }
}

fn reply(upstream: &Upstream, content: CheckedBody, validators: Validators) -> Reply {
    Reply {
        content,
        validators,
        from: Arc::clone(upstream.label()),
    }
}

fn failed(request: &FetchRequest<'_>, upstream: &Upstream, error: &SourceError) -> OriginError {
    let what = request.describe();
    let label = upstream.label();
    let mut failed = match error.failure() {
        Some(Failure::Absent { status, text }) => {
            let brief = match text.as_str() {
                "" => format!("{label} says {status}"),
                words => format!("{label} says: {words}"),
            };
            let gone = status.as_u16() == 410;
            let mut error = EngineError::new(
                Class::Absent { gone },
                format!("not found: {what}: {brief}"),
            );
            error.said_by_all = true;
            OriginError { error, brief }
        }
        _ => OriginError::new(fault(&what, upstream, error)),
    };
    failed.error.upstream = Some(label.to_string());
    failed
}

/// What to say about an upstream that could not answer.
fn fault(what: &str, upstream: &Upstream, error: &SourceError) -> EngineError {
    let label = upstream.label();
    let failure = match error {
        SourceError::Failed { failure, .. } => failure,
        SourceError::Open { left, .. } | SourceError::Paused(left) => {
            let mut verdict = EngineError::new(
                Class::Unavailable,
                format!("{what}: upstream {label} is not available: {error}"),
            )
            .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(*left);
            return verdict;
        }
        SourceError::Busy => {
            let mut verdict = EngineError::new(
                Class::Unavailable,
                format!("{what}: upstream {label}: {error}"),
            )
            .and("It is slow at the moment. Try again in a moment.");
            verdict.retry_after = Some(Duration::from_secs(5));
            return verdict;
        }
    };
    let retry = "What is kept here goes on being served. Try again; if it stays so, look at that upstream's state.";
    match failure {
        Failure::Refused { text } => {
            let words = if text.is_empty() { "403 Forbidden" } else { text };
            EngineError::new(Class::Refused, format!("{words} ({what}: refused by {label} with 403)"))
                .and("Ask whoever runs that upstream whether the module may be used.")
        }
        Failure::Login(status) => EngineError::new(
            Class::Upstream,
            format!("{what}: upstream {label} answered {status}: {}", if upstream.has_credentials() {
                "it does not accept larder's credentials"
            } else {
                "it wants credentials and larder has none for it"
            }),
        )
        .and(format!("Larder's operator sets them as [[credentials]] host = \"{}\" in its configuration, or in netrc.", upstream.base().host_str().unwrap_or_default())),
        Failure::Limited { after, .. } => {
            let mut verdict = EngineError::new(Class::Unavailable, format!("{what}: upstream {label}: {error}"))
                .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(after.unwrap_or(Duration::from_secs(5)).min(Duration::from_secs(60)));
            verdict
        }
        Failure::Timeout(_) => EngineError::new(Class::Timeout, format!("{what}: upstream {label}: {error}")).and(retry),
        Failure::Loop => EngineError::new(Class::Upstream, format!("{what}: upstream {label}: {error}"))
            .and("Larder's operator must take it out of the chain of upstreams (--upstream)."),
        Failure::TooLarge(_) => {
            let mut verdict = EngineError::new(Class::Upstream, format!("{what}: upstream {label}: {error}"));
            verdict.too_large = true;
            verdict
        }
        Failure::Crowded => {
            let mut verdict = EngineError::new(Class::Overloaded, format!("{what}: upstream {label}: {error}"))
                .and("What is kept here goes on being served. Try again in a moment.");
            verdict.retry_after = Some(Duration::from_secs(2));
            verdict
        }
        Failure::Sink(SinkError::Store(text)) => {
            tracing::error!(%text, what, "a fetched file could not be written");
            EngineError::ours(format!("{what}: larder could not store what it fetched"))
        }
        Failure::Sink(SinkError::Content(text)) => {
            EngineError::new(Class::Upstream, format!("{what}: upstream {label}: its answer is not what was asked for: {text}")).and(retry)
        }
        _ => EngineError::new(Class::Upstream, format!("{what}: upstream {label} failed: {error}")).and(retry),
    }
}
