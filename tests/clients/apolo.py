"""Apolo's command line, and Neu.ro's before it: a user keeps secrets and shares them with another.

Run by the Python of an environment that has the client, whose program it calls, and told by its
environment what driving.py says; both tokens are of the kind that holds a name (JWT). What a
version cannot do, or says in other words, is told by its number.
"""

import base64
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request

sys.dont_write_bytecode = True

from driving import ADDRESS, OTHER_TOKEN, OTHER_USER, TOKEN, USER, fence, ok, only_these
from driving import own_place, same, source

URL = f"{ADDRESS}/apolo/api/v1"
PASSWORD = "p@$$w0rd123"
BYTES = bytes(range(256)) + b"\n"


def client():
    """The program, and the version as it says it."""
    programs = {"apolo-cli": "apolo", "neuro-cli": "neuro", "neuromation": "neuro"}
    for package, program in programs.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        numbers = tuple(int(part) for part in version.split("."))
        return str(pathlib.Path(sys.executable).parent / program), numbers
    raise SystemExit("no client in this environment")


place = own_place()
fence()
PROGRAM, VERSION = client()
# The three ages of the client: URIs without an organization, with one, and with a project.
TABLE = VERSION >= (21, 4)
ORGS = VERSION >= (22,)
PROJECTS = VERSION >= (23, 5)
GET = VERSION >= (25, 9)
ACL_LS = "ls" if VERSION >= (22,) else "list"
HOME_URI = f"secret://default/default/{USER}" if ORGS else f"secret://default/{USER}"

LOGIN = ["config", "login-with-token"]

# The program runs behind the same fence.
fenced = pathlib.Path("fenced")
fenced.mkdir()
fenced.joinpath("sitecustomize.py").write_text(
    f"import sys\nsys.path.insert(0, {str(source('.'))!r})\nimport driving\n"
    f"sys.path.pop(0)\ndriving.fence()\n"
)


class Person:
    """Someone with a home of their own."""

    def __init__(self, name, token):
        self.name, self.token = name, token
        self.home = pathlib.Path(name).resolve()
        self.home.mkdir()
        told = {key: os.environ[key] for key in os.environ if key.startswith("TRESOR_")}
        self.environment = {**only_these(**told), "HOME": str(self.home)}
        self.environment |= {"PYTHONPATH": str(fenced.resolve()), "COLUMNS": "200"}

    def run(self, *arguments, options=()):
        """Runs the program: its end, and both streams as bytes."""
        quiet = ["--skip-stats", "--disable-pypi-version-check", "--color", "no"]
        command = [PROGRAM, *quiet, *options, *arguments]
        ended = subprocess.run(command, env=self.environment, cwd=self.home, capture_output=True)
        return Ended(ended)

    def does(self, statement, *arguments, options=()):
        """What must end well."""
        ended = self.run(*arguments, options=options)
        same(statement, (ended.code, ended.err if ended.code else ""), (0, ""))
        return ended

    def is_silent(self, statement, *arguments):
        """What must end well, without a word."""
        ended = self.run(*arguments)
        same(statement, (ended.code, ended.out.strip(), ended.err.strip()), (0, "", ""))

    def fails(self, statement, code, says, *arguments):
        """What must end with this code, saying this."""
        ended = self.run(*arguments)
        seen = f"  ended with {ended.code}\n  said {ended.err!r}\n  wanted {code} and {says!r}"
        ok(statement, ended.code == code and says in ended.err, seen)

    def asks(self, method, path, body=None):
        """What the daemon answers to a request of one's own: its status and its body."""
        body = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{ADDRESS}{path}", body, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read()

    def reads(self, key):
        """The value of a secret of the first user's; none where it may not be read."""
        query = f"org_name=default&project_name={USER}"
        status, body = self.asks("GET", f"/apolo/api/v1/secrets/{key}?{query}")
        return base64.b64decode(json.loads(body)["value"]) if status == 200 else None


