// The step back through a convolution that max-pooling of 2 x 2 follows, with or without ReLU. Both pass each gradient
// to at most one of four positions, so the work is a list of (pixel, gradient) pairs, image by image: a quarter of the
// dense one or less. Channels are last in an image, so that a patch's row is contiguous, and padded to whole vectors
// where there are many.
//
// Sums are over the OCTET images of a list in their order, whatever a vector holds.
//
// Included by layers.h, which names the reference.

#pragma once

namespace {

typedef int32_t I8 __attribute__((vector_size(32), may_alias));
typedef int32_t UnalignedI8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float UnalignedV8 __attribute__((vector_size(32), aligned(4), may_alias));

constexpr int SOME = 32;    // channels that go back together
constexpr int MARGIN = 16;  // floats that vectors may read or write past an image's end
constexpr int whole(int n, int of) { return (n + of - 1) / of * of; }

template <int WIDTH> struct Vector {
    typedef float Type __attribute__((vector_size(4 * WIDTH), may_alias));
    typedef float Unaligned __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
};

template <int l> struct Sparse : Convolution<l> {
    using C = Convolution<l>;
    static constexpr int SIZE = C::In::SIZE + 2 * C::L.padding, FEATURES = C::Out::SIZE * C::Out::SIZE * C::TO;
    // Floats of a pixel, of a patch's row, of an image; the row in vectors.
    static constexpr int PIXEL = C::FROM < 8 ? C::FROM : whole(C::FROM, 8), ROW = C::K * PIXEL;
    static constexpr int IMAGE = whole(SIZE * SIZE * PIXEL, 16) + MARGIN;
    static constexpr int WIDTH = LANES > 8 && ROW > 16 ? 16 : 8, WIDE = (ROW + WIDTH - 1) / WIDTH;
    static constexpr int VECTORS = C::K * WIDE;
    // The gradient by the image: floats of a pixel, of an image; floats of a vector.
    static constexpr int DEEP = whole(C::FROM, 8), BACK = SIZE * SIZE * DEEP, STEP = LANES > 8 && DEEP % 16 == 0 ? 16 : 8;
};

constexpr bool is_sparse(int l) { return LAYERS[l].kind == CONV && LAYERS[l].pool; }
template <int l> constexpr int sparse_sums() {
    if constexpr (is_sparse(l)) return Sparse<l>::C::TO * Sparse<l>::VECTORS * Sparse<l>::WIDTH;
    return 0;
}
template <int l> constexpr int sparse_weights() {
    if constexpr (is_sparse(l)) return Sparse<l>::C::TO * Sparse<l>::K * Sparse<l>::K * Sparse<l>::DEEP;
    return 0;
}
template <int l> constexpr int sparse_sums_before() {
    if constexpr (l > 0) return sparse_sums_before<l - 1>() + whole(sparse_sums<l - 1>(), 16);
    return 0;
}
template <int l> constexpr int sparse_weights_before() {
    if constexpr (l > 0) return sparse_weights_before<l - 1>() + whole(sparse_weights<l - 1>(), 16);
    return 0;
}
template <int l = 0> constexpr int largest_image() {
    if constexpr (l == DEPTH) return 0;
    else {
        const int others = largest_image<l + 1>();
        if constexpr (!is_sparse(l)) return others;
        else return Sparse<l>::IMAGE > others ? Sparse<l>::IMAGE : others;
    }
}
template <int l = 0> constexpr int largest_back() {
    if constexpr (l == DEPTH) return 0;
    else {
        const int others = largest_back<l + 1>();
        if constexpr (!is_sparse(l)) return others;
        else return Sparse<l>::BACK > others ? Sparse<l>::BACK : others;
    }
}
template <int l = 0> constexpr int largest_features() {
    if constexpr (l == DEPTH) return 0;
    else {
        const int others = largest_features<l + 1>();
        if constexpr (!is_sparse(l)) return others;
        else return Sparse<l>::FEATURES > others ? Sparse<l>::FEATURES : others;
    }
}
constexpr int FEATURE_STRIDE = whole(largest_features(), 16) + MARGIN;

struct alignas(64) SparseWorkspace {
    alignas(64) float sums[sparse_sums_before<DEPTH>() + MARGIN], weights[sparse_weights_before<DEPTH>() + MARGIN];
    // Of a group of images.
    alignas(64) float images[LANES * largest_image() + MARGIN];
    alignas(64) float back[LANES * largest_back() + MARGIN];
    alignas(64) float gradients[LANES * FEATURE_STRIDE];
    alignas(64) int32_t pixels[LANES * FEATURE_STRIDE];
    // A list.
    int32_t start[OCTET * FEATURE_STRIDE];
    float gradient[OCTET * FEATURE_STRIDE];
};

// Append those of eight pairs that are wanted and have a gradient.
inline int append(I8 wanted, V8 gradient, I8 value, int n, int32_t* values, float* gradients) {
#if defined(__AVX512VL__) && defined(__AVX512DQ__)
    const __mmask8 kept = _mm256_movepi32_mask((__m256i)wanted) &
                          _mm256_cmp_ps_mask((__m256)gradient, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    _mm256_storeu_si256((__m256i*)(values + n), _mm256_maskz_compress_epi32(kept, (__m256i)value));
    _mm256_storeu_ps(gradients + n, _mm256_maskz_compress_ps(kept, (__m256)gradient));
    return n + __builtin_popcount(kept);
#else
    for (int i = 0; i < 8; i++) {
        values[n] = value[i];
        gradients[n] = gradient[i];
        n += (wanted[i] < 0) & (gradient[i] != 0);
    }
    return n;
#endif
}

// sums += gradient * patch over a list, of the patch's vectors from FIRST on, as many at a time as registers allow.
template <int l, int FIRST = 0>
inline void add_patches(const int32_t* start, const float* gradient, int n, const float* images, float* sums) {
    using S = Sparse<l>;
    constexpr int MOST = QUAD * BLOCK + 1, LEFT = S::VECTORS - FIRST, COUNT = (LEFT + (LEFT + MOST - 1) / MOST - 1) / ((LEFT + MOST - 1) / MOST);
    typedef typename Vector<S::WIDTH>::Type W;
    typedef typename Vector<S::WIDTH>::Unaligned Loose;
    W part[COUNT] = {};
    for (int i = 0; i < n; i++) {
        const W by = gradient[i] - W{};
        const float* patch = images + start[i];
#pragma GCC unroll 25
        for (int j = 0; j < COUNT; j++)
            part[j] = fused(by, (W) * (const Loose*)(patch + (FIRST + j) / S::WIDE * (S::SIZE * S::PIXEL) +
                                                     (FIRST + j) % S::WIDE * S::WIDTH), part[j]);
    }
#pragma GCC unroll 25
    for (int j = 0; j < COUNT; j++) ((W*)sums)[FIRST + j] += part[j];
    if constexpr (FIRST + COUNT < S::VECTORS) add_patches<l, FIRST + COUNT>(start, gradient, n, images, sums);
}

struct Window {  // what goes back through one window of the pooling to each of its positions
    int n[4];
    int32_t channel[4][SOME + 8];
    float gradient[4][SOME + 8];
};

// back += gradient * weights, of one window. Two positions side by side share what they reach, in registers.
template <int l> inline void spread(const Window& window, const float* weights, float* back) {
    using S = Sparse<l>;
    typedef typename Vector<S::STEP>::Type W;
    constexpr int STRIDE = S::L.stride, COLUMNS = S::K + STRIDE, MOST = BLOCK == 6 ? 30 : 13, DEEP = S::DEEP / S::STEP;
    constexpr int DEEP_MOST = MOST / COLUMNS < 1 ? 1 : MOST / COLUMNS, LAYERS_MOST = DEEP < DEEP_MOST ? DEEP : DEEP_MOST;
    constexpr int ROWS_MOST = MOST / COLUMNS / LAYERS_MOST < 1 ? 1 : MOST / COLUMNS / LAYERS_MOST;
    for (int down = 0; down < 2; down++) {
        if (!(window.n[2 * down] + window.n[2 * down + 1])) continue;
        in_blocks<DEEP, LAYERS_MOST>([&](auto depth, int layer) {
            in_blocks<S::K, ROWS_MOST>([&](auto height, int top) {
                constexpr int D = decltype(depth)::value, ROWS = decltype(height)::value;
                W* to = (W*)back + (down * STRIDE + top) * S::SIZE * DEEP + layer;
                W sum[ROWS][COLUMNS][D];
#pragma GCC unroll 8
                for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 16
                    for (int x = 0; x < COLUMNS; x++)
#pragma GCC unroll 8
                        for (int d = 0; d < D; d++) sum[r][x][d] = to[(r * S::SIZE + x) * DEEP + d];
#pragma GCC unroll 2
                for (int right = 0; right < 2; right++) {
                    const int q = 2 * down + right;
                    for (int i = 0; i < window.n[q]; i++) {
                        const W by = window.gradient[q][i] - W{};
                        const W* weight =
                            (const W*)weights + (window.channel[q][i] * S::K + top) * S::K * DEEP + layer;
#pragma GCC unroll 8
                        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 16
                            for (int x = 0; x < S::K; x++)
#pragma GCC unroll 8
                                for (int d = 0; d < D; d++) {
                                    W& own = sum[r][x + right * STRIDE][d];
                                    own = fused(by, weight[(r * S::K + x) * DEEP + d], own);
                                }
                    }
                }
#pragma GCC unroll 8
                for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 16
                    for (int x = 0; x < COLUMNS; x++)
#pragma GCC unroll 8
                        for (int d = 0; d < D; d++) to[(r * S::SIZE + x) * DEEP + d] = sum[r][x][d];
            });
        });
    }
}

template <int l, class Workspace> void sparse_gradients(Workspace& my) {
    using S = Sparse<l>;
    using In = typename S::In;
    using Out = typename S::Out;
    SparseWorkspace& own = my.sparse;
    const V* in = my.template value<S::L.in>();
    const V* given = my.template gradient_of<S::L.out>();
    const I* pixels = my.pixels + values_before(S::L.out);
    float* sums = own.sums + sparse_sums_before<l>();

    if constexpr (S::PIXEL == S::FROM)
        out_of_lanes(in, S::SIZE * S::SIZE * S::FROM, own.images, S::IMAGE);
    else
        for (int p = 0; p < S::SIZE * S::SIZE; p++)
            out_of_lanes(in + p * S::FROM, S::FROM, own.images + p * S::PIXEL, S::IMAGE);
    const I8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int c = 0; c < S::TO; c++)
        for (int octet = 0; octet * OCTET < my.images; octet++) {
            int n = 0;
            for (int at = c; at < S::FEATURES; at += S::TO) {
                const int place = Out::at(at / S::TO / Out::SIZE, at / S::TO % Out::SIZE) + c;
                const I8 pixel = ((const I8*)(pixels + place))[octet];
                n = append((pixel >= 0) & (lane < my.images - octet * OCTET), ((const V8*)(given + at))[octet],
                           pixel * S::PIXEL + lane * S::IMAGE, n, own.start, own.gradient);
            }
            add_patches<l>(own.start, own.gradient, n, own.images + octet * OCTET * S::IMAGE,
                           sums + c * S::VECTORS * S::WIDTH);
        }
    if constexpr (S::L.bias >= 0)
        for (int c = 0; c < S::TO; c++) {
            V sum = {};
            for (int at = c; at < S::FEATURES; at += S::TO) {
                const int place = Out::at(at / S::TO / Out::SIZE, at / S::TO % Out::SIZE) + c;
                sum += pixels[place] >= 0 ? given[at] : V{};
            }
            add(my, my.sums[S::L.bias + c], sum);
        }

    if constexpr (l > FIRST_TRAINED) {
        out_of_lanes(given, S::FEATURES, own.gradients, FEATURE_STRIDE);
        for (int row = 0; row < Out::SIZE; row++)
            out_of_lanes(pixels + Out::at(row, 0), Out::SIZE * S::TO, own.pixels + row * Out::SIZE * S::TO, FEATURE_STRIDE);
        std::memset(own.back, 0, LANES * S::BACK * sizeof(float));
        const float* weights = own.weights + sparse_weights_before<l>();
        Window window;
        for (int first = 0; first < S::TO; first += SOME)  // channels whose weights stay in the nearest cache
            for (int i = 0; i < my.images; i++)
                for (int at = 0; at < S::FEATURES; at += S::TO) {
                    const int p = at / S::TO, corner = 2 * S::L.stride * (p / Out::SIZE * S::SIZE + p % Out::SIZE);
                    std::memset(window.n, 0, sizeof window.n);
                    for (int channel = first; channel < first + SOME && channel < S::TO; channel += 8) {
                        const I8 pixel = *(const UnalignedI8*)(own.pixels + i * FEATURE_STRIDE + at + channel);
                        const V8 by = *(const UnalignedV8*)(own.gradients + i * FEATURE_STRIDE + at + channel);
                        const I8 present = lane < S::TO - channel;
#pragma GCC unroll 4
                        for (int q = 0; q < 4; q++)
                            window.n[q] = append((pixel == corner + S::L.stride * (q / 2 * S::SIZE + q % 2)) & present,
                                                 by, lane + channel, window.n[q], window.channel[q], window.gradient[q]);
                    }
                    spread<l>(window, weights, own.back + i * S::BACK + corner * S::DEEP);
                }
        V* result = my.template gradient_of<S::L.in>();
        V lanes[In::SIZE * S::DEEP + LANES];
        for (int row = 0; row < In::SIZE; row++) {
            const float* line = own.back + ((row + S::L.padding) * S::SIZE + S::L.padding) * S::DEEP;
            into_lanes(line, S::BACK, In::SIZE * S::DEEP, lanes);
            for (int column = 0; column < In::SIZE; column++)
                for (int c = 0; c < S::FROM; c++)
                    result[In::gradient_at(row, column) + c] = lanes[column * S::DEEP + c];
        }
    }
}

template <int l, class Workspace> void pack_sparse(Workspace& my) {
    using S = Sparse<l>;
    float* packed = my.sparse.weights + sparse_weights_before<l>();
    for (int out = 0; out < S::TO; out++)
        for (int tap = 0; tap < S::K * S::K; tap++)
            for (int in = 0; in < S::FROM; in++)
                packed[(out * S::K * S::K + tap) * S::DEEP + in] = my.weights[S::weight_at(out, in, 0, tap)];
}

template <int l, class Workspace> void collect_sparse(Workspace& my) {
    using S = Sparse<l>;
    for (int out = 0; out < S::TO; out++)
        for (int ky = 0; ky < S::K; ky++)
            for (int kx = 0; kx < S::K; kx++)
                for (int in = 0; in < S::FROM; in++)
                    my.gradient[S::weight_at(out, in, ky, kx)] =
                        my.sparse.sums[sparse_sums_before<l>() + (out * S::VECTORS + ky * S::WIDE) * S::WIDTH +
                                       kx * S::PIXEL + in];
}

}  // namespace
