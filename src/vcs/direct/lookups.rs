//! What resolving asks over the network: pages, and whether a repository answers.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::repositories::Direct;
use crate::credentials::Login;
use crate::vcs::mirror::{MirrorKey, RefsLimit, Remote};
use crate::vcs::resolve::{MetaPage, PageError, RemoteLookups};
use crate::vcs::rules::{HostRules, Purpose};
use crate::vcs::url::{RepoUrl, Scheme};

/// What resolving asks, under the rules of one profile.
pub(super) struct LiveLookups {
    pub(super) direct: Arc<Direct>,
    pub(super) rules: Arc<HostRules>,
    pub(super) insecure: Arc<HostRules>,
}

#[async_trait]
impl RemoteLookups for LiveLookups {
    async fn page(&self, url: &str) -> Result<MetaPage, PageError> {
        let own = self.rules.login_for_page(url).await;
        let hosts = self.direct.hosts();
        let began = Instant::now();
        let parsed = url::Url::parse(url).map_err(|error| PageError::Fault(error.to_string()))?;
        let permit = hosts
            .permit_page(parsed.host_str().unwrap_or_default(), &self.rules)
            .await;
        let permit = permit.map_err(|error| PageError::Fault(error.to_string()))?;
        let web = &hosts.client(&self.rules).web;
        let header = |login: &Option<Login>| login.as_ref().and_then(Login::header);
        let mut page = web.page(url, header(&own)).await;
        if page.as_ref().is_ok_and(|page| page.status == 401)
            && let Some(own) = &own
            && let Some(renewed) = self.rules.renewed_for_page(url, own).await
        {
            page = web.page(url, renewed.header()).await;
        }
        match &page {
            Err(error @ (PageError::Fault(_) | PageError::Timeout)) => {
                permit.failed(&error.to_string());
            }
            _ => permit.answered(),
        }
        let outcome = match &page {
            Ok(page) if page.status < 500 => "ok",
            Ok(_) | Err(PageError::Fault(_)) => "fault",
            Err(PageError::NoHost) => "missing",
            Err(PageError::Forbidden(_)) => "refused",
            Err(PageError::Timeout) => "timeout",
        };
        hosts.metrics().asked("page", outcome, began.elapsed());
        page
    }

    async fn answers(&self, url: &RepoUrl) -> bool {
        let hosts = self.direct.hosts();
        let rules = match url.scheme() {
            Scheme::Http => &self.insecure,
            _ => &self.rules,
        };
        let reserved = url::Url::parse(url.as_str())
            .is_ok_and(|url| hosts.client(rules).reserved.covers_url(&url));
        if reserved {
            return false;
        }
        let purpose = Purpose {
            rules: Arc::clone(rules),
            url: url.clone(),
            own_host: true,
        };
        let Ok(who) = hosts.who(url, &purpose).await else {
            return false;
        };
        let Ok(access) = hosts.access(url, rules, who.as_ref()).await else {
            return false;
        };
        let Ok(permit) = hosts.permit_briefly(url, rules).await else {
            return false;
        };
        // That one scheme is not served says nothing of the host.
        if hosts.connects(&permit, url, rules, &access).await.is_err() {
            return false;
        }
        let remote = Remote {
            url: url.as_str(),
            access: &access,
            time: rules.timeout,
            size: 0,
            memory: rules.memory(),
            space: &self.direct.shared.space,
        };
        let mirror = self.direct.mirror(MirrorKey {
            url: url.as_str().to_owned(),
            identity: hosts.identity(&purpose),
            tenant: rules.tenant(),
        });
        let found = mirror.refs(remote, RefsLimit::of(rules.tenant())).await;
        found.is_ok()
    }
}
