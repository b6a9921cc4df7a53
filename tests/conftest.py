"What holds for all tests"

import os

from hypothesis import settings

# under CI the same commit gets the same verdict; by hand, hypothesis looks for new cases
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
