#!/bin/sh
# Makes self-signed.pem and self-signed.key: what `openssl req -x509` makes by default, an authority's certificate that
# signs itself, for an upstream and for git hosts.
set -eu
cd "$(dirname "$0")"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 36500 -subj '/CN=localhost' \
    -addext 'subjectAltName=DNS:localhost, IP:127.0.0.1, DNS:*.example.com' \
    -keyout self-signed.key -out self-signed.pem
