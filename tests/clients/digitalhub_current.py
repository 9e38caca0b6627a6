"""Digital Hub's SDK from 0.6.1 on: the lines of its document as these versions spell them, and all
else that they can do with secrets.

Run by the Python of an environment that has the SDK, and told by its environment what driving.py
says. What a version cannot do is told by its number, once, below.
"""

import importlib.metadata
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.argv[0] = str(pathlib.Path(sys.argv[0]).resolve())

from driving import ADDRESS, OTHER_TOKEN, OTHER_USER, PASSWORD, TOKEN, USER, fence, ok
from driving import own_place, raises, same, scene

VERSION = tuple(int(part) for part in importlib.metadata.version("digitalhub").split("."))
# Up to 0.7 the variables and the package have other names, errors have no classes of their own,
# and a value is read together with its name.
EARLY = VERSION < (0, 8)
PREFIX = "DIGITALHUB_CORE_" if EARLY else "DHCORE_"
TOKENS_NAME = "TOKEN" if EARLY else "ACCESS_TOKEN"

place = own_place()
fence()
os.environ[f"{PREFIX}ENDPOINT"] = ADDRESS

import digitalhub as dh

if EARLY:
    from digitalhub_core.utils.exceptions import BackendError

    BadRequestError = EntityAlreadyExistsError = EntityNotExistsError = BackendError
    ForbiddenError = BackendError
else:
    from digitalhub.utils.exceptions import BackendError, BadRequestError
    from digitalhub.utils.exceptions import EntityAlreadyExistsError, EntityNotExistsError
    from digitalhub.utils.exceptions import ForbiddenError


def unauthorized():
    """What a bad token raises: in some versions, that there is nothing to renew it with."""
    if VERSION < (0, 10):
        return BackendError
    from digitalhub.utils import exceptions

    if VERSION < (0, 13):
        return exceptions.ClientError
    return (exceptions.UnauthorizedError, exceptions.ClientError)


PROJECT = "project-secrets"


def value_of(secret):
    """What read_secret_value reads."""
    value = secret.read_secret_value()
    return value[secret.name] if EARLY else value


def names(project):
    """The names that list_secrets lists, in its order."""
    listed = project.list_secrets()
    return [one["name"] if isinstance(one, dict) else one.name for one in listed]


def documents_lines():
    """The document's lines, as versions after 0.5.0 spell them."""
    project = dh.get_or_create_project(PROJECT)
    same("get_or_create_project makes the project", project.name, PROJECT)
    secret = project.new_secret(name="somesecret", secret_value="value1")
    same("new_secret makes the secret", secret.name, "somesecret")
    secret = project.get_secret("somesecret")
    same("get_secret finds it by its name", secret.name, "somesecret")
    same("read_secret_value reads what new_secret wrote", value_of(secret), "value1")
    secret.set_secret_value(value="value2")
    same("set_secret_value writes another value", value_of(secret), "value2")
    same("list_secrets lists it", names(project), ["somesecret"])
    project.delete_secret("somesecret", entity_id=secret.id)
    same("delete_secret removes it", names(project), [])


def finding():
    """One secret among others, found in each way."""
    project = dh.get_or_create_project(PROJECT)
    same("get_or_create_project takes a project that exists", project.name, PROJECT)
    for name in ["another", "somesecret", "zulu"]:
        project.new_secret(name=name, secret_value=f"value of {name}")
    for name in ["another", "somesecret", "zulu"]:
        found = project.get_secret(name)
        same(f"{name} is found by its name among others", found.name, name)
        same(f"{name} has its own value", value_of(found), f"value of {name}")
        by_key = project.get_secret(found.key)
        same(f"{name} is found by its key", (by_key.name, by_key.id), (name, found.id))
    if not EARLY:
        chosen = "3f2b8c1d9e4a4f6b8a7c5d3e1f0a9b8c"
        made = project.new_secret(name="chosen", secret_value="v", uuid=chosen)
        same("an identity that the client chose is kept", made.id, chosen)
        same("and finds the secret", project.get_secret(made.key).name, "chosen")
        again = lambda: project.new_secret(name="other", secret_value="v", uuid=chosen)
        raises("a second one of that identity is refused", EntityAlreadyExistsError, again)
        project.delete_secret(made.key)
    ok("the project is listed", PROJECT in listed_projects(), str(listed_projects()))


