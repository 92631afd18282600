"""The folder a user stands in never decides which code the platform runs."""

import os
import pathlib
import subprocess
import sys

from services.launcher import catalog


def test_a_folder_named_services_does_not_shadow_the_platform(tmp_path: pathlib.Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services/__init__.py").write_text("raise SystemExit('the user code ran')")
    environ = {**os.environ, "CORTEX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-P", "-m", "services.launcher", "status"]
    said = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30)
    assert "user code ran" not in said.stdout + said.stderr


def test_every_python_we_start_ignores_the_current_folder() -> None:
    source = pathlib.Path(catalog.__file__).parents[1]
    starts = [
        f"{path.name}: {line.strip()}"
        for path in source.rglob("*.py")
        for line in path.read_text().splitlines()
        if 'sys.executable, "-m"' in line
    ]
    assert starts == []
