#!/usr/bin/env python3
"""Opens a store of Tresor with nothing of Tresor's: it is written from crates/crypto/FORMAT.md and
crates/store/STORE.md alone, on pyca's cryptography.

    open_store.py --keyring FILE --records FILE [--root-key FILE] [--passphrase FILE]

The records are a JSON object, each record's key to its value, both in hexadecimal, chunks put together.
Each root key that is given must open its slot. Every record is opened and read to its last byte, or the
script fails; what it found goes to standard output as JSON, values only as their SHA-256.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

TYPES = {1: "opaque", 2: "registry", 3: "variable", 4: "ssh", 5: "s3", 6: "document"}
FIELDS = {
    "ssh": ("username", "password", "privateKey", "publicKey"),
    "s3": ("accessKeyId", "secretAccessKey", "sessionToken", "endpoint", "region", "bucket"),
}
STATES = {1: "live", 2: "deleted", 3: "destroyed"}
PRINCIPALS = {1: "user", 2: "machine", 3: "group"}
CONSUMERS = {1: "cluster", 2: "node", 3: "workspace"}


def must(condition, what):
    if not condition:
        raise ValueError(what)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Reader:
    """Takes bytes from the front, and all of them."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        must(self.at + count <= len(self.data), "too short")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, count):
        return int.from_bytes(self.raw(count), "big")

    def u8(self):
        return self.number(1)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def flag(self):
        value = self.u8()
        must(value <= 1, "not a flag")
        return value == 1

    def uid(self):
        return self.raw(16).hex()

    def bytes(self):
        return self.raw(self.u32())

    def text(self):
        return self.bytes().decode()

    def many(self, take):
        return [take() for _ in range(self.u32())]

    def rest(self):
        return self.raw(len(self.data) - self.at)

    def format(self, number):
        must(self.u8() == number, "another format")

    def end(self):
        must(self.at == len(self.data), "bytes left over")


# FORMAT.md sections 1 to 4


def label(text):
    return bytes([len(text)]) + text.encode()


def gcm_open(key, associated, sealed):
    """`nonce 12 | ciphertext | tag 16`."""
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], associated)


def u32(number):
    return number.to_bytes(4, "big")


def root_key(text):
    text = text.strip()
    key = bytes.fromhex(text) if len(text) == 64 else base64.b64decode(text, validate=True)
    must(len(key) == 32, "a root key has 32 bytes")
    return key


class Keyring:
    def __init__(self, file, raw, passphrase):
        must(file[:8] == b"TRESORKR" and file[8:10] == b"\0\3", "no keyring of format 3")
        must(hashlib.sha256(file[:-32]).digest() == file[-32:], "checksum")
        body, tag = file[:-60], file[-60:-32]
        reader = Reader(body)
        reader.raw(10)
        self.store = reader.raw(16)
        self.generation, self.current = reader.u64(), reader.u32()
        keks = [(reader.u32(), reader.u64(), reader.u8(), reader.raw(60)) for _ in range(reader.u8())]
        keys = [(reader.u8(), reader.u32(), reader.u32(), reader.raw(60)) for _ in range(reader.u8())]
        found = [self.slot(reader, raw, passphrase) for _ in range(reader.u8())]
        reader.end()
        self.slots = [about for about, _ in found]
        opened = {key for _, key in found if key is not None}
        must(len(opened) == 1, "no slot opens, or they hold different keys")
        given = (raw is not None) + (passphrase is not None)
        must(sum(about["opened"] for about in self.slots) == given, "a root key has no slot")
        keyring_key = opened.pop()
        must(gcm_open(keyring_key, label("tresor/2/keyring") + body, tag) == b"", "tag")
        self.keks = {
            id: gcm_open(keyring_key, label("tresor/2/kek") + self.store + u32(id), wrap)
            for id, _, _, wrap in keks
        }
        self.keys = {}
        for kind, id, kek, wrap in keys:
            associated = label("tresor/1/key") + self.store + bytes([kind]) + u32(id) + u32(kek)
            self.keys[kind, id] = gcm_open(self.keks[kek], associated, wrap)

    def slot(self, reader, raw, passphrase):
        start = reader.at
        id, source, _ = reader.u8(), reader.u8(), reader.u64()
        parameters = Reader(reader.bytes())
        head = reader.data[start : reader.at]
        wrap = reader.raw(60)
        key = raw
        if source == 2:
            memory, iterations, lanes = parameters.u32(), parameters.u32(), parameters.u32()
            salt, key = parameters.raw(16), None
            if passphrase is not None:
                cost = {"iterations": iterations, "lanes": lanes, "memory_cost": memory}
                key = Argon2id(salt=salt, length=32, **cost).derive(passphrase)
        parameters.end()
        about = {"id": id, "source": {1: "raw", 2: "argon2id"}[source], "opened": key is not None}
        associated = label("tresor/2/slot") + self.store + head
        return about, None if key is None else gcm_open(key, associated, wrap)

    def metadata(self, store_key, record):
        reader = Reader(record)
        reader.format(1)
        id = reader.u32()
        associated = label("tresor/1/metadata") + self.store + u32(id) + store_key
        return gcm_open(self.keys[2, id], associated, reader.rest())

    def data_key(self, place, record):
        reader = Reader(record)
        reader.format(1)
        kek = reader.u32()
        associated = label("tresor/1/wrap") + self.store + place + u32(kek)
        return gcm_open(self.keks[kek], associated, reader.rest())

    def payload(self, place, data_key, record):
        reader = Reader(record)
        reader.format(1)
        return gcm_open(data_key, label("tresor/1/payload") + self.store + place, reader.rest())

    def public(self, kind):
        def half(seed):
            return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw().hex()

        return {str(id): half(seed) for (of, id), seed in self.keys.items() if of == kind}


