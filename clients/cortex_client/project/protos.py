"""The name of the gRPC service in a .proto file, without a compiler: what an API's endpoint is by default."""

import re

_COMMENTS = re.compile(r'("(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\')|//[^\n]*|/\*.*?\*/', re.DOTALL)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_SERVICE = re.compile(r"^\s*service\s+(\w+)\s*\{", re.MULTILINE)


def service(text: str) -> str | None:
    """`package.Service`; None unless the file has exactly one, which the replica then says better."""
    plain = _COMMENTS.sub(lambda found: found.group(1) or " ", text).replace(";", ";\n").replace("}", "}\n")
    services, package = _SERVICE.findall(plain), _PACKAGE.search(plain)
    if len(services) != 1:
        return None
    return f"{package.group(1)}.{services[0]}" if package else str(services[0])
