"""The documentation of the modules says what the program says of itself."""

from __future__ import annotations

import importlib
import json
import pathlib
import subprocess

import pytest
import yaml
from ansible_collections.corvus.murder.plugins.doc_fragments.murder import ModuleDocFragment

CHECKOUT = pathlib.Path(__file__).resolve().parents[4]
MODULES = ["murder_tracker", "murder_seed", "murder_peer", "murder_info"]
PROGRAM = CHECKOUT / "plugins" / "programs" / "murder_linux_amd64"


def documentation(module: str) -> dict:
    return yaml.safe_load(importlib.import_module(f"ansible_collections.corvus.murder.plugins.modules.{module}").DOCUMENTATION)


def fragment(name: str) -> dict:
    """What a fragment, such as corvus.murder.murder.daemon, adds to the page of a module."""
    attribute = name.removeprefix("corvus.murder.murder").lstrip(".").upper() or "DOCUMENTATION"
    return yaml.safe_load(getattr(ModuleDocFragment, attribute))


def page(module: str, part: str) -> dict:
    """The options or attributes of a module with those of its fragments."""
    doc = documentation(module)
    merged = {}
    for name in doc["extends_documentation_fragment"]:
        merged |= fragment(name).get(part, {})
    return merged | doc.get(part, {})


def notes(module: str) -> list[str]:
    """The notes of a module with those of its fragments."""
    doc = documentation(module)
    return sum((fragment(name).get("notes", []) for name in doc["extends_documentation_fragment"]), doc.get("notes", []))


def documented(module: str) -> dict:
    """Options with those of the fragments, in the form of --spec."""
    return {
        name: {
            "type": option["type"],
            "elements": option.get("elements"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "choices": option.get("choices") or [],
            "aliases": option.get("aliases") or [],
        }
        for name, option in page(module, "options").items()
    }


def of_program(module: str) -> dict:
    """Options that the program has; an empty default is none."""
    done = subprocess.run([PROGRAM, module, "--spec"], capture_output=True, text=True, check=True, timeout=60)
    options = json.loads(done.stdout)["options"]
    for option in options.values():
        option.pop("no_log")
        option.setdefault("elements", None)
        option["choices"] = option["choices"] or []
        option["aliases"] = option["aliases"] or []
        option["default"] = None if option["default"] in ("", []) else option["default"]
        if option["type"] == "str" and option["default"] is not None:
            option["default"] = str(option["default"])
    return options


@pytest.mark.parametrize("module", MODULES)
def test_options(module):
    assert documented(module) == of_program(module)


@pytest.mark.parametrize("module", MODULES)
def test_examples_use_options_that_exist(module):
    loaded = importlib.import_module(f"ansible_collections.corvus.murder.plugins.modules.{module}")
    for task in yaml.safe_load(loaded.EXAMPLES):
        for name, options in task.items():
            if name.startswith("corvus.murder."):
                assert set(options or {}) <= set(documented(name.removeprefix("corvus.murder.")))


@pytest.mark.parametrize("module", MODULES)
def test_page_is_complete(module):
    loaded = importlib.import_module(f"ansible_collections.corvus.murder.plugins.modules.{module}")
    doc = documentation(module)
    assert doc["module"] == module and doc["short_description"] and doc["description"] and doc["author"]
    assert notes(module) and all(note.strip() for note in notes(module))
    assert yaml.safe_load(loaded.EXAMPLES)
    returned = yaml.safe_load(loaded.RETURN)
    assert returned and all(value["description"] and value["returned"] and value["type"] for value in returned.values())


@pytest.mark.parametrize("module", MODULES)
def test_page_says_what_check_and_diff_mode_do(module):
    attributes = page(module, "attributes")
    assert attributes.keys() >= {"check_mode", "diff_mode", "async", "platform", "action_group"}
    for name, attribute in attributes.items():
        assert attribute["description"], name
        assert attribute["support"] in ("full", "partial", "none", "N/A"), name
        assert attribute["support"] == "full" or attribute["details"], name
    # What a diff shows differs from module to module, and the user has to know.
    assert attributes["check_mode"]["support"] == "full"
    assert attributes["diff_mode"]["details"]
