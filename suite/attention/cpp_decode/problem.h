// The problem: its sizes, its rows, which keys they see, and how keys and values are brought to them.
#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

namespace {

using c10::BFloat16;
using Vec = at::vec::Vectorized<float>;
constexpr int64_t W = Vec::size();
enum Products : int { VECTORS, PAIRS, TILES };  // of floats, of two bfloat16 at once, of tiles of them
constexpr float LOWEST = -FLT_MAX;              // in place of an infinity, which a compiler may be told not to expect

// The sizes of a problem and the strides of its tensors, in elements. A key's and a query's columns are adjacent.
struct Sizes {
  int64_t batch, kv_heads, rows, query_len, seq_len, d, v, splits, threads;
  int64_t q_b, q_g, q_h, q_s;
  int64_t k_b, k_g, k_t, v_b, v_g, v_t;
  float scale;
};

template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t count) : count_(count) {
    const size_t bytes = (std::max<int64_t>(count, 1) * sizeof(T) + 63) / 64 * 64;
    data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
    if (data_ == nullptr) throw std::bad_alloc();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return data_; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }

 private:
  T* data_;
  int64_t count_;
};

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

// `keys`: from the first one that is scored on to the first one that is fetched.
template <typename T>
inline Ahead<T> ahead_of(const Sizes& z, const T* k, const T* v, int64_t t, int64_t keys) {
  return {k + (t + keys) * z.k_t, v + t * z.v_t, z.k_t, z.v_t, k == v ? 0 : z.v};
}

// A row is a query of a head in the group and a new token, the tokens of a head side by side.
template <typename T>
inline const T* query_row(const Sizes& z, const T* q, int64_t row) {
  return q + row / z.query_len * z.q_h + row % z.query_len * z.q_s;
}

// Returns how many of the keys from `from` a row may see: its last new token sees all, each one before one less.
inline int64_t keys_seen(const Sizes& z, int64_t row, int64_t length, int64_t from, int64_t keys) {
  return std::clamp<int64_t>(length - z.query_len + row % z.query_len + 1 - from, 0, keys);
}

#if defined(__AVX512BF16__) && defined(CPU_CAPABILITY_AVX512)
// Sets two rows of 32 columns side by side: a column of one, the same of the other. AVX512 does so in each quarter of a
// vector, which puts of every eight columns the first four on the left; `interleaved` says where a column comes to lie.
inline void interleave(__m512i one, __m512i other, __m512i& left, __m512i& right) {
  left = _mm512_unpacklo_epi16(one, other);
  right = _mm512_unpackhi_epi16(one, other);
}
inline int64_t interleaved(int64_t c) { return c / 32 * 32 + c % 8 / 4 * 16 + c % 32 / 8 * 4 + c % 4; }
#endif
