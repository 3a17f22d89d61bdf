"""What gunicorn's master may hold before it forks: see serving.py."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["urllib3", "requests", "flask", "gateway.app", "gateway.loading"])
def test_the_master_does_not_import(module):
    code = f"import sys, gateway.cli, gateway.commands.serve; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
