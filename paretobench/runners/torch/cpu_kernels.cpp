// What a decode step does between its matrix products, for the CPU it is compiled on.
//
// Plain C functions over pointers: no header of torch is needed, so it compiles in seconds. Vectors
// are GCC's and Clang's vector extensions, 16 floats wide; the compiler maps them to what the CPU
// has. bfloat16 is widened on load, everything is computed in float32, and rounded once on store.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef uint16_t bf16;

constexpr int W = 16;
// Below this many elements a parallel region costs more than it saves.
constexpr int64_t PARALLEL_FROM = 8192;

inline v16 splat(float x) { return v16{} + x; }

inline v16 load(const float* p) {
  v16 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline v16 load(const bf16* p) {
  v16h h;
  std::memcpy(&h, p, sizeof h);
  return (v16)(__builtin_convertvector(h, v16u) << 16);
}

inline void store(float* p, v16 v) { std::memcpy(p, &v, sizeof v); }

inline void store(bf16* p, v16 v) {
  v16u u = (v16u)v;
  v16u rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;  // to nearest, ties to even
  v16u is_nan = (v16u)((u & 0x7fffffff) > 0x7f800000);
  v16h h = __builtin_convertvector((is_nan & ((u >> 16) | 0x40)) | (~is_nan & rounded), v16h);
  std::memcpy(p, &h, sizeof h);
}

inline float sum(v16 v) {
  v += __builtin_shuffle(v, v16i{8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7});
  v += __builtin_shuffle(v, v16i{4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11});
  v += __builtin_shuffle(v, v16i{2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13});
  v += __builtin_shuffle(v, v16i{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14});
  return v[0];
}

// e^x to about 2e-7 of itself (Cephes' expf); NaN stays NaN.
inline v16 exponential(v16 x) {
  x = x > splat(88.0f) ? splat(88.0f) : x;
  x = x < splat(-87.0f) ? splat(-87.0f) : x;
  v16i n = __builtin_convertvector(x * 1.44269504f + (x < splat(0) ? splat(-0.5f) : splat(0.5f)), v16i);
  v16 z = __builtin_convertvector(n, v16);
  x = x - z * 0.693359375f + z * 2.12194440e-4f;
  v16 y = splat(1.9875691500e-4f);
  y = y * x + 1.3981999507e-3f;
  y = y * x + 8.3334519073e-3f;
  y = y * x + 4.1665795894e-2f;
  y = y * x + 1.6666665459e-1f;
  y = y * x + 5.0000001201e-1f;
  y = y * x * x + x + 1.0f;
  return y * (v16)((n + 127) << 23);
}

// Attention of G queries that share one KV head, over `n` tokens of NV × 16 dimensions.
// `scores` holds G rows of `padded` floats.
template <class T, int NV, int G>
void attend(const T* query, int64_t query_head, const T* keys, const T* values, int64_t n,
            int64_t padded, float scale, float* scores, T* output, int64_t output_head) {
  v16 q[G][NV];
  for (int g = 0; g < G; g++)
    for (int i = 0; i < NV; i++) q[g][i] = load(query + g * query_head + i * W) * scale;
  for (int64_t t = 0; t < n; t++) {
    v16 dot[G] = {};
    for (int i = 0; i < NV; i++) {
      v16 k = load(keys + t * NV * W + i * W);
      for (int g = 0; g < G; g++) dot[g] += q[g][i] * k;
    }
    for (int g = 0; g < G; g++) scores[g * padded + t] = sum(dot[g]);
  }
  float total[G];
  for (int g = 0; g < G; g++) {
    float* row = scores + g * padded;
    float best = row[0];
    for (int64_t t = 1; t < n; t++) best = row[t] > best ? row[t] : best;
    for (int64_t t = n; t < padded; t++) row[t] = -1e30f;  // e^ of it is 0 to float32
    v16 all = {};
    for (int64_t t = 0; t < padded; t += W) {
      v16 p = exponential(load(row + t) - best);
      v16i at = v16i{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + (int32_t)t;
      p = at < (v16i{} + (int32_t)n) ? p : splat(0);
      store(row + t, p);
      all += p;
    }
    total[g] = sum(all);
  }
  v16 out[G][NV] = {};
  for (int64_t t = 0; t < n; t++)
    for (int i = 0; i < NV; i++) {
      v16 v = load(values + t * NV * W + i * W);
      for (int g = 0; g < G; g++) out[g][i] += v * scores[g * padded + t];
    }
  for (int g = 0; g < G; g++)
    for (int i = 0; i < NV; i++) store(output + g * output_head + i * W, out[g][i] / total[g]);
}

template <class T, int NV>
void decode_attention(const T* query, int64_t query_row, int64_t query_head, const T* keys,
                      const T* values, int64_t cache_slot, int64_t cache_head,
                      const int64_t* lengths, const int64_t* slots, int64_t rows, int64_t heads,
                      int64_t kv_heads, int64_t max_tokens, float scale, T* output) {
  const int64_t group = heads / kv_heads, dim = NV * W;
  const int64_t padded = (max_tokens + W - 1) / W * W;
#pragma omp parallel if (rows * kv_heads * max_tokens * dim >= PARALLEL_FROM)
  {
    std::vector<float> scores(4 * padded);
#pragma omp for schedule(dynamic, 2)
    for (int64_t task = 0; task < rows * kv_heads; task++) {
      const int64_t row = task / kv_heads, head = task % kv_heads;
      const int64_t at = slots[row] * cache_slot + head * cache_head;
      for (int64_t g = 0; g < group; g += 4) {
        const int64_t first = head * group + g;
        const T* q = query + row * query_row + first * query_head;
        T* o = output + (row * heads + first) * dim;
        const int64_t n = lengths[row], fit = (n + W - 1) / W * W;
        float* s = scores.data();
        switch (group - g < 4 ? group - g : 4) {
          case 1: attend<T, NV, 1>(q, query_head, keys + at, values + at, n, fit, scale, s, o, dim); break;
          case 2: attend<T, NV, 2>(q, query_head, keys + at, values + at, n, fit, scale, s, o, dim); break;
          case 3: attend<T, NV, 3>(q, query_head, keys + at, values + at, n, fit, scale, s, o, dim); break;
          default: attend<T, NV, 4>(q, query_head, keys + at, values + at, n, fit, scale, s, o, dim);
        }
      }
    }
  }
}

inline float inverse_rms(const float* x, int64_t n, float eps) {
  v16 squares = {};
  for (int64_t i = 0; i < n; i += W) squares += load(x + i) * load(x + i);
  return 1.0f / __builtin_sqrtf(sum(squares) / n + eps);
}

// One head: normed if there is a weight, rotated (first half against the second), written.
template <class T>
void rotate_head(const T* head, const T* weight, const T* cosine, const T* sine, int64_t dim,
                 float eps, T* output) {
  float x[512];
  for (int64_t i = 0; i < dim; i += W) store(x + i, load(head + i));
  if (weight) {
    const float scale = inverse_rms(x, dim, eps);
    for (int64_t i = 0; i < dim; i += W) store(x + i, load(x + i) * scale * load(weight + i));
  }
  const int64_t half = dim / 2;
  for (int64_t i = 0; i < half; i += W) {
    v16 a = load(x + i), b = load(x + half + i), c = load(cosine + i), s = load(sine + i);
    store(output + i, a * c - b * s);
    store(output + half + i, b * c + a * s);
  }
}

template <class T>
void rotate_and_store(const T* qkv, const int64_t* positions, const int64_t* slots, const T* cosine,
                      const T* sine, T* keys, T* values, int64_t cache_slot, int64_t cache_head,
                      const T* query_norm, const T* key_norm, int64_t tokens, int64_t heads,
                      int64_t kv_heads, int64_t dim, float eps, T* query) {
  const int64_t width = (heads + 2 * kv_heads) * dim, half = dim / 2;
#pragma omp parallel for if (tokens * width >= PARALLEL_FROM) schedule(static)
  for (int64_t t = 0; t < tokens; t++) {
    const T *row = qkv + t * width, *c = cosine + positions[t] * half, *s = sine + positions[t] * half;
    for (int64_t h = 0; h < heads; h++)
      rotate_head(row + h * dim, query_norm, c, s, dim, eps, query + (t * heads + h) * dim);
    for (int64_t h = 0; h < kv_heads; h++) {
      const int64_t at = slots[t] * cache_slot + h * cache_head + positions[t] * dim;
      rotate_head(row + (heads + h) * dim, key_norm, c, s, dim, eps, keys + at);
      std::memcpy(values + at, row + (heads + kv_heads + h) * dim, dim * sizeof(T));
    }
  }
}

template <class T>
void add_norm(const T* hidden, const T* update, const T* weight, int64_t rows, int64_t n, float eps,
              T* sums, T* normed) {
#pragma omp parallel if (rows * n >= PARALLEL_FROM)
  {
    std::vector<float> x(n);
#pragma omp for schedule(static)
    for (int64_t r = 0; r < rows; r++) {
      T* out = sums + r * n;
      for (int64_t i = 0; i < n; i += W) {
        store(out + i, load(hidden + r * n + i) + load(update + r * n + i));
        store(x.data() + i, load(out + i));  // as rounded
      }
      const float scale = inverse_rms(x.data(), n, eps);
      for (int64_t i = 0; i < n; i += W)
        store(normed + r * n + i, load(x.data() + i) * scale * load(weight + i));
    }
  }
}

template <class T>
void gate(const T* gate_up, int64_t rows, int64_t n, T* output) {
#pragma omp parallel for if (rows * n >= PARALLEL_FROM) schedule(static)
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < n; i += W) {
      v16 g = load(gate_up + 2 * r * n + i), u = load(gate_up + (2 * r + 1) * n + i);
      store(output + r * n + i, g / (1.0f + exponential(-g)) * u);
    }
}

}  // namespace

