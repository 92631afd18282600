# ruff: noqa: E501 - a table reads best with one row per line
"""Every field of cortex.yaml that the Predictor era (0.12 to 0.35) had, and ours, with what it does today."""

from cortex_client.project.schema import Effect, Field, Form, Table

_OURS = "new"
DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16", "BYTES",
)  # fmt: skip
_IMAGE = "replicas run in an environment made from the requirements file, not in an image"
_ONE_PORT = "the gateway serves every API on its own port"
_OLD_SCALING = "0.12-0.13"
_NO_GPU = "replicas are not placed by devices and none is set aside for one; a replica sees every GPU of its machine"
_ONE_NODE = "there is one node, the machine of `cortex up`, and it runs every replica"


def _model_fields(path: str, era: str) -> tuple[Field, ...]:
    """The mapping form of `models`, and the same under `multi_model_reloading`."""
    return (
        Field(f"{path}.path", Form.LOCATION, "Where one model lies.", era=era),
        Field(f"{path}.model_path", Form.LOCATION, "The same, before 0.25.", era="0.22-0.24"),
        Field(f"{path}.dir", Form.LOCATION, "Folder of which every sub-folder is a model; for type triton the model repository.", era=era),
        Field(f"{path}.signature_key", Form.TEXT, "Signature of TensorFlow models.", era=era, default="the only one, else `predict`, else `serving_default`"),
        Field(f"{path}.cache_size", Form.INTEGER, "Models kept in memory; together with `disk_cache_size`, and only with one process per replica.", era=era, default="all", positive=True),
        Field(f"{path}.disk_cache_size", Form.INTEGER, "Models kept on disk, at least `cache_size`.", era=era, default="all", positive=True),
        Field(f"{path}.memory_budget", Form.BYTES, "Memory that loaded models may take together; least recently used ones are unloaded.", era=_OURS, default="none", positive=True),
        Field(f"{path}.disk_budget", Form.BYTES, "Disk that downloaded models of this API may take together.", era=_OURS, default="none", positive=True),
        Field(f"{path}.poll_interval", Form.DURATION, "How often the source is looked at for new, changed and removed models; 0s for never.", era=_OURS, default="10s"),
        Field(f"{path}.paths", Form.OBJECT_LIST, "Several models by name.", era=era),
        *_one_model(f"{path}.paths[]", era),
    )  # fmt: skip


def _one_model(path: str, era: str) -> tuple[Field, ...]:
    return (
        Field(f"{path}.name", Form.TEXT, "Name of the model.", era=era, required=True),
        Field(f"{path}.path", Form.LOCATION, "Where it lies.", era=era),
        Field(f"{path}.model_path", Form.LOCATION, "The same, before 0.25.", era="0.18-0.24"),
        Field(f"{path}.signature_key", Form.TEXT, "Signature of a TensorFlow model.", era=era),
    )


def _tensors(side: str, verb: str) -> tuple[Field, ...]:
    path = f"predictor.{side}"
    return (
        Field(path, Form.OBJECT_LIST, f"Tensors the predictor {verb} by the Open Inference Protocol.", path, _OURS, "any"),
        Field(f"{path}[].name", Form.TEXT, "Name of the tensor.", era=_OURS, required=True),
        Field(f"{path}[].datatype", Form.TEXT, "Its elements, as the protocol names them.", era=_OURS, choices=DATATYPES, required=True),
        Field(f"{path}[].shape", Form.INTEGER_LIST, "Size of each dimension, -1 where it varies.", era=_OURS),
    )  # fmt: skip


_TOP = (
    Field("name", Form.TEXT, "Name of the API, unique in its namespace.", "name", required=True),
    Field(
        "kind", Form.TEXT, "Kind of workload. `SyncAPI`, `api` and `API` are old names of `RealtimeAPI`.", "kind", "0.12-0.35",
        "RealtimeAPI", ("RealtimeAPI", "SyncAPI", "api", "API"), ("BatchAPI", "TaskAPI", "AsyncAPI", "TrafficSplitter"),
    ),
    Field("endpoint", Form.TEXT, "Old place of `networking.endpoint`.", "networking.endpoint", "0.12-0.17"),
    Field("local_port", Form.INTEGER, "Old place of `networking.local_port`.", "", "0.16-0.17", effect=Effect.GONE, reason=_ONE_PORT),
)  # fmt: skip