# STORE.md, Records


def path(reader):
    return f"{reader.text()}/{reader.text()}"


def secret(reader):
    return f"{path(reader)}/{reader.text()}"


def labels(reader):
    return dict(reader.many(lambda: (reader.text(), reader.text())))


def right(reader):
    reader.u8()
    scope = reader.u8()
    must(scope <= 4, "unknown scope")
    if scope == 1:
        reader.text()
    elif scope == 2:
        path(reader)
    elif scope >= 3:
        secret(reader)
        if scope == 4:
            reader.uid()


def project(reader):
    reader.format(3)
    reader.uid(), reader.u64(), reader.text(), reader.u8(), reader.u32()
    reader.many(lambda: (reader.u8(), reader.text(), reader.text(), labels(reader), reader.flag()))
    labels(reader)


def head(reader):
    reader.format(2)
    found = {"uid": reader.uid()}
    reader.text()
    found["path"] = secret(reader)
    found["type"] = TYPES[reader.u8()]
    reader.text(), reader.u64(), reader.u64()
    found["deleted"] = reader.u64() != 0
    reader.u32()
    found["labels"] = labels(reader)
    labels(reader)
    bindings = reader.many(lambda: (path(reader), reader.u8(), reader.text(), reader.u64()))
    found["bindings"] = [binding[0] for binding in bindings]
    versions = reader.many(lambda: (reader.u64(), reader.u8(), reader.u64(), reader.text()))
    found["versions"] = [{"number": version[0], "state": STATES[version[1]]} for version in versions]
    return found


def wrapped_keys(reader):
    reader.format(1)
    found = reader.many(lambda: (reader.u64(), reader.bytes()))
    numbers = [number for number, _ in found]
    must(numbers and numbers == sorted(set(numbers)), "wrapped keys that do not ascend")
    return dict(found)


def token(reader):
    reader.format(2)
    uid = reader.uid()
    reader.raw(32), reader.text(), reader.u64(), reader.text(), reader.u64(), reader.flag()
    if reader.flag():
        reader.uid()
        parts = reader.u8()
        must(parts <= 3, "unknown parts")
        if parts & 1:
            reader.many(lambda: path(reader))
        if parts & 2:
            reader.number(2)
    else:
        reader.many(lambda: right(reader))
    return uid


def binding(reader):
    reader.format(1)
    return secret(reader)


def principal(reader):
    reader.format(1)
    reader.uid()
    name = f"{PRINCIPALS[reader.u8()]}:{reader.text()}"
    reader.u64(), reader.text(), reader.flag()
    has_password, password = reader.flag(), reader.bytes()
    must(len(password) == (61 if has_password else 0), "no password record")
    reader.u64()
    reader.many(reader.uid)
    reader.many(lambda: (reader.uid(), reader.u64(), reader.text(), right(reader)))
    return name


def organization(reader):
    reader.format(1)
    reader.uid(), reader.u64(), reader.text(), reader.flag()


def last_use(reader):
    reader.format(1)
    return reader.u64()


def reference(reader):
    return (secret(reader), reader.uid(), reader.u32()) if reader.flag() else None


def consumer(reader):
    reader.format(1)
    reader.uid(), reader.u64(), reader.text(), reader.text(), labels(reader)
    return [found[0] for found in (reference(reader), reference(reader)) if found]


def values(kind, reader):
    """Each value's name and what it is."""
    if kind == "opaque":
        found = reader.many(lambda: (reader.text(), reader.bytes()))
    elif kind == "registry":
        login = lambda: (reader.text(), reader.bytes() + b":" + reader.bytes(), reader.flag(), reader.text())
        found = [(server, both) for server, both, _, _ in reader.many(login)]
    elif kind in FIELDS:
        found = [(name, reader.bytes()) for name in FIELDS[kind] if reader.flag()]
    else:
        found = [({"variable": "value", "document": "document"}[kind], reader.bytes())]
    return {name: sha256(value) for name, value in found}


