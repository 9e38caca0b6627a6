"""What the drivers of real clients share: a place of their own, a fence, and one line for each
statement that holds.

A driver is told by its environment whom it works for:

    TRESOR_ADDR          the daemon, http://HOST:PORT
    TRESOR_USER          a user, with the token TRESOR_TOKEN and the password TRESOR_PASSWORD
    TRESOR_OTHER_USER    another one, with the token TRESOR_OTHER_TOKEN

It prints `ok STATEMENT` for all that it checked and `done` at the end. At the first statement that
does not hold it says what it saw, and ends with 1. What it prints contains no token.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
import urllib.parse

ADDRESS = os.environ["TRESOR_ADDR"]
USER = os.environ["TRESOR_USER"]
TOKEN = os.environ["TRESOR_TOKEN"]
PASSWORD = os.environ.get("TRESOR_PASSWORD", "")
OTHER_USER = os.environ["TRESOR_OTHER_USER"]
OTHER_TOKEN = os.environ["TRESOR_OTHER_TOKEN"]


def own_place():
    """An empty home, which is also the working directory; what it gives back removes it."""
    place = tempfile.TemporaryDirectory(prefix="tresor-client-")
    os.umask(0o077)
    os.chdir(place.name)
    os.environ["HOME"] = place.name
    return place


def fence():
    """Refuses every connection that does not go to the daemon."""
    daemon = urllib.parse.urlsplit(ADDRESS)
    # Before there is anything to refuse: a proxy would be the only way around.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]

    def look(event, arguments):
        if event != "socket.connect":
            return
        address = arguments[1]
        # A path is a socket on this machine.
        if isinstance(address, tuple) and address[:2] != (daemon.hostname, daemon.port):
            raise ConnectionRefusedError(f"the fence lets nobody out to {address}")

    sys.addaudithook(look)


def only_these(**settings):
    """An environment with nothing but the means to run, the home and these settings."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **settings}


def scene(name, **settings):
    """Runs this driver again, for one scene: an SDK keeps its credentials for the whole process."""
    command = [sys.executable, sys.argv[0], name]
    told = {name: os.environ[name] for name in os.environ if name.startswith("TRESOR_")}
    sys.stdout.flush()
    if subprocess.run(command, env=only_these(**told, **settings)).returncode != 0:
        fail(f"the scene {name} ended badly")


def ok(statement, holds, seen=""):
    """One statement, and what was seen, for the case that it does not hold."""
    if not holds:
        fail(f"{statement}\n{seen}" if seen else statement)
    print(f"ok {statement}", flush=True)


def same(statement, got, wanted):
    """What is the same, shortened where it is long."""
    ok(statement, got == wanted, f"  got    {shortened(got)}\n  wanted {shortened(wanted)}")


def raises(statement, kind, action, says=""):
    """What is refused, and how."""
    try:
        answer = action()
    except kind as error:
        ok(statement, says in str(error), f"  it does not say {says!r}: {shortened(error)}")
    except Exception as error:  # Any other kind is what the statement rules out.
        fail(f"{statement}\n  {type(error).__mro__}: {shortened(error)}")
    else:
        fail(f"{statement}\n  it was answered: {shortened(answer)}")


def shortened(thing):
    text = repr(thing)
    return text if len(text) <= 600 else f"{text[:600]}... ({len(text)} characters)"


def fail(what):
    sys.stdout.flush()
    sys.stderr.write(without_tokens(f"NOT ok {what}\n"))
    sys.exit(1)


def without_tokens(text):
    for secret in filter(None, (TOKEN, OTHER_TOKEN, PASSWORD)):
        text = text.replace(secret, "(secret)")
    return text


def source(name):
    """Where a file of the drivers is."""
    return pathlib.Path(__file__).resolve().parent / name


def told(kind, error, trace):
    sys.stdout.flush()
    sys.stderr.write(without_tokens("".join(traceback.format_exception(kind, error, trace))))


sys.excepthook = told