class Ended:
    """How the program ended."""

    def __init__(self, ended):
        self.code, self.bytes = ended.returncode, ended.stdout
        self.out = ended.stdout.decode(errors="replace")
        self.err = ended.stderr.decode(errors="replace")

    def rows(self):
        """The words of each line, without rules and without blank lines."""
        words = [line.split() for line in self.out.splitlines()]
        drawn = set("\u2501\u2578\u257a\u2500\u2576\u2574\u2502 ")
        return [row for row in words if row and not set("".join(row)) <= drawn]


def main():
    alice, bob = Person(USER, TOKEN), Person(OTHER_USER, OTHER_TOKEN)
    signing_in(alice, bob)
    signed_out(alice)
    keeping(alice)
    listing(alice)
    reading(alice)
    refusals(alice)
    removing(alice)
    sharing(alice, bob)
    shares_that_fail(alice, bob)
    ending_shares(alice, bob)
    print("done")


def signing_in(alice, bob):
    """Both sign in with a token."""
    alice.fails("nothing works before one has signed in", 70, "ogin", "secret", "ls")
    wrong = "eyJhbGciOiJIUzI1NiJ9.eyJpZGVudGl0eSI6ImFsaWNlIn0.c2lnbmF0dXJl"
    alice.fails("a token that nobody was given is refused", 1, "401", *LOGIN, wrong, URL)
    for person in (alice, bob):
        ended = person.does(f"{person.name} signs in", *LOGIN, person.token, URL)
        ok("and is told where", "Logged into" in ended.out and URL in ended.out, ended.out)
        if PROJECTS:
            words = ended.out.replace("\n", " ")
            ok(f"and as whom", f"as {person.name}" in words, words)
            for part in ["cluster is default", "org is default", f"project is {person.name}"]:
                ok(f"and that {part}", part in words, words)


def signed_out(alice):
    """A token that is taken back while it is in use."""
    minted = json.loads(alice.asks("POST", "/tresor/v1/tokens", {"jwt": True})[1])
    person = Person("again", minted["token"])
    person.does("another token of one's own signs in", *LOGIN, minted["token"], URL)
    person.does("and works", "secret", "ls")
    person.asks("DELETE", f"/tresor/v1/tokens/{minted['metadata']['id']}")
    refused = ["secret", "ls"]
    person.fails("until it is taken back", 77, "Cannot authenticate", *refused)


def keeping(alice):
    """Secrets are added, from words and from files."""
    rows = alice.does("no secrets are listed", "secret", "ls").rows()
    same("under a header", rows, [header()])
    add = ["secret", "add"]
    alice.is_silent("a secret is added without a word", *add, "secret-password", PASSWORD)
    same("its value is there to the letter", alice.reads("secret-password"), PASSWORD.encode())
    alice.is_silent("a value is replaced without a word", *add, "secret-password", "other")
    same("and is the new one", alice.reads("secret-password"), b"other")
    alice.home.joinpath("key.bin").write_bytes(BYTES)
    alice.is_silent("a file's bytes are added with @", *add, "from-file", "@key.bin")
    same("and come back as they are", alice.reads("from-file"), BYTES)
    alice.is_silent("behind -- a value may begin with a dash", *add, "--", "dashed", "-v")
    same("and begins with it", alice.reads("dashed"), b"-v")
    text = "gr\u00fc\u00df \u20ac \U0001f511\nline two"
    alice.is_silent("text beyond ASCII is added", *add, "A.b_C-0", text)
    same("as UTF-8", alice.reads("A.b_C-0"), text.encode())
    alice.home.joinpath("big").write_bytes(b"0123456789" * 10_000)
    alice.is_silent("100 kB are added", *add, "big", "@big")
    same("and come back whole", alice.reads("big"), b"0123456789" * 10_000)


KEYS = ["A.b_C-0", "big", "dashed", "from-file", "secret-password"]


def header():
    if not TABLE:
        return ["KEY"]
    return ["Key"] + ["Org"] * ORGS + ["Project"] * PROJECTS


def row(key):
    return [key] + ["default"] * (TABLE and ORGS) + [USER] * PROJECTS


