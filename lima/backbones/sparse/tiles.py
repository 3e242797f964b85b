"""The innermost tile of sparse convolution on a CPU: some rows by one or two vectors of sums.

Offers `gather_wide`, `gather_narrow`, `outer_wide`, `outer_narrow` and `turn_square`, called by
compiled loops, the sizes of tiles, and `call_in`. The sums of a tile live in registers. It is
written as LLVM instructions for the vectors that this machine has; numba compiles it with the loops
around it.

Each sum is made in a fixed order, one fused multiply-add after the other, and no flag lets the
compiler reorder it: results depend neither on the width of vectors nor on how rows are grouped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils as _cgutils
from numba.core import config
from numba.extending import intrinsic as _intrinsic_of

cgutils: Any = _cgutils
intrinsic: Any = _intrinsic_of


def _shape_of_tiles() -> tuple[int, int]:
    """Floats per vector, and rows of a tile two vectors wide: as many as registers hold sums."""
    has: dict[str, bool] = llvmlite.binding.get_host_cpu_features()
    wanted: str | None = getattr(config, "CPU_FEATURES", None)  # what numba is told to compile for
    if wanted is not None:
        has = {flag[1:]: flag[0] == "+" for flag in wanted.split(",") if flag}
    if has.get("avx512f"):
        return 16, 14
    if has.get("avx2") and has.get("fma"):
        return 8, 6
    return (4, 8) if has.get("neon") else (0, 0)


LANES, TILE_ROWS = _shape_of_tiles()
TILE_COLUMNS = 2 * LANES
OUTER_ROWS = 2 * TILE_ROWS
"""Rows of a tile of weight gradients one vector wide; it has a single pointer to keep."""

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_FLOATS, _INTS = _F32.as_pointer(), _I32.as_pointer()
_UNROLLED = {1: 4, 2: 1}
"""By vectors, steps of a tile's loop written out: a wide tile has no registers to spare."""


