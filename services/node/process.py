"""ProcessPort on this machine: one session per replica, which lives on when the node dies."""

import contextlib
import os
import pathlib
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from services.chassis import processes
from services.node import convert, cpu_weights, limits, model, records, reports, settings

_BOOT_LOG_LARGEST = 1024 * 1024
_PASS = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CORTEX_TRITON",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "PYTHONPYCACHEPREFIX",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Processes:
    def __init__(
        self,
        chosen: settings.Settings,
        *,
        folders: records.Records,
        enforcement: limits.Enforcement,
        weights: cpu_weights.Weights,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = chosen
        self._folders = folders
        self._enforcement = enforcement
        self._weights = weights
        self._environ = environ
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._reader = reports.Reader()
        self._meter = limits.Meter()

    def launch(self, record: model.Record, prepared: model.Prepared) -> model.Launch:
        folder = self._folders.folder(record.wish.replica)
        log_file = self._log_file(record.wish)
        log_file.parent.mkdir(parents=True, exist_ok=True)
        config = config_path(folder)
        text = convert.replica_config(
            record,
            prepared,
            chosen=self._settings,
            log_file=str(log_file),
            state_file=str(folder / "state.json"),
            admin_token_file=str(admin_token(folder)),
        )
        records.write_atomically(config, text)
        # A report of the run before must not be taken for one of this run.
        (folder / "state.json").unlink(missing_ok=True)
        return self._spawn(record, folder, [*self._settings.runtime(), "--config", str(config)])

    def _spawn(self, record: model.Record, folder: pathlib.Path, command: Sequence[str]) -> model.Launch:
        path = folder / "boot.log"
        if path.exists() and path.stat().st_size > _BOOT_LOG_LARGEST:
            path.replace(folder / "boot.log.1")
        with path.open("ab") as log:
            offset = log.tell()
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=replica_environment(self._environ, record.wish),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # Ours and not reaped, so it is there even if it has ended already.
        identity = processes.identify(child.pid)
        assert identity is not None
        self._children[child.pid] = child
        if record.wish.memory_bytes:
            self._enforcement.enclose(record.wish.replica, child.pid, record.wish.memory_bytes)
        self._weights.enclose(record.wish.replica, child.pid, record.wish.cpu_millis)
        return model.Launch(identity=identity, time=time.time(), boot_log_offset=offset)

    def observe(self, record: model.Record, preparation: model.Preparation) -> model.Observation:
        launch, wish = record.launch, record.wish
        if launch is None:
            return model.Observation(preparation=preparation)
        folder = self._folders.folder(wish.replica)
        report = self._reader.read(folder / "state.json")
        if report is not None and report.pid != launch.identity.pid:
            report = None
        if processes.alive(launch.identity):
            memory, kills = self._memory(wish, launch.identity)
            _cap(folder / "boot.log")
            return model.Observation(
                preparation,
                model.Life.RUNNING,
                report=report,
                memory_bytes=memory,
                out_of_memory_kills=kills,
                stopped=processes.is_stopped(launch.identity.pid),
            )
        return model.Observation(
            preparation,
            model.Life.GONE,
            exit_code=self._exit_code(launch.identity.pid),
            report=report,
            out_of_memory_kills=self._enforcement.kills(wish.replica) if wish.memory_bytes else 0,
            boot_log=reports.tail(folder / "boot.log", launch.boot_log_offset),
        )

    def _memory(self, wish: model.Wish, identity: processes.Identity) -> tuple[int, int]:
        if not wish.memory_bytes:
            return 0, 0
        used = self._meter.read(identity, wish.memory_bytes, time.monotonic())
        return used, self._enforcement.kills(wish.replica)

    def _exit_code(self, pid: int) -> int | None:
        """Of a child that ended, without reaping it: while it is a zombie, nobody else gets its pid and session."""
        if pid not in self._children:
            return None
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        return None

    def terminate(self, identity: processes.Identity) -> None:
        processes.send_signal(identity, signal.SIGTERM)

    def kill(self, identity: processes.Identity) -> None:
        processes.kill_session(identity)
        child = self._children.get(identity.pid)
        if child is not None and child.poll() is not None:
            del self._children[identity.pid]
        self._meter.forget(identity)

    def forget(self, record: model.Record) -> None:
        self._enforcement.release(record.wish.replica)
        self._weights.release(record.wish.replica)
        self._reader.forget(self._folders.folder(record.wish.replica) / "state.json")

    def addresses_free(self, record: model.Record) -> bool:
        return processes.is_free(record.http_address) and processes.is_free(record.grpc_address)

    def _log_file(self, wish: model.Wish) -> pathlib.Path:
        _, namespace, _, api = wish.api.split("/")
        folder = self._settings.replica_logs / namespace / api / wish.revision_id
        return folder / f"{wish.replica}.jsonl"


def admin_token(folder: pathlib.Path) -> pathlib.Path:
    """The file with the token of the replica's administrators: made once, for its owner's eyes only, kept over every
    restart so that who holds the token keeps it."""
    path = folder / "admin-token"
    if not path.exists():
        fresh = path.with_name("admin-token.new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32) + "\n")
        fresh.replace(path)
    return path


def config_path(folder: pathlib.Path) -> pathlib.Path:
    return folder / "replica.json"


def replica_environment(environ: Mapping[str, str], wish: model.Wish) -> dict[str, str]:
    """Little of ours, nothing of the user's `predictor.env` (the workers alone get that), and no more threads for
    numeric libraries than the replica has cores."""
    chosen = {name: environ[name] for name in _PASS if name in environ}
    # The front exports spans, and fetches models; it keeps the node's credentials from the workers.
    chosen |= {name: value for name, value in environ.items() if name.startswith(("OTEL_", "AWS_"))}
    cores = -(-wish.cpu_millis // 1000)
    threads = str(max(1, cores // max(1, wish.worker_processes)))
    return chosen | dict.fromkeys(_THREADS, threads)


def _cap(path: pathlib.Path) -> None:
    """The process appends to the file, so what is cut off here frees its room at once."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > 4 * _BOOT_LOG_LARGEST:
            os.truncate(path, 0)
