// Runs the decode kernel, whose sources stand before this in the same file, over shapes, counts of new tokens, contexts
// that end anywhere, parts, products and pages, against sums in float64. Slots behind a sequence's end hold NaN.
// Prints what was wrong, and how many cases were; ends with 1 if any.

#include <cstdio>
#include <random>
#include <vector>

struct Shape {
  int64_t heads, kv_heads, d, v;
  enum { APART, BEHIND, IN_KEY } value;
};
constexpr Shape SHAPES[] = {{4, 4, 64, 64, Shape::APART},  {8, 2, 64, 64, Shape::BEHIND},
                            {5, 1, 40, 24, Shape::APART},  {20, 1, 192, 128, Shape::IN_KEY},
                            {3, 3, 96, 32, Shape::BEHIND}, {6, 2, 17, 5, Shape::APART},
                            {40, 1, 64, 64, Shape::IN_KEY}};
constexpr int64_t BATCH = 2, SPARE = 3;

// The rows of each sequence in pages that lie in another order than their tokens; what is left of the last holds NaN.
template <typename T>
std::vector<T> in_pages(const std::vector<T>& rows, int64_t G, int64_t slots, int64_t width, const int64_t* lengths,
                        int64_t page, int64_t each, const std::vector<int32_t>& table) {
  std::vector<T> pages(BATCH * each * G * page * width, T(NAN));
  for (int64_t b = 0; b < BATCH; ++b)
    for (int64_t g = 0; g < G; ++g)
      for (int64_t t = 0; t < lengths[b]; ++t)
        std::copy_n(rows.begin() + ((b * G + g) * slots + t) * width, width,
                    pages.begin() + ((table[b * each + t / page] * G + g) * page + t % page) * width);
  return pages;
}

template <typename T>
double error(const Shape& shape, int64_t query_len, int64_t seq_len, int64_t splits, int products, int64_t page = 0) {
  const auto [H, G, d, v, value] = shape;
  const int64_t group = H / G, slots = seq_len + SPARE, width = value == Shape::BEHIND ? d + v : d;
  const int64_t value_width = value == Shape::APART ? v : width;
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  const auto drawn = [&](int64_t count) {
    std::vector<T> found(count);
    for (T& x : found) x = T(normal(generator));
    return found;
  };
  const std::vector<T> q = drawn(BATCH * H * query_len * d);
  std::vector<T> cache = drawn(BATCH * G * slots * width), apart = drawn(BATCH * G * slots * v), out = q;
  out.resize(BATCH * H * query_len * v);
  int64_t lengths[BATCH];
  for (int64_t b = 0; b < BATCH; ++b) {
    lengths[b] = std::max(query_len, seq_len - 5 * b);
    for (int64_t g = 0; g < G; ++g) {
      const int64_t end = (b * G + g) * slots + lengths[b], spare = slots - lengths[b];
      std::fill_n(cache.begin() + end * width, spare * width, T(NAN));
      std::fill_n(apart.begin() + end * v, spare * v, T(NAN));
    }
  }
  const T *k = cache.data(), *values = value == Shape::APART ? apart.data() : value == Shape::BEHIND ? k + d : k;
  // The new tokens of a query stand before its heads, as a projection leaves them.
  Sizes z{.batch = BATCH,
                .kv_heads = G,
                .rows = group * query_len,
                .query_len = query_len,
                .seq_len = seq_len,
                .d = d,
                .v = v,
                .splits = splits,
                .threads = 1,
                .q_b = query_len * H * d,
                .q_g = group * d,
                .q_h = d,
                .q_s = H * d,
                .k_b = G * slots * width,
                .k_g = slots * width,
                .k_t = width,
                .v_b = G * slots * value_width,
                .v_g = slots * value_width,
                .v_t = value_width,
                .scale = 0.1f};
  const T *kernel_k = k, *kernel_values = values;
  std::vector<T> k_pages, v_pages;
  std::vector<int32_t> table;
  if (page > 0) {
    const int64_t each = (seq_len + page - 1) / page;
    for (int64_t i = 0; i < BATCH * each; ++i) table.push_back(BATCH * each - 1 - i);
    k_pages = in_pages(cache, G, slots, width, lengths, page, each, table);
    v_pages = in_pages(apart, G, slots, v, lengths, page, each, table);
    kernel_k = k_pages.data();
    kernel_values = value == Shape::APART ? v_pages.data() : kernel_k + (values - k);
    z.page = page;
    z.pages = each;
    z.k_b = G * page * width;
    z.k_g = page * width;
    z.v_b = G * page * value_width;
    z.v_g = page * value_width;
  }
  const int32_t* pages = page > 0 ? table.data() : nullptr;
  if constexpr (std::is_same_v<T, float>)
    decode_float(&z, q.data(), kernel_k, kernel_values, lengths, pages, out.data(), products);
  else
    decode_bfloat16(&z, q.data(), kernel_k, kernel_values, lengths, pages, out.data(), products);
  double wrong = 0, whole = 0;
  for (int64_t b = 0; b < BATCH; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t s = 0; s < query_len; ++s) {
        const T* row = q.data() + ((b * query_len + s) * H + h) * d;
        const int64_t first = (b * G + h / group) * slots, seen = lengths[b] - query_len + s + 1;
        std::vector<double> weights(seen);
        double total = 0;
        for (int64_t t = 0; t < seen; ++t) {
          double score = 0;
          for (int64_t c = 0; c < d; ++c) score += double(row[c]) * double(k[(first + t) * width + c]);
          total += weights[t] = std::exp(score * z.scale);
        }
        for (int64_t c = 0; c < v; ++c) {
          double sum = 0;
          for (int64_t t = 0; t < seen; ++t) sum += weights[t] / total * double(values[(first + t) * value_width + c]);
          const double off = double(out[((b * H + h) * query_len + s) * v + c]) - sum;
          wrong += off * off;
          whole += sum * sum;
        }
      }
  return std::sqrt(wrong / whole);
}

int main() {
  int cases = 0, bad = 0;
  const auto count = [&](double found, double allowed, const Shape& shape, auto... where) {
    ++cases;
    if (found <= allowed) return;  // a NaN is not
    if (++bad <= 5) {
      std::printf("error %.1e of %.0e with %ld heads of %ld and", found, allowed, long(shape.heads), long(shape.d));
      (std::printf(" %ld", long(where)), ...);
      std::printf(" new tokens, keys, parts, products, tokens of a page\n");
    }
  };
  for (const Shape& shape : SHAPES)
    for (const int64_t query_len : {1, 3, 4})
      for (const int64_t seq_len : {5, 33, 128, 300})
        for (const int64_t splits : {1, 3}) {
          for (const int64_t page : {0, 3, 128})
            count(error<float>(shape, query_len, seq_len, splits, 0, page), 1e-6, shape, query_len, seq_len, splits, 0,
                  page);
          const Sizes z{.rows = shape.heads / shape.kv_heads * query_len, .d = shape.d, .v = shape.v};
          for (int most = TILES; most >= VECTORS; --most)
            if (const int products = products_of(&z, most); products == most)
              for (const int64_t page : {0, 16})
                count(error<BFloat16>(shape, query_len, seq_len, splits, products, page), 5e-3, shape, query_len,
                      seq_len, splits, products, page);
        }
  std::printf("%d of %d cases wrong\n", bad, cases);
  return bad > 0;
}
