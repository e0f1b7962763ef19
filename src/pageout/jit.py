"""Numba in one place: what makes plain functions over records into machine code, and what runs them without it.

The kernel's whole state `k` is ONE machine word here: a pointer to a block of table addresses. `k.page[page].pflags`
compiles to three pointer operations; no array header is passed, unpacked or reference-counted anywhere, so a call with
`k` costs what a call in C costs, and compile time does not grow with the number of tables.

With NUMBA_DISABLE_JIT=1 the same source runs as ordinary Python on `DebugTable`s, which read and write the same memory,
hand out Python integers, and refuse an index out of range or a value that does not fit its field.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

# Page-level loops are chains of dependent loads: the vectorizers find nothing in them and take compile time.
os.environ.setdefault("NUMBA_LOOP_VECTORIZE", "0")
os.environ.setdefault("NUMBA_SLP_VECTORIZE", "0")

Layout = Mapping[str, tuple[Any, bool]]  # table name -> (numpy dtype, is a single record)


def _source_key() -> str:
    """Name of everything the machine code depends on: each source file, the libraries, the options that shape code."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for folder in ("engine", "kernel", "machine", "vocabulary", "events"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(Path(__file__).read_bytes())
    import llvmlite
    import numba

    options = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("NUMBA_")]
    digest.update(repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__, options)).encode())
    return digest.hexdigest()[:20]


def _cache_root() -> Path:
    base = os.environ.get("PAGEOUT_CACHE") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "pageout"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK):
            return root
    except OSError:
        pass
    return Path(tempfile.gettempdir()) / f"pageout-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


_note: Callable[[str], None] | None = None


@contextmanager
def compiling(note: Callable[[str], None]) -> Iterator[None]:
    """While this is open, `note(unit)` is called before each unit that has to be compiled, not loaded."""
    global _note
    before, _note = _note, note
    try:
        yield
    finally:
        _note = before


