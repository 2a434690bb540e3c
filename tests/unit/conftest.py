"""Makes the checkout the collection corvus.murder for pytest, as ansible-test does by itself."""

from __future__ import annotations

import pathlib
import sys


def pytest_configure() -> None:
    if any(type(finder).__name__ == "_AnsibleCollectionFinder" for finder in sys.meta_path):
        return
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader([str(pathlib.Path(__file__).resolve().parents[2] / "build")])
