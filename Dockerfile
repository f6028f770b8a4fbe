# Larder in a container: `docker build -t larder .`, then see docker-compose.yml.
#
# Needs BuildKit (Docker's builder since version 23): the registry's crates and the compiled dependencies live in cache
# mounts, so that a change of Larder's own sources compiles Larder alone.

FROM rust:1.95.0-slim-bookworm AS build

# aws-lc-sys compiles C. On x86-64 the image's gcc is enough, as far as seen; elsewhere it may ask for more.
RUN apt-get update \
    && apt-get install -y --no-install-recommends clang cmake g++ make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .
# Symbols are for those who build from the sources; the image goes without.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
# Cargo goes by the age of files, and an older checkout must not pass for what the cache was built from: hence `touch`.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    touch src/lib.rs src/main.rs \
    && cargo build --locked --release --bin larder \
    && install -D -m 755 target/release/larder /out/larder


FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 larder \
    && useradd --uid 65532 --gid larder --no-create-home --home-dir /var/lib/larder --shell /usr/sbin/nologin larder \
    # A new volume takes over owner and mode of what it covers.
    && install -d -o larder -g larder -m 750 /var/lib/larder

COPY --from=build /out/larder /usr/local/bin/larder
COPY LICENSE-APACHE LICENSE-MIT /usr/share/doc/larder/

# No Go toolchain is in here whose settings could be taken over: name the chain with LARDER_UPSTREAM.
ENV LARDER_LISTEN=0.0.0.0:3080 \
    LARDER_DATA_DIR=/var/lib/larder

USER 65532:65532
VOLUME /var/lib/larder
EXPOSE 3080
STOPSIGNAL SIGTERM

# bash speaks TCP by itself, so nothing needs to be installed for this.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${LARDER_LISTEN##*:}\" && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 3 line <&3 && [[ $line == *' 200 '* ]]"]

# Children of git that outlive it need somebody to wait for them.
ENTRYPOINT ["tini", "--", "larder"]
CMD ["serve"]
