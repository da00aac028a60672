"""`python -m spark_mlx.speechd`: the module, without its script."""

import sys

from spark_mlx.speechd.module import main

sys.exit(main())
