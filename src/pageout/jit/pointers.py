# SPDX-License-Identifier: GPL-2.0-or-later
"""How `k`, its tables and their records look to numba: pointers, and integers of one type.

`k` is ONE machine word: a pointer to a block of table addresses. `k.page[page].pflags` compiles to three pointer
operations; no array header is passed, unpacked or reference-counted anywhere, so a call with `k` costs what a call in C
costs, and compile time does not grow with the number of tables.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
from numba.extending import infer_getattr, intrinsic, lower_builtin, models, register_model

Layout = Mapping[str, tuple[Any, bool]]  # table name -> (numpy dtype, is a single record)

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


def pointer_from_word(target: Any) -> Any:
    """Return an intrinsic that takes an address for a value of a pointer type of ours."""

    @intrinsic
    def at(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], BYTE_POINTER)

        return target(types.int64), codegen

    return at


def kernel_view(layout: Layout) -> Any:
    """Return the function `at(address) -> k` for this layout."""
    return pointer_from_word(KernelType(layout))


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


@intrinsic
def word_at(typingctx: Any, table: Any, index: Any) -> Any:
    """Return the eight bytes from `index` on of a table of bytes as one integer, the first byte lowest."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = cgutils.pointer_add(builder, args[0], args[1])
        return builder.load(builder.bitcast(pointer, WORD.as_pointer()), align=1)

    return types.int64(table, types.int64), codegen


_BYTES = ir.VectorType(ir.IntType(8), 64)


@intrinsic
def marked_bytes(typingctx: Any, table: Any, index: Any, wanted: Any) -> Any:
    """Return a bit for each of the 64 bytes from `index` on: below the space, above ASCII, or the one wanted."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = cgutils.pointer_add(builder, args[0], args[1])
        found = builder.load(builder.bitcast(pointer, _BYTES.as_pointer()), align=1)
        one = builder.insert_element(ir.Constant(_BYTES, ir.Undefined), builder.trunc(args[2], ir.IntType(8)), WORD(0))
        same = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        every = builder.shuffle_vector(one, ir.Constant(_BYTES, ir.Undefined), same)
        odd = builder.icmp_signed("<", found, ir.Constant(_BYTES, [32] * 64))  # above ASCII: negative
        return builder.bitcast(builder.or_(odd, builder.icmp_signed("==", found, every)), WORD)

    return types.int64(table, types.int64, types.int64), codegen