def listed_projects():
    if VERSION < (0, 14):
        return [PROJECT]  # Not there before 0.10, and broken up to 0.13.
    return [project.name for project in dh.list_projects()]


def changing():
    """Descriptions change, by each way that there is, and nothing else with them."""
    project = dh.get_or_create_project(PROJECT)
    secret = project.get_secret("somesecret")
    path = secret.spec.path
    secret.metadata.description = "first"
    project.update_secret(secret) if hasattr(project, "update_secret") else secret.save(update=True)
    found = project.get_secret(secret.key)
    same("update_secret keeps a description", found.metadata.description, "first")
    secret.metadata.description = "second"
    secret.metadata.labels = ["one", "two"]
    secret.save(update=True)
    found.refresh()
    same("save(update=True) keeps another", found.metadata.description, "second")
    same("and labels", found.metadata.labels, ["one", "two"])
    same("the specification stays", found.spec.path, path)
    same("and the identity", found.id, secret.id)
    same("and the value", value_of(found), "value of somesecret")


def values():
    """Values of all kinds come back as they went."""
    project = dh.get_or_create_project(PROJECT)
    secret = project.get_secret("somesecret")
    for what, value in {
        "an empty value": "",
        "a blank": " ",
        "newlines": "-----BEGIN KEY-----\nabc\r\n\ttab\n-----END KEY-----\n",
        "text beyond ASCII": "gr\u00fc\u00df \u20ac \u043f\u0430\u0440\u043e\u043b\u044c",
        "an emoji": "\U0001f511\u200d\U0001f600",
        "JSON text": '{"a": [1, "b", null], "q": "\\""}',
        "100 kB": "0123456789" * 10_000,
        "what would be a template": "${HOME} {{ x }} %s $$ `id`",
        "text of a number": "0042",
        "text of a boolean": "True",
    }.items():
        secret.set_secret_value(value=value)
        same(f"{what} comes back as it went", value_of(secret), value)
    for value, text in [(42, "42"), (True, "true"), (False, "false"), (1.5, "1.5")]:
        secret.set_secret_value(value=value)
        same(f"{value!r} becomes text", value_of(secret), text)
    for value in [["a"], {"a": "b"}]:
        refused = lambda value=value: secret.set_secret_value(value=value)
        raises(f"{value} is no value", BadRequestError, refused)
    same("and changes nothing", value_of(secret), "1.5")
    project.new_secret(name="empty-from-the-start", secret_value="")
    same("a secret may begin empty", value_of(project.get_secret("empty-from-the-start")), "")


def odd_names():
    """Names that the SDK lets through."""
    project = dh.get_or_create_project(PROJECT)
    for name in ["with.dot", "plus+sign", "under_score", "UPPER-lower", "data", "0", "x" * 200]:
        secret = project.new_secret(name=name, secret_value=f"value of {name}")
        same(f"a secret may be called {name[:20]}", value_of(secret), f"value of {name}")
        same("and is found by that name", project.get_secret(name).id, secret.id)
        project.delete_secret(name, entity_id=secret.id)
    # From 0.15 on the SDK leaves these to the daemon, by an oversight in its pattern.
    refusal = ValueError if VERSION < (0, 15) else BadRequestError
    for name in ["a/b", "a,b", "a:b", "a?b", "a<b"]:
        refused = lambda name=name: project.new_secret(name=name, secret_value="v")
        raises(f"and none is called {name}", refusal, refused)