_PREDICTOR = (
    Field("predictor", Form.OBJECT, "The user's code. Called `handler` in 0.34-0.35; both names work.", required=True),
    Field(
        "predictor.type", Form.TEXT, "Which contract the class follows; `triton` serves a model repository without a class.",
        "predictor.type", "0.12-0.35", "", ("python", "tensorflow", "onnx", "triton"), required=True,
    ),
    Field("predictor.path", Form.TEXT, "The Python file with the class, inside the project; type triton has none.", "predictor.path", required=True, unless=("type", "triton")),
    Field("predictor.class_name", Form.TEXT, "Name of the class.", "predictor.class_name", _OURS, "`PythonPredictor`, else `Handler`, else the only class with a `predict`"),
    Field("predictor.config", Form.ANY_MAP, "Handed to the constructor as `config`.", "predictor.config", default="{}"),
    Field("predictor.python_path", Form.TEXT, "Folder to put on the import path.", "predictor.python_path", default="the project"),
    Field("predictor.env", Form.TEXT_MAP, "Environment of the worker processes; wins over `.env`.", "predictor.env", default="{}"),
    Field("predictor.processes_per_replica", Form.INTEGER, "Worker processes per replica.", "predictor.processes_per_replica", "0.18-0.35", "1", positive=True),
    Field("predictor.threads_per_process", Form.INTEGER, "Requests one process runs at a time; batches, with `server_side_batching`, where as many threads as `max_batch_size` mean one batch, as in the ancestor.", "predictor.threads_per_process", "0.18-0.35", "1", positive=True),
    Field("predictor.log_level", Form.TEXT, "Lowest level of log line kept.", "predictor.log_level", "0.26-0.35", "info", ("debug", "info", "warning", "error")),
    Field("predictor.python_version", Form.LITERAL, "Python of the environment, such as `3.11`.", "predictor.python_version", _OURS, "the platform's"),
    Field("predictor.dependencies", Form.OBJECT, "What is installed.", era="0.30-0.35"),
    Field("predictor.dependencies.pip", Form.TEXT, "A pip requirements file.", "predictor.dependencies.pip", "0.30-0.35", "requirements.txt"),
    Field("predictor.dependencies.conda", Form.TEXT, "A conda package file; needs `micromamba`, `mamba` or `conda` on the machine.", "predictor.dependencies.conda", "0.30-0.35", "conda-packages.txt"),
    Field("predictor.dependencies.shell", Form.TEXT, "A shell script run with bash before anything is installed, once per environment, as the platform's user.", "predictor.dependencies.shell", "0.30-0.35", "dependencies.sh"),
    Field("predictor.protobuf_path", Form.TEXT, "A .proto file of the project with the API's own gRPC service; not with `server_side_batching`.", "predictor.protobuf_path", "0.32-0.35"),
    Field("predictor.task", Form.TEXT, "What the predictor does; opens the OpenAI routes under `/v1`.", "predictor.task", _OURS, "", ("text-generation", "embedding")),
    Field("predictor.image", Form.TEXT, "Container image of the predictor.", "", "0.16-0.35", effect=Effect.NOT_YET, reason=_IMAGE),
    Field("predictor.tensorflow_serving_image", Form.TEXT, "Container image of TensorFlow Serving.", "", "0.16-0.35", effect=Effect.NOT_YET, reason=_IMAGE),
    Field("predictor.shm_size", Form.BYTES, "Size of /dev/shm.", "", "0.26-0.35", effect=Effect.NOT_YET, reason="replicas share the machine's /dev/shm"),
    Field("predictor.server_side_batching", Form.OBJECT, "Collects requests into one call, whose arguments are lists.", era="0.19-0.35", default="off"),
    Field("predictor.server_side_batching.max_batch_size", Form.INTEGER, "Most requests of a batch, 2 to 1024.", "predictor.server_side_batching.max_batch_size", "0.19-0.35", required=True),
    Field("predictor.server_side_batching.batch_interval", Form.DURATION, "Longest wait of the oldest request for others to join it.", "predictor.server_side_batching.batch_interval", "0.19-0.35", required=True),
    *_tensors("inputs", "takes"),
    *_tensors("outputs", "gives"),
    Field("predictor.worker", Form.OBJECT, "How worker processes are started, watched and replaced.", era=_OURS),
    Field("predictor.worker.start", Form.TEXT, "How a worker comes to be: a fresh interpreter, a fork of one that has imported `preload`, or a fork of one that has constructed the predictor, whose memory is shared.", "predictor.worker.start", _OURS, "fork-server", ("spawn", "fork-server", "fork-loaded")),
    Field("predictor.worker.preload", Form.TEXT_LIST, "Modules the fork server imports once for all workers.", "predictor.worker.preload", _OURS, "those the predictor imports that survive a fork"),
    Field("predictor.worker.memory", Form.BYTES, "Memory of one worker beyond which it is drained and replaced.", "predictor.worker.memory_bytes", _OURS, "none", positive=True),
    Field("predictor.worker.hang_timeout", Form.DURATION, "A worker that is busy without progress for this long is ended; 0s for never.", "predictor.worker.hang_timeout", _OURS, "0s"),
    Field("predictor.worker.max_requests", Form.INTEGER, "Requests after which a worker is drained and replaced; 0 for never.", "predictor.worker.max_requests", _OURS, "0"),
    Field("predictor.worker.on_cancel", Form.TEXT, "What happens to plain code that goes on after its request was cancelled.", "predictor.worker.on_cancel", _OURS, "wait", ("wait", "kill")),
    Field("predictor.worker.cancel_grace", Form.DURATION, "Time before `on_cancel: kill` ends the worker.", "predictor.worker.cancel_grace", _OURS, "5s"),
)  # fmt: skip

