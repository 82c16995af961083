// One piece of work is a key-value head of a sequence, or a part of its context; parts are joined.
// Writes each row's mean of its values, and the logarithm of what they weigh where it will be joined.
template <typename S, typename T>
void write(const Sizes& z, S& x, T* out, float* lse) {
  for (int64_t r = 0; r < z.rows; ++r) {
    const float total = x.total.data()[r];
    const bool is_empty = total == 0;
    for (int64_t c = 0; c < z.v; ++c)
      out[r * z.v + c] = static_cast<T>(is_empty ? 0.0f : x.sums.data()[r * x.v + S::place(c)] / total);
    if (lse) lse[r] = is_empty ? LOWEST : x.most.data()[r] + std::log(total);
  }
}

// Joins the parts of a row, each the mean of its own keys' values, by what they weigh.
template <typename T>
void join(const Sizes& z, int64_t pair, const float* parts, const float* lse, T* out) {
  const int64_t next = z.batch * z.kv_heads * z.rows;  // from a split to the next, in rows
  Buffer<float> sums(z.v);
  for (int64_t row = pair * z.rows; row < (pair + 1) * z.rows; ++row) {
    float most = LOWEST, total = 0;
    for (int64_t s = 0; s < z.splits; ++s) most = std::max(most, lse[s * next + row]);
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int64_t s = 0; s < z.splits; ++s) {
      const float weight = std::exp(lse[s * next + row] - most);
      total += weight;
      for (int64_t c = 0; c < z.v; ++c) sums.data()[c] += weight * parts[(s * next + row) * z.v + c];
    }
    for (int64_t c = 0; c < z.v; ++c) out[row * z.v + c] = static_cast<T>(sums.data()[c] / total);
  }
}

template <typename S, typename T, typename F>
void decode(const Sizes& z, const T* q, const T* k, const T* v, const int64_t* lengths, const int32_t* pages, T* out,
            F attend) {
  const int64_t pairs = z.batch * z.kv_heads, units = pairs * z.splits;
  Buffer<float> parts(z.splits > 1 ? units * z.rows * z.v : 0), lse(z.splits > 1 ? units * z.rows : 0);
#pragma omp parallel num_threads(z.threads) if (z.threads > 1)
  {
    S scratch(z);
    Context<T> context(z, S::BLOCK);
#pragma omp for schedule(dynamic, 1)
    for (int64_t unit = 0; unit < units; ++unit) {
      const int64_t pair = unit % pairs, split = unit / pairs, b = pair / z.kv_heads, g = pair % z.kv_heads;
      const int64_t length = lengths ? lengths[b] : z.seq_len;
      const int64_t each = z.part ? z.part : ((length + z.splits - 1) / z.splits + 31) / 32 * 32;
      const int64_t from = std::min(length, split * each), to = std::min(length, from + each);
      if (from == to) {  // a shorter context has fewer parts; `join` gives this one no weight
        std::fill_n(parts.data() + unit * z.rows * z.v, z.rows * z.v, 0.0f);
        std::fill_n(lse.data() + unit * z.rows, z.rows, LOWEST);
        continue;
      }
      const int64_t first = pages ? 0 : b;  // of the sequences in one piece; a page is found by its number
      context.begin(k + first * z.k_b + g * z.k_g, v + first * z.v_b + g * z.v_g, pages ? pages + b * z.pages : nullptr);
      attend(z, scratch, q + b * z.q_b + g * z.q_g, context, from, to, length);
      if (z.splits == 1)
        write(z, scratch, out + pair * z.rows * z.v, nullptr);
      else
        write(z, scratch, parts.data() + unit * z.rows * z.v, lse.data() + unit * z.rows);
    }
    if (z.splits > 1) {
#pragma omp for
      for (int64_t pair = 0; pair < pairs; ++pair) join(z, pair, parts.data(), lse.data(), out);
    }
  }
}

}  // namespace

// Each dtype has a library of its own, which takes half as long to compile.
#if !defined(WITHOUT_DECODE_FLOAT)
extern "C" void decode_float(const Sizes* z, const float* q, const float* k, const float* v, const int64_t* lengths,
                             const int32_t* pages, float* out, int) {
  decode<rows::Scratch<rows::Vectors<float>>>(*z, q, k, v, lengths, pages, out,
                                              rows::attend<rows::Vectors<float>, float>);
}
#endif

#if !defined(WITHOUT_DECODE_BFLOAT16)
// The most that this build can take of a problem in bfloat16, and that is allowed.
extern "C" int products_of(const Sizes* z, int most) {
#if defined(HAS_TILES)
  if (most >= TILES && tiles::fit(*z)) return TILES;
#endif
#if defined(HAS_PAIRS)
  if (most >= PAIRS) return PAIRS;
#endif
  return VECTORS;
}

extern "C" void decode_bfloat16(const Sizes* z, const BFloat16* q, const BFloat16* k, const BFloat16* v,
                                const int64_t* lengths, const int32_t* pages, BFloat16* out, int products) {
#if defined(HAS_TILES)
  if (products == TILES) return decode<tiles::Scratch>(*z, q, k, v, lengths, pages, out, tiles::attend);
#endif
#if defined(HAS_PAIRS)
  if (products == PAIRS)
    return decode<rows::Scratch<rows::Pairs>>(*z, q, k, v, lengths, pages, out, rows::attend<rows::Pairs, BFloat16>);
#endif
  decode<rows::Scratch<rows::Vectors<BFloat16>>>(*z, q, k, v, lengths, pages, out,
                                                 rows::attend<rows::Vectors<BFloat16>, BFloat16>);
}
#endif
