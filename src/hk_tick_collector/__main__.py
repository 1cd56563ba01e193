"""`python -m hk_tick_collector VERB`, the same as `hk-tick-collector VERB`."""

import sys

from .cli import main

sys.exit(main())
