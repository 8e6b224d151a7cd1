"""A process that holds a lock until a line comes, or it is killed: `python -m ...holder URL NAME [shared]`."""

import sys

from infra.database import locked


def main() -> None:
    url, name, *mode = sys.argv[1:]
    with locked(url, name, shared=mode == ["shared"]):
        print("held", flush=True)
        sys.stdin.readline()
    print("given back", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
