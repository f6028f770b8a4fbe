//! `larder reload`

use std::process::ExitCode;

use super::exit;
use super::operate::{Here, OperateContext};
use super::show::{Form, Show};
use super::whereabouts;
use crate::admin::{ConfigReload, Never, ServedConfig};
use crate::config::Loaded;
use crate::kit::reload::Reloaded;
use crate::store::DataDir;

impl Show for ConfigReload {
    const FORM: Form = Form::Document;
    type Seen = ();

    fn item((): &mut (), never: &Never) -> Option<String> {
        match *never {}
    }

    fn done((): &(), done: &Reloaded) -> Vec<String> {
        let mut lines = vec![match done.changed.as_slice() {
            [] => "reloaded; nothing has changed that can change while it runs".to_owned(),
            keys => format!("reloaded; changed: {}", keys.join(", ")),
        }];
        if !done.needs_restart.is_empty() {
            lines.push(format!(
                "changed, and waits for a restart: {}",
                done.needs_restart.join(", ")
            ));
        }
        for shadowed in &done.shadowed {
            lines.push(format!(
                "{}: changed in the file, but {} says otherwise",
                shadowed.key, shadowed.by
            ));
        }
        let warnings = done.warnings.iter();
        lines.extend(warnings.map(|warning| format!("warning: {warning}")));
        lines
    }
}

impl Here for ServedConfig {
    /// Who does not run will read it at its start.
    async fn open(
        loaded: &Loaded,
        _: &OperateContext<'_>,
        _: bool,
    ) -> Result<(Self, DataDir), ExitCode> {
        let mut text = format!(
            "no server is running on the data directory {}, so there is nothing to reload",
            whereabouts::named(loaded)
        );
        if let Some(elsewhere) = whereabouts::elsewhere(loaded).await {
            text = format!("{text}; {elsewhere}");
        }
        Err(exit::fail(exit::OURS, &text))
    }
}
