#!/bin/sh
# Makes hosts.pem and hosts.key, the certificate of the git host in the tests and its key, and hosts-authority.pem,
# the authority that signed it, whose key is thrown away. Run it again when a test needs one more name.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
names='DNS:example.com, DNS:*.example.com, DNS:*.corp.example.com, DNS:*.example.org, DNS:gopkg.in, DNS:github.com,
 DNS:bitbucket.org, DNS:localhost, IP:127.0.0.1'
names=$(echo "$names" | tr -d '\n')

openssl ecparam -name prime256v1 -genkey -noout -out "$work/authority.key"
openssl req -x509 -new -key "$work/authority.key" -sha256 -days 36500 -subj '/CN=Larder test authority for git hosts' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign' -out hosts-authority.pem

openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out hosts.key
openssl req -new -key hosts.key -subj '/CN=git.example.com' -out "$work/hosts.csr"
cat > "$work/extensions" <<END
subjectAltName=$names
basicConstraints=critical,CA:FALSE
extendedKeyUsage=serverAuth
keyUsage=critical,digitalSignature
END
openssl x509 -req -in "$work/hosts.csr" -CA hosts-authority.pem -CAkey "$work/authority.key" -CAcreateserial \
    -CAserial "$work/serial" -sha256 -days 36500 -extfile "$work/extensions" -out hosts.pem
