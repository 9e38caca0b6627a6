"""The lines of Digital Hub's own document about secrets, word for word, on the SDK of its time.

`entity_name` exists up to 0.5.0 only. Run by the Python of an environment that has it, and told by
its environment what driving.py says.
"""

import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.argv[0] = str(pathlib.Path(sys.argv[0]).resolve())

from driving import ADDRESS, OTHER_TOKEN, PASSWORD, TOKEN, USER, fence, own_place, raises
from driving import same, scene

place = own_place()
fence()
os.environ["DIGITALHUB_CORE_ENDPOINT"] = ADDRESS

import digitalhub as dh
from digitalhub_core.utils.exceptions import BackendError


def documents_lines():
    """The document's lines, with a look at what each did."""
    project = dh.get_or_create_project("project-secrets")
    same("get_or_create_project makes the project", project.name, "project-secrets")

    secret0 = project.new_secret(name="somesecret", secret_value="value1")
    same("new_secret makes the secret", secret0.name, "somesecret")

    secret0 = project.get_secret(entity_name="somesecret")
    same("get_secret(entity_name=) finds it", secret0.name, "somesecret")

    value = secret0.read_secret_value()
    same("read_secret_value reads what new_secret wrote", value, {"somesecret": "value1"})

    secret0.set_secret_value(value="value2")
    value = secret0.read_secret_value()
    same("set_secret_value writes another value", value, {"somesecret": "value2"})

    listed = project.list_secrets()
    same("list_secrets lists it", names(listed), ["somesecret"])

    project.delete_secret(entity_name="somesecret")
    same("delete_secret(entity_name=) removes it", project.list_secrets(), [])


def what_surrounds_them():
    """What the SDK of that time can do besides."""
    project = dh.get_or_create_project("project-secrets")
    same("get_or_create_project takes a project that exists", project.name, "project-secrets")

    for name in ["another", "somesecret", "zulu"]:
        project.new_secret(name=name, secret_value=f"value of {name}")
    for name in ["another", "somesecret", "zulu"]:
        found = project.get_secret(entity_name=name)
        same(f"{name} is found by its name among others", found.name, name)
        same(f"{name} has its own value", found.read_secret_value(), {name: f"value of {name}"})
    found = project.get_secret(entity_id=found.id)
    same("get_secret(entity_id=) finds it", found.name, "zulu")

    found.metadata.description = "described"
    found.save(update=True)
    found.refresh()
    same("save(update=True) keeps a description", found.metadata.description, "described")
    same("and leaves the value alone", found.read_secret_value(), {"zulu": "value of zulu"})

    second = lambda: project.new_secret(name="zulu", secret_value="other")
    raises("a second secret of a name is refused", BackendError, second, "400")
    same("and the first keeps its value", found.read_secret_value(), {"zulu": "value of zulu"})

    project.delete_secret(entity_id=found.id)
    gone = lambda: project.get_secret(entity_id=found.id)
    raises("what was removed by its id is gone", BackendError, gone, "404")
    project.delete_secret(entity_name="another", delete_all_versions=True)
    same("delete_all_versions removes by name", names(project.list_secrets()), ["somesecret"])


def user_and_password():
    """A user who signs in with each request."""
    project = dh.get_project("project-secrets")
    found = project.get_secret(entity_name="somesecret")
    value = found.read_secret_value()
    same("a user and a password do as well", value, {"somesecret": "value of somesecret"})


def stranger():
    """Someone who is not of the project."""
    read = lambda: dh.get_project("project-secrets")
    raises("nobody else reads the project", BackendError, read)
    take = lambda: dh.get_or_create_project("project-secrets")
    raises("and nobody makes it theirs", BackendError, take)


def names(listed):
    return [entity["name"] for entity in listed]


if len(sys.argv) > 1:
    globals()[sys.argv[1]]()
else:
    scene("documents_lines", DIGITALHUB_CORE_TOKEN=TOKEN)
    scene("what_surrounds_them", DIGITALHUB_CORE_TOKEN=TOKEN)
    scene("user_and_password", DIGITALHUB_CORE_USER=USER, DIGITALHUB_CORE_PASSWORD=PASSWORD)
    scene("stranger", DIGITALHUB_CORE_TOKEN=OTHER_TOKEN)
    print("done")
