"""What one needs to know of an API's interpreter to run models in it: its version, libpython, packages, numpy."""

import asyncio
import dataclasses
import json
import pathlib

_TIMEOUT = 30.0
_PROBE = """
import importlib.util, json, os, sys, sysconfig
names = [sysconfig.get_config_var(name) or "" for name in ("INSTSONAME", "LDLIBRARY")]
folder = sysconfig.get_config_var("LIBDIR") or ""
shared = next((os.path.join(folder, n) for n in names if ".so" in n and os.path.exists(os.path.join(folder, n))), "")
def version(name):
    try:
        from importlib import metadata
        return metadata.version(name)
    except Exception:
        return ""
wanted = ("numpy", "onnxruntime", "torch", "tensorflow", "tensorflow-cpu", "scikit-learn", "xgboost", "lightgbm")
print(json.dumps({
    "minor": "%d.%d" % sys.version_info[:2],
    "library": shared,
    "packages": sysconfig.get_path("purelib"),
    "versions": {name: version(name) for name in wanted},
}))
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Interpreter:
    """`library` is the path of its shared libpython, empty when it has none."""

    executable: str
    minor: str
    library: str
    packages: str
    versions: dict[str, str]

    @property
    def numpy(self) -> str:
        return self.versions.get("numpy", "")

    @property
    def library_folder(self) -> str:
        return str(pathlib.Path(self.library).parent)


class Unusable(Exception):
    """The interpreter does not run; the text says why."""


async def probe(executable: str) -> Interpreter:
    """Asks the interpreter itself. Raises Unusable."""
    try:
        process = await asyncio.create_subprocess_exec(
            executable, "-I", "-c", _PROBE,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        raise Unusable(f"cannot run {executable}: {error}") from None
    try:
        async with asyncio.timeout(_TIMEOUT):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise Unusable(f"{executable} did not answer within {_TIMEOUT:g} s") from None
    if process.returncode:
        raise Unusable(f"{executable} failed: {err.decode('utf-8', 'replace').strip()[-500:]}")
    told = json.loads(out)
    return Interpreter(executable, told["minor"], told["library"], told["packages"], told["versions"])
