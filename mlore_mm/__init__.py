"""Multi-task dense prediction for the OpenMMLab packages.

Importing checks the versions of those packages, lets idle threads sleep (``OMP_WAIT_POLICY``), and closes the gaps
between them and the installed PyTorch. Models, data sets and the rest are imported by the registries when a config
first asks for one of them.
"""

from mlore_mm.utils.threads import wait_passively
from mlore_mm.utils.versions import check_versions

check_versions()
wait_passively()  # torch is first imported below

from mlore_mm.utils.compat import (  # noqa: E402
    allow_checkpoint_globals,
    define_torchvision_operators,
    expect_no_compiled_operators,
    import_optimizers,
)
from mlore_mm.utils.moved_modules import keep_old_imports  # noqa: E402
from mlore_mm.version import __version__  # noqa: E402

define_torchvision_operators()
allow_checkpoint_globals()
expect_no_compiled_operators()
import_optimizers()
keep_old_imports()

__all__ = ['__version__']
