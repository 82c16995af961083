// AMX: products of 16 rows, 32 deep, in bfloat16 with float sums. A key is multiplied as it lies in the cache, since
// the query stands on the right: scores come out key by key, sixteen query rows a vector, so that the softmax needs no
// sum across lanes. Values are interleaved in pairs of keys, once for all rows of a head.
#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(CPU_CAPABILITY_AVX512) && \
    !defined(WITHOUT_DECODE_BFLOAT16)
#define HAS_TILES 1
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tiles {

constexpr int64_t ROWS = 16, DEEP = 32;  // of a tile; elements, two bytes each
constexpr int64_t TILE = ROWS * DEEP;
constexpr int64_t KEYS = 128;  // of a block

struct alignas(64) Config {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Linux gives a process its tiles when it asks.
inline bool permitted() {
  static const bool is = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return is;
}

inline void transpose(__m512i (&row)[16]) {
  __m512i a[16], b[16];
  for (int i = 0; i < 8; ++i) {
    a[2 * i] = _mm512_unpacklo_epi32(row[2 * i], row[2 * i + 1]);
    a[2 * i + 1] = _mm512_unpackhi_epi32(row[2 * i], row[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    b[4 * i] = _mm512_unpacklo_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 1] = _mm512_unpackhi_epi64(a[4 * i], a[4 * i + 2]);
    b[4 * i + 2] = _mm512_unpacklo_epi64(a[4 * i + 1], a[4 * i + 3]);
    b[4 * i + 3] = _mm512_unpackhi_epi64(a[4 * i + 1], a[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    a[i] = _mm512_shuffle_i32x4(b[i], b[4 + i], 0x88);
    a[4 + i] = _mm512_shuffle_i32x4(b[i], b[4 + i], 0xDD);
    a[8 + i] = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0x88);
    a[12 + i] = _mm512_shuffle_i32x4(b[8 + i], b[12 + i], 0xDD);
  }
  for (int i = 0; i < 4; ++i) {
    row[i] = _mm512_shuffle_i32x4(a[i], a[8 + i], 0x88);
    row[4 + i] = _mm512_shuffle_i32x4(a[4 + i], a[12 + i], 0x88);
    row[8 + i] = _mm512_shuffle_i32x4(a[i], a[8 + i], 0xDD);
    row[12 + i] = _mm512_shuffle_i32x4(a[4 + i], a[12 + i], 0xDD);
  }
}

// What is fetched into the first cache while keys are scored: the same columns of keys further on, and of these keys'
// values. What a CPU fetches by itself ends with a page, of which a block of keys is many.
template <typename T>
struct Ahead {
  const T *k, *v;
  int64_t k_t, v_t, width;  // of a value, 0 where it lies in the key

  void fetch(int64_t key, int64_t column) const {
    if (column % (64 / static_cast<int64_t>(sizeof(T))) != 0) return;  // of a line of the cache its first column
    __builtin_prefetch(k + key * k_t + column);
    if (column < width) __builtin_prefetch(v + key * v_t + column);
  }
};

// From a block's key number `first`, which is scored; what is fetched begins `keys` further on.
template <typename T>
inline Ahead<T> ahead_of(const Sizes& z, const Block<T>& block, int64_t first, int64_t keys) {
  return {block.k + (first + keys) * block.k_t, block.v + first * block.v_t, block.k_t, block.v_t,
          block.k == block.v ? 0 : z.v};
}

struct Scratch {
  static constexpr int64_t BLOCK = KEYS;
  static int64_t place(int64_t column) { return interleaved(column); }
  int64_t row_tiles, d, v;
  Buffer<BFloat16> query, weights, values, last;
  Buffer<float> scores, sums, most, total;
  Scratch(const Sizes& z)
      : row_tiles((z.rows + ROWS - 1) / ROWS),
        d(z.d),
        v(z.v),
        query(row_tiles * ROWS * d),
        weights(row_tiles * ROWS * KEYS),
        values(KEYS * DEEP),
        last(DEEP * d),
        scores(row_tiles * ROWS * KEYS),
        sums(row_tiles * ROWS * v),
        most(row_tiles * ROWS),
        total(row_tiles * ROWS) {}
};

// Up to four rows, of sixteen that a tile has, products of pairs take less time: memory is what they wait for.
inline bool fit(const Sizes& z) { return z.rows > 4 && z.d % DEEP == 0 && z.v % DEEP == 0 && permitted(); }

template <int N>
inline void score(const BFloat16* keys, int64_t stride, const BFloat16* query, int64_t next_query, int64_t d,
                  float* scores, const Ahead<BFloat16>* ahead) {
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (N == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t c = 0; c < d; c += DEEP) {
    for (int64_t j = 0; ahead != nullptr && j < 2 * ROWS; ++j) ahead->fetch(j, c);
    _tile_loadd(4, keys + c, stride * 2);
    _tile_loadd(6, query + c * ROWS, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, keys + ROWS * stride + c, stride * 2);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (N == 2) {
      _tile_loadd(7, query + next_query + c * ROWS, 64);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, scores, 64);
  _tile_stored(1, scores + ROWS * ROWS, 64);
  if constexpr (N == 2) {
    _tile_stored(2, scores + KEYS * ROWS, 64);
    _tile_stored(3, scores + KEYS * ROWS + ROWS * ROWS, 64);
  }
}

// Adds the weighted values of a block to two neighbouring tiles of sums, of N tiles of rows.
template <int N>
inline void weigh(const BFloat16* weights, const BFloat16* values, int64_t chunks, int64_t v, float* sums) {
  _tile_loadd(0, sums, v * 4);
  _tile_loadd(1, sums + ROWS, v * 4);
  if constexpr (N == 2) {
    _tile_loadd(2, sums + ROWS * v, v * 4);
    _tile_loadd(3, sums + ROWS * v + ROWS, v * 4);
  }
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    _tile_loadd(4, weights + chunk * TILE, 64);
    _tile_loadd(6, values + chunk * 2 * TILE, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, values + chunk * 2 * TILE + TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (N == 2) {
      _tile_loadd(5, weights + ROWS * KEYS + chunk * TILE, 64);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, v * 4);
  _tile_stored(1, sums + ROWS, v * 4);
  if constexpr (N == 2) {
    _tile_stored(2, sums + ROWS * v, v * 4);
    _tile_stored(3, sums + ROWS * v + ROWS, v * 4);
  }
}

// Turns the scores of a tile of rows into weights, and brings its sums to the new maximum.
inline void soften(Scratch& x, const Sizes& z, int64_t tile, int64_t from, int64_t keys, int64_t length) {
  float* scores = x.scores.data() + tile * ROWS * KEYS;
  const int64_t padded = (keys + DEEP - 1) / DEEP * DEEP;
  const __m512 lowest = _mm512_set1_ps(LOWEST), scale = _mm512_set1_ps(z.scale);
  alignas(64) int32_t seen[ROWS];  // keys of this block that a row may see
  bool is_masked = padded != keys;
  for (int64_t r = 0; r < ROWS; ++r) {
    seen[r] = static_cast<int32_t>(keys_seen(z, tile * ROWS + r, length, from, keys));
    is_masked |= seen[r] != keys;
  }
  if (is_masked) {
    const __m512i limit = _mm512_load_si512(seen);
    for (int64_t t = 0; t < padded; ++t) {
      const __mmask16 hidden = _mm512_cmple_epi32_mask(limit, _mm512_set1_epi32(static_cast<int32_t>(t)));
      _mm512_store_ps(scores + t * ROWS, _mm512_mask_mov_ps(_mm512_load_ps(scores + t * ROWS), hidden, lowest));
    }
  }
  __m512 top[4] = {lowest, lowest, lowest, lowest};
  for (int64_t t = 0; t < padded; t += 4)
    for (int i = 0; i < 4; ++i) top[i] = _mm512_max_ps(top[i], _mm512_load_ps(scores + (t + i) * ROWS));
  const __m512 block = _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
  const __m512 before = _mm512_load_ps(x.most.data() + tile * ROWS);
  const __m512 most = _mm512_max_ps(before, _mm512_mul_ps(block, scale));
  const __mmask16 grown = _mm512_cmp_ps_mask(most, before, _CMP_GT_OQ);
  __m512 total = _mm512_load_ps(x.total.data() + tile * ROWS);
  if (grown) {
    const __m512 factor = Vec(_mm512_sub_ps(before, most)).exp_u20();
    total = _mm512_mul_ps(total, factor);
    _mm512_store_ps(x.most.data() + tile * ROWS, most);
    alignas(64) float of_row[ROWS];
    _mm512_store_ps(of_row, factor);
    for (int64_t r = 0; r < ROWS; ++r)
      if (grown >> r & 1) {
        float* sums = x.sums.data() + (tile * ROWS + r) * x.v;
        const __m512 by = _mm512_set1_ps(of_row[r]);
        for (int64_t c = 0; c < x.v; c += 16) _mm512_store_ps(sums + c, _mm512_mul_ps(_mm512_load_ps(sums + c), by));
      }
  }
  for (int64_t chunk = 0; chunk < padded / DEEP; ++chunk) {
    __m512i pairs[16];
    for (int i = 0; i < 16; ++i) {
      const float* here = scores + (chunk * DEEP + 2 * i) * ROWS;
      const __m512 one = Vec(_mm512_fmsub_ps(_mm512_load_ps(here), scale, most)).exp_u20();
      const __m512 other = Vec(_mm512_fmsub_ps(_mm512_load_ps(here + ROWS), scale, most)).exp_u20();
      total = _mm512_add_ps(total, _mm512_add_ps(one, other));
      const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(one));
      const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(other)), 16);
      pairs[i] = _mm512_or_si512(low, high);
    }
    transpose(pairs);
    for (int r = 0; r < 16; ++r)
      _mm512_store_si512(x.weights.data() + tile * ROWS * KEYS + chunk * TILE + r * DEEP, pairs[r]);
  }
  _mm512_store_ps(x.total.data() + tile * ROWS, total);
}

inline void attend(const Sizes& z, Scratch& x, const BFloat16* q, Context<BFloat16>& context, int64_t from, int64_t to,
                   int64_t length) {
  Config config;
  _tile_loadconfig(&config);
  for (int64_t r = 0; r < x.row_tiles * ROWS; ++r) {
    const BFloat16* row = r < z.rows ? query_row(z, q, r) : nullptr;
    BFloat16* packed = x.query.data() + r / ROWS * ROWS * x.d + r % ROWS * 2;
    for (int64_t c = 0; c < x.d; ++c) packed[c / 2 * DEEP + c % 2] = row ? row[c] : BFloat16(0.0f);
  }
  std::fill(x.sums.begin(), x.sums.end(), 0.0f);
  std::fill(x.total.begin(), x.total.end(), 0.0f);
  std::fill(x.most.begin(), x.most.end(), LOWEST);
  for (int64_t t = from; t < to; t += KEYS) {
    const int64_t keys = std::min(KEYS, to - t), chunks = (keys + DEEP - 1) / DEEP;
    const Block<BFloat16> block = context.at(t, keys);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      const BFloat16* first = block.k + chunk * DEEP * block.k_t;
      int64_t stride = block.k_t;
      if (const int64_t there = keys - chunk * DEEP; there < DEEP) {  // what lies behind the last key is not read
        std::fill(x.last.begin(), x.last.end(), BFloat16(0.0f));
        for (int64_t i = 0; i < there; ++i) std::copy_n(first + i * block.k_t, x.d, x.last.data() + i * x.d);
        first = x.last.data();
        stride = x.d;
      }
      float* scores = x.scores.data() + chunk * DEEP * ROWS;
      const Ahead<BFloat16> ahead = ahead_of(z, block, chunk * DEEP, DEEP);
      for (int64_t tile = 0; tile < x.row_tiles; tile += 2) {
        const BFloat16* query = x.query.data() + tile * ROWS * x.d;
        const auto score_them = tile + 2 <= x.row_tiles ? score<2> : score<1>;
        score_them(first, stride, query, ROWS * x.d, x.d, scores + tile * ROWS * KEYS, tile == 0 ? &ahead : nullptr);
      }
    }
    for (int64_t tile = 0; tile < x.row_tiles; ++tile) soften(x, z, tile, t, keys, length);
    for (int64_t c = 0; c < x.v; c += DEEP) {
      for (int64_t i = 0; i < chunks * DEEP; i += 2) {
        const BFloat16* one = block.v + i * block.v_t + c;
        const __m512i none = _mm512_setzero_si512();
        __m512i left, right;
        interleave(i < keys ? _mm512_loadu_si512(one) : none, i + 1 < keys ? _mm512_loadu_si512(one + block.v_t) : none,
                   left, right);
        BFloat16* pair = x.values.data() + i / DEEP * 2 * TILE + i % DEEP / 2 * DEEP;
        _mm512_store_si512(pair, left);
        _mm512_store_si512(pair + TILE, right);
      }
      for (int64_t tile = 0; tile < x.row_tiles; tile += 2) {
        const auto weigh_them = tile + 2 <= x.row_tiles ? weigh<2> : weigh<1>;
        weigh_them(x.weights.data() + tile * ROWS * KEYS, x.values.data(), chunks, x.v,
                   x.sums.data() + tile * ROWS * x.v + c);
      }
    }
  }
  _tile_release();
}

}  // namespace tiles
#endif
