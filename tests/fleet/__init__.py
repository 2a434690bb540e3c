"""A fleet of real hosts on one machine, for tests: each is a set of Linux namespaces with an address, files and sshd of its own.

README.md beside this file says what a host has. Standard library only, so that it runs without the virtual environment.
"""

from .fleet import Fleet, FleetError
from .host import Host

__all__ = ["Fleet", "FleetError", "Host"]
