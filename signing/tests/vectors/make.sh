#!/bin/sh
# Writes the vectors of this folder anew with the openssl command line, so that nothing here was made by our own code.
# Every key is a test key: it has never protected anything and never may.
set -eu
cd "$(dirname "$0")"

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out test-key.pkcs8.pem
openssl rsa -in test-key.pkcs8.pem -traditional -out test-key.pkcs1.pem
openssl rsa -in test-key.pkcs8.pem -pubout -out test-key.public.pem

# sign HASH URL EXPIRES
sign() {
    printf '{"Statement":[{"Resource":"%s","Condition":{"DateLessThan":{"AWS:EpochTime":%s}}}]}' "$2" "$3" |
        openssl dgst "-$1" -sign test-key.pkcs8.pem | openssl base64 -A | tr '+=/' '-_~'
}

plain='https://cdn.example.test/premium/film.mp4'
query='http://cdn.example.test:8080/premium/a%20b,c.jpg?size=large&flag&t=1+2'

printf '%s?Expires=%s&Signature=%s&Key-Pair-Id=KTEST\n' \
    "$plain" 4102444800 "$(sign sha1 "$plain" 4102444800)" >sha1.url
printf '%s?Expires=%s&Signature=%s&Key-Pair-Id=KTEST&Hash-Algorithm=SHA256\n' \
    "$plain" 4102444800 "$(sign sha256 "$plain" 4102444800)" >sha256.url
printf '%s&Expires=%s&Signature=%s&Key-Pair-Id=KTEST\n' \
    "$query" 4102444800 "$(sign sha1 "$query" 4102444800)" >sha1-query.url
# The order of parameters is free, and a signer may put them before the publisher's own.
printf 'http://cdn.example.test:8080/premium/a%%20b,c.jpg?Hash-Algorithm=SHA256&Key-Pair-Id=KTEST&size=large&Signature=%s&flag&Expires=%s&t=1+2\n' \
    "$(sign sha256 "$query" 4102444800)" 4102444800 >sha256-scattered.url
printf '%s?Expires=%s&Signature=%s&Key-Pair-Id=KTEST\n' \
    "$plain" 1000000000 "$(sign sha1 "$plain" 1000000000)" >sha1-expired.url
