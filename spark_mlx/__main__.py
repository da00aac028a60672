"""`python -m spark_mlx` is the `spark-mlx` command."""

import sys

from spark_mlx.cli import main

sys.exit(main())
