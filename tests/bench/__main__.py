"""`make bench`: Cortex beside the raw ceilings and two peers, in one run; prints ratios.

The peers, their applications and the load generator are those of the shared serving benchmark. It is looked for in
BENCH_SERVING (default ../shared/bench/serving); its environments go to BENCH_HOME (default ~/.cache/cortex-bench).
Needs wrk, nginx and gcc (Debian: wrk nginx-light gcc gettext-base).
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
VENVS = ("raw", "envoy", "litserve", "bentoml", "driver")
CEILINGS = ("granian-rsgi", "c-hello", "uvloop-raw", "envoy-granian")
PEERS = ("litserve", "bentoml")
OURS = """
[cortex-runtime]
start = "{python} -m tests.bench.stage runtime {{port}} {workload}"
env = {{ PYTHONPATH = "{root}" }}
workloads = ["{workload}"]
paths = {{ {workload} = "/" }}
[cortex-gateway]
start = "{python} -m tests.bench.stage gateway {{port}} {workload}"
env = {{ PYTHONPATH = "{root}" }}
workloads = ["{workload}"]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="noop,iris")
    parser.add_argument("--seconds", type=int, default=4, help="per cell")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="only start everything and check one answer each")
    options = parser.parse_args()
    serving = pathlib.Path(os.environ.get("BENCH_SERVING", ROOT.parent / "shared/bench/serving"))
    home = pathlib.Path(os.environ.get("BENCH_HOME", pathlib.Path.home() / ".cache/cortex-bench"))
    if not (serving / "run.py").exists():
        sys.exit(f"the serving benchmark is not at {serving}; set BENCH_SERVING to where it is")
    environ = {**os.environ, "BENCH_HOME": str(home), "BENCH_PY": sys.executable}
    if not (home / "state/hello").exists():
        print(f"preparing the peers under {home} (once)", flush=True)
        subprocess.run([str(serving / "setup.sh"), *VENVS], env=environ, check=True)
    worst = 0
    for workload in options.workloads.split(","):
        worst |= compare(serving, environ, workload, options)
    return worst


def compare(serving: pathlib.Path, environ: dict[str, str], workload: str, options: argparse.Namespace) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as ours:
        ours.write(OURS.format(python=sys.executable, root=ROOT, workload=workload))
        ours.flush()
        command = [str(serving / "run"), "--peers", ",".join((*CEILINGS, *PEERS)), "--extra", ours.name]
        command += ["--workloads", workload, "--dur", str(options.seconds), "--repeats", str(options.repeats)]
        return subprocess.run([*command, *(["--check"] if options.check else [])], env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
