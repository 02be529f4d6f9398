"""The one way in: `python -m stages <command>`. commands.py has the list."""

import os
import sys


def main() -> int:
    """The exit code. Under `make run` a process that has imported everything runs the command (parallel/server.py)."""
    arguments = sys.argv[1:]
    if sys.platform == "linux":
        from .parallel import client

        if (code := client.run(arguments)) is not None:
            return code
    if arguments == ["parallel"]:  # commands asks this too, after half a second of imports
        from .parallel import stamp

        if stamp.show_if_up_to_date():
            return 0
    from .commands import main

    return main(arguments)


if __name__ == "__main__":
    # OpenMP's threads spin while they wait; beside another busy process on few cores that made training 8 times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
