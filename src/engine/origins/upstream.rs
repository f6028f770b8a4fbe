//! Another module proxy, and what its failures mean for whoever asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::{FetchRequest, Known, Origin, OriginError, Reply, Revalidation};
use crate::engine::error::{AskedUpstream, Cause, absence};
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
            Err(error) => Err(failed(request, self, error)),
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
            Err(error) => Err(failed(request, self, error)),
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
            Err(error) => Err(failed(request, self, error)),
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

fn failed(request: &FetchRequest<'_>, upstream: &Upstream, source: SourceError) -> OriginError {
    let what = request.describe();
    let label = upstream.label();
    if let Some(Failure::Sink(SinkError::Store(text))) = source.failure() {
        tracing::error!(%text, what, "a fetched file could not be written");
    }
    let brief = match source.is_absent() {
        true => absence(label, &source),
        false => String::new(),
    };
    let cause = Cause::Upstream {
        what,
        upstream: AskedUpstream {
            label: Arc::clone(label),
            host: upstream.base().host_str().unwrap_or_default().to_owned(),
            has_credentials: upstream.has_credentials(),
        },
        source,
    };
    OriginError {
        error: cause.into(),
        brief,
    }
}
