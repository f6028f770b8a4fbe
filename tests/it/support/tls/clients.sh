#!/bin/sh
# Makes client.pem and client.key, the certificate of a client and its key; client-authority.pem, the authority that
# signed it, whose key is thrown away; and expired.pem and expired.key, of a server whose certificate is long over.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

openssl ecparam -name prime256v1 -genkey -noout -out "$work/authority.key"
openssl req -x509 -new -key "$work/authority.key" -sha256 -days 36500 -subj '/CN=Larder test authority for clients' \
    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign' -out client-authority.pem

openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out client.key
openssl req -new -key client.key -subj '/O=Example/CN=Build machine 7' -out "$work/client.csr"
cat > "$work/extensions" <<END2
subjectAltName=DNS:build-7.example.com, URI:spiffe://example.com/build-7, IP:127.0.0.1
basicConstraints=critical,CA:FALSE
extendedKeyUsage=clientAuth
keyUsage=critical,digitalSignature
END2
openssl x509 -req -in "$work/client.csr" -CA client-authority.pem -CAkey "$work/authority.key" -CAcreateserial \
    -CAserial "$work/serial" -sha256 -days 36500 -extfile "$work/extensions" -out client.pem

openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out expired.key
openssl req -new -key expired.key -subj '/CN=localhost' -out "$work/expired.csr"
touch "$work/index"
cat > "$work/ca.cnf" <<END2
[ca]
default_ca = test
[test]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = DNS:localhost, IP:127.0.0.1
END2
openssl ca -batch -config "$work/ca.cnf" -extensions names -selfsign -keyfile expired.key -in "$work/expired.csr" -notext \
    -startdate 20200101000000Z -enddate 20210203040506Z -out expired.pem