def listing(alice):
    """Secrets are listed, in each form."""
    rows = alice.does("secrets are listed", "secret", "ls").rows()
    shown = [f"secret:{key}" if TABLE else key for key in KEYS]
    same("under the header", rows[0], header())
    same("each in a row of its own", sorted(rows[1:]), [row(key) for key in shown])
    if not TABLE:
        return
    rows = alice.does("only keys are listed with -q", "secret", "ls", options=["-q"]).rows()
    same("one in a line", sorted(rows), [[key] for key in KEYS])
    rows = alice.does("whole URIs are listed on demand", "secret", "ls", "--full-uri").rows()
    same("of one's own project", sorted(rows[1:]), [row(f"{HOME_URI}/{key}") for key in KEYS])


def reading(alice):
    """Values are read by those versions that can."""
    get = ["secret", "get"]
    if not GET:
        alice.fails("this version has no `secret get`", 2, "No such command", *get, "dashed")
        return
    ended = alice.does("a value is read", *get, "secret-password")
    same("with nothing behind it", ended.bytes, b"other")
    alice.fails("bytes that are no text want a file", 127, "utf-8", *get, "from-file")
    ended = alice.does("which is written with -f", *get, "from-file", "-f", "copy.bin")
    same("and holds the bytes", alice.home.joinpath("copy.bin").read_bytes(), BYTES)
    ok("as the program says", "Secret 'from-file' saved to" in ended.out, ended.out)
    alice.fails("a key that is not there is not found", 72, "not found", *get, "no-such-key")


def refusals(alice):
    """What is refused, with the code and the words that scripts rely on."""
    add = ["secret", "add"]
    for key in ["a b", "..", "x" * 254]:
        alice.fails(f"no key is called {key[:8]!r}", 65, "Illegal argument(s)", *add, key, "v")
    words = "Illegal key '---NEURO---'"
    alice.fails("nor by the name that is taken", 65, words, *add, "--", "---NEURO---", "v")
    alice.fails("no value is empty", 65, "blank value is not allowed", *add, "empty", "")
    alice.fails("a file must be there", 72, "nowhere", *add, "key", "@nowhere")
    alice.fails("and be no directory", 74, "Is a directory", *add, "key", "@.")
    alice.home.joinpath("huge").write_bytes(b"x" * 1_500_000)
    alice.fails("more than a megabyte is refused", 65, "Illegal arg", *add, "huge", "@huge")
    rows = alice.run("secret", "ls").rows()
    same("and nothing of it was added", len(rows), 1 + len(KEYS))


def removing(alice):
    """Secrets are removed."""
    rm = ["secret", "rm"]
    alice.is_silent("a secret is removed without a word", *rm, "dashed")
    same("and is gone", alice.reads("dashed"), None)
    alice.fails("it is removed once", 72, "Secret 'dashed' not found", *rm, "dashed")
    ended = alice.does("with -v it says so", *rm, "big", options=["-v"])
    words = "Secret with key 'big' was successfully removed"
    ok("in these words", words in ended.out + ended.err, ended.out + ended.err)
    alice.fails("a key that is none is refused", 65, "does not match pattern", *rm, "a?b")
    alice.fails("a path is not found", 72, "", *rm, "a/b")
    add = ["secret", "add", "dashed", "again"]
    alice.is_silent("a key that comes again", *add)
    same("has its new value", alice.reads("dashed"), b"again")


def rows_of(person, *arguments):
    return sorted(person.run("acl", ACL_LS, *arguments).rows())


def shared_row(key, level):
    """As the one shows it who was given it."""
    return [f"secret:/{USER}/{key}" if PROJECTS else f"{HOME_URI}/{key}", level]


def has(statement, rows, wanted, yes=True):
    """Whether a row is there, however its URI is shortened."""
    whole = [[uri_in_full(row[0]), *row[1:]] for row in rows]
    ok(statement, (wanted in whole) == yes, f"  {wanted} among {whole}")