class Store:
    def __init__(self, keyring, records):
        self.keyring, self.records = keyring, records
        self.opened = {"metadata": 0, "wrapped keys": 0, "payloads": 0, "events": 0, "in the clear": 0}
        self.found = {name: [] for name in ("projects", "organizations", "tokens", "principals", "bindings")}
        self.found.update({"last uses": {}, "consumers": {}, "secrets": [], "views": []})

    def whole(self, take, data):
        reader = Reader(data)
        found = take(reader)
        reader.end()
        return found

    def metadata(self, key, record, take):
        self.opened["metadata"] += 1
        return self.whole(take, self.keyring.metadata(key, record))

    def open(self):
        for key, record in self.records.items():
            self.open_record(key, record)
        # Each wrapped key and payload belongs to a version of a head that was opened.
        wraps = (self.wraps(key[1:]) for key in self.records if key[0] == 5)
        must(self.opened["wrapped keys"] == sum(map(len, wraps)), "wrapped keys that nobody has")
        payloads = sum(key[0] == 6 for key in self.records)
        must(self.opened["payloads"] == payloads, "payloads that nobody has")
        self.found["secrets"].sort(key=lambda found: (found["path"], found["uid"]))
        self.found["views"].sort()
        return self.found

    def open_record(self, key, record):
        kind, rest = key[0], key[1:]
        name = rest.replace(b"\0", b"/")
        if kind == 2:
            self.metadata(key, record, project)
            self.found["projects"].append(name.decode())
        elif kind in (3, 4):
            found = self.metadata(key, record, head)
            must(found["deleted"] == (kind == 4), "a head in the wrong place")
            must(name.startswith(found["path"].encode()), "a head under another name")
            found["versions"] = [self.version(found, version) for version in found["versions"]]
            self.found["secrets"].append(found)
        elif kind == 7:
            self.opened["events"] += 1
            self.event(record)
        elif kind == 9:
            self.found["tokens"].append(self.metadata(key, record, token))
        elif kind == 0x0C:
            to, uid = rest[:-17].replace(b"\0", b"/").decode(), rest[-16:].hex()
            self.found["bindings"].append([to, uid, self.metadata(key, record, binding)])
        elif kind == 0x0D:
            self.found["principals"].append(self.metadata(key, record, principal))
        elif kind == 0x0F:
            self.metadata(key, record, organization)
            self.found["organizations"].append(name.decode())
        elif kind == 0x10:
            self.found["last uses"][rest.hex()] = self.metadata(key, record, last_use)
        elif kind == 0x12:
            place = f"{CONSUMERS[rest[0]]}:{rest[1:].decode()}"
            self.found["consumers"][place] = self.metadata(key, record, consumer)
        elif kind not in (5, 6):
            in_the_clear = (0, 1, 8, 0x0A, 0x0B, 0x0E, 0x11, 0x13)
            must(kind in in_the_clear, f"records of kind {kind:02x} are not described")
            self.opened["in the clear"] += 1

    def wraps(self, uid):
        record = self.records.get(b"\5" + uid)
        return {} if record is None else self.whole(wrapped_keys, record)

    def version(self, found, version):
        uid = bytes.fromhex(found["uid"])
        place = uid + version["number"].to_bytes(8, "big")
        wrap, payload = self.wraps(uid).get(version["number"]), self.records.get(b"\6" + place)
        if version["state"] == "destroyed":
            must(wrap is None and payload is None, "a destroyed version is there")
            return version
        code = next(code for code, name in TYPES.items() if name == found["type"])
        place += bytes([code])
        plaintext = self.keyring.payload(place, self.keyring.data_key(place, wrap), payload)
        self.opened["wrapped keys"] += 1
        self.opened["payloads"] += 1
        return version | {"sha256": self.whole(lambda reader: values(found["type"], reader), plaintext)}

    def event(self, record):
        reader = Reader(record)
        reader.u64()
        reader.format(1)
        change, uid, what = reader.u8(), reader.raw(16), reader.u8()
        must(1 <= change <= 3 and 1 <= what <= 7, "unknown change")
        if what == 1:
            path(reader)
        elif what == 2:
            named, previous = secret(reader), reader.raw(8)
            view = self.metadata(b"\7" + uid + previous, reader.bytes(), head)
            must((view["uid"], view["path"]) == (uid.hex(), named), "an event of another secret")
            self.found["views"].append([named, uid.hex(), int.from_bytes(previous, "big")])
        reader.end()


def main():
    parser = argparse.ArgumentParser()
    for name in ("keyring", "records"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    for name in ("root-key", "passphrase"):
        parser.add_argument(f"--{name}", type=pathlib.Path)
    given = parser.parse_args()
    raw = given.root_key and root_key(given.root_key.read_text())
    passphrase = given.passphrase and given.passphrase.read_bytes().removesuffix(b"\n")
    keyring = Keyring(given.keyring.read_bytes(), raw, passphrase)
    records = json.loads(given.records.read_text())
    store = Store(keyring, {bytes.fromhex(key): bytes.fromhex(value) for key, value in records.items()})
    found = store.open()
    about = {
        "store": keyring.store.hex(),
        "generation": keyring.generation,
        "slots": keyring.slots,
        "keks": sorted(keyring.keks),
        "audit keys": keyring.public(3),
        "token keys": keyring.public(4),
        "opened": store.opened,
    }
    json.dump(about | found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