#define FOR(NAME, T)                                                                               \
  extern "C" int NAME##_attention(                                                                 \
      const T* query, int64_t query_row, int64_t query_head, const T* keys, const T* values,       \
      int64_t cache_slot, int64_t cache_head, const int64_t* lengths, const int64_t* slots,        \
      int64_t rows, int64_t heads, int64_t kv_heads, int64_t dim, int64_t max_tokens, float scale, \
      T* output) {                                                                                 \
    switch (dim) {                                                                                 \
      case 32: decode_attention<T, 2>(query, query_row, query_head, keys, values, cache_slot, cache_head, lengths, slots, rows, heads, kv_heads, max_tokens, scale, output); return 0; \
      case 64: decode_attention<T, 4>(query, query_row, query_head, keys, values, cache_slot, cache_head, lengths, slots, rows, heads, kv_heads, max_tokens, scale, output); return 0; \
      case 96: decode_attention<T, 6>(query, query_row, query_head, keys, values, cache_slot, cache_head, lengths, slots, rows, heads, kv_heads, max_tokens, scale, output); return 0; \
      case 128: decode_attention<T, 8>(query, query_row, query_head, keys, values, cache_slot, cache_head, lengths, slots, rows, heads, kv_heads, max_tokens, scale, output); return 0; \
      case 256: decode_attention<T, 16>(query, query_row, query_head, keys, values, cache_slot, cache_head, lengths, slots, rows, heads, kv_heads, max_tokens, scale, output); return 0; \
    }                                                                                              \
    return 1;                                                                                      \
  }                                                                                                \
  extern "C" void NAME##_rotate(                                                                   \
      const T* qkv, const int64_t* positions, const int64_t* slots, const T* cosine,               \
      const T* sine, T* keys, T* values, int64_t cache_slot, int64_t cache_head,                   \
      const T* query_norm, const T* key_norm, int64_t tokens, int64_t heads, int64_t kv_heads,     \
      int64_t dim, float eps, T* query) {                                                          \
    rotate_and_store(qkv, positions, slots, cosine, sine, keys, values, cache_slot, cache_head,    \
                     query_norm, key_norm, tokens, heads, kv_heads, dim, eps, query);              \
  }                                                                                                \
  extern "C" void NAME##_add_norm(const T* hidden, const T* update, const T* weight, int64_t rows, \
                                  int64_t n, float eps, T* sums, T* normed) {                      \
    add_norm(hidden, update, weight, rows, n, eps, sums, normed);                                  \
  }                                                                                                \
  extern "C" void NAME##_gate(const T* gate_up, int64_t rows, int64_t n, T* output) {              \
    gate(gate_up, rows, n, output);                                                                \
  }

FOR(float32, float)
FOR(bfloat16, bf16)
