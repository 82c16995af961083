// Every CPU: tiles of a few query rows by a few keys, whose sums stay in registers while vectors of columns pass.
namespace rows {

constexpr int64_t KEYS = 64;           // of a block, whose keys and values stay in the second cache while all rows pass
constexpr int64_t NEAR = 16;           // keys that stay in the first
constexpr int SUMS = W == 8 ? 8 : 16;  // in registers, of which AVX2 has sixteen and others thirty-two

constexpr int64_t LINE = 64;             // bytes that memory hands over at once
constexpr int64_t FIRST_CACHE = 1 << 15;  // bytes, on the smallest CPUs

// A function that keeps its sums in registers only if it is compiled by itself, and if its loops are unrolled before
// the compiler divides its arrays into variables.
#define BY_ITSELF __attribute__((noinline))

// While keys are scored, their values are fetched into the first cache, the same columns of them.
template <typename T>
struct ValuesAhead {
  const T* first;
  int64_t stride, width;  // width 0 where a value lies in its key

  void fetch(int64_t key, int64_t column) const {
    if (column < width) __builtin_prefetch(first + key * stride + column);
  }
};

// While values are weighed, the next block's keys are fetched. So memory has all the time of a block; what a CPU fetches
// by itself ends with a page of memory, of which a block is many.
struct KeysAhead {
  const char *at, *end;
  int64_t lines;  // with each step of `weigh`

  KeysAhead(const Bytes& next, int64_t steps)
      : at(next.first), end(next.first + next.count), lines((next.count / LINE + steps - 1) / steps) {}
  int64_t lines_left() const { return at < end ? lines : 0; }
};

inline Vec load(const float* from) { return Vec::loadu(from); }
inline Vec load(const BFloat16* from) {
  Vec found;
  at::vec::load_fp32_from_bf16(from, found);
  return found;
}
inline Vec load(const float* from, int64_t count) { return Vec::loadu(from, count); }
inline Vec load(const BFloat16* from, int64_t count) {
  alignas(64) float some[W] = {};
  for (int64_t i = 0; i < count; ++i) some[i] = from[i];
  return Vec::loadu(some);
}

// Calls f with a number of things and the first of them, MOST at a time and then by halves, until all were passed.
template <int MOST, typename F>
inline void in_pieces(int64_t count, F f, int64_t first = 0) {
  for (; first + MOST <= count; first += MOST) f(std::integral_constant<int, MOST>(), first);
  if constexpr (MOST > 1) in_pieces<MOST / 2>(count, f, first);
}

inline float total(Vec x) {
  return at::vec::vec_reduce_all<float>([](Vec one, Vec other) { return one + other; }, x);
}

// Writes the sum of each of R x K vectors, row by row.
template <int R, int K>
inline void sum(Vec (&acc)[R][K], float* s) {
#if defined(CPU_CAPABILITY_AVX512)
  if constexpr (R * K == 16) {
    __m512 a[16], b[8], c[4];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = acc[i / K][i % K];
#pragma GCC unroll 16
    for (int i = 0; i < 8; ++i)
      b[i] = _mm512_add_ps(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i)
      c[i] = _mm512_add_ps(_mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0x44),
                           _mm512_shuffle_ps(b[2 * i], b[2 * i + 1], 0xEE));
    const __m512 low = _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x44), _mm512_shuffle_f32x4(c[0], c[1], 0xEE));
    const __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(c[2], c[3], 0x44), _mm512_shuffle_f32x4(c[2], c[3], 0xEE));
    alignas(64) float all[16];
    _mm512_store_ps(all, _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xDD)));
    for (int r = 0; r < R; ++r) std::copy_n(all + r * K, K, s + r * KEYS);
    return;
  }
#endif
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int j = 0; j < K; ++j) s[r * KEYS + j] = total(acc[r][j]);
}

// Float sums of float products, whatever the cache holds.
template <typename T>
struct Vectors {
  using Query = float;
  using Weight = float;
  static constexpr int64_t COLUMNS = W;  // of the value in a vector

  static void round(const float*, float*, int64_t) {}
  static int64_t place(int64_t column) { return column; }  // of a value's column among its row's sums

  // In float32 to the last bit or so: at the error that the short form may make, checks begin to fail.
  static Vec exp(Vec x) {
    if constexpr (std::is_same_v<T, float>)
      return x.exp();
    else
      return x.exp_u20();
  }

