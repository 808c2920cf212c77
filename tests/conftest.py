"""Set before anything imports torch: a spinning OpenMP team would starve the tests beside it."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
