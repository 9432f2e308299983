// Images into the lanes of vectors, one in each, and back.

#pragma once

#include "simd.h"

namespace {

// Exchange the off-diagonal H x H blocks of each pair of rows, from the largest down.
template <int H, int... k> inline void exchange(V (&rows)[LANES], std::integer_sequence<int, k...> lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        if (!(i & H)) {
            const V a = rows[i], b = rows[i + H];
            rows[i] = shuffle(a, b, std::integer_sequence<int, (k & H ? LANES + k - H : k)...>());
            rows[i + H] = shuffle(a, b, std::integer_sequence<int, (k & H ? LANES + k : k + H)...>());
        }
    if constexpr (H > 1) exchange<H / 2>(rows, lanes);
}

inline void transpose_block(V (&rows)[LANES]) { exchange<LANES / 2>(rows, std::make_integer_sequence<int, LANES>()); }

// (LANES images, n floats) -> (n, LANES); n a multiple of LANES.
void into_lanes(const float* images, int stride, int n, V* lanes) {
    for (int at = 0; at < n; at += LANES) {
        V rows[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) rows[i] = *(const Unaligned*)(images + i * stride + at);
        transpose_block(rows);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) lanes[at + i] = rows[i];
    }
}

// (n, LANES) -> (LANES images, n) of anything four bytes long; an image's padding may be written.
void out_of_lanes(const void* lanes, int n, void* images, int stride) {
    for (int at = 0; at < n; at += LANES) {
        V rows[LANES];
        const int end = n - at < LANES ? n - at : LANES;
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) rows[i] = ((const Unaligned*)lanes)[at + (i < end ? i : 0)];
        transpose_block(rows);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) *(Unaligned*)((float*)images + i * stride + at) = rows[i];
    }
}

}  // namespace
