"""Every bound of a spec, as pure functions that return what is wrong by the path of the field in the user's file.

All of it at once: a user who mends one thing must not be told of the next thing then.
"""

import re
from collections.abc import Collection, Iterator, Mapping

from services.apiserver import bounds, defaults, resource_names, validation_models, validation_predictor
from services.apiserver import spec as specs
from services.apiserver.errors import Violation

LONGEST_ENDPOINT = 1000
LONGEST_SOURCE = 64 * 1024
MOST_LABELS = 64
OUR_LABELS = "cortex.dev/"
_ENDPOINT = re.compile(r"/[A-Za-z0-9._~\-/]*")
_QUANTITY = re.compile(r"\d{1,6}|\d{1,3}%")


def check(spec: specs.ApiSpec) -> list[Violation]:
    """What is wrong with a complete spec, all but its files."""
    return [
        *validation_predictor.check(spec.predictor),
        *_compute(spec.compute),
        *_networking(spec.networking),
        *_autoscaling(spec.autoscaling),
        *_update_strategy(spec.update_strategy),
        *_rest(spec),
    ]


def check_files(spec: specs.ApiSpec, files: Collection[str]) -> list[Violation]:
    """Whether the bundle holds what the spec names; `files` are the paths inside it."""
    predictor = spec.predictor
    named = {
        "predictor.path": predictor.path,
        "predictor.protobuf_path": predictor.protobuf_path,
        "predictor.dependencies.pip": predictor.pip,
        "predictor.dependencies.conda": predictor.conda,
        "predictor.dependencies.shell": predictor.shell,
    }
    missing = [
        Violation(field, f"{path!r} is not in the bundle{_near(path, files)}")
        for field, path in named.items()
        if path and path not in files
    ]
    folder = predictor.python_path
    if folder and not _is_folder(folder, files):
        missing.append(Violation("predictor.python_path", f"the folder {folder!r} is not in the bundle"))
    for field, path in validation_models.project_paths(predictor.models):
        inside = defaults.tidy_path(path)
        if inside and inside not in files and not _is_folder(inside, files):
            missing.append(Violation(field, f"{path!r} is not in the bundle{_near(inside, files)}"))
    return missing


def _is_folder(folder: str, files: Collection[str]) -> bool:
    return any(name.startswith(folder + "/") for name in files)


def check_labels(labels: Mapping[str, str]) -> list[Violation]:
    found = [Violation("labels", f"at most {MOST_LABELS}")] if len(labels) > MOST_LABELS else []
    for key, value in labels.items():
        if not key or len(key) > 317 or len(value) > 1024:
            found.append(Violation(f"labels.{key[:80]}", "keys have 1 to 317 characters, values at most 1024"))
        elif key.startswith(OUR_LABELS):
            found.append(Violation(f"labels.{key[:80]}", f"keys under {OUR_LABELS} are reserved"))
    return found


def _compute(compute: specs.Compute) -> Iterator[Violation]:
    yield from bounds.between("compute.cpu", compute.cpu_millis, 20, 1_000_000, unit="m")
    if compute.memory_bytes:
        yield from bounds.between("compute.mem", compute.memory_bytes, 20 * bounds.MIB, 2**50, unit=" bytes")
    yield from bounds.between("compute.gpu", compute.gpus, 0, 64)
    yield from bounds.between("compute.inf", compute.neuron_devices, 0, 64)
    if compute.gpus > 0 and compute.neuron_devices > 0:
        yield Violation("compute.inf", "cannot be combined with compute.gpu")
    if len(compute.node_groups) > 100 or any(not group for group in compute.node_groups):
        yield Violation("compute.node_groups", "at most 100 names, none of them empty")


def _networking(networking: specs.Networking) -> Iterator[Violation]:
    path = networking.endpoint
    parts = path.split("/")[1:]
    if len(path) > LONGEST_ENDPOINT:
        yield Violation("networking.endpoint", f"at most {LONGEST_ENDPOINT} characters")
    elif not _ENDPOINT.fullmatch(path) or (path != "/" and any(part in ("", ".", "..") for part in parts)):
        yield Violation("networking.endpoint", "a path of letters, digits and -._~ such as /iris or /team/iris")
    yield from bounds.seconds("networking.request_timeout", networking.request_timeout)
    yield from bounds.seconds("networking.activation_timeout", networking.activation_timeout)
    yield from bounds.between("networking.max_request_bytes", networking.max_request_bytes, 1, 2**31, unit=" bytes")