if not INTERPRETED:
    import ctypes
    import operator

    import numba

    CACHE_DIR = _cache_root() / _source_key()
    numba.config.CACHE_DIR = str(CACHE_DIR)

    from llvmlite import ir
    from numba import types
    from numba.core import ir as numba_ir
    from numba.core import cgutils
    from numba.core.codegen import CPUCodeLibrary
    from numba.core.compiler import CompilerBase
    from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
    from numba.core.cpu import CPUContext
    from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
    from numba.core.typed_passes import IRLegalization, NativeLowering, NoPythonBackend, NopythonTypeInference
    from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
    from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode
    from numba.extending import infer_getattr, intrinsic, lower_builtin, models, register_model

    WORD, BYTE_POINTER = ir.IntType(64), ir.IntType(8).as_pointer()

    def _short(what: Any) -> str:
        """A short name for a type: numba mangles type names into every symbol, and these would be kilobytes."""
        return hashlib.sha256(str(what).encode()).hexdigest()[:10]

    class RowType(types.Type):  # type: ignore[misc]
        """A record in a table: one pointer. Every field reads as int64, whatever its width in memory.

        So all integers in compiled code are of one type, as in Python, and no function is compiled twice.
        """

        def __init__(self, dtype: Any) -> None:
            self.cells = {
                name: (int(dtype.fields[name][1]), dtype.fields[name][0].itemsize, dtype.fields[name][0].kind == "i")
                for name in dtype.names
            }
            self.nbytes = dtype.itemsize
            super().__init__(name=f"Row_{_short(dtype.descr)}")

    class TableType(types.Type):  # type: ignore[misc]
        """A table of records, or of integers (`cell`: their width and sign), at a fixed address: one pointer."""

        def __init__(self, dtype: Any) -> None:
            self.row = RowType(dtype) if dtype.names else None
            self.cell = (dtype.itemsize, dtype.kind == "i")
            super().__init__(name=f"Table_{_short(dtype.descr)}")

    class KernelType(types.Type):  # type: ignore[misc]
        """The whole state: one pointer to the block of table addresses."""

        def __init__(self, layout: Layout) -> None:
            self.slots = {
                name: (slot, RowType(dtype) if single else TableType(dtype))
                for slot, (name, (dtype, single)) in enumerate(layout.items())
            }
            super().__init__(name=f"Kernel_{_short([(n, d.descr, s) for n, (d, s) in layout.items()])}")

    class _PointerModel(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, dmm: Any, fe_type: Any) -> None:
            super().__init__(dmm, fe_type, BYTE_POINTER)

    for _type in (RowType, TableType, KernelType):
        register_model(_type)(_PointerModel)

    @infer_getattr
    class _KernelAttribute(AttributeTemplate):  # type: ignore[misc]
        key = KernelType

        def generic_resolve(self, kernel: Any, attr: str) -> Any:
            return kernel.slots[attr][1] if attr in kernel.slots else None

    @infer_getattr
    class _RowAttribute(AttributeTemplate):  # type: ignore[misc]
        key = RowType

        def generic_resolve(self, row: Any, attr: str) -> Any:
            return types.int64 if attr in row.cells else None

    @lower_getattr_generic(KernelType)
    def _lower_kernel_attribute(context: Any, builder: Any, kernel: Any, value: Any, attr: str) -> Any:
        block = builder.bitcast(value, WORD.as_pointer())
        load = builder.load(builder.gep(block, [ir.IntType(32)(kernel.slots[attr][0])]))
        load.set_metadata("invariant.load", builder.module.add_metadata([]))
        return builder.inttoptr(load, BYTE_POINTER)

    def _load(builder: Any, pointer: Any, width: int, signed: bool) -> Any:
        small = ir.IntType(8 * width)
        value = builder.load(builder.bitcast(pointer, small.as_pointer()))
        if width == 8:
            return value
        return builder.sext(value, WORD) if signed else builder.zext(value, WORD)

    def _store(builder: Any, pointer: Any, width: int, value: Any) -> None:
        small = ir.IntType(8 * width)
        builder.store(value if width == 8 else builder.trunc(value, small), builder.bitcast(pointer, small.as_pointer()))

    @lower_getattr_generic(RowType)
    def _lower_row_get(context: Any, builder: Any, row: Any, value: Any, attr: str) -> Any:
        offset, width, signed = row.cells[attr]
        return _load(builder, cgutils.pointer_add(builder, value, WORD(offset)), width, signed)

    @lower_setattr_generic(RowType)
    def _lower_row_set(context: Any, builder: Any, sig: Any, args: Any, attr: str) -> None:
        offset, width, _ = sig.args[0].cells[attr]
        value = context.cast(builder, args[1], sig.args[1], types.int64)
        _store(builder, cgutils.pointer_add(builder, args[0], WORD(offset)), width, value)

    @infer_global(operator.getitem)
    class _TableGet(AbstractTemplate):  # type: ignore[misc]
        key = operator.getitem

        def generic(self, args: Any, kws: Any) -> Any:
            if isinstance(args[0], TableType) and isinstance(args[1], types.Integer):
                return signature(args[0].row or types.int64, args[0], types.int64)
            return None

    @infer_global(operator.setitem)
    class _TableSet(AbstractTemplate):  # type: ignore[misc]
        key = operator.setitem

        def generic(self, args: Any, kws: Any) -> Any:
            if isinstance(args[0], TableType) and isinstance(args[1], types.Integer):
                return signature(types.none, args[0], types.int64, types.int64)
            return None

    def _element(builder: Any, table: Any, pointer: Any, index: Any) -> Any:
        nbytes = table.row.nbytes if table.row else table.cell[0]
        return cgutils.pointer_add(builder, pointer, builder.mul(index, WORD(nbytes)))

    @lower_builtin(operator.getitem, TableType, types.int64)
    def _lower_get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(builder, sig.args[0], *args)
        return pointer if sig.args[0].row else _load(builder, pointer, *sig.args[0].cell)

    @lower_builtin(operator.setitem, TableType, types.int64, types.int64)
    def _lower_set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        _store(builder, _element(builder, sig.args[0], args[0], args[1]), sig.args[0].cell[0], args[2])
        return context.get_dummy_value()

    def _pointer_from_word(target: Any) -> Any:
        """Return an intrinsic that takes an address for a value of a pointer type of ours."""

        @intrinsic
        def at(typingctx: Any, address: Any) -> Any:
            def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                return builder.inttoptr(args[0], BYTE_POINTER)

            return target(types.int64), codegen

        return at

    def kernel_view(layout: Layout) -> Any:
        """Return the function `at(address) -> k` for this layout."""
        return _pointer_from_word(KernelType(layout))

    @intrinsic
    def call_at(typingctx: Any, address: Any, kernel: Any, argument: Any) -> Any:
        """Call the unit at `address` with (k, argument); both sides see one word each."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            word = ir.IntType(64)
            fnty = ir.FunctionType(word, [word, word])
            return builder.call(
                builder.inttoptr(args[0], fnty.as_pointer()),
                [builder.ptrtoint(args[1], word), args[2]],
            )

        return types.int64(types.int64, kernel, types.int64), codegen

    @intrinsic
    def call_policy(typingctx: Any, address: Any, page: Any, context_record: Any, argument: Any) -> Any:
        """Call a user's policy: (page record, its context record, integer) -> integer."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            word = ir.IntType(64)
            fnty = ir.FunctionType(word, [word, word, word])
            return builder.call(
                builder.inttoptr(args[0], fnty.as_pointer()),
                [builder.ptrtoint(args[1], word), builder.ptrtoint(args[2], word), args[3]],
            )

        return types.int64(types.int64, page, context_record, types.int64), codegen

    @intrinsic
    def lowest_bit(typingctx: Any, value: Any) -> Any:
        """Return the index of the lowest set bit of `value`, which is not 0."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.IntType(1)(1))

        return types.int64(types.int64), codegen

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
        """The passes these functions need: no closures, no rewrites, no SSA. Every integer is an int64, so types are plain."""

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
        compiled = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
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
            finalize, get_executable, optimize_functions = self._saved
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

    class Unit:
        """A compiled unit: one entry `int64(int64 k, int64 argument)`, cached on disk, known by its address."""

        def __init__(self, function: Any) -> None:
            self._function = function
            self._compiled: Any = None
            self.name = function.__name__
            self.compiled_now = False

        def _load(self) -> Any:
            if self._compiled is None:
                if _note is not None and not self.is_cached():
                    _note(self.name)
                with _OneLink(self._function.__qualname__):
                    compiled = numba.cfunc("int64(int64, int64)", cache=True, **_OPTIONS)(self._function)
                    address = compiled.address
                self.compiled_now = compiled.cache_hits == 0
                call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)(address)
                self._compiled = (compiled, call)
            return self._compiled

        def is_cached(self) -> bool:
            return any(CACHE_DIR.rglob(f"*.{self.name}-*.nbi")) if CACHE_DIR.exists() else False

        @property
        def address(self) -> int:
            return int(self._load()[0].address)

        def __call__(self, k: int, argument: int) -> int:
            return int(self._load()[1](k, argument))

    def kentry(function: Any) -> Unit:
        """A unit's entry, callable from Python with (k address, integer); compiled at its first use."""
        return Unit(function)

    def bind_state(arrays: Mapping[str, Any], layout: Layout) -> tuple[Any, int]:
        """Return (block, address): the table addresses in layout order. Keep `block` and the arrays alive."""
        block = np.array([arrays[name].ctypes.data for name in layout], dtype=np.int64)
        return block, int(block.ctypes.data)

    def compile_policy(function: Any, page_dtype: Any, context_dtype: Any) -> tuple[Any, int]:
        """Compile a user's policy for the hook's fixed signature; returns (keep-alive, address)."""
        inner = numba.njit(**_OPTIONS)(function)
        as_page = _pointer_from_word(RowType(page_dtype))
        as_context = _pointer_from_word(RowType(context_dtype))

        def hook(page: int, ctx: int, argument: int) -> int:
            return int(inner(as_page(page), as_context(ctx), argument))

        compiled = numba.cfunc("int64(int64, int64, int64)", **_OPTIONS)(hook)
        return compiled, int(compiled.address)