  template <int R, int K, bool FETCHES>
  BY_ITSELF static void score(const float* q, const T* k, int64_t stride, int64_t d, float* s,
                              const ValuesAhead<T>& values, int64_t first) {
    Vec acc[R][K];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) acc[r][j] = Vec(0.0f);
    const int64_t whole = d / W * W;
    if constexpr (R == 1) {  // key by key, as they lie in memory
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j)
        for (int64_t c = 0; c < whole; c += W) {
          if constexpr (FETCHES) values.fetch(first + j, c);
          acc[0][j] = at::vec::fmadd(load(q + c), load(k + j * stride + c), acc[0][j]);
        }
    } else {
      for (int64_t c = 0; c < whole; c += W) {
        Vec row[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) row[r] = load(q + r * d + c);
#pragma GCC unroll 16
        for (int j = 0; j < K; ++j) {
          const Vec key = load(k + j * stride + c);
          if constexpr (FETCHES) values.fetch(first + j, c);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) acc[r][j] = at::vec::fmadd(row[r], key, acc[r][j]);
        }
      }
    }
    if (whole < d)
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) {
        const Vec key = load(k + j * stride + whole, d - whole);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][j] = at::vec::fmadd(load(q + r * d + whole, d - whole), key, acc[r][j]);
      }
    sum<R, K>(acc, s);
  }

  // Adds the weighted values of `keys` keys to C vectors of sums of R rows. Of these C vectors `width` columns are there:
  // all, if WHOLE.
  // They are summed apart before: one addition after the other over a long context loses digits.
  template <int R, int C, bool WHOLE>
  BY_ITSELF static void weigh(const float* p, const T* v, int64_t stride, int64_t keys, int64_t width, float* o,
                              int64_t next_row, KeysAhead& next) {
    const char* at = next.at;
    const int64_t lines = next.lines_left();
    Vec acc[R][C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) acc[r][c] = Vec(0.0f);
    for (int64_t t = 0; t < keys; ++t) {
      for (int64_t i = 0; i < lines; ++i, at += LINE) __builtin_prefetch(at);
      Vec value[C];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
        value[c] = WHOLE || width >= (c + 1) * W ? load(v + t * stride + c * W)
                                                 : load(v + t * stride + c * W, width - c * W);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Vec weight(p[r * KEYS + t]);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) acc[r][c] = at::vec::fmadd(weight, value[c], acc[r][c]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        float* sums = o + r * next_row + c * W;
        (load(sums) + acc[r][c]).store(sums);
      }
    next.at = at;
  }
};

#if defined(__AVX512BF16__) && defined(CPU_CAPABILITY_AVX512)
#define HAS_PAIRS 1
// Float sums of products of two bfloat16 at once, which AVX512-BF16 has: of two columns of a key, of two keys' values.
struct Pairs {
  using Query = BFloat16;
  using Weight = BFloat16;
  static constexpr int64_t COLUMNS = 32;

  static int64_t place(int64_t column) { return interleaved(column); }
  static Vec exp(Vec x) { return x.exp_u20(); }

  static __mmask32 lanes(int64_t count) { return count >= 32 ? 0xFFFFFFFFu : (1u << count) - 1; }
  static __m512bh load(const BFloat16* from, int64_t count) {
    return (__m512bh)_mm512_maskz_loadu_epi16(lanes(count), from);
  }