def _autoscaling(scaling: specs.Autoscaling) -> Iterator[Violation]:
    yield from bounds.between("autoscaling.min_replicas", scaling.min_replicas, 0, 100_000)
    yield from bounds.between("autoscaling.max_replicas", scaling.max_replicas, 1, 100_000)
    if 0 <= scaling.max_replicas < scaling.min_replicas:
        yield Violation("autoscaling.max_replicas", f"must be at least min_replicas ({scaling.min_replicas})")
    elif not scaling.min_replicas <= scaling.init_replicas <= scaling.max_replicas:
        within = f"{scaling.min_replicas} to {scaling.max_replicas}"
        yield Violation("autoscaling.init_replicas", f"must be within min_replicas and max_replicas, {within}")
    yield from bounds.between("autoscaling.max_replica_concurrency", scaling.max_replica_concurrency, 1, 30_000)
    yield from bounds.number("autoscaling.target_in_flight", scaling.target_in_flight, above=0)
    if scaling.target_in_flight > scaling.max_replica_concurrency >= 1:
        most = scaling.max_replica_concurrency
        yield Violation("autoscaling.target_in_flight", f"must be at most max_replica_concurrency ({most})")
    yield from bounds.seconds("autoscaling.window", scaling.window, least=1)
    yield from bounds.seconds("autoscaling.downscale_stabilization_period", scaling.downscale_stabilization_period)
    yield from bounds.seconds("autoscaling.upscale_stabilization_period", scaling.upscale_stabilization_period)
    yield from bounds.number("autoscaling.max_downscale_factor", scaling.max_downscale_factor, least=0, below=1)
    yield from bounds.number("autoscaling.max_upscale_factor", scaling.max_upscale_factor, above=1)
    yield from bounds.number("autoscaling.downscale_tolerance", scaling.downscale_tolerance, least=0, below=1)
    yield from bounds.number("autoscaling.upscale_tolerance", scaling.upscale_tolerance, least=0)


def _update_strategy(strategy: specs.UpdateStrategy) -> Iterator[Violation]:
    quantities = {"max_surge": strategy.max_surge, "max_unavailable": strategy.max_unavailable}
    wrong = [name for name, text in quantities.items() if not _is_quantity(text)]
    for name in wrong:
        yield Violation(f"update_strategy.{name}", "a number of replicas, or a percentage of them from 0% to 100%")
    if not wrong and all(int(text.rstrip("%")) == 0 for text in quantities.values()):
        yield Violation("update_strategy.max_unavailable", "cannot be 0 when max_surge is 0: nothing could ever move")
    yield from bounds.seconds("update_strategy.progress_deadline", strategy.progress_deadline, least=1)
    yield from bounds.seconds("update_strategy.drain_timeout", strategy.drain_timeout)


def _rest(spec: specs.ApiSpec) -> Iterator[Violation]:
    if spec.predictor.worker.memory_bytes >= spec.compute.memory_bytes > 0:
        yield Violation("predictor.worker.memory", "must be below compute.mem, at which the whole replica is ended")
    prefix, _, digest = spec.bundle_digest.partition(":")
    if prefix != "sha256" or not resource_names.is_digest(digest):
        yield Violation("bundle_digest", "required: sha256:<64 hex digits> of an uploaded bundle")
    if spec.monitoring is not None and not isinstance(spec.monitoring.model_type, specs.ModelType):
        yield Violation("monitoring.model_type", "required: classification or regression")
    if len(spec.source.encode()) > LONGEST_SOURCE:
        yield Violation("source", f"at most {LONGEST_SOURCE // 1024} KiB")
    if len(spec.not_in_effect) > 200 or any(len(line) > 1024 for line in spec.not_in_effect):
        yield Violation("not_in_effect", "at most 200 lines of at most 1024 characters")


def _is_quantity(text: str) -> bool:
    return _QUANTITY.fullmatch(text) is not None and (not text.endswith("%") or int(text[:-1]) <= 100)


def _near(path: str, files: Collection[str]) -> str:
    """A hint at the file that was probably meant: same name elsewhere, or another case."""
    name = path.rpartition("/")[2].lower()
    found = sorted(known for known in files if known.rpartition("/")[2].lower() == name)
    return f"; it holds {found[0]!r}" if found else ""
