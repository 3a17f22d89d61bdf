"""The folder in the temporary one: this user's alone, whoever makes it first."""

import os
import stat
import subprocess
import sys

import pytest

from gateway import ConfigError, private_folder

from .conftest import ROOT


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"gateway-{os.getuid()}"


def test_it_is_made_for_this_user_alone(folder):
    assert private_folder() == folder == private_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_what_somebody_else_may_have_made_is_refused(kind, folder, tmp_path):
    if kind == "open":
        folder.mkdir(mode=0o755)
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.touch(mode=0o600)
    with pytest.raises(ConfigError, match="private"):
        private_folder()


def test_metrics_make_it_no_other_way(folder, tmp_path, write_config):
    path = write_config("plugins: [metrics]\nchannels: [{name: e, provider: echo, models: [m]}]\n")
    subprocess.run([sys.executable, "-m", "gateway", "check", "--config", str(path)], cwd=ROOT, check=True,
                   env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True, timeout=60)  # fmt: skip
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
