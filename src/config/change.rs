//! What of a configuration can change while the server runs, and what is different in another one.

use super::Config;

/// Declares what is put in force without a restart. All else waits for one.
macro_rules! live {
    (
        $($section:ident . $key:ident,)*
        $([[$array:ident]],)*
    ) => {
        impl Config {
            /// This one, with all that can change while the server runs as `next` has it.
            pub fn with_changes_of(&self, next: &Config) -> Config {
                let mut config = self.clone();
                $(config.$section.$key = next.$section.$key.clone();)*
                $(config.$array = next.$array.clone();)*
                config
            }
        }
    };
}

live! {
    server.watch,
    upstream.chain,
    upstream.chain_source,
    upstream.connect_timeout,
    upstream.first_byte_timeout,
    upstream.idle_timeout,
    upstream.attempts,
    upstream.ca_files,
    upstream.client_cert,
    upstream.client_key,
    upstream.netrc,
    upstream.no_http2,
    prefetch.include_private,
    direct.allow_hosts,
    direct.refs_ttl,
    direct.timeout,
    direct.max_repository,
    direct.insecure,
    freshness.ttl,
    freshness.negative_ttl,
    freshness.refused_ttl,
    freshness.refresh_wait,
    modules.private,
    private.open,
    access.default,
    access.trusted_proxies,
    limits.misses_per_client,
    limits.requests_per_second,
    limits.bytes_per_second,
    limits.queue,
    limits.exempt,
    sumdb.exclude,
    sumdb.on_unavailable,
    sumdb.on_unknown,
    sumdb.patience,
    log.level,
    [[credentials]],
    [[routes]],
    [[access_rules]],
    [[access_oidc]],
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Operator, loaded, loaded_with};

    #[test]
    fn what_changes_and_what_waits_for_a_restart() {
        let running = loaded("[freshness]\nttl = \"1m\"\n").config;
        let next = "[freshness]\nttl = \"2m\"\nbackground = false\n[server]\nlisten = \":1\"\n\
                    [[routes]]\nmatch = \"a.example.com\"\nvia = \"refuse\"\n";
        let mut next = loaded(next).config;
        next.store.data_dir = running.store.data_dir.clone();
        let in_force = running.with_changes_of(&next);
        assert_eq!(in_force.changed_keys(&running), ["freshness.ttl", "routes"]);
        assert_eq!(
            next.changed_keys(&in_force),
            ["server.listen", "freshness.background"]
        );
        assert_eq!(in_force.server, running.server);
        // Once more changes nothing more.
        assert_eq!(in_force.with_changes_of(&next), in_force);
    }

    #[test]
    fn where_a_table_stands_is_no_change() {
        let table = "[[routes]]\nmatch = \"a.example.com\"\nvia = \"refuse\"\n";
        let one = Operator::new(table);
        let first = one.load().expect("a configuration").config;
        let file = one.overrides.config.as_deref().expect("a file");
        std::fs::write(file, format!("# A line more.\n{table}")).expect("a file");
        let second = one.load().expect("a configuration").config;
        assert_eq!(second.changed_keys(&first), Vec::<&str>::new());
        std::fs::write(file, table.replace("refuse", "direct")).expect("a file");
        let third = one.load().expect("a configuration").config;
        assert_eq!(third.changed_keys(&first), ["routes"]);
    }

    #[test]
    fn what_the_environment_shadows() {
        let variables = [
            ("LARDER_FRESHNESS__TTL", "5m"),
            ("LARDER_LOG__LEVEL", "warn"),
        ];
        let loaded = loaded_with("[freshness]\nttl = \"1m\"\n", &variables);
        let shadowed = loaded.shadowed.iter();
        let shown: Vec<_> = shadowed
            .map(|it| format!("{} {} {}", it.key, it.in_file, it.by))
            .collect();
        assert_eq!(shown, ["freshness.ttl \"1m\" LARDER_FRESHNESS__TTL"]);
    }
}