class _Emitter(ir.IRBuilder):  # type: ignore[misc]
    """Writes instructions of a tile function."""

    vector = ir.VectorType(_F32, max(LANES, 1))

    def at(self, base: ir.Value, *offsets: ir.Value) -> ir.Value:
        """``&base[offset + ...]``."""
        for offset in offsets:
            base = self.gep(base, [offset])
        return base

    def number(self, value: int) -> ir.Constant:
        return ir.Constant(_I64, value)

    def row(self, base: ir.Value, stride: ir.Value, rows: ir.Value, which: ir.Value) -> ir.Value:
        """``&base[rows[which] * stride]``."""
        index = self.sext(self.load(self.at(rows, which)), _I64)
        return self.at(base, self.mul(index, stride))

    def read(self, base: ir.Value, n_vectors: int) -> list[ir.Value]:
        """Neighbouring vectors, aligned like single floats."""
        found = []
        for number in range(n_vectors):
            place = self.at(base, self.number(number * LANES))
            vector = self.load(self.bitcast(place, self.vector.as_pointer()))
            vector.align = 4
            found.append(vector)
        return found

    def add_to(self, base: ir.Value, sums: Sequence[ir.Value]) -> None:
        """``base[...] += sums``, for neighbouring vectors."""
        old = self.read(base, len(sums))
        for number, (before, more) in enumerate(zip(old, sums, strict=True)):
            place = self.at(base, self.number(number * LANES))
            self.write(self.fadd(before, more), place)

    def write(self, vector: ir.Value, place: ir.Value) -> None:
        """Store a vector, aligned like single floats."""
        self.store(vector, self.bitcast(place, vector.type.as_pointer())).align = 4

    def blend(self, first: ir.Value, second: ir.Value, choice: Sequence[int]) -> ir.Value:
        """The chosen floats of two vectors one after the other."""
        return self.shuffle_vector(
            first, second, ir.Constant(ir.VectorType(_I32, len(choice)), list(choice))
        )

    def times_plus(
        self, place: ir.Value, vectors: Sequence[ir.Value], sums: Sequence[ir.Value]
    ) -> list[ir.Value]:
        """``sums + *place * vectors``, rounded once."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.insert_element(undefined, self.load(place), ir.Constant(_I32, 0))
        factor = self.blend(first, undefined, [0] * LANES)
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.module, signature, f"llvm.fma.v{LANES}f32")
        return [self.call(fma, [factor, *pair]) for pair in zip(vectors, sums, strict=True)]

    def zeros(self, n_rows: int, n_vectors: int) -> list[list[ir.Value]]:
        return [[ir.Constant(self.vector, [0.0] * LANES)] * n_vectors for _ in range(n_rows)]


Sums = list[list[ir.Value]]


def _loop(
    emit: _Emitter,
    start: ir.Value,
    stop: ir.Value,
    step: int,
    sums: Sums,
    body: Callable[[ir.Value, Sums], Sums],
) -> Sums:
    """``for i in range(start, stop, step): sums = body(i, sums)`` with `sums` in registers."""
    before = emit.block
    inside, after = emit.append_basic_block("inside"), emit.append_basic_block("after")
    emit.cbranch(emit.icmp_signed("<", start, stop), inside, after)
    emit.position_at_end(inside)
    index = emit.phi(_I64)
    held = [[emit.phi(emit.vector) for _ in row] for row in sums]
    made = body(index, held)
    following = emit.add(index, emit.number(step))
    end = emit.block
    emit.cbranch(emit.icmp_signed("<", following, stop), inside, after)
    emit.position_at_end(after)
    index.add_incoming(start, before)
    index.add_incoming(following, end)
    results = []
    for held_row, old_row, new_row in zip(held, sums, made, strict=True):
        results.append([emit.phi(emit.vector) for _ in held_row])
        for phi, result, old, new in zip(held_row, results[-1], old_row, new_row, strict=True):
            for node, source in ((phi, before), (result, before), (phi, end), (result, end)):
                node.add_incoming(old if source is before else new, source)
    return results


def _function(
    module: ir.Module, name: str, arguments: Sequence[ir.Type]
) -> tuple[ir.Function, _Emitter | None]:
    """A function of `module`, and what writes its body if it is new."""
    if name in module.globals:
        return module.globals[name], None
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    for argument in function.args:
        if isinstance(argument.type, ir.PointerType):
            argument.add_attribute("noalias")
    return function, _Emitter(function.append_basic_block("entry"))


def _gather_tile(module: ir.Module, n_rows: int, n_vectors: int) -> ir.Function:
    """``out[rows_out[r], :] += sum over c of x[rows_in[r], c] * weight[c, :]`` for r < n_rows."""
    floats, numbers, rows = _FLOATS, _I64, _INTS
    kinds = (floats, numbers, rows, floats, numbers, numbers, floats, numbers, rows)
    function, emit = _function(module, f"lima_gather_{n_rows}_{n_vectors}", kinds)
    if emit is None:
        return function
    x, x_stride, rows_in, weight, weight_stride, c_in, out, out_stride, rows_out = function.args
    places = [emit.row(x, x_stride, rows_in, emit.number(r)) for r in range(n_rows)]

    def body(channel: ir.Value, sums: Sums, unrolled: int = 1) -> Sums:
        for further in range(unrolled):
            number = emit.add(channel, emit.number(further))
            vectors = emit.read(emit.at(weight, emit.mul(number, weight_stride)), n_vectors)
            sums = [
                emit.times_plus(emit.at(place, number), vectors, row)
                for place, row in zip(places, sums, strict=True)
            ]
        return sums

    step = _UNROLLED[n_vectors]
    whole = emit.sub(c_in, emit.srem(c_in, emit.number(step)))
    sums = _loop(
        emit,
        emit.number(0),
        whole,
        step,
        emit.zeros(n_rows, n_vectors),
        lambda channel, held: body(channel, held, step),
    )
    if step > 1:
        sums = _loop(emit, whole, c_in, 1, sums, body)
    for r, row in enumerate(sums):
        emit.add_to(emit.row(out, out_stride, rows_out, emit.number(r)), row)
    emit.ret_void()
    return function


def _outer_tile(module: ir.Module, n_rows: int, n_vectors: int) -> ir.Function:
    """``d_weight[r, :] += sum over pairs p of x[rows_in[p], r] * grad[rows_out[p], :]``."""
    floats, numbers, rows = _FLOATS, _I64, _INTS
    kinds = (floats, numbers, rows, floats, numbers, rows, numbers, floats, numbers)
    function, emit = _function(module, f"lima_outer_{n_rows}_{n_vectors}", kinds)
    if emit is None:
        return function
    x, x_stride, rows_in, grad, grad_stride, rows_out, n_pairs, d_weight, d_stride = function.args

    def body(pair: ir.Value, sums: Sums) -> Sums:
        place = emit.row(x, x_stride, rows_in, pair)
        vectors = emit.read(emit.row(grad, grad_stride, rows_out, pair), n_vectors)
        return [
            emit.times_plus(emit.at(place, emit.number(r)), vectors, row)
            for r, row in enumerate(sums)
        ]

    sums = _loop(emit, emit.number(0), n_pairs, 1, emit.zeros(n_rows, n_vectors), body)
    for r, row in enumerate(sums):
        emit.add_to(emit.at(d_weight, emit.mul(emit.number(r), d_stride)), row)
    emit.ret_void()
    return function


def _turned_square(module: ir.Module, n_rows: int, n_vectors: int) -> ir.Function:
    """``out[c, r] = matrix[r, c]`` for a square of one vector by as many rows.

    At each power of two the off-diagonal blocks of that size change places.
    """
    function, emit = _function(module, "lima_square", (_FLOATS, _I64, _FLOATS, _I64))
    if emit is None:
        return function
    matrix, stride, out, out_stride = function.args
    places = [emit.at(matrix, emit.mul(emit.number(r), stride)) for r in range(LANES)]
    rows = [emit.read(place, 1)[0] for place in places]
    size = 1
    while size < LANES:
        lower = [j if not j & size else LANES + j - size for j in range(LANES)]
        upper = [j + size if not j & size else LANES + j for j in range(LANES)]
        for r in range(LANES):
            if not r & size:
                pair = rows[r], rows[r | size]
                rows[r], rows[r | size] = emit.blend(*pair, lower), emit.blend(*pair, upper)
        size *= 2
    for r, row in enumerate(rows):
        emit.write(row, emit.at(out, emit.mul(emit.number(r), out_stride)))
    emit.ret_void()
    return function


Tile = Callable[[ir.Module, int, int], ir.Function]


def _intrinsic(tile: Tile, kinds: str, n_vectors: int, most_rows: int) -> Any:
    """What numba code calls as ``tile(n_rows, ...)``: the function for that number of rows.

    Args:
        tile: Makes it.
        kinds: Of its arguments: ``f`` for a place in an array of floats, given as the array and an
            offset; ``i`` likewise in an array of row numbers; ``n`` for a number.
        n_vectors: Its width.
        most_rows: It is made for every number of rows up to this.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def call(context: Any, n_rows: Any, arguments: Any) -> Any:
        signature = types.void(n_rows, arguments)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            number, packed = values
            given = iter(zip(cgutils.unpack_tuple(builder, packed), signature.args[1], strict=True))
            passed = []
            for kind in kinds:
                value, of_type = next(given)
                if kind != "n":
                    base = context.make_array(of_type)(context, builder, value).data
                    value = builder.gep(base, [next(given)[0]])
                passed.append(value)
            end = builder.append_basic_block("tiled")
            switch = builder.switch(number, end)
            for rows in range(1, most_rows + 1):
                function = tile(builder.module, rows, n_vectors)
                block = builder.append_basic_block("tile")
                switch.add_case(ir.Constant(_I64, rows), block)
                with builder.goto_block(block):
                    builder.call(function, passed)
                    builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return signature, generate

    return call


gather_wide = _intrinsic(_gather_tile, "fnifnnfni", 2, TILE_ROWS)
gather_narrow = _intrinsic(_gather_tile, "fnifnnfni", 1, TILE_ROWS)
outer_wide = _intrinsic(_outer_tile, "fnifninfn", 2, TILE_ROWS)
outer_narrow = _intrinsic(_outer_tile, "fnifninfn", 1, OUTER_ROWS)
turn_square = _intrinsic(_turned_square, "fnfn", 1, 1)


@intrinsic  # type: ignore[untyped-decorator]
def call_in(context: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line at ``array[offset]`` and go on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        base = context.make_array(signature.args[0])(context, builder, values[0]).data
        place = builder.bitcast(builder.gep(base, [values[1]]), ir.IntType(8).as_pointer())
        signature_of_hint = ir.FunctionType(ir.VoidType(), [place.type, _I32, _I32, _I32])
        hint = cgutils.get_or_insert_function(
            builder.module, signature_of_hint, "llvm.prefetch.p0i8"
        )
        builder.call(hint, [place, *(ir.Constant(_I32, flag) for flag in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
