"""`python -m spark_mlx.convert SRC DST`."""

from __future__ import annotations

import argparse
import sys

from spark_mlx.convert.command import add_arguments, run
from spark_mlx.errors import SparkError


def main() -> int:
    """Exit status: 0, 1 after an error, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m spark_mlx.convert",
        description="Converts a published checkpoint into a model folder.",
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except SparkError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
