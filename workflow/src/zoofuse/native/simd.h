// What train.cpp, cyclegan.cpp and layout.cpp share: vectors of LANES floats, moves between their
// lanes, sums over them, and `fused`: a * b + c of floats, rounded once, in vectors of any width.
//
// train.cpp and cyclegan.cpp are compiled with -ffp-contract=off, so that `fused` is the only place
// where a product and a sum are fused: the same source then computes the same bits with every
// instruction set.
//
// LANES comes from the compiler's command line, or from the source before it includes this.

#pragma once

#include <cmath>
#include <cstdint>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace {

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

// Images or kernel sets whose gradients are summed together, whatever a vector holds.
constexpr int OCTET = 8;

inline V broadcast(float x) { return x - V{}; }

template <int... k> inline V shuffle(V a, V b, std::integer_sequence<int, k...>) {
#ifdef __clang__
    return __builtin_shufflevector(a, b, k...);
#else
    return __builtin_shuffle(a, b, I{k...});
#endif
}

// The sum of the lanes of one octet of a vector, from the first lane on.
template <class T> inline float total(const T& x, int octet = 0) {
    float sum = 0;
    for (int i = 0; i < OCTET; i++) sum += x[octet * OCTET + i];
    return sum;
}

// ---- a * b + c ----
// Reference: the C library's fma, in tests/cases/test_native.py, `..._without_hardware_round_once`.

#if defined(__SSE2__) && !defined(__FMA__)
// What a sum of doubles left out (Knuth's TwoSum).
inline __m128d left_out(__m128d a, __m128d b, __m128d sum) {
    const __m128d of_b = _mm_sub_pd(sum, a);
    return _mm_add_pd(_mm_sub_pd(a, _mm_sub_pd(sum, of_b)), _mm_sub_pd(b, of_b));
}

// Processors of before 2013. The product of two floats is exact in a double, so only the sum is rounded twice: to a
// double, then to a float. That is wrong only where a double that is not exact lies midway between two floats, or is
// tiny; there the C library decides.
inline __m128 fuse_without_hardware(__m128 a, __m128 b, __m128 c) {
    const __m128d product[2] = {_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)),
                                _mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b)))};
    const __m128d term[2] = {_mm_cvtps_pd(c), _mm_cvtps_pd(_mm_movehl_ps(c, c))};
    const __m128d sum[2] = {_mm_add_pd(product[0], term[0]), _mm_add_pd(product[1], term[1])};
    const __m128 result = _mm_movelh_ps(_mm_cvtpd_ps(sum[0]), _mm_cvtpd_ps(sum[1]));
    const __m128 low = _mm_castpd_ps(sum[0]), high = _mm_castpd_ps(sum[1]);
    const __m128i tail = _mm_castps_si128(_mm_shuffle_ps(low, high, 0x88));  // lower words: 29 bits too many
    const __m128i head = _mm_and_si128(_mm_castps_si128(_mm_shuffle_ps(low, high, 0xDD)), _mm_set1_epi32(0x7FFFFFFF));
    const __m128i midway = _mm_cmpeq_epi32(_mm_slli_epi32(tail, 3), _mm_set1_epi32(int(0x80000000)));
    const __m128i tiny = _mm_and_si128(_mm_cmpgt_epi32(_mm_set1_epi32(0x38100000), head),  // below 2^-126
                                       _mm_cmpgt_epi32(head, _mm_setzero_si128()));
    if (__builtin_expect(!_mm_movemask_epi8(_mm_or_si128(midway, tiny)), 1)) return result;
    const __m128d lost = _mm_or_pd(_mm_cmpneq_pd(left_out(product[0], term[0], sum[0]), _mm_setzero_pd()),
                                   _mm_cmpneq_pd(left_out(product[1], term[1], sum[1]), _mm_setzero_pd()));
    if (!_mm_movemask_pd(lost)) return result;
    alignas(16) float x[4], y[4], z[4];
    _mm_store_ps(x, a), _mm_store_ps(y, b), _mm_store_ps(z, c);
    for (int i = 0; i < 4; i++) z[i] = std::fma(x[i], y[i], z[i]);
    return _mm_load_ps(z);
}
#endif

inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

template <class T> inline T fused(T a, T b, T c) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 64) return (T)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#endif
#if defined(__FMA__)
    if constexpr (sizeof(T) == 32) return (T)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    if constexpr (sizeof(T) == 16) return (T)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
#elif defined(__SSE2__)
    if constexpr (sizeof(T) == 16) return (T)fuse_without_hardware((__m128)a, (__m128)b, (__m128)c);
#elif defined(__ARM_NEON)
    if constexpr (sizeof(T) == 16) return (T)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#endif
    if constexpr (sizeof(T) > 16) {  // wider than the processor's
        typedef float Half __attribute__((vector_size(sizeof(T) / 2)));
        union Halves {
            T whole;
            Half half[2];
        };
        const Halves x = {a}, y = {b}, z = {c};
        Halves sum;
        for (int i = 0; i < 2; i++) sum.half[i] = fused<Half>(x.half[i], y.half[i], z.half[i]);
        return sum.whole;
    } else {
        for (unsigned i = 0; i < sizeof(T) / 4; i++) c[i] = std::fma(a[i], b[i], c[i]);
        return c;
    }
}

}  // namespace
