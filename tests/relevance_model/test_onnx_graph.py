"""Loading a graph opens no connection."""

from __future__ import annotations

import os
import subprocess
import sys


def test_the_runtime_is_told_to_report_nothing_before_it_loads() -> None:
    program = (
        "import builtins, os, sys\n"
        "seen = []\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'onnxruntime': seen.append(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import relevance_model\n"
        "print(seen)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['1']"
