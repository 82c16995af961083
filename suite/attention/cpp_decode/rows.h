// Every CPU: tiles of a few query rows by a few keys, whose sums stay in registers while vectors of columns pass.
namespace rows {

constexpr int64_t KEYS = 64;           // of a block, whose keys and values stay in the second cache while all rows pass
constexpr int64_t NEAR = 16;           // keys that stay in the first
constexpr int SUMS = W == 8 ? 8 : 16;  // in registers, of which AVX2 has sixteen and others thirty-two

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
    for (int i = 0; i < 16; ++i) a[i] = acc[i / K][i % K];
    for (int i = 0; i < 8; ++i)
      b[i] = _mm512_add_ps(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
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
  for (int r = 0; r < R; ++r)
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
  static void score(const float* q, const T* k, int64_t stride, int64_t d, float* s, const Ahead<T>& ahead,
                    int64_t first) {
    Vec acc[R][K];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < K; ++j) acc[r][j] = Vec(0.0f);
    int64_t c = 0;
    for (; c + W <= d; c += W) {
      Vec row[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) row[r] = load(q + r * d + c);
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) {
        const Vec key = load(k + j * stride + c);
        if constexpr (FETCHES) ahead.fetch(first + j, c);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][j] = at::vec::fmadd(row[r], key, acc[r][j]);
      }
    }
    if (c < d)
      for (int j = 0; j < K; ++j) {
        const Vec key = load(k + j * stride + c, d - c);
        for (int r = 0; r < R; ++r) acc[r][j] = at::vec::fmadd(load(q + r * d + c, d - c), key, acc[r][j]);
      }
    sum<R, K>(acc, s);
  }

  // Adds the weighted values of `keys` keys to C vectors of sums of R rows; of the last one `width` columns are there.
  // They are summed apart before: one addition after the other over a long context loses digits.
  template <int R, int C>
  static void weigh(const float* p, const T* v, int64_t stride, int64_t keys, int64_t width, float* o,
                    int64_t next_row) {
    Vec acc[R][C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) acc[r][c] = Vec(0.0f);
    for (int64_t t = 0; t < keys; ++t) {
      Vec value[C];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c)
        value[c] = width >= (c + 1) * W ? load(v + t * stride + c * W) : load(v + t * stride + c * W, width - c * W);
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
  static void score(const BFloat16* q, const BFloat16* k, int64_t stride, int64_t d, float* s,
                    const Ahead<BFloat16>& ahead, int64_t first) {
    __m512 acc[R][K];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < K; ++j) acc[r][j] = _mm512_setzero_ps();
    for (int64_t c = 0; c < d; c += 32) {
      __m512bh row[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) row[r] = load(q + r * d + c, d - c);
#pragma GCC unroll 16
      for (int j = 0; j < K; ++j) {
        const __m512bh key = load(k + j * stride + c, d - c);
        if constexpr (FETCHES) ahead.fetch(first + j, c);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[r][j] = _mm512_dpbf16_ps(acc[r][j], row[r], key);
      }
    }
    Vec sums[R][K];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < K; ++j) sums[r][j] = acc[r][j];
    sum<R, K>(sums, s);
  }

  template <int R, int C>
  static void weigh(const BFloat16* p, const BFloat16* v, int64_t stride, int64_t keys, int64_t width, float* o,
                    int64_t next_row) {
    __m512 acc[R][2 * C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < 2 * C; ++c) acc[r][c] = _mm512_load_ps(o + r * next_row + c * 16);
    for (int64_t t = 0; t < keys; t += 2) {
      __m512i value[2 * C];
      const int64_t next =
          t + 1 < keys ? stride : 0;  // behind the last key, whose partner weighs nothing, none is read
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const __m512i one = (__m512i)load(v + t * stride + c * 32, width - c * 32);
        const __m512i other = (__m512i)load(v + t * stride + next + c * 32, width - c * 32);
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
  }
};
#endif

// Scores keys for R rows from `row` on. Tiles of four rows share what is to be fetched, so that memory has all their
// time.
template <typename P, int R, typename T>
inline void score_keys(const Sizes& z, const typename P::Query* q, int64_t row, const T* k, int64_t k_t, int64_t keys,
                       float* s, const Ahead<T>& ahead) {
  const int64_t sharing = std::max<int64_t>(1, z.rows / 4);
  in_pieces<SUMS / R>(keys, [&](auto K, int64_t j) {
    if (K == SUMS / R && row % 4 == 0 && j / K % sharing == row / 4)
      P::template score<R, K, K == SUMS / R>(q, k + j * k_t, k_t, z.d, s + j, ahead, j);
    else
      P::template score<R, K, false>(q, k + j * k_t, k_t, z.d, s + j, ahead, j);
  });
}