def uri_in_full(uri):
    """Short forms are told apart by their slashes."""
    scheme, _, rest = uri.partition(":")
    if scheme != "secret" or rest.startswith("//"):
        return uri
    parent = HOME_URI.rsplit("/", 1)[0]
    return f"{parent}{rest}" if rest.startswith("/") else f"{HOME_URI}/{rest}"


def sharing(alice, bob):
    """One secret is shared, and no other."""
    uri = f"{HOME_URI}/secret-password"
    same("nobody else reads a secret", bob.reads("secret-password"), None)
    alice.is_silent("a secret is shared", "share", "secret:secret-password", bob.name, "read")
    same("and is read", bob.reads("secret-password"), b"other")
    same("but no other one is", bob.reads("dashed"), None)
    has("who shares sees it", rows_of(alice, "--shared"), [uri, "read", bob.name])
    has("who was given it sees it", rows_of(bob), [uri, "read"])
    has("among secrets", rows_of(bob, *scheme("secret:")), [uri, "read"])
    has("and not among others", rows_of(bob, *scheme("storage:")), [uri, "read"], yes=False)
    rows = bob.does("it is not among one's own secrets", "secret", "ls").rows()
    same("where there are none", rows, [header()])
    grant = ["acl", "grant", uri, bob.name, "write"]
    alice.is_silent("a higher level is granted, by the whole URI", *grant)
    has("in place of the lower one", rows_of(bob), [uri, "write"])
    has("which is gone", rows_of(bob), [uri, "read"], yes=False)
    ended = alice.does("a lower level", "share", "secret:secret-password", bob.name, "read")
    if TABLE:
        words = "User already has higher permission: Action.WRITE"
        ok("takes nothing away", words in ended.err, ended.err)
    has("and changes nothing", rows_of(bob), [uri, "write"])
    ended = alice.does(
        "with -v the URI is said", "share", "secret:dashed", bob.name, "read", options=["-v"]
    )
    said = ended.out + ended.err
    ok("as it was sent", f"Using resource '{HOME_URI}/dashed'" in said, said)


def scheme(text):
    """How a list is narrowed to one scheme."""
    return [text] if VERSION >= (21,) else ["--scheme", text.rstrip(":")]


def shares_that_fail(alice, bob):
    """What cannot be shared."""
    uri = "secret:secret-password"
    alice.fails("a level must be named", 2, "Missing argument", "share", uri, bob.name)
    alice.fails("and be one of three", 2, "foo", "share", uri, bob.name, "foo")
    scheme_missing = "URI Scheme not specified"
    share = ["share", "secret-password", bob.name, "read"]
    alice.fails("a secret is named by its URI", 127, scheme_missing, *share)
    words = 'user "nouser" was not found'
    alice.fails("nobody unknown is given anything", 127, words, "share", uri, "nouser", "read")
    theirs = f"{HOME_URI}/dashed"
    share = ["share", theirs, bob.name, "manage"]
    bob.fails("who may only read gives nothing on", 77, '"action": "manage"', *share)
    revoke = ["acl", "revoke", theirs, bob.name]
    ok("nor takes it away", bob.run(*revoke).code != 0)
    same("so that it is as it was", bob.reads("dashed"), b"again")


def ending_shares(alice, bob):
    """What was shared is taken back."""
    for key in ["secret-password", "dashed"]:
        revoke = ["acl", "revoke", f"secret:{key}", bob.name]
        alice.is_silent(f"{key} is shared no more", *revoke)
        same("and not read any more", bob.reads(key), None)
        words = "Operation has no effect"
        alice.fails("which happens once", 127, words, *revoke)
    rows = [row for row in rows_of(bob) if USER in row[0]]
    same("nothing of it is listed", rows, [])
    same("on either side", rows_of(alice, "--shared"), [])
    alice.is_silent("a whole project is shared", "share", "secret:", bob.name, "read")
    same("with what is in it", bob.reads("dashed"), b"again")
    has("and is listed", rows_of(bob), [HOME_URI, "read"])
    alice.is_silent("and taken back", "acl", "revoke", "secret:", bob.name)
    same("whole", bob.reads("dashed"), None)


main()
place.cleanup()
