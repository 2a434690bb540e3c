# Copyright: (c) the corvus.murder authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.corvus.murder.plugins.plugin_utils.program import ProgramAction


class ActionModule(ProgramAction):
    """Runs murder_info of the program on the host."""
