"""The suite's own decode kernel, in Triton: the context in splits, each read once, and a second kernel that joins them.

One new token reads the whole cache and does little with it, so that the time is that of the bytes:

    B · G · T · (d + v) elements of the cache, or B · G · T · d where the value lies in the key,

and query, result and partial results beside them. From this follows what the kernel does:

- Why split: a device needs work for all of its multiprocessors to reach its bandwidth, and B · G programs are few (one,
  for one sequence of MLA). The context is cut, each program keeps the running maximum and sum of its part, and the
  parts are joined by their logarithms of the sum of exponentials (Dao et al., "Flash-Decoding for long-context
  inference").
- Why query heads of a key-value head stand in one block of rows, with the new tokens beside them: the tile of keys that
  a program has loaded serves all of them. Beyond one block's rows the others read it again, from the L2 cache: so row
  blocks are the fastest index of the grid.
- Why the value in the key is not loaded: absorbed MLA's value is the first c of the key's c + d_r columns. The tile
  that was multiplied by the queries is multiplied by the weights where it lies, on chip. A load of its own would cost
  c/(c + d_r) of the traffic once more: 1.89 times the bytes at 512 + 64, for numbers that are there already.
- Why a second kernel joins the parts, and not the program that ends last: that one would read them through a single
  multiprocessor, 8.4 MB for one sequence of MLA at 128 heads, which are 64 parts of 64 rows.

A width that is no power of two is scored as two parts, 576 = 512 + 64 and 192 = 128 + 64, instead of being padded to
1,024 and 256: see `suite.attention.triton_launch`.

The branch around the scores is always taken. On chips whose matrix units take 64 rows at once (compute capability 9.0)
the compiler gives the warps of a product whose result feeds another one rows and no columns, and with eight warps on 64
rows both halves would compute all scores: 1.5 times the arithmetic of absorbed MLA. It does not look out of a branch.

Offsets of rows are 64-bit: a cache may hold more than 2^31 elements.
Importing this needs the package triton.
"""

import triton
import triton.language as tl

# Parameters of which one compiled kernel takes all values: Triton makes another for 1 and for multiples of 16.
COUNTS = ("seq_len", "pages", "keys_per_split", "rows", "kv_heads", "pairs", "splits")


