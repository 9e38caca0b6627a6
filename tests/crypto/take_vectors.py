#!/usr/bin/env python3
"""Takes the cases of AES-256-GCM with a 96-bit nonce and a 128-bit tag out of Wycheproof's and NIST's
files, as they are, into crates/crypto/tests/vectors/. README.md there says where the files are from.

    take_vectors.py aes_gcm_test.json gcmEncryptExtIV256.rsp gcmDecrypt256.rsp
"""

import hashlib
import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).parents[2] / "crates/crypto/tests/vectors"
FIELDS = ("key", "iv", "aad", "msg", "ct", "tag")


def wycheproof(text):
    for group in json.loads(text)["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128):
            for case in group["tests"]:
                comment = ", ".join([*filter(None, [case["comment"]]), *case["flags"]])
                fields = {field: case[field] for field in FIELDS}
                yield {"name": str(case["tcId"]), "comment": comment, "expect": case["result"], **fields}


def nist(direction, text):
    """A block that is bracketed gives lengths for the cases behind it."""
    lengths = {}
    for block in text.replace("\r", "").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("#")]
        if lines and lines[0].startswith("["):
            lengths.update(line.strip("[]").split(" = ") for line in lines)
        elif lines and (lengths["IVlen"], lengths["Taglen"]) == ("96", "128"):
            given = dict((line + " ").split(" = ", 1) for line in lines if line != "FAIL")
            given = {name: value.strip() for name, value in given.items()}
            name = f"{direction}, PT {lengths['PTlen']}, AAD {lengths['AADlen']}, {given['Count']}"
            expect = "invalid" if "FAIL" in lines else "valid"
            names = zip(FIELDS, ("Key", "IV", "AAD", "PT", "CT", "Tag"))
            fields = {field: given[theirs] for field, theirs in names if theirs in given}
            yield {"name": name, "comment": "", "expect": expect, **fields}


def write(name, about, sources, cases):
    cases = list(cases)
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    sources = {path.name: digest(path) for path in map(pathlib.Path, sources)}
    head = {"about": about, "sha256 of the sources": sources}
    lines = ",\n".join(json.dumps(case) for case in cases)
    text = json.dumps(head)[:-1] + ',\n"vectors": [\n' + lines + "\n]}\n"
    (TARGET / name).write_text(text)
    print(name, len(cases), "cases,", sum(case["expect"] == "invalid" for case in cases), "invalid")


def main():
    proof, encrypt, decrypt = sys.argv[1:]
    read = lambda path: pathlib.Path(path).read_text()
    about = "Wycheproof, AES-GCM: key 256, nonce 96, tag 128 bits. Apache-2.0, see LICENSE-wycheproof."
    write("wycheproof-aes-256-gcm.json", about, [proof], wycheproof(read(proof)))
    about = "NIST CAVP (CAVS 14.0), GCM: key 256, nonce 96, tag 128 bits. In the public domain."
    cases = [*nist("encrypt", read(encrypt)), *nist("decrypt", read(decrypt))]
    write("nist-aes-256-gcm.json", about, [encrypt, decrypt], cases)


main()