def pages():
    """More secrets than one page holds."""
    project = dh.get_or_create_project(f"{PROJECT}-pages")
    wanted = [f"secret-{number:02}" for number in range(55)]
    for name in wanted:
        project.new_secret(name=name, secret_value=f"value of {name}")
    same("55 secrets are listed over three pages, in order", names(project), wanted)
    last = project.get_secret("secret-54")
    same("the last one is found by its name", value_of(last), "value of secret-54")
    for name in wanted[50:]:
        project.delete_secret(project.get_secret(name).key)
    same("50 fill two pages", names(project), wanted[:50])


def refusals():
    """What is refused, and that it leaves things as they were."""
    project = dh.get_or_create_project(PROJECT)
    secret = project.get_secret("zulu")
    again = lambda: project.new_secret(name="zulu", secret_value="other")
    raises("a second secret of a name is refused", EntityAlreadyExistsError, again)
    same("and the first keeps its value", value_of(secret), "value of zulu")
    nobody = "store://%s/%s/secret/zulu:%s" % (PROJECT, "secrets" if EARLY else "secret", "0" * 32)
    unknown = lambda: project.get_secret(nobody)
    raises("an identity that nobody has is not found", BackendError, unknown)
    nameless = lambda: project.get_secret("no-such-secret")
    kind = LookupError if EARLY else EntityNotExistsError
    raises("nor is a name that nobody has", kind, nameless)
    gone = project.new_secret(name="gone", secret_value="v")
    project.delete_secret(gone.key)
    write = lambda: gone.set_secret_value(value="w")
    raises("a value for a secret that is gone is refused", BadRequestError, write)
    # The early one hands on what it was answered: names that are not there are left out.
    if EARLY:
        same("and nothing is read of it", gone.read_secret_value(), {})
    else:
        raises("and nothing is read of it", (BackendError, KeyError), gone.read_secret_value)
    raises("a refresh finds it gone", BackendError, gone.refresh)
    twice = lambda: project.delete_secret(gone.key)
    raises("it is removed once", BackendError, twice)


def without_value():
    """A secret that was described and never written."""
    if VERSION < (0, 10):
        return  # The SDK cannot make one.
    project = dh.get_or_create_project(PROJECT)
    described = project.new_secret(name="described", secret_value="written")
    file = described.export()
    file = file or next(str(path) for path in pathlib.Path(".").rglob("secret*_described_*"))
    project.delete_secret(described.key)
    made = project.import_secret(file)
    same("import_secret makes a secret without a value", made.name, "described")
    raises("which cannot be read", BackendError, made.read_secret_value)
    ok("but is listed", "described" in names(project))
    made.set_secret_value(value="now")
    same("until it is written", value_of(made), "now")
    project.delete_secret("described", entity_id=made.id)


def removing():
    """Secrets are removed in each way, and a name that comes again has nothing of before."""
    project = dh.get_or_create_project(PROJECT)
    before = names(project)
    for name in ["by-key", "by-id", "by-name"]:
        project.new_secret(name=name, secret_value="before")
    project.delete_secret(project.get_secret("by-key").key)
    project.delete_secret("by-id", entity_id=project.get_secret("by-id").id)
    project.delete_secret("by-name", delete_all_versions=True)
    same("secrets are removed by key, by identity and by name", names(project), before)
    if VERSION < (0, 10):
        project.new_secret(name="by-name", secret_value="before")
        project.delete_secret("by-name")
        same("or by name alone", names(project), before)
    else:
        alone = lambda: project.delete_secret("zulu")
        raises("a name alone is not enough for the SDK", ValueError, alone)
    secret = project.new_secret(name="by-name", secret_value="after")
    same("a name that comes again has its new value", value_of(secret), "after")
    project.delete_secret("by-name", delete_all_versions=True)


def user_and_password():
    """A user who signs in with each request."""
    project = dh.get_project(PROJECT)
    value = value_of(project.get_secret("zulu"))
    same("a user and a password do as well", value, "value of zulu")


def wrong_password():
    """Someone who gives a wrong one."""
    raises("a wrong password is refused", ForbiddenError, lambda: dh.get_project(PROJECT))


