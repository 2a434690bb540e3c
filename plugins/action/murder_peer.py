# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleActionFail
from ansible_collections.corvus.murder.plugins.plugin_utils.program import ProgramAction
from ansible_collections.corvus.murder.plugins.plugin_utils.progress import SECONDS, Progress

HEX = re.compile("[0-9a-fA-F]{40}")


class ActionModule(ProgramAction):
    """Runs murder_peer of the program on the host, and tells meanwhile how far all hosts are."""

    def run(self, tmp=None, task_vars=None):
        with self._progress(task_vars or {}):
            return super().run(tmp, task_vars)

    def _progress(self, task_vars: dict[str, t.Any]) -> t.ContextManager:
        """What tells of the progress, if the task waits for a download and says of which tracker and torrent."""
        given = self._host_variable("murder_progress", task_vars)
        try:
            seconds = SECONDS if given in (None, "") else float(given)
        except (TypeError, ValueError) as exc:
            raise AnsibleActionFail(f"Variable murder_progress is {given!r}; give seconds, or 0 for none") from exc
        tracker, infohash, state, token = (self._task.args.get(name) for name in ("tracker", "infohash", "state", "token"))
        waits = state in (None, "present") and not self._task.check_mode and not self._task.async_val
        if not seconds > 0 or not waits or not tracker or not HEX.fullmatch(str(infohash)):
            return contextlib.nullcontext()
        return Progress(C.DEFAULT_LOCAL_TMP, str(tracker), str(infohash), seconds, token=str(token or ""))