  static void round(const float* from, BFloat16* to, int64_t count) {
    int64_t i = 0;
    for (; i + 32 <= count; i += 32)
      _mm512_storeu_si512(to + i,
                          (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i)));
    for (; i < count; ++i) to[i] = BFloat16(from[i]);
    for (; i < (count + 1) / 2 * 2; ++i) to[i] = BFloat16(0.0f);
  }

  template <int R, int K, bool FETCHES>
  BY_ITSELF static void score(const BFloat16* q, const BFloat16* k, int64_t stride, int64_t d, float* s,
                              const ValuesAhead<BFloat16>& values, int64_t first) {
    __m512 acc[R][K];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) acc[r][j] = _mm512_setzero_ps();
    if constexpr (R == 1) {  // key by key, as they lie in memory
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j)
        for (int64_t c = 0; c < d; c += 32) {
          if constexpr (FETCHES) values.fetch(first + j, c);
          acc[0][j] = _mm512_dpbf16_ps(acc[0][j], load(q + c, d - c), load(k + j * stride + c, d - c));
        }
    } else {
      for (int64_t c = 0; c < d; c += 32) {
        __m512bh row[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) row[r] = load(q + r * d + c, d - c);
#pragma GCC unroll 16
        for (int j = 0; j < K; ++j) {
          const __m512bh key = load(k + j * stride + c, d - c);
          if constexpr (FETCHES) values.fetch(first + j, c);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) acc[r][j] = _mm512_dpbf16_ps(acc[r][j], row[r], key);
        }
      }
    }
    Vec sums[R][K];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) sums[r][j] = acc[r][j];
    sum<R, K>(sums, s);
  }

  template <int R, int C, bool WHOLE>
  BY_ITSELF static void weigh(const BFloat16* p, const BFloat16* v, int64_t stride, int64_t keys, int64_t width,
                              float* o, int64_t next_row, KeysAhead& next) {
    const char* at = next.at;
    const int64_t lines = next.lines_left();
    __m512 acc[R][2 * C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < 2 * C; ++c) acc[r][c] = _mm512_load_ps(o + r * next_row + c * 16);
    for (int64_t t = 0; t < keys; t += 2) {
      for (int64_t i = 0; i < lines; ++i, at += LINE) __builtin_prefetch(at);
      __m512i value[2 * C];
      // Behind the last key, whose partner weighs nothing, none is read.
      const int64_t partner = t + 1 < keys ? stride : 0;
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const __m512i one = (__m512i)load(v + t * stride + c * 32, WHOLE ? 32 : width - c * 32);
        const __m512i other = (__m512i)load(v + t * stride + partner + c * 32, WHOLE ? 32 : width - c * 32);
        interleave(one, other, value[2 * c], value[2 * c + 1]);
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        int32_t two;
        std::memcpy(&two, p + r * KEYS + t, 4);
        const __m512bh weight = (__m512bh)_mm512_set1_epi32(two);
#pragma GCC unroll 8
        for (int c = 0; c < 2 * C; ++c) acc[r][c] = _mm512_dpbf16_ps(acc[r][c], weight, (__m512bh)value[c]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < 2 * C; ++c) _mm512_store_ps(o + r * next_row + c * 16, acc[r][c]);
    next.at = at;
  }
};
#endif

// Scores keys for R rows from `row` on. Tiles of four rows share what is to be fetched, so that memory has all their
// time.
template <typename P, int R, typename T>
inline void score_keys(const Sizes& z, const typename P::Query* q, int64_t row, const T* k, int64_t k_t, int64_t keys,
                       float* s, const ValuesAhead<T>& values) {
  const int64_t sharing = std::max<int64_t>(1, z.rows / 4);
  in_pieces<SUMS / R>(keys, [&](auto K, int64_t j) {
    if (K == SUMS / R && row % 4 == 0 && j / K % sharing == row / 4)
      P::template score<R, K, K == SUMS / R>(q, k + j * k_t, k_t, z.d, s + j, values, j);
    else
      P::template score<R, K, false>(q, k + j * k_t, k_t, z.d, s + j, values, j);
  });
}

template <typename P, int R, typename T>
inline void weigh_columns(const typename P::Weight* p, const T* v, int64_t v_t, int64_t keys, int64_t width, float* o,
                          int64_t next_row, KeysAhead& next) {
  constexpr int64_t N = P::COLUMNS;
  in_pieces<std::min(8, SUMS / R) * W / N>((width + N - 1) / N, [&](auto C, int64_t first) {
    const auto weigh = width >= (first + C) * N ? P::template weigh<R, C, true> : P::template weigh<R, C, false>;
    weigh(p, v + first * N, v_t, keys, width - first * N, o + first * N, next_row, next);
  });
}

template <typename P>
struct Scratch {
  static constexpr int64_t BLOCK = KEYS;
  static int64_t place(int64_t column) { return P::place(column); }
  int64_t rows, d, v;
  Buffer<typename P::Query> query;
  Buffer<float> scores, sums, most, total, lanes;
  Buffer<typename P::Weight> rounded;
  explicit Scratch(const Sizes& z)
      : rows(z.rows),
        d(z.d),
        v((z.v + P::COLUMNS - 1) / P::COLUMNS * P::COLUMNS),
        query(rows * d),
        scores(rows * KEYS),
        sums(rows * v),
        most(rows),
        total(rows),
        lanes(rows * W),
        rounded(IS_FLOAT ? 0 : rows * KEYS) {}
  typename P::Weight* weights() {
    if constexpr (IS_FLOAT)
      return scores.data();
    else
      return rounded.data();
  }
  static constexpr bool IS_FLOAT = std::is_same_v<typename P::Weight, float>;
};

