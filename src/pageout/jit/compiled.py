# SPDX-License-Identifier: GPL-2.0-or-later
"""From functions over records to cached units of machine code."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import ir as numba_ir
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.typed_passes import IRLegalization, NativeLowering, NoPythonBackend, NopythonTypeInference
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode

from pageout.jit.cache import add_loading, announce, cache_root, sole_compiler, source_key
from pageout.jit.pointers import Layout, RowType, pointer_from_word

CACHE_DIR = cache_root() / source_key()
numba.config.CACHE_DIR = str(CACHE_DIR)


@register_pass(mutates_CFG=False, analysis_only=False)
class _LoosenGlobals(FunctionPass):  # type: ignore[misc]
    """Let a variable that begins as a global constant take other values: numba locks its type to the literal."""

    _name = "pageout_loosen_globals"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        changed = False
        for block in state.func_ir.blocks.values():
            body = []
            for line in block.body:
                if isinstance(line, numba_ir.Assign) and isinstance(line.value, numba_ir.Global | numba_ir.FreeVar):
                    between = block.scope.redefine("$constant", line.loc)
                    body.append(numba_ir.Assign(line.value, between, line.loc))
                    line = numba_ir.Assign(between, line.target, line.loc)
                    state.func_ir._definitions[between.name] = [body[-1].value]
                    changed = True
                body.append(line)
            block.body = body
        return changed


class _PlainCompiler(CompilerBase):  # type: ignore[misc]
    """The passes these functions need: no closures, no rewrites, no SSA; all integers are int64, so types are plain."""

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("plain")
        passes.add_pass(TranslateByteCode, "analyzing bytecode")
        passes.add_pass(FixupArgs, "fix up args")
        passes.add_pass(_LoosenGlobals, "loosen globals")
        passes.add_pass(IRProcessing, "processing IR")
        passes.add_pass(NopythonTypeInference, "nopython frontend")
        passes.add_pass(IRLegalization, "ensure IR is legal prior to lowering")
        passes.add_pass(NativeLowering, "native lowering")
        passes.add_pass(NoPythonBackend, "nopython mode backend")
        passes.finalize()
        return [passes]


_OPTIONS = {"error_model": "numpy", "boundscheck": False, "pipeline_class": _PlainCompiler}


def _int64(kind: Any) -> Any:
    """Booleans, literals and short integers are int64 to a callee, so that it is compiled once."""
    return types.int64 if isinstance(kind, types.Integer | types.Boolean | types.IntegerLiteral) else kind


def kfn(function: Any) -> Any:
    """An inner kernel function: compiled into every unit that calls it, not callable from Python."""
    return _inner(function, inline=False)


def kinline(function: Any) -> Any:
    """As `kfn`, and made part of each caller: for what is short, or called in one place, in a loop that counts."""
    return _inner(function, inline=True)


def _inner(function: Any, *, inline: bool) -> Any:
    options = {**_OPTIONS, "forceinline": inline}
    compiled = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    template = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: template([_int64(kind) for kind in args], kws)
    return compiled


class _OneLink:
    """While a unit is compiled: inner functions are only translated, then linked and optimized once, in the unit.

    Left to itself numba links, optimizes and makes machine code of every inner function by itself, with all it
    calls, at each level of calls: work that grows with the square of the depth and is thrown away.
    """

    def __init__(self, unit_name: str) -> None:
        self._unit = unit_name

    def __enter__(self) -> None:
        self._saved = (CPUCodeLibrary.finalize, CPUContext.get_executable, CPUCodeLibrary._optimize_functions)
        finalize, get_executable, _ = self._saved
        unit = self._unit

        def link_later(library: Any) -> None:
            if library.name != unit:
                library._finalized = True
                return
            library._linking_libraries = _all_below(library)
            finalize(library)

        def no_machine_code(context: Any, library: Any, fndesc: Any, env: Any) -> Any:
            if library.name != unit:
                return object().__dir__  # numba wants some builtin method, a different one each time
            return get_executable(context, library, fndesc, env)

        def set_layout(library: Any, module: Any) -> None:
            module.data_layout = library._codegen._data_layout

        CPUCodeLibrary.finalize, CPUContext.get_executable = link_later, no_machine_code
        CPUCodeLibrary._optimize_functions = set_layout

    def __exit__(self, *exc: object) -> None:
        CPUCodeLibrary.finalize, CPUContext.get_executable, CPUCodeLibrary._optimize_functions = self._saved


def _all_below(library: Any) -> list[Any]:
    """Every library a unit needs, itself left out, callees before callers, each once."""
    found: dict[int, Any] = {}

    def visit(one: Any) -> None:
        for below in one._linking_libraries:
            if id(below) not in found:
                found[id(below)] = None
                visit(below)
                found[id(below)] = below

    visit(library)
    return [below for below in found.values() if below is not None]


_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


class Unit:
    """A compiled unit: one entry `int64(int64 k, int64 argument)`, cached on disk, known by its address."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._compiled: Any = None
        self.name = function.__name__
        self.compiled_now = False

    def _load(self) -> Any:
        if self._compiled is None:
            begun = time.perf_counter()
            if self.is_cached():
                self._compiled = self._make()
            else:
                with sole_compiler(CACHE_DIR, self.name):
                    if not self.is_cached():
                        announce(self.name)
                    self._compiled = self._make()
            add_loading(time.perf_counter() - begun)
        return self._compiled

    def _make(self) -> Any:
        with _OneLink(self._function.__qualname__):
            compiled = numba.cfunc("int64(int64, int64)", cache=True, **_OPTIONS)(self._function)
            address = compiled.address
        self.compiled_now = compiled.cache_hits == 0
        return compiled, _ENTRY(address)

    def is_cached(self) -> bool:
        return any(CACHE_DIR.rglob(f"*.{self.name}-*.nbi")) if CACHE_DIR.exists() else False

    @property
    def address(self) -> int:
        return int(self._load()[0].address)

    def install(self, addresses: Any, number: int, failed: Callable[[BaseException], int]) -> Any:
        """Put the unit's address at addresses[number]; returns what must stay alive.

        A unit not loaded yet is stood in for by a callback, which compiles or loads it at its first call, puts the true
        address there and goes on: a run compiles only what it reaches. Should that go wrong, `failed` gets the
        exception (none can cross machine code) and its value is returned to the caller.
        """
        if self._compiled is not None:
            addresses[number] = self.address
            return None

        def stand_in(k: int, argument: int) -> int:
            try:
                addresses[number] = self.address
                return self(k, argument)
            except BaseException as error:  # noqa: BLE001  Ctrl-C too: it would be printed and lost here
                return failed(error)

        callback = _ENTRY(stand_in)
        addresses[number] = ctypes.cast(callback, ctypes.c_void_p).value
        return callback

    def __call__(self, k: int, argument: int) -> int:
        return int(self._load()[1](k, argument))


def kentry(function: Any) -> Unit:
    """A unit's entry, callable from Python with (k address, integer); compiled at its first use."""
    return Unit(function)


def bind_state(arrays: Mapping[str, Any], layout: Layout) -> tuple[Any, int]:
    """Return (block, address): the table addresses in layout order. Keep `block` and the arrays alive."""
    block = np.array([arrays[name].__array_interface__["data"][0] for name in layout], dtype=np.int64)
    return block, int(block.ctypes.data)


def compile_policy(function: Any, page_dtype: Any, context_dtype: Any) -> tuple[Any, int]:
    """Compile a user's policy for the hook's fixed signature; returns (keep-alive, address)."""
    inner = numba.njit(**_OPTIONS)(function)
    as_page = pointer_from_word(RowType(page_dtype))
    as_context = pointer_from_word(RowType(context_dtype))

    def hook(page: int, ctx: int, argument: int) -> int:
        return int(inner(as_page(page), as_context(ctx), argument))

    compiled = numba.cfunc("int64(int64, int64, int64)", **_OPTIONS)(hook)
    return compiled, int(compiled.address)