_MODEL = (
    Field("predictor.model", Form.LOCATION, "Old name of `model_path`.", "predictor.models", "0.12-0.17"),
    Field("predictor.model_path", Form.LOCATION, "Where the one model lies.", "predictor.models", "0.18-0.24"),
    Field("predictor.signature_key", Form.TEXT, "Signature of a TensorFlow model.", "predictor.models.signature_key", "0.12-0.24"),
    Field("predictor.models", Form.OBJECT_OR_LIST, "The models: a list until 0.21, a mapping since.", "predictor.models", "0.18-0.35"),
    *_one_model("predictor.models[]", "0.18-0.21"),
    *_model_fields("predictor.models", "0.22-0.35"),
    Field("predictor.multi_model_reloading", Form.OBJECT, "The models of a python predictor.", "predictor.models", "0.25-0.35"),
    *_model_fields("predictor.multi_model_reloading", "0.25-0.35"),
)  # fmt: skip

_COMPUTE = (
    Field("compute", Form.OBJECT, "What a replica may use."),
    Field("compute.cpu", Form.CPU, "Cores a replica expects: numeric libraries start as many threads, and a busy machine is shared by it where cgroups can be written. Not a limit.", "compute.cpu_millis", default="200m", positive=True),
    Field("compute.mem", Form.BYTES, "Memory limit of a replica.", "compute.memory_bytes", default="none", positive=True),
    Field("compute.gpu", Form.INTEGER, "Whole GPUs.", "compute.gpus", default="0", effect=Effect.NOT_YET, reason=_NO_GPU),
    Field("compute.inf", Form.INTEGER, "Whole Inferentia devices, whose cores no other replica uses. A machine without any runs the replica on processors.", "compute.neuron_devices", "0.18-0.35", "0"),
    Field("compute.node_groups", Form.TEXT_LIST, "Node groups that may run it.", "compute.node_groups", "0.34-0.35", "all", effect=Effect.NOT_YET, reason=_ONE_NODE),
    Field("compute.min_replicas", Form.INTEGER, "Old place of `autoscaling.min_replicas`.", "autoscaling.min_replicas", _OLD_SCALING),
    Field("compute.max_replicas", Form.INTEGER, "Old place of `autoscaling.max_replicas`.", "autoscaling.max_replicas", _OLD_SCALING, positive=True),
    Field("compute.init_replicas", Form.INTEGER, "Old place of `autoscaling.init_replicas`.", "autoscaling.init_replicas", _OLD_SCALING),
    Field("compute.target_cpu_utilization", Form.INTEGER, "CPU target of the old autoscaler.", "", _OLD_SCALING, effect=Effect.GONE, reason="replicas follow the requests in flight; see autoscaling.target_in_flight"),
    Field("compute.max_surge", Form.COUNT_OR_PERCENT, "Old place of `update_strategy.max_surge`.", "update_strategy.max_surge", _OLD_SCALING),
    Field("compute.max_unavailable", Form.COUNT_OR_PERCENT, "Old place of `update_strategy.max_unavailable`.", "update_strategy.max_unavailable", _OLD_SCALING),
)  # fmt: skip

_NETWORKING = (
    Field("networking", Form.OBJECT, "Where callers find the API.", era="0.18-0.35"),
    Field("networking.endpoint", Form.TEXT, "Path at the gateway.", "networking.endpoint", "0.18-0.35", "/{name}"),
    Field("networking.local_port", Form.INTEGER, "Port on a laptop.", "", "0.18-0.25", effect=Effect.GONE, reason=_ONE_PORT),
    Field("networking.api_gateway", Form.TEXT, "AWS API Gateway in front.", "", "0.18-0.25", "", ("public", "none"), effect=Effect.GONE, reason="there is no AWS API Gateway in front; Cortex's own gateway serves the API"),
    Field("networking.request_timeout", Form.DURATION, "Longest time of a request; 0s for none.", "networking.request_timeout", _OURS, "60s"),
    Field("networking.max_request_bytes", Form.BYTES, "Largest request body.", "networking.max_request_bytes", _OURS, "64Mi", positive=True),
    Field("networking.activation_timeout", Form.DURATION, "Longest wait for a replica of an API at zero.", "networking.activation_timeout", _OURS, "120s"),
    Field("networking.retries", Form.BOOLEAN, "Whether the gateway sends a request again that a replica took and did not answer.", "networking.retry_policy", _OURS, "true"),
)  # fmt: skip