// Turns the scores of a row into weights, and brings its sums to the new maximum where there is one. What the row's
// keys weigh is summed lane by lane, and over the lanes when all keys have passed.
template <typename P>
inline void soften(Scratch<P>& x, const Sizes& z, int64_t r, int64_t seen, int64_t keys) {
  float* s = x.scores.data() + r * KEYS;
  float* lanes = x.lanes.data() + r * W;
  float& most = x.most.data()[r];
  const Vec scale(z.scale);
  Vec tops(LOWEST);
  int64_t j = 0;
  for (; j + W <= seen; j += W) tops = at::vec::maximum(tops, load(s + j));
  if (j < seen) tops = at::vec::maximum(tops, Vec::set(Vec(LOWEST), load(s + j, seen - j), seen - j));
  if ((tops * scale > Vec(most)).zero_mask() != (1 << W) - 1) {
    const auto larger = [](Vec one, Vec other) { return at::vec::maximum(one, other); };
    const float top = z.scale * at::vec::vec_reduce_all<float>(larger, tops);
    const Vec factor(std::exp(most - top));
    most = top;
    (load(lanes) * factor).store(lanes);
    float* sums = x.sums.data() + r * x.v;
    for (int64_t c = 0; c < x.v; c += W) (load(sums + c) * factor).store(sums + c);
  }
  const Vec shift(most);
  Vec added = load(lanes);
  for (j = 0; j + W <= seen; j += W) {
    const Vec weight = P::exp(at::vec::fmsub(load(s + j), scale, shift));
    weight.store(s + j);
    added = added + weight;
  }
  added.store(lanes);
  for (; j < seen; ++j) *lanes += s[j] = std::exp(s[j] * z.scale - most);
  std::fill(s + seen, s + keys, 0.0f);
  P::round(s, x.weights() + r * KEYS, keys);
}

template <typename P, typename T>
inline void attend(const Sizes& z, Scratch<P>& x, const T* q, Context<T>& context, int64_t from, int64_t to,
                   int64_t length) {
  for (int64_t r = 0; r < z.rows; ++r) std::copy_n(query_row(z, q, r), z.d, x.query.data() + r * z.d);
  std::fill(x.sums.begin(), x.sums.end(), 0.0f);
  std::fill(x.lanes.begin(), x.lanes.end(), 0.0f);
  std::fill(x.most.begin(), x.most.end(), LOWEST);
  // Of values that the first cache does not hold, as many columns at once as it does.
  const bool holds = z.v * KEYS * static_cast<int64_t>(sizeof(T)) <= FIRST_CACHE;
  const int64_t columns = std::min<int64_t>(8, SUMS / std::min<int64_t>(z.rows, 4)) * W;
  const int64_t strip = holds || z.rows <= 4 ? z.v : columns;
  const int64_t calls = (z.rows + 3) / 4 * ((z.v + columns - 1) / columns);
  // A block ends with its page, unless pages are so small that they are copied together.
  const bool by_pages = z.page >= NEAR;
  const auto block_from = [&](int64_t t) {
    const int64_t most = std::min(KEYS, to - t);
    return by_pages ? context.adjacent(t, most) : most;
  };
  for (int64_t t = from, keys; t < to; t += keys) {
    keys = block_from(t);
    const Block<T> block = context.at(t, keys);
    for (int64_t j = 0; j < keys; j += NEAR) {
      const T* near = block.k + j * block.k_t;
      const int64_t there = std::min(NEAR, keys - j);
      const ValuesAhead<T> values = {block.v + j * block.v_t, block.v_t, block.k == block.v ? 0 : z.v};
      in_pieces<4>(z.rows, [&](auto R, int64_t r) {
        score_keys<P, R>(z, x.query.data() + r * z.d, r, near, block.k_t, there, x.scores.data() + r * KEYS + j,
                         values);
      });
    }
    for (int64_t r = 0; r < z.rows; ++r) soften(x, z, r, keys_seen(z, r, length, t, keys), keys);
    const int64_t further = t + keys, steps = calls * std::max<int64_t>(1, keys * W / P::COLUMNS);
    Bytes bytes{};
    if (further < to) bytes = context.bytes(further, context.adjacent(further, block_from(further)));
    KeysAhead next(bytes, steps);
    for (int64_t c = 0; c < z.v; c += strip)
      in_pieces<4>(z.rows, [&](auto R, int64_t r) {
        weigh_columns<P, R>(x.weights() + r * KEYS, block.v + c, block.v_t, keys, std::min(strip, z.v - c),
                            x.sums.data() + r * x.v + c, x.v, next);
      });
  }
  for (int64_t r = 0; r < z.rows; ++r) x.total.data()[r] = total(load(x.lanes.data() + r * W));
}

}  // namespace rows
