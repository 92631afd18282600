"""The services that callers find beside ours at the gateway's control listener, where the apiserver answers reflection.

They are only named and described here; each answers its own calls, and for its own health.
"""

from cortex.autoscaler.v1 import autoscaler_service_pb2
from cortex.logstream.v1 import logstream_service_pb2
from cortex.monitor.v1 import monitor_service_pb2

_FILES = (autoscaler_service_pb2, logstream_service_pb2, monitor_service_pb2)
SERVICES = tuple(service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values())
