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
// `part`: the keys of a part of a context, 0 where each context has `splits` equal ones. `page`: the keys of a page, 0
// where a sequence lies in one piece; k_b and v_b are then the steps from page to page.
struct Sizes {
  int64_t batch, kv_heads, rows, query_len, seq_len, d, v, splits, part, page, pages, threads;
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

// A block of keys and their values, row by row.
template <typename T>
struct Block {
  const T *k, *v;
  int64_t k_t, v_t;
};

struct Bytes {
  const char* first;
  int64_t count;
};

// Where the keys and values of a sequence's head lie: in one piece, or in pages. A block that is cut by the end of a
// page is copied together.
template <typename T>
class Context {
 public:
  Context(const Sizes& z, int64_t keys) : z_(z), keys_(z.page ? keys * z.d : 0), values_(z.page ? keys * z.v : 0) {}

  void begin(const T* k, const T* v, const int32_t* pages) {
    k_ = k;
    v_ = v;
    pages_ = pages;
  }

  // Returns how many keys from number t on lie side by side, at most `most`.
  int64_t adjacent(int64_t t, int64_t most) const {
    return pages_ == nullptr ? most : std::min(most, z_.page - t % z_.page);
  }

  // Where these keys lie, with what stands between their rows.
  Bytes bytes(int64_t t, int64_t keys) const {
    const T* first = pages_ == nullptr ? k_ + t * z_.k_t : key(t);
    return {reinterpret_cast<const char*>(first), keys * z_.k_t * static_cast<int64_t>(sizeof(T))};
  }

  Block<T> at(int64_t t, int64_t keys) {
    if (pages_ == nullptr) return {k_ + t * z_.k_t, v_ + t * z_.v_t, z_.k_t, z_.v_t};
    if (t % z_.page + keys <= z_.page) return {key(t), value(t), z_.k_t, z_.v_t};
    const bool in_key = k_ == v_;
    for (int64_t i = 0; i < keys; ++i) {
      std::copy_n(key(t + i), z_.d, keys_.data() + i * z_.d);
      if (!in_key) std::copy_n(value(t + i), z_.v, values_.data() + i * z_.v);
    }
    return {keys_.data(), in_key ? keys_.data() : values_.data(), z_.d, in_key ? z_.d : z_.v};
  }

 private:
  const T* key(int64_t t) const { return k_ + pages_[t / z_.page] * z_.k_b + t % z_.page * z_.k_t; }
  const T* value(int64_t t) const { return v_ + pages_[t / z_.page] * z_.v_b + t % z_.page * z_.v_t; }
  const Sizes& z_;
  const T *k_ = nullptr, *v_ = nullptr;
  const int32_t* pages_ = nullptr;
  Buffer<T> keys_, values_;
};

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
