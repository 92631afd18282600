"""Entry point of `cortex`."""

import sys

from cortex_client.cli import root


def main() -> None:
    sys.exit(root.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
