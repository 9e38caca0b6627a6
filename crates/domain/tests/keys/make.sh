#!/bin/sh
# Makes the throw-away keys of the tests, into the current directory.
set -eu
make() { # NAME, then ssh-keygen's arguments
    name=$1; shift
    ssh-keygen -q -N '' -C "$name of the tests" "$@" -f "$name.openssh"
    mv "$name.openssh.pub" "$name.pub"
    ssh-keygen -q -N '' -C "another $name" "$@" -f other
    mv other.pub "$name.other.pub"
    rm other
}
make rsa -t rsa -b 2048
make p256 -t ecdsa -b 256
make p384 -t ecdsa -b 384
make p521 -t ecdsa -b 521
make ed25519 -t ed25519
for name in rsa p256 p384 p521; do
    for form in PEM PKCS8; do
        cp "$name.openssh" work
        chmod 600 work
        ssh-keygen -q -p -N '' -m "$form" -f work
        mv work "$name.$form"
    done
done
mv rsa.PEM rsa.pkcs1
for name in p256 p384 p521; do mv "$name.PEM" "$name.sec1"; done
for name in rsa p256 p384 p521; do mv "$name.PKCS8" "$name.pkcs8"; done
# OpenSSH cannot write Ed25519 as PKCS#8, so this pair is OpenSSL's.
openssl genpkey -algorithm ed25519 -out ed25519-openssl.pkcs8
python3 - <<'PY' > ed25519-openssl.pub
import base64, subprocess
der = subprocess.run(["openssl", "pkey", "-in", "ed25519-openssl.pkcs8", "-pubout", "-outform", "DER"],
                     check=True, capture_output=True).stdout
name = b"ssh-ed25519"
blob = len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big") + der[-32:]
print("ssh-ed25519", base64.b64encode(blob).decode())
PY
# The curve's name in a block of its own, as `openssl ecparam -genkey` writes it.
openssl ecparam -name prime256v1 -genkey -out p256-params.sec1
ssh-keygen -y -f p256-params.sec1 > p256-params.pub
# What must be refused: passphrases, and algorithms that are not taken.
ssh-keygen -q -N passphrase -t ed25519 -C encrypted -f encrypted.openssh
mv encrypted.openssh.pub encrypted.pub
openssl genpkey -algorithm ed25519 -aes-256-cbc -pass pass:passphrase -out encrypted.pkcs8
openssl rsa -in rsa.pkcs1 -traditional -aes128 -passout pass:passphrase -out encrypted.pkcs1
openssl genpkey -algorithm ed448 -out ed448.pkcs8
openssl ecparam -name secp256k1 -genkey -noout -out secp256k1.sec1
openssl dsaparam -genkey -noout -out dsa.pem 1024
openssl pkey -in p256.pkcs8 -pubout -out p256.spki
chmod 644 -- *[!h]
