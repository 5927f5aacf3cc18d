"""The one door to numba: `@kernel` compiles a function, and its cache can never be stale.

Invariants:
- every kernel is cached in a directory named by the hash of *all* kernel sources and of the compiler's versions,
  because numba does not notice that a function called by a cached kernel was edited;
- no `fastmath`: compiled and uncompiled (`NUMBA_DISABLE_JIT=1`) give the same bits;
- kernels are compiled at set-up (`python -m novapulse.compiled`), never at the first order.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., object])

_PACKAGE = Path(__file__).resolve().parent
_GENERATIONS_KEPT = 3


def source_hash() -> str:
    """Return the hash (16 hex digits) of every source that may hold a kernel, and of the compiler that reads it."""
    digest = hashlib.sha256()
    versions = (sys.version, numba.__version__, np.__version__, os.environ.get("NUMBA_BOUNDSCHECK", "0"))
    digest.update("|".join(versions).encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"import kernel" in source or path.parent.name == "core":
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def cache_directory() -> Path:
    """Return where this generation of kernels is cached: the user's cache folder, one directory per source hash."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "novapulse" / f"kernels-{_HASH}"


def _forget_old_generations() -> None:
    generations = sorted(
        cache_directory().parent.glob("kernels-*"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for old in generations[_GENERATIONS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


_HASH = source_hash()


@overload
def kernel(function: Function) -> Function: ...
@overload
def kernel(*, inline: bool = False, allocates: bool = True) -> Callable[[Function], Function]: ...
def kernel(function: Function | None = None, *, inline: bool = False, allocates: bool = True) -> object:
    """Compile `function` on its first call and cache the machine code.

    Args:
        function: A function of scalars, arrays and records that uses only what numba compiles.
        inline: Always merge the function into its callers (for small functions inside a loop over bars).
        allocates: Whether it makes arrays. One that does not, and calls none that does, is spared the counting of
            references to its arguments, which in a loop over bars costs more than the work itself.
    """

    def compile_(target: Function) -> object:
        if numba.config.DISABLE_JIT:
            return target
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(cache_directory())
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", forceinline=inline, _nrt=allocates)(target)
        finally:
            numba.config.CACHE_DIR = before

    return compile_ if function is None else compile_(function)


def _typed_prefetch(context: Any, array: Any, index: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = ir.FunctionType(ir.VoidType(), [address, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, hint, "llvm.prefetch.p0")
        element = builder.bitcast(_pointer(context, builder, signature, arguments, checked=False), address)
        builder.call(function, [element, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


def _typed_at(context: Any, array: Any, index: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        element = _pointer(context, builder, signature, arguments, checked=context.enable_boundscheck)
        return context.unpack_value(builder, signature.args[0].dtype, element)

    return array.dtype(array, types.int64), emit


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any, checked: bool) -> Any:
    kind = signature.args[0]
    column = context.make_array(kind)(context, builder, arguments[0])
    index = [arguments[1]]
    return cgutils.get_item_pointer(context, builder, kind, column, index, wraparound=False, boundscheck=checked)


def _prefetch_nothing(array: NDArray[Any], index: int) -> None:
    return


def _at(array: NDArray[Any], index: int) -> Any:
    return array[index]


prefetch: Callable[[NDArray[Any], int], None] = (
    _prefetch_nothing if numba.config.DISABLE_JIT else intrinsic(_typed_prefetch)
)
"""Ask the processor to fetch an element of a column that will be needed soon: a hint that changes no result."""

at: Callable[[NDArray[Any], int], Any] = _at if numba.config.DISABLE_JIT else intrinsic(_typed_at)
"""Return `array[index]` for an index that is never negative: a loop over bars is spared asking whether it is."""


def _compile_all() -> None:
    from novapulse.warmup import warm_up

    print(f"compiling the kernels into {cache_directory()}", file=sys.stderr)
    warm_up(lambda step: print(f"  {step}", file=sys.stderr, flush=True))
    _forget_old_generations()


if __name__ == "__main__":
    _compile_all()