@triton.jit
def product(a, b, AS_FLOAT: tl.constexpr):
    """a @ b, summed in float32. `AS_FLOAT` converts both before: the interpreter's product of bfloat16 is garbage."""
    if AS_FLOAT:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def tile(row_ptr, row_is, stride_d, BEGIN: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Columns BEGIN to BEGIN + WIDTH of the rows at `row_ptr`, padded to BLOCK; zeros where `row_is` is False."""
    column = tl.arange(0, BLOCK)
    mask = row_is[:, None] if WIDTH == BLOCK else row_is[:, None] & (column < WIDTH)[None, :]
    return tl.load(row_ptr[:, None] + (BEGIN + column)[None, :] * stride_d, mask=mask, other=0.0)


@triton.jit(do_not_specialize=COUNTS)
def attend_split(
    q_ptr,
    k_ptr,
    v_ptr,
    part_ptr,
    part_lse_ptr,
    lengths_ptr,
    table_ptr,
    scale_log2,
    seq_len,
    pages,
    keys_per_split,
    rows,
    kv_heads,
    pairs,
    q_stride_b,
    q_stride_h,
    q_stride_s,
    q_stride_d,
    k_stride_b,
    k_stride_g,
    k_stride_t,
    k_stride_d,
    v_stride_b,
    v_stride_g,
    v_stride_t,
    v_stride_d,
    RAGGED: tl.constexpr,
    PAGE: tl.constexpr,
    MAY_SEE_NOTHING: tl.constexpr,
    QUERY_LEN: tl.constexpr,
    FIRST: tl.constexpr,
    REST: tl.constexpr,
    VALUE: tl.constexpr,
    FIRST_BLOCK: tl.constexpr,
    REST_BLOCK: tl.constexpr,
    VALUE_BLOCK: tl.constexpr,
    VALUE_IN_KEY: tl.constexpr,
    ROW_BLOCK: tl.constexpr,
    KEY_BLOCK: tl.constexpr,
    BRANCH: tl.constexpr,
    AS_FLOAT: tl.constexpr,
):
    """Attention of one block of query rows of one key-value head over one split of its keys.

    Row r is query head r // QUERY_LEN of the group and new token r % QUERY_LEN; a pair is a sequence and one of its
    key-value heads. Writes the part's normed result, [split, pair, row, value], and its log2 of the sum of
    exponentials, [split, pair, row]. With one split the result is the whole one, and its order that of o_BHSv.
    """
    row_blocks = tl.cdiv(rows, ROW_BLOCK)
    split, pair = tl.program_id(1), tl.program_id(0) // row_blocks
    batch, group = (pair // kv_heads).to(tl.int64), (pair % kv_heads).to(tl.int64)
    if RAGGED:  # of a shorter sequence the last splits may be empty
        seq_len = tl.load(lengths_ptr + batch)
    row = tl.program_id(0) % row_blocks * ROW_BLOCK + tl.arange(0, ROW_BLOCK)
    row_is = row < rows
    head, token = row // QUERY_LEN, row % QUERY_LEN
    q_row = q_ptr + batch * q_stride_b + (group * (rows // QUERY_LEN) + head) * q_stride_h + token * q_stride_s
    q_first = tile(q_row, row_is, q_stride_d, 0, FIRST, FIRST_BLOCK)
    if REST > 0:
        q_rest = tile(q_row, row_is, q_stride_d, FIRST, REST, REST_BLOCK)

    last_seen = seq_len - QUERY_LEN + token
    peak = tl.full([ROW_BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([ROW_BLOCK], tl.float32)
    summed = tl.zeros([ROW_BLOCK, VALUE_BLOCK], tl.float32)
    begin = split * keys_per_split
    end = tl.minimum(begin + keys_per_split, seq_len)
    k_tile = k_ptr + batch * k_stride_b + group * k_stride_g + begin.to(tl.int64) * k_stride_t
    v_tile = v_ptr + batch * v_stride_b + group * v_stride_g + begin.to(tl.int64) * v_stride_t
    offset = tl.arange(0, KEY_BLOCK)
    for start in range(begin, end, KEY_BLOCK):
        # From `start` each time: a pointer that moved on would keep its row's offsets in registers from turn to turn.
        key_is = offset < end - start
        if PAGE > 0:
            page = tl.load(table_ptr + batch * pages + (start + offset) // PAGE, mask=key_is, other=0).to(tl.int64)
            in_page = ((start + offset) % PAGE).to(tl.int64)
            k_row = k_ptr + page * k_stride_b + group * k_stride_g + in_page * k_stride_t
            v_row = v_ptr + page * v_stride_b + group * v_stride_g + in_page * v_stride_t
        else:
            token_in_split = (start - begin + offset).to(tl.int64)
            k_row = k_tile + token_in_split * k_stride_t
            v_row = v_tile + token_in_split * v_stride_t
        k_first = tile(k_row, key_is, k_stride_d, 0, FIRST, FIRST_BLOCK)
        if REST > 0:
            k_rest = tile(k_row, key_is, k_stride_d, FIRST, REST, REST_BLOCK)
        new_peak = peak
        # A number that is not known: zeros would be laid out in shared memory for the branch that is never taken.
        weights = tl.full([ROW_BLOCK, KEY_BLOCK], scale_log2, k_ptr.dtype.element_ty)
        goes_in = rows > 0 if BRANCH else True
        if goes_in:
            scores = product(q_first, tl.trans(k_first), AS_FLOAT) * scale_log2
            if REST > 0:
                # Scaled apart: added unscaled, the compiler would chain the two products.
                scores += product(q_rest, tl.trans(k_rest), AS_FLOAT) * scale_log2
            # Splits are whole blocks: only the context's end cuts one, and this hides what lies behind it too.
            seen = offset[None, :] <= (last_seen - start)[:, None]
            scores = tl.where(seen, scores, float("-inf"))
            new_peak = tl.maximum(peak, tl.max(scores, axis=1))
            # A row may see no key of a split: its peak stays -inf, and -inf - -inf is no number.
            base = tl.where(new_peak == float("-inf"), 0.0, new_peak) if MAY_SEE_NOTHING else new_peak
            decay = tl.exp2(peak - base)
            exponentials = tl.exp2(scores - base[:, None])
            total = total * decay + tl.sum(exponentials, axis=1)
            summed = summed * decay[:, None]
            weights = exponentials.to(k_ptr.dtype.element_ty)
        v_block = k_first if VALUE_IN_KEY else tile(v_row, key_is, v_stride_d, 0, VALUE, VALUE_BLOCK)
        summed += product(weights, v_block, AS_FLOAT)
        peak = new_peak

    value = tl.arange(0, VALUE_BLOCK)
    divisor = tl.where(total == 0.0, 1.0, total) if MAY_SEE_NOTHING else total
    part_row = (split.to(tl.int64) * pairs + pair) * rows + row
    tl.store(part_lse_ptr + part_row, peak + tl.log2(divisor), mask=row_is)
    tl.store(
        part_ptr + part_row[:, None] * VALUE + value[None, :],
        (summed / divisor[:, None]).to(part_ptr.dtype.element_ty),
        mask=row_is[:, None] & (value < VALUE)[None, :],
    )


@triton.jit(do_not_specialize=COUNTS)
def join_splits(
    part_ptr,
    part_lse_ptr,
    o_ptr,
    splits,
    VALUE: tl.constexpr,
    COLUMN_BLOCK: tl.constexpr,
    SPLITS_AT_ONCE: tl.constexpr,
):
    """Write a block of columns of one row of the output: the sum of its splits' results, each weighed by its share of
    the sum of exponentials.

    The splits are gone through twice: for the greatest logarithm, then for the sums.
    """
    row, all_rows = tl.program_id(0).to(tl.int64), tl.num_programs(0)
    column = tl.program_id(1) * COLUMN_BLOCK + tl.arange(0, COLUMN_BLOCK)
    some = tl.arange(0, SPLITS_AT_ONCE)

    greatest = tl.full([SPLITS_AT_ONCE], float("-inf"), tl.float32)
    for start in range(0, splits, SPLITS_AT_ONCE):
        split = start + some
        lse = tl.load(part_lse_ptr + row + split * all_rows, mask=split < splits, other=float("-inf"))
        greatest = tl.maximum(greatest, lse)
    peak = tl.max(greatest, axis=0)  # finite: every row sees key 0, which is in the first split

    total = tl.zeros([SPLITS_AT_ONCE], tl.float32)
    summed = tl.zeros([SPLITS_AT_ONCE, COLUMN_BLOCK], tl.float32)
    for start in range(0, splits, SPLITS_AT_ONCE):
        split = start + some
        part_row = row + split * all_rows
        lse = tl.load(part_lse_ptr + part_row, mask=split < splits, other=float("-inf"))
        share = tl.exp2(lse - peak)
        part = tl.load(
            part_ptr + part_row[:, None] * VALUE + column[None, :],
            mask=(split < splits)[:, None] & (column < VALUE)[None, :],
            other=0.0,
        )
        total += share
        summed += part * share[:, None]
    o = tl.sum(summed, axis=0) / tl.sum(total, axis=0)
    tl.store(o_ptr + row * VALUE + column, o.to(o_ptr.dtype.element_ty), mask=column < VALUE)