template <typename P, int R, typename T>
inline void weigh_columns(const Sizes& z, const typename P::Weight* p, const T* v, int64_t v_t, int64_t keys, float* o,
                          int64_t next_row) {
  constexpr int64_t N = P::COLUMNS;
  in_pieces<std::min(8, SUMS / R) * W / N>((z.v + N - 1) / N, [&](auto C, int64_t first) {
    P::template weigh<R, C>(p, v + first * N, v_t, keys, z.v - first * N, o + first * N, next_row);
  });
}

template <typename P>
struct Scratch {
  static constexpr int64_t BLOCK = KEYS;
  static int64_t place(int64_t column) { return P::place(column); }
  int64_t rows, d, v;
  Buffer<typename P::Query> query;
  Buffer<float> scores, sums, most, total;
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
        rounded(IS_FLOAT ? 0 : rows * KEYS) {}
  typename P::Weight* weights() {
    if constexpr (IS_FLOAT)
      return scores.data();
    else
      return rounded.data();
  }
  static constexpr bool IS_FLOAT = std::is_same_v<typename P::Weight, float>;
};

template <typename P>
inline void soften(Scratch<P>& x, const Sizes& z, int64_t r, int64_t seen, int64_t keys) {
  float* s = x.scores.data() + r * KEYS;
  float* sums = x.sums.data() + r * x.v;
  Vec tops(LOWEST);
  int64_t j = 0;
  for (; j + W <= seen; j += W) tops = at::vec::maximum(tops, load(s + j));
  float top = at::vec::vec_reduce_all<float>([](Vec x, Vec y) { return at::vec::maximum(x, y); }, tops);
  for (; j < seen; ++j) top = std::max(top, s[j]);
  float& most = x.most.data()[r];
  float& total = x.total.data()[r];
  if (top * z.scale > most) {
    const float factor = std::exp(most - top * z.scale);
    most = top * z.scale;
    total *= factor;
    for (int64_t c = 0; c < x.v; c += W) (load(sums + c) * Vec(factor)).store(sums + c);
  }
  const Vec scale(z.scale), shift(most);
  Vec added(0.0f);
  for (j = 0; j + W <= seen; j += W) {
    const Vec weight = P::exp(at::vec::fmsub(load(s + j), scale, shift));
    weight.store(s + j);
    added = added + weight;
  }
  total += rows::total(added);
  for (; j < seen; ++j) total += s[j] = std::exp(s[j] * z.scale - most);
  std::fill(s + seen, s + keys, 0.0f);
  P::round(s, x.weights() + r * KEYS, keys);
}

template <typename P, typename T>
inline void attend(const Sizes& z, Scratch<P>& x, const T* q, Context<T>& context, int64_t from, int64_t to,
                   int64_t length) {
  for (int64_t r = 0; r < z.rows; ++r) std::copy_n(query_row(z, q, r), z.d, x.query.data() + r * z.d);
  std::fill(x.sums.begin(), x.sums.end(), 0.0f);
  std::fill(x.total.begin(), x.total.end(), 0.0f);
  std::fill(x.most.begin(), x.most.end(), LOWEST);
  for (int64_t t = from; t < to; t += KEYS) {
    const int64_t keys = std::min(KEYS, to - t);
    const Block<T> block = context.at(t, keys);
    for (int64_t j = 0; j < keys; j += NEAR) {
      const T* near = block.k + j * block.k_t;
      const int64_t there = std::min(NEAR, keys - j);
      const Ahead<T> ahead = ahead_of(z, block, j, NEAR);
      in_pieces<4>(z.rows, [&](auto R, int64_t r) {
        score_keys<P, R>(z, x.query.data() + r * z.d, r, near, block.k_t, there, x.scores.data() + r * KEYS + j, ahead);
      });
    }
    for (int64_t r = 0; r < z.rows; ++r) soften(x, z, r, keys_seen(z, r, length, t, keys), keys);
    in_pieces<4>(z.rows, [&](auto R, int64_t r) {
      weigh_columns<P, R>(z, x.weights() + r * KEYS, block.v, block.v_t, keys, x.sums.data() + r * x.v, x.v);
    });
  }
}

}  // namespace rows