else:
    CACHE_DIR = Path()

    def _cell(column: Any) -> tuple[Any, int, int]:
        """(reader, writer's array, range) of a column: memoryviews hand out Python integers faster than numpy does."""
        info = np.iinfo(column.dtype)
        return column, int(info.min), int(info.max)

    class DebugRecord:
        """One record, read and written as Python integers, with range checks."""

        __slots__ = ("_columns", "_row")

        def __init__(self, columns: Mapping[str, tuple[Any, int, int]], row: int) -> None:
            object.__setattr__(self, "_columns", columns)
            object.__setattr__(self, "_row", row)

        def __getattr__(self, name: str) -> int:
            return self._columns[name][0].item(self._row)  # type: ignore[no-any-return]

        def __setattr__(self, name: str, value: int) -> None:
            column, low, high = self._columns[name]
            if not low <= value <= high:
                raise OverflowError(f"{name} = {value} does not fit {column.dtype}")
            column[self._row] = value

    class DebugTable:
        """A table of records or scalars with bounds checks: a negative index is an error here, not the last row."""

        def __init__(self, array: Any) -> None:
            self._array = array
            self._columns = {name: _cell(array[name]) for name in array.dtype.names} if array.dtype.names else None
            self._cell = None if self._columns else _cell(array)
            self._length = len(array)

        def _check(self, index: int) -> int:
            if not 0 <= index < self._length:
                raise IndexError(f"index {index} outside 0..{self._length - 1}")
            return index

        def __getitem__(self, index: int) -> Any:
            self._check(index)
            if self._columns is None:
                return self._array.item(index)
            return DebugRecord(self._columns, index)

        def __setitem__(self, index: int, value: int) -> None:
            self._check(index)
            _, low, high = self._cell or (None, 0, 0)
            if not low <= value <= high:
                raise OverflowError(f"{value} does not fit {self._array.dtype}")
            self._array[index] = value

    class DebugKernel:
        """`k` without numba: attributes are the same tables."""

        def __init__(self, arrays: Mapping[str, Any], layout: Layout) -> None:
            for name, (_, single) in layout.items():
                table = DebugTable(arrays[name])
                setattr(self, name, table[0] if single else table)

    def bind_state(arrays: Mapping[str, Any], layout: Layout) -> tuple[Any, Any]:
        kernel = DebugKernel(arrays, layout)
        return kernel, kernel

    def kernel_view(layout: Layout) -> Any:
        return lambda k: k

    _ADDRESSES: list[Any] = [None]

    def _address_of(function: Any) -> int:
        _ADDRESSES.append(function)
        return len(_ADDRESSES) - 1

    def call_at(address: int, k: Any, argument: int) -> int:
        return int(_ADDRESSES[address](k, argument))

    def call_policy(address: int, page: Any, context_record: Any, argument: int) -> int:
        return int(_ADDRESSES[address](page, context_record, argument))

    def lowest_bit(value: int) -> int:
        return (value & -value).bit_length() - 1

    def kfn(function: Any) -> Any:
        return function

    class Unit:  # type: ignore[no-redef]
        def __init__(self, function: Any) -> None:
            self._function = function
            self.name = function.__name__
            self.compiled_now = False
            self.address = _address_of(function)

        def is_cached(self) -> bool:
            return True

        def __call__(self, k: Any, argument: int) -> int:
            return int(self._function(k, argument))

    def kentry(function: Any) -> Unit:
        return Unit(function)

    def compile_policy(function: Any, page_dtype: Any, context_dtype: Any) -> tuple[Any, int]:
        return function, _address_of(function)