_AUTOSCALING = (
    Field("autoscaling", Form.OBJECT, "How many replicas there are."),
    Field("autoscaling.min_replicas", Form.INTEGER, "Lowest number; 0 for scale to zero.", "autoscaling.min_replicas", default="1"),
    Field("autoscaling.max_replicas", Form.INTEGER, "Highest number.", "autoscaling.max_replicas", default="100", positive=True),
    Field("autoscaling.init_replicas", Form.INTEGER, "Number to begin with.", "autoscaling.init_replicas", default="min_replicas"),
    Field("autoscaling.workers_per_replica", Form.INTEGER, "Old name of `predictor.processes_per_replica`.", "predictor.processes_per_replica", "0.14-0.17", positive=True),
    Field("autoscaling.threads_per_worker", Form.INTEGER, "Old name of `predictor.threads_per_process`.", "predictor.threads_per_process", "0.14-0.17", positive=True),
    Field("autoscaling.target_in_flight", Form.NUMBER, "Requests in flight a replica should have.", "autoscaling.target_in_flight", _OURS, "processes x threads, or x max_batch_size where that is more", positive=True),
    Field("autoscaling.target_replica_concurrency", Form.NUMBER, "The ancestor's name of `target_in_flight`.", "autoscaling.target_in_flight", positive=True),
    Field("autoscaling.max_replica_concurrency", Form.INTEGER, "Requests a replica holds before it answers 503.", "autoscaling.max_replica_concurrency", default="1024", positive=True),
    Field("autoscaling.window", Form.DURATION, "Time over which load is averaged.", "autoscaling.window", default="60s"),
    Field("autoscaling.downscale_stabilization_period", Form.DURATION, "How long fewer must have been enough.", "autoscaling.downscale_stabilization_period", default="5m"),
    Field("autoscaling.upscale_stabilization_period", Form.DURATION, "How long more must have been wanted.", "autoscaling.upscale_stabilization_period", default="1m"),
    Field("autoscaling.max_downscale_factor", Form.NUMBER, "Share of the replicas one step down keeps.", "autoscaling.max_downscale_factor", default="0.75"),
    Field("autoscaling.max_upscale_factor", Form.NUMBER, "Multiple that one step up reaches.", "autoscaling.max_upscale_factor", default="1.5"),
    Field("autoscaling.downscale_tolerance", Form.NUMBER, "No step down within this share.", "autoscaling.downscale_tolerance", default="0.05"),
    Field("autoscaling.upscale_tolerance", Form.NUMBER, "No step up within this share.", "autoscaling.upscale_tolerance", default="0.05"),
)  # fmt: skip

_REST = (
    Field("update_strategy", Form.OBJECT, "How a new revision takes over."),
    Field("update_strategy.max_surge", Form.COUNT_OR_PERCENT, "Replicas beyond the wanted number.", "update_strategy.max_surge", default="25%"),
    Field("update_strategy.max_unavailable", Form.COUNT_OR_PERCENT, "Replicas short of it.", "update_strategy.max_unavailable", default="25%"),
    Field("update_strategy.progress_deadline", Form.DURATION, "A revision without progress for this long is given up.", "update_strategy.progress_deadline", _OURS, "10m"),
    Field("update_strategy.drain_timeout", Form.DURATION, "Time a stopping replica has for its requests.", "update_strategy.drain_timeout", _OURS, "60s"),
    Field("monitoring", Form.OBJECT, "What is learned from the predictions. Called `tracker` until 0.16; both names work.", era="0.12-0.25"),
    Field("monitoring.model_type", Form.TEXT, "What a prediction is.", "monitoring.model_type", "0.12-0.25", "", ("classification", "regression"), required=True),
    Field("monitoring.key", Form.TEXT, "Key of the prediction in a JSON object reply.", "monitoring.key", "0.12-0.25"),
)  # fmt: skip

TABLE = Table((*_TOP, *_PREDICTOR, *_MODEL, *_COMPUTE, *_NETWORKING, *_AUTOSCALING, *_REST))

# Old names of whole sections.
SECTION_ALIASES = {"handler": "predictor", "tracker": "monitoring"}

# Fields people carry over from other files or eras, with where they belong.
ELSEWHERE = {
    "definition": "the key of TaskAPI, which is not available yet",
    "apis": "the key of TrafficSplitter, which is not available yet",
    "pod": "the container era (0.36-0.42) is not available yet; describe a Python class under `predictor`",
    "containers": "the container era (0.36-0.42) is not available yet; describe a Python class under `predictor`",
    "spot": "spot instances are set in cluster.yaml",
    "spot_config": "spot instances are set in cluster.yaml",
    "instance_type": "instances are set in cluster.yaml",
    "node_groups": "write it under `compute`",
}