def wrong_token():
    """Someone with a token that nobody was given."""
    take = lambda: dh.get_project(PROJECT)
    raises("a token that nobody was given is refused", unauthorized(), take)
    make = lambda: dh.get_or_create_project("made-by-nobody")
    raises("and makes no project", unauthorized(), make)


def stranger():
    """Someone who is not of the project."""
    raises("nobody else reads the project", BackendError, lambda: dh.get_project(PROJECT))
    take = lambda: dh.get_or_create_project(PROJECT)
    raises("and nobody makes it theirs", BackendError, take)
    if not EARLY:
        own = dh.get_or_create_project(f"of-{OTHER_USER}")
        same("other projects are theirs to make", own.name, f"of-{OTHER_USER}")
        listing = lambda: dh.list_secrets(project=PROJECT)
        raises("nobody else lists its secrets", BackendError, listing)
        read = lambda: dh.get_secret("zulu", project=PROJECT)
        raises("or finds one", BackendError, read)
        write = lambda: dh.new_secret(project=PROJECT, name="planted", secret_value="v")
        raises("or puts one there", BackendError, write)
        # A secret of their own, sent to the other project's address.
        planted = own.new_secret(name="zulu", secret_value="theirs")
        planted.project = PROJECT
        raises("or reads a value", BackendError, planted.read_secret_value)
        overwrite = lambda: planted.set_secret_value(value="theirs")
        raises("or writes one", BackendError, overwrite)
        dh.delete_project(own.name, cascade=True)
    try:
        dh.delete_project(PROJECT, cascade=True)
    except Exception:
        pass  # Refused or without effect: the next scene looks.


def ending():
    """The project goes, and its secrets with it."""
    project = dh.get_project(PROJECT)
    same("the project is as it was", value_of(project.get_secret("zulu")), "value of zulu")
    same("with what its owner put there", "planted" in names(project), False)
    if EARLY:
        return  # The SDK cannot remove a project: it trips over its own `cascade`.
    kept = lambda: dh.delete_project(PROJECT, cascade=False, clean_context=False)
    raises("a project that holds secrets stays", BackendError, kept)
    same("with all of them", value_of(project.get_secret("zulu")), "value of zulu")
    dh.delete_project(PROJECT, cascade=True)
    dh.delete_project(f"{PROJECT}-pages", cascade=True, clean_context=False)
    raises("it goes with them when told", BackendError, lambda: dh.get_project(PROJECT))
    project = dh.get_or_create_project(PROJECT)
    same("one of its name begins empty", names(project), [])
    secret = project.new_secret(name="zulu", secret_value="new")
    same("and its secrets have nothing of before", value_of(secret), "new")
    dh.delete_project(PROJECT, cascade=True)


def asking():
    """What the newest version asks besides."""
    # Never shown: it holds the token. A token that is not good ends this with an error.
    ok("the SDK asks whether its token is good", dh.get_credentials_and_config())
    profiles = dh.get_k8s_resource_profiles()
    same("and that there are no resource profiles", profiles, [])


if len(sys.argv) > 1:
    for name in sys.argv[1].split(","):
        globals()[name]()
else:
    token = {f"{PREFIX}{TOKENS_NAME}": TOKEN}
    basic = {f"{PREFIX}USER": USER, f"{PREFIX}PASSWORD": PASSWORD}
    steps = [documents_lines, finding, changing, values, odd_names, pages, refusals]
    steps += [without_value, removing]
    scene(",".join(step.__name__ for step in steps), **token)
    scene("user_and_password", **basic)
    scene("wrong_password", **{**basic, f"{PREFIX}PASSWORD": "wrong-but-of-some-length"})
    scene("wrong_token", **{f"{PREFIX}{TOKENS_NAME}": "tresor_nobody-was-given-this-one"})
    scene("stranger", **{f"{PREFIX}{TOKENS_NAME}": OTHER_TOKEN})
    scene("ending", **token)
    if VERSION >= (0, 15):
        scene("asking", **token)
    print("done")
