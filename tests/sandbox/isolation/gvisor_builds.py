"""gVisor's `runsc` for the tests: where it is at hand, and from which module of the Go proxy it can be built."""

import os
import shutil
from pathlib import Path

# Of the branch `go`, which has the generated sources; the module has no tags.
GVISOR_MODULE = "gvisor.dev/gvisor/runsc@v0.0.0-20260905035102-160fafc42237"
_FOUND = os.environ.get("HEXI_TEST_RUNSC") or shutil.which("runsc")
RUNSC = Path(_FOUND) if _FOUND else None
