"""Empty modules for what MMPose imports and nothing here uses: compiled operators, detectors, torchvision."""

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Absent:
    """Stands for a class or function of a package that is not installed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(
            "this part of MMPose needs packages that simgap does not install: mmcv with ops, mmdet, torchvision"
        )


@contextmanager
def openmmlab() -> Iterator[None]:
    """Where MMPose and MMEngine may be imported and run: stand-ins in place, their warnings silenced.

    A package that is installed is left alone. The warnings are about other packages' old interfaces and cannot be
    acted upon here.
    """
    # MMPose imports these for networks that are not ours.
    _stand_in("mmcv.ops", needs="mmcv._ext", MultiScaleDeformableAttention=Absent)
    _stand_in("mmdet")
    _stand_in("mmdet.utils", ConfigType=dict, reduce_mean=Absent)
    _stand_in("torchvision", __version__="absent")
    _stand_in("torchvision.transforms", ToPILImage=Absent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _stand_in(name: str, needs: str = "", **attributes: Any) -> None:
    """Register an empty module unless it is installed.

    ``needs`` names the module whose absence makes the other useless; the module itself if empty.
    """
    if name in sys.modules:
        return
    try:
        if importlib.util.find_spec(needs or name) is not None:
            return
    except (ModuleNotFoundError, ValueError):  # its parent is not installed, or is a stand-in itself
        pass
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module
